"""Names that Windows reserves for devices, and paths that are too long for it."""

from __future__ import annotations

import errno
from pathlib import Path, PureWindowsPath

import pytest

from tests.system.load import module_as
from vsr.system import names


@pytest.mark.parametrize(
    "name",
    [
        *("NUL", "nul.mp4", "con.mkv", "Com1.tar.gz", "LPT9", "AUX .mp4", "CONIN$", "COM¹.mkv"),
        *("a:b.mp4", "what?.mkv", "a|b", 'say "x".mp4', "a\tb", "dot.", "space "),
    ],
)
def test_windows_gives_no_file_these_names(name: str) -> None:
    assert names.why_windows_refuses(name)
    assert names.refusal(name) is None  # but Linux does


@pytest.mark.parametrize(
    "name",
    ["film.mp4", "console.mkv", "com.mp4", "COM10.mkv", "nullify", ".hidden", "a b.mp4", "ü 東京.mkv", "lpt"],
)
def test_windows_gives_these(name: str) -> None:
    assert names.why_windows_refuses(name) is None


def test_a_reserved_name_is_an_error_with_its_reason(tmp_path: Path) -> None:
    windows = module_as("win32", "vsr.system.names")
    with pytest.raises(OSError, match="Windows reserves the name nul for a device") as caught:
        windows.check(tmp_path / "nul.mp4")
    assert caught.value.errno == errno.EINVAL


def test_windows_counts_utf16_and_others_count_bytes(tmp_path: Path) -> None:
    windows = module_as("win32", "vsr.system.names")
    windows.check(tmp_path / ("東" * 255))
    for module, name in ((windows, "東" * 256), (windows, "𝄞" * 128), (names, "東" * 86)):
        with pytest.raises(OSError, match="too long") as caught:
            module.check(tmp_path / name)
        assert caught.value.errno == errno.ENAMETOOLONG


def test_a_long_path_of_windows_gets_its_extended_form_and_stays_the_same_file() -> None:
    long = "\\".join(["C:", *["folder" * 5] * 9, "film.mp4"])
    share = "\\\\server\\share\\" + long[3:]
    assert names.extended(long) == "\\\\?\\" + long
    assert names.extended(share) == "\\\\?\\UNC\\server\\share\\" + long[3:]
    assert names.extended(names.extended(long)) == names.extended(long)
    assert names.extended("C:\\film.mp4") == "C:\\film.mp4"
    assert PureWindowsPath(names.extended(long)).name == "film.mp4"
    assert PureWindowsPath(names.extended(share)).parent.name == "folder" * 5


def test_a_long_relative_path_is_made_absolute_and_a_short_one_stays(tmp_path: Path) -> None:
    windows = module_as("win32", "vsr.system.names")
    assert windows.reachable(Path("film.mp4")) == Path("film.mp4")
    deep = Path(*["folder" * 5] * 9, "film.mp4")
    assert str(windows.reachable(deep)).startswith("\\\\?\\")
    assert str(windows.reachable(deep)).endswith(str(Path.cwd() / deep))
    assert names.reachable(deep) == deep
