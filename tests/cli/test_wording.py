"""The library speaks of its settings in keywords, the command in flags, and both from one text."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import vsr
from tests.cli.run_cli import run_cli
from tests.media_maker import make_clip
from vsr.cli.wording import flags, in_flags
from vsr.settings.overrides import KEYWORDS

ROOT = Path(__file__).parents[2]
FILES = [path for path in sorted((ROOT / "vsr").rglob("*.py")) if "cli" not in path.relative_to(ROOT).parts]
ELSEWHERE = {"vsr/kernels/nvrtc.py", "vsr/settings/schema.py"}
"""Flags of NVIDIA's compiler, and the table that the flags of the command are made from."""
NO_SETTINGS = {"video", "x"}
"""What else stands between backquotes in a message: a capability of containers, and x for a name that is
filled in at run time (see `texts`)."""
NO_FLAG = {"threads"}
"""Keywords that the command leaves out: of an encoder's threads."""


def texts(source: str) -> Iterator[tuple[int, str]]:
    """Every string of a file that is no docstring, with its line; values of an f-string are `x`."""
    tree = ast.parse(source)
    skipped = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            skipped |= {id(part) for part in node.values}
            parts = [part.value if isinstance(part, ast.Constant) else "x" for part in node.values]
            yield node.lineno, "".join(parts)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in skipped:
            yield node.lineno, node.value


def settings_in(text: str) -> list[str]:
    return re.findall(r"`([a-z_]+)(?:=[^`]*)?`", text)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_message_of_the_library_names_keywords_that_the_command_has_as_flags(path: Path) -> None:
    where = path.relative_to(ROOT).as_posix()
    for line, text in texts(path.read_text(encoding="utf-8")):
        assert where in ELSEWHERE or not re.search(r"(?<![\w-])--[a-z]|\s-y\s", text), (
            f"{where}:{line}: {text}"
        )
        unknown = {*settings_in(text)} - {*flags()} - NO_SETTINGS
        assert not unknown, f"{where}:{line}: {text}"
        assert not {*settings_in(in_flags(text))} - NO_SETTINGS, f"{where}:{line}: {text}"


def test_the_check_above_sees_the_messages() -> None:
    found = [
        text for path in FILES for _, text in texts(path.read_text(encoding="utf-8")) if settings_in(text)
    ]
    assert len(found) > 50
    assert list(texts('f"{a}: use `resume={b}`"')) == [(1, "x: use `resume=x`")]


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        (
            "a.mp4: exists already; `overwrite=True` replaces it",
            "a.mp4: exists already; --overwrite replaces it",
        ),
        ("use `resume=False`", "use --no-resume"),
        ("`reuse=False`", "--no-reuse"),
        ("a smaller `tile`, `batch=1`", "a smaller --tile, --batch 1"),
        ("`encoder='ffv1'` keeps it", "--encoder ffv1 keeps it"),
        ("`pixel_format='yuv420p10le'`", "--pix-fmt yuv420p10le"),
        ("`color={'matrix': 'bt2020_ncl'}`", "--color matrix=bt2020_ncl"),
        ("check `options`, `segment_seconds`", "check --encoder-option, --segment"),
        ("`filters_before` and `filters_after`", "--filter-before and --filter-after"),
        ("start with `start_from`", "start with --from"),
        ("run `git lfs pull`, or `vsr models list`", "run `git lfs pull`, or `vsr models list`"),
        ("the key `params_ema`; it's `", "the key `params_ema`; it's `"),
    ],
)
def test_keywords_become_flags_and_all_else_stays(message: str, shown: str) -> None:
    assert in_flags(message) == shown


def test_every_keyword_of_upscale_has_a_flag() -> None:
    assert {name for name in KEYWORDS if name not in flags()} <= NO_FLAG


def test_one_refusal_says_the_keyword_to_a_program_and_the_flag_to_a_person(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    clip, there = (make_clip(tmp_path / name, frames=2) for name in ("in.mp4", "there.mkv"))
    with pytest.raises(vsr.ConfigError, match=r"exists already; `overwrite=True` replaces it$"):
        vsr.upscale(clip, there, model="bicubic")
    done = run_cli(capfd, "upscale", clip, there, "--model", "bicubic")
    assert done.line.endswith("exists already; --overwrite replaces it")


def test_one_warning_says_the_keyword_to_a_program_and_the_flag_to_a_person(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    clip = make_clip(tmp_path / "in.mp4", frames=2, interlaced="top")
    report = vsr.upscale(clip, tmp_path / "a.mp4", model="bicubic", scale=2)
    assert any("`deinterlace='off'` keeps" in line for line in report.warnings)
    words = ("upscale", clip, tmp_path / "b.mp4", "--model", "bicubic", "--scale", 2)
    assert "--deinterlace off keeps" in run_cli(capfd, *words).err
    assert "--deinterlace off keeps" in run_cli(capfd, *words, "--overwrite", "--dry-run").out


def test_descriptions_of_models_name_flags_in_the_list(capfd: pytest.CaptureFixture[str]) -> None:
    assert "--strength slides" in run_cli(capfd, "models", "list").out
