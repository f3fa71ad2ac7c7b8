"""The fixtures and rules of the main tests also apply to plugins."""

from tests.conftest import material, pytest_runtest_setup

__all__ = ["material", "pytest_runtest_setup"]
