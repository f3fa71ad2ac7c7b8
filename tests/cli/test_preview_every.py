"""`--preview-every` where there would be no picture: refused before the work, by a dry run as well."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.run_cli import run_cli
from tests.media_maker import make_clip
from tests.picture_maker import scene

QUICK = ("--model", "bicubic", "--scale", "2", "--preview-every", "2")


@pytest.mark.parametrize(
    ("source", "target", "flags", "message"),
    [
        ("in.mkv", "out.mkv", ("--device", "cpu:2"), "needs a run on one device"),
        ("in.mkv", "out.gif", ("--device", "cpu:2"), "needs a run on one device"),
        ("in.mkv", "memory://out.mkv", (), "must be a local file"),
        ("in.png", "out.png", (), "is a picture"),
        ("in.mkv", "taken.mkv", (), "is a folder"),
    ],
)
def test_where_no_picture_can_be_the_run_and_the_dry_run_end_alike(
    source: str,
    target: str,
    flags: tuple[str, ...],
    message: str,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    make_clip(Path("in.mkv"), frames=3)
    scene().save("in.png")
    Path("taken.mkv.preview.png").mkdir()
    done = [run_cli(capfd, "upscale", source, target, *QUICK, *flags, *dry) for dry in ([], ["--dry-run"])]
    assert [one.code for one in done] == [2, 2]
    assert message in done[0].line
    assert done[1].line == done[0].line
    assert not Path(target).exists()
