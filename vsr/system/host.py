"""Facts about the machine: its memory, the CPU's name, the I/O of this process, the user's cache folder."""

from __future__ import annotations

import os
import sys
from pathlib import Path

UNKNOWN_MEMORY = 4 * 2**30
"""Bytes that are assumed if the system does not report its memory; most machines have more."""


def cache_folder() -> Path:
    """Return the user's cache folder: `$XDG_CACHE_HOME` if it is set, else that of the system.

    Raises:
        RuntimeError: the user has no home folder.
    """
    named = os.environ.get("XDG_CACHE_HOME")
    return Path(named) if named else _usual_cache()


def cores() -> int:
    """Number of processor cores that this process may use."""
    available = getattr(os, "sched_getaffinity", None)  # not on Windows and macOS
    return len(available(0)) if available is not None else os.cpu_count() or 1


if sys.platform == "win32":
    import ctypes
    import platform
    from functools import cache

    class _Memory(ctypes.Structure):
        """MEMORYSTATUSEX of sysinfoapi.h."""

        _fields_ = (
            ("length", ctypes.c_uint32),
            ("load", ctypes.c_uint32),
            ("total", ctypes.c_uint64),
            ("available", ctypes.c_uint64),
            ("total_commit", ctypes.c_uint64),
            ("available_commit", ctypes.c_uint64),
            ("total_virtual", ctypes.c_uint64),
            ("available_virtual", ctypes.c_uint64),
            ("available_extended", ctypes.c_uint64),
        )

    def total_memory() -> int:
        """Return the size of the machine's memory in bytes."""
        found = _memory()
        return UNKNOWN_MEMORY if found is None else found.total

    def free_memory() -> int:
        """Return how many bytes this process can still allocate without swapping."""
        found = _memory()
        return UNKNOWN_MEMORY if found is None else min(found.available, found.available_commit)

    def _memory() -> _Memory | None:
        found = _Memory(length=ctypes.sizeof(_Memory))
        return found if _kernel().GlobalMemoryStatusEx(ctypes.byref(found)) else None

    def bytes_moved() -> object:
        """Return a value that changes whenever this process reads or writes; None if the system has none."""
        counted = (ctypes.c_uint64 * 6)()  # IO_COUNTERS of winnt.h: operations, then bytes
        process = ctypes.c_void_p(-1)  # GetCurrentProcess
        return tuple(counted[3:5]) if _kernel().GetProcessIoCounters(process, counted) else None

    def processor_name() -> str:
        """Return the name of the CPU model, if the system reports it."""
        return platform.processor()

    @cache
    def _kernel() -> ctypes.WinDLL:
        return ctypes.WinDLL("kernel32")

    def _usual_cache() -> Path:
        local = os.environ.get("LOCALAPPDATA")
        return Path(local) if local else Path.home() / "AppData" / "Local"

elif sys.platform == "darwin":
    import ctypes
    import platform
    from functools import cache

    _VM_INFO = 4
    """HOST_VM_INFO64 of mach/host_info.h."""
    _VM_WORDS = 38
    """32-bit words of vm_statistics64; the first four count free, active, inactive and wired pages."""
    _USAGE = 2
    """RUSAGE_INFO_V2 of sys/resource.h: 16 bytes, then 64-bit numbers. The 17th and 18th are the numbers of
    bytes read from and written to disks."""

    def total_memory() -> int:
        """Return the size of the machine's memory in bytes."""
        found = ctypes.c_uint64(0)
        size = ctypes.c_size_t(8)
        failed = _system().sysctlbyname(b"hw.memsize", ctypes.byref(found), ctypes.byref(size), None, 0)
        return UNKNOWN_MEMORY if failed else found.value

    def free_memory() -> int:
        """Return how many bytes this process can still allocate without swapping."""
        pages, count = (ctypes.c_uint32 * _VM_WORDS)(), ctypes.c_uint32(_VM_WORDS)
        if _system().host_statistics64(_host(), _VM_INFO, pages, ctypes.byref(count)):
            return UNKNOWN_MEMORY
        return (pages[0] + pages[2]) * os.sysconf("SC_PAGE_SIZE")

    def bytes_moved() -> object:
        """Return a value that changes whenever this process reads or writes; None if the system has none."""
        found = (ctypes.c_uint64 * 20)()
        failed = _system().proc_pid_rusage(os.getpid(), _USAGE, found)
        return None if failed else tuple(found[18:20])

    def processor_name() -> str:
        """Return the name of the CPU model, if the system reports it."""
        name, size = ctypes.create_string_buffer(256), ctypes.c_size_t(256)
        failed = _system().sysctlbyname(b"machdep.cpu.brand_string", name, ctypes.byref(size), None, 0)
        return platform.processor() if failed else name.value.decode(errors="replace")

    @cache
    def _system() -> ctypes.CDLL:
        return ctypes.CDLL(None)

    @cache  # each call would add a reference to the port
    def _host() -> int:
        return int(_system().mach_host_self())

    def _usual_cache() -> Path:
        return Path.home() / "Library" / "Caches"

else:
    import platform

    _CGROUP = Path("/sys/fs/cgroup")
    _COUNTERS = (b"wchar:", b"read_bytes:", b"write_bytes:")
    """Lines of /proc/self/io. Not rchar: reading this file changes it."""

    def total_memory() -> int:
        """Return the size of the machine's memory in bytes."""
        return _meminfo("MemTotal:")

    def free_memory() -> int:
        """Return how many bytes this process and its control group can still allocate without swapping."""
        return min(_meminfo("MemAvailable:"), _cgroup_left())

    def _meminfo(key: str) -> int:
        try:
            lines = Path("/proc/meminfo").read_text().splitlines()
        except OSError:
            return UNKNOWN_MEMORY
        for line in lines:
            if line.startswith(key):
                return int(line.split()[1]) * 1024
        return UNKNOWN_MEMORY

    def _cgroup_left() -> int:
        """Return the limit of the control group (v2) minus its use; /proc/meminfo does not show a container's
        limit.
        """
        try:
            limit = int((_CGROUP / "memory.max").read_text())
            used = int((_CGROUP / "memory.current").read_text())
            rows = dict(line.split() for line in (_CGROUP / "memory.stat").read_text().splitlines())
            cached = int(rows["inactive_file"])  # page cache, which the kernel frees when memory is needed
        except (OSError, ValueError, KeyError):
            return 2**62  # no limit ("max"), or no control groups
        return max(0, limit - used + cached)

    def bytes_moved() -> object:
        """Return a value that changes whenever this process reads or writes; None if the system has none."""
        try:
            lines = Path("/proc/self/io").read_bytes().splitlines()
        except OSError:
            return None
        return [line for line in lines if line.startswith(_COUNTERS)]

    def processor_name() -> str:
        """Return the name of the CPU model, if the system reports it."""
        try:
            lines = Path("/proc/cpuinfo").read_text().splitlines()
        except OSError:
            return platform.processor()
        named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
        return next(named, platform.machine())

    def _usual_cache() -> Path:
        return Path.home() / ".cache"
