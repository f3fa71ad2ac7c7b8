"""Modules of `vsr.system` as another operating system would import them."""

from __future__ import annotations

import importlib.util
import signal
import sys
import types
from unittest import mock

from tests.system.as_windows import msvcrt


def module_as(platform: str, name: str) -> types.ModuleType:
    """A new copy of a module, made while `sys.platform` says so; nothing else sees it.

    Args:
        platform: As in `sys.platform`.
        name: Full name of the module.
    """
    spec = importlib.util.find_spec(name)
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    with (
        mock.patch.object(sys, "platform", platform),
        mock.patch.object(signal, "SIGBREAK", signal.SIGTTIN, create=True),
        mock.patch.dict(sys.modules, {"msvcrt": msvcrt()}),
    ):
        for other in [other for other in sys.modules if other.startswith("vsr.system.")]:
            del sys.modules[other]  # what it imports is to be of that system, too; undone at the end
        spec.loader.exec_module(made)
    return made
