"""Entry point of the command `vsr` and of `python -m vsr`: light, so that Ctrl-C is quiet from the start."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Run the command line."""
    _fill_closed_streams()
    try:
        from vsr.cli import main as run
    except KeyboardInterrupt:
        sys.exit(130)
    run()


def _fill_closed_streams() -> None:
    """Open the null device as stdin, stdout or stderr if one is closed.

    Otherwise the next opened file would get its number, and messages would be written into that file.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)


if __name__ == "__main__":
    main()
