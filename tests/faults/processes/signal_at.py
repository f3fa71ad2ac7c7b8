"""Sends a signal to this process at a chosen step, however fast the machine is.

    install("put_in_place", 1, 7, signal.SIGINT)     # seven steps into the first call of `put_in_place`

A step is a call or a return of any function on the main thread.
"""

from __future__ import annotations

import os
import sys
from types import FrameType
from typing import Any


def install(function: str, call: int, after: int, number: int) -> None:
    """Count on the main thread from now on, until the signal is sent.

    Args:
        function: Name of a Python function of the package.
        call: Which call of it, from 1 on.
        after: The number of steps after this call begins.
        number: The signal.
    """
    calls, steps = 0, 0

    def step(frame: FrameType, event: str, _: Any) -> None:
        nonlocal calls, steps
        if calls < call:
            code = frame.f_code
            calls += event == "call" and code.co_name == function and "vsr" in code.co_filename
        if calls < call:
            return
        steps += 1
        if steps > after:
            sys.setprofile(None)
            os.kill(os.getpid(), number)  # its handler runs before this returns

    sys.setprofile(step)
