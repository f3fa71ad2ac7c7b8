"""The fixtures and rules of the main tests hold for plugins too."""

from tests.conftest import material, pytest_runtest_setup

__all__ = ["material", "pytest_runtest_setup"]
