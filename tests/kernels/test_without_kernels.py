"""Everything works without the folder `vsr/kernels`, more slowly: torch computes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.media_maker import make_clip, pts_of

WITHOUT = """
import sys

class Missing:
    # Lets the import of the folder fail, as if it were missing.
    def find_spec(self, name, path=None, target=None):
        if name == "vsr.kernels":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing())
from vsr.__main__ import main
sys.argv = ["vsr", *sys.argv[1:]]
main()
"""


def vsr(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", WITHOUT, *map(str, words)], capture_output=True, encoding="utf-8", timeout=300
    )


def test_a_clip_is_upscaled_by_torch(tmp_path: Path) -> None:
    source, result = make_clip(tmp_path / "a.mkv", frames=3), tmp_path / "b.mkv"
    done = vsr("upscale", source, result)
    assert done.returncode == 0, done.stderr
    assert len(pts_of(result)) == 3


@pytest.mark.parametrize("words", [["doctor"], ["models", "list"], ["upscale", "--help"]], ids=" ".join)
def test_commands_that_only_inform_work(words: list[str]) -> None:
    done = vsr(*words)
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_asking_for_a_kernel_backend_fails_with_one_line(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "a.mkv", frames=1)
    done = vsr("upscale", source, tmp_path / "b.mkv", "--backend", "winograd")
    assert done.returncode == 2
    assert done.stderr.startswith("vsr: error:")
    assert len(done.stderr.splitlines()) == 1
