"""How a program asks for the end of a run that it started."""

from __future__ import annotations

import threading
from collections.abc import Callable

Cancel = Callable[[], bool] | threading.Event
"""An event that is set, or a function that returns True, when the run shall end; it is asked on any
thread."""


def asked(cancel: Cancel) -> Callable[[], bool]:
    """The function that says whether the run shall end."""
    return cancel.is_set if isinstance(cancel, threading.Event) else cancel
