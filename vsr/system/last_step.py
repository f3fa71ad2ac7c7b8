"""The step in which a result gets its name: from then on, being asked to stop no longer ends the work.

Otherwise a signal just after it would end the command with an error although the complete result is there.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager

_listener: Callable[[bool], None] | None = None


def listen(listener: Callable[[bool], None] | None) -> None:
    """Set the function that learns of the last step; None for no function.

    Args:
        listener: Called with True before the step, and with False if it failed, so that there is no result.
    """
    global _listener
    _listener = listener


@contextmanager
def last_step() -> Generator[None, None, None]:
    """Tell the listener that the block gives a result its name; enter it on the main thread."""
    _tell(True)
    try:
        yield
    except BaseException:
        _tell(False)
        raise


def _tell(begun: bool) -> None:
    if _listener is not None:
        _listener(begun)
