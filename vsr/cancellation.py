"""The type of `cancel` arguments, with which a program ends a run that it has started."""

from __future__ import annotations

import threading
from collections.abc import Callable

Cancel = Callable[[], bool] | threading.Event
"""An event that is set, or a function that returns True, when the run must end. It is checked on any
thread."""


def asked(cancel: Cancel) -> Callable[[], bool]:
    """Return a function that returns whether the run must end."""
    return cancel.is_set if isinstance(cancel, threading.Event) else cancel
