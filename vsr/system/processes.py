"""Starts helper processes that end with this one, and that Ctrl-C in a terminal does not reach."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence


def start_helper(command: Sequence[str], environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start a process with pipes for its standard streams.

    It gets no signals of the terminal: this process decides how it ends. It should end when its standard
    input does, as happens when this process is killed.

    Raises:
        OSError: the system refuses.
    """
    windows = sys.platform == "win32"
    return subprocess.Popen(
        list(command),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=dict(environment),
        start_new_session=not windows,
        creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0) if windows else 0,
    )
