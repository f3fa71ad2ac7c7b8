"""Runs `vsr` as on Windows, as far as Linux can: `python -m tests.system.as_windows upscale in.mp4 out.mp4`.

What Windows lacks is taken from `os`, `signal`, `select` and the modules of POSIX, `/proc` is closed, and
`sys.platform` says win32. What Windows does otherwise is done otherwise: a file that this process has open
can be neither renamed nor removed, no folder can be opened, a rename replaces nothing, and only a file
that is open for writing can be synced. Windows' own functions have stand-ins. The libraries (torch, PyAV,
Typer) are imported before: they stay Linux's.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import importlib
import os
import select
import shutil
import signal
import stat
import sys
import sysconfig
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

LIBRARIES = """
torch numpy av av.filter av.codec.hwaccel typer rich.console rich.progress rich.table rich.live kornia.color
kornia.filters llvmlite.binding safetensors.torch importlib.metadata torch.nn.functional platform tempfile
subprocess socket secrets shutil uuid faulthandler concurrent.futures.thread typer.rich_utils
"""
ONLY_ON_POSIX = ("fcntl", "grp", "posix", "pty", "pwd", "resource", "syslog", "termios", "tty")
LACKING = {
    os: """
    O_CLOEXEC O_NOFOLLOW O_NONBLOCK O_NOCTTY O_DIRECTORY O_SYNC pathconf fpathconf pathconf_names statvfs
    fstatvfs getuid geteuid getgid getegid fork forkpty wait waitid killpg getpgid setsid uname sysconf
    confstr confstr_names sched_getaffinity sched_setaffinity sched_getscheduler sched_setscheduler
    sched_getparam
    sched_param get_blocking set_blocking sendfile pread pwrite preadv pwritev fchmod fchown chown mkfifo
    mknod openpty getpgrp posix_fadvise posix_fallocate copy_file_range listxattr setxattr getxattr
    getloadavg nice
    """,
    signal: """
    SIGHUP SIGPIPE SIGKILL SIGALRM SIGUSR1 SIGUSR2 SIGQUIT SIGSTOP SIGCONT SIGCHLD alarm setitimer
    pthread_kill pthread_sigmask sigwait siginterrupt pause
    """,
    select: "poll epoll POLLIN POLLOUT POLLHUP POLLERR",
}
_READLINK, _FSTAT, _LISTDIR, _ISDIR = os.readlink, os.fstat, os.listdir, os.path.isdir
_OPEN, _FSYNC, _RENAME, _REPLACE, _UNLINK = os.open, os.fsync, os.rename, os.replace, os.unlink
_FCNTL, _FLOCK, _SYSCONF, _STATVFS = fcntl.fcntl, fcntl.flock, os.sysconf, os.statvfs


def main() -> None:
    """Change the system, then run the command line."""
    become_windows()
    from vsr.__main__ import main as run

    run()


def become_windows() -> None:
    """Take away what Windows lacks, and put its own in place; for the rest of the process."""
    for name in LIBRARIES.split():
        importlib.import_module(name)
    sysconfig.get_config_vars()  # read once: what is kept of them is Linux's, too
    for module, names in LACKING.items():
        for name in names.split():
            if hasattr(module, name):
                delattr(module, name)
    for name in ONLY_ON_POSIX:
        sys.modules[name] = None  # type: ignore[assignment]  # importing it raises
    os.O_BINARY, os.O_NOINHERIT = 0, 0  # type: ignore[attr-defined]
    signal.SIGBREAK = signal.SIGTTIN  # type: ignore[attr-defined]  # a number that both systems have: 21
    os.open, os.fsync = _open, _fsync  # type: ignore[assignment]
    os.rename, os.replace = _rename, _replace
    os.unlink = os.remove = _unlink
    shutil.disk_usage = _disk_usage
    sys.modules["msvcrt"] = msvcrt()
    ctypes.WinDLL = lambda name, **_: Kernel()  # type: ignore[attr-defined]
    ctypes.CDLL.__init__ = _named_only(ctypes.CDLL.__init__)  # type: ignore[method-assign]
    for name in [name for name in sys.modules if name.partition(".")[0] == "vsr"]:
        del sys.modules[name]  # it was imported as Linux's
    sys.addaudithook(closed)
    sys.platform = "win32"


def closed(event: str, arguments: tuple[Any, ...]) -> None:
    """For `sys.addaudithook`: what only Linux has among files cannot be opened."""
    if event == "open" and str(arguments[0]).startswith(("/proc/", "/sys/", "/dev/fd/")):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(arguments[0]))


def _named_only(real: Callable[..., None]) -> Callable[..., None]:
    def init(self: ctypes.CDLL, name: Any, *rest: Any, **more: Any) -> None:
        if name is None:
            raise TypeError("bad argument type for built-in operation")  # as on Windows
        real(self, name, *rest, **more)

    return init


def _disk_usage(path: Any) -> Any:
    found = _STATVFS(path)
    sizes = (
        count * found.f_frsize for count in (found.f_blocks, found.f_blocks - found.f_bfree, found.f_bavail)
    )
    return types.SimpleNamespace(**dict(zip(("total", "used", "free"), sizes, strict=True)))


def _refuse_open(path: Any) -> None:
    """No file is renamed or removed while this process has it open, in Python or in FFmpeg."""
    wanted = str(Path(path).absolute())
    for number in _LISTDIR("/proc/self/fd"):
        try:
            found = _READLINK(f"/proc/self/fd/{number}")
        except OSError:
            continue
        if found == wanted:
            raise PermissionError(errno.EACCES, "it is being used by this process", str(path))


def _open(path: Any, flags: int, mode: int = 0o777, **more: Any) -> int:
    if _ISDIR(path):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
    return _OPEN(path, flags, mode, **more)


def _fsync(handle: int) -> None:
    if _FCNTL(handle, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY or stat.S_ISDIR(_FSTAT(handle).st_mode):
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))
    _FSYNC(handle)


def _rename(old: Any, new: Any) -> None:
    _refuse_open(old)
    if os.path.lexists(new):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(new))
    _RENAME(old, new)


def _replace(old: Any, new: Any) -> None:
    _refuse_open(old)
    _refuse_open(new)
    _REPLACE(old, new)


def _unlink(path: Any, **more: Any) -> None:
    _refuse_open(path)
    _UNLINK(path, **more)


def msvcrt() -> types.ModuleType:
    """A stand-in for the module: its locks are of bytes, refused with EACCES, and end with the descriptor."""
    made = types.ModuleType("msvcrt")

    def locking(handle: int, mode: int, count: int) -> None:
        assert count == 1
        try:
            _FLOCK(handle, fcntl.LOCK_UN if mode == 0 else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES)) from error

    made.locking, made.LK_NBLCK, made.LK_UNLCK = locking, 2, 0  # type: ignore[attr-defined]
    return made


class Kernel:
    """A stand-in for kernel32: fills the structures that Windows would, as its headers lay them out."""

    def GlobalMemoryStatusEx(self, pointer: Any) -> int:  # noqa: N802
        """Total, available, and what may still be committed."""
        found = pointer._obj
        assert found.length == ctypes.sizeof(found) == 64
        pages = _SYSCONF("SC_PAGE_SIZE")
        memory = (ctypes.c_uint64 * 8).from_address(ctypes.addressof(found))
        memory[1], memory[2] = _SYSCONF("SC_PHYS_PAGES") * pages, _SYSCONF("SC_AVPHYS_PAGES") * pages
        memory[4] = memory[2] + (1 << 30)
        return 1

    def GetProcessIoCounters(self, process: Any, counted: Any) -> int:  # noqa: N802
        """Three numbers of operations, then bytes read, written and otherwise moved."""
        assert process.value == ctypes.c_void_p(-1).value
        counted[3], counted[4] = 100, 200
        return 1


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent.parent.parent))
    main()
