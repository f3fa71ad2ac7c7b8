"""Memory, counters and the cache's place, asked as on each system."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.system.as_windows import Kernel
from tests.system.load import module_as
from vsr.system import host

GIB = 1 << 30


def mac(**functions: Callable[..., int]) -> Any:
    """The half for macOS, whose C library is a stand-in."""
    found = module_as("darwin", "vsr.system.host")
    found._system = lambda: SimpleNamespace(mach_host_self=lambda: 7, **functions)
    return found


def test_linux_says_what_it_has() -> None:
    assert 0 < host.free_memory() <= host.total_memory()
    before = host.bytes_moved()
    Path(os.devnull).write_bytes(b"x")
    assert host.bytes_moved() != before
    assert host.processor_name()


def test_windows_fills_its_structures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "WinDLL", lambda name: Kernel(), raising=False)
    windows = module_as("win32", "vsr.system.host")
    assert 0 < windows.free_memory() <= windows.total_memory() == host.total_memory()
    assert windows.bytes_moved() == (100, 200)


def test_macos_adds_free_and_inactive_pages() -> None:
    def statistics(port: int, flavour: int, pages: Any, count: Any) -> int:
        assert (port, flavour, count._obj.value) == (7, 4, 38)
        pages[0], pages[1], pages[2], pages[3] = 1000, 5, 200, 5
        return 0

    assert mac(host_statistics64=statistics).free_memory() == 1200 * os.sysconf("SC_PAGE_SIZE")


def test_macos_says_its_memory_and_its_processor() -> None:
    def sysctl(name: bytes, place: Any, size: Any, new: None, length: int) -> int:
        if name == b"hw.memsize":
            place._obj.value = 16 * GIB
        elif name == b"machdep.cpu.brand_string":
            place.value = b"Apple M3"
        else:
            return -1
        return 0

    found = mac(sysctlbyname=sysctl)
    assert found.total_memory() == 16 * GIB
    assert found.processor_name() == "Apple M3"


def test_macos_counts_bytes_of_disks() -> None:
    def usage(pid: int, flavour: int, found: Any) -> int:
        assert (pid, flavour, ctypes.sizeof(found)) == (os.getpid(), 2, 160)  # rusage_info_v2
        found[18], found[19] = 11, 22
        return 0

    assert mac(proc_pid_rusage=usage).bytes_moved() == (11, 22)


def test_a_system_that_does_not_answer_leaves_a_guess() -> None:
    silent = mac(sysctlbyname=lambda *_: -1, host_statistics64=lambda *_: 5, proc_pid_rusage=lambda *_: -1)
    assert silent.total_memory() == silent.free_memory() == host.UNKNOWN_MEMORY
    assert silent.bytes_moved() is None


@pytest.mark.parametrize(
    ("system", "place"),
    [("linux", ".cache"), ("darwin", "Library/Caches"), ("win32", "AppData/Local")],
)
def test_the_cache_is_where_the_system_has_it_unless_it_is_named(
    system: str, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    found = module_as(system, "vsr.system.host")
    assert found.cache_folder() == tmp_path / place
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "local"))
    assert found.cache_folder() == (tmp_path / "local" if system == "win32" else tmp_path / place)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "named"))
    assert found.cache_folder() == tmp_path / "named"
