"""Runs `vsr` as on macOS, as far as Linux can: `python -m tests.system.as_macos upscale in.mp4 out.mp4`.

`/proc` is closed, what only Linux has is taken from `os` and `fcntl`, and `sys.platform` says darwin.
Functions of macOS' C library have stand-ins. A Linux binary of torch has no Metal, so the CPU computes.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import importlib
import os
import sys
import sysconfig
from pathlib import Path
from typing import Any

from tests.system.as_windows import LIBRARIES, closed

ONLY_ON_LINUX = {
    os: """
    sched_getscheduler sched_setscheduler sched_getparam sched_param sched_getaffinity sched_setaffinity
    posix_fadvise posix_fallocate copy_file_range listxattr setxattr getxattr pipe2 memfd_create eventfd
    """,
    fcntl: "F_SETPIPE_SZ F_GETPIPE_SZ",
}
F_FULLFSYNC = 51
_FCNTL, _FSYNC = fcntl.fcntl, os.fsync
_PAGES, _TOTAL = os.sysconf("SC_AVPHYS_PAGES"), os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    """Change the system, then run the command line."""
    for name in LIBRARIES.split():
        importlib.import_module(name)
    sysconfig.get_config_vars()  # read once: what is kept of them is Linux's, too
    for module, names in ONLY_ON_LINUX.items():
        for name in names.split():
            if hasattr(module, name):
                delattr(module, name)
    os.confstr_names = {}
    fcntl.F_FULLFSYNC = F_FULLFSYNC  # type: ignore[attr-defined]
    fcntl.fcntl = _fcntl  # type: ignore[assignment]
    ctypes.CDLL = _library  # type: ignore[assignment,misc]
    sys.addaudithook(closed)
    for name in [name for name in sys.modules if name.partition(".")[0] == "vsr"]:
        del sys.modules[name]  # it was imported as Linux's
    sys.platform = "darwin"
    from vsr.__main__ import main as run

    run()


def _fcntl(handle: Any, command: int, *rest: Any) -> Any:
    if command == F_FULLFSYNC:
        _FSYNC(handle)
        return 0
    return _FCNTL(handle, command, *rest)


_CDLL = ctypes.CDLL


def _library(name: Any, *rest: Any, **more: Any) -> Any:
    return SystemLibrary() if name is None else _CDLL(name, *rest, **more)


class SystemLibrary:
    """A stand-in for libSystem."""

    def renamex_np(self, old: bytes, new: bytes, flags: int) -> int:
        """With RENAME_EXCL, a name that is taken is an error."""
        assert flags == 4
        if os.path.lexists(new):
            ctypes.set_errno(errno.EEXIST)
            return -1
        Path(os.fsdecode(old)).rename(os.fsdecode(new))
        return 0

    def mach_host_self(self) -> int:
        """A port."""
        return 7

    def host_statistics64(self, port: int, flavour: int, pages: Any, count: Any) -> int:
        """Free pages."""
        assert (port, flavour, count._obj.value) == (7, 4, 38)
        pages[0] = _PAGES
        return 0

    def sysctlbyname(self, name: bytes, place: Any, size: Any, new: None, length: int) -> int:
        """Memory and the processor's name."""
        if name == b"hw.memsize":
            place._obj.value = _TOTAL
        else:
            place.value = b"Apple M3"
        return 0

    def proc_pid_rusage(self, pid: int, flavour: int, found: Any) -> int:
        """Bytes of disks."""
        found[18], found[19] = 100, 200
        return 0


if __name__ == "__main__":
    main()
