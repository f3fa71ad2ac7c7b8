"""Text from untrusted files reaches a terminal and a report only escaped, from every command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from safetensors.torch import save_file

from tests.cli.run_cli import Outcome, run_cli
from tests.media_maker import Audio, Subtitle, make_clip
from vsr.models.archs.compact import Compact, CompactConfig

Capture = pytest.CaptureFixture[str]

EVIL = "\x1b]0;owned\x07\x1b[2J\x9b31m\x85\u202egnp.\u2028new\x7f line\r"
"""A window title, a cleared screen, C1's CSI and next line, an override, line breaks, a delete."""
NAME = EVIL.replace("/", "")


def is_safe(text: str) -> bool:
    return all(char.isprintable() or char in "\n\t" for char in text)


def evil_clip(path: Path, **knobs: object) -> Path:
    return make_clip(
        path,
        frames=4,
        metadata={"title": EVIL, "comment": EVIL},
        chapters=[(0.0, 0.1, EVIL)],
        attachments=[(f"{EVIL}.ttf", "font/ttf", b"x")],
        audio=[Audio(title=EVIL)],
        subtitles=[Subtitle(lines=((0.0, 0.1, "a {\\an8}" + EVIL),), title=EVIL)],
        **knobs,
    )


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return evil_clip(tmp_path / f"in{NAME}.mkv")


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / f"net{NAME}.safetensors"
    state = Compact(CompactConfig(nf=8, nc=2, scale=2)).state_dict()
    save_file(state, path, metadata={EVIL: EVIL, "family": f"[red]{EVIL}[/red]"})
    return path


def checked(done: Outcome) -> Outcome:
    assert is_safe(done.out), done.out.encode()
    assert is_safe(done.err), done.err.encode()
    return done


@pytest.mark.parametrize("words", [(), ("--json",)])
def test_info_escapes_control_characters(clip: Path, capfd: Capture, words: tuple[str, ...]) -> None:
    done = checked(run_cli(capfd, "info", clip, *words))
    assert done.code == 0
    assert "owned" in done.out
    if words:
        assert json.loads(done.out)["metadata"]["title"] == EVIL


def test_verify_escapes_names_titles_and_texts(clip: Path, tmp_path: Path, capfd: Capture) -> None:
    other = make_clip(tmp_path / "out.mkv", frames=4, width=128, height=96)
    done = checked(run_cli(capfd, "verify", clip, other))
    assert done.code == 4
    assert {line.split(":")[0] for line in done.out.splitlines()} >= {"lost  metadata", "lost  chapters"}
    assert "owned" in done.out
    checked(run_cli(capfd, "verify", clip, tmp_path / f"none{NAME}.mkv"))


def test_a_dry_run_escapes_control_characters(
    clip: Path, weights: Path, tmp_path: Path, capfd: Capture
) -> None:
    target = tmp_path / f"out{NAME}.mp4"
    done = checked(run_cli(capfd, "upscale", clip, target, "-m", weights, "--dry-run"))
    assert done.code == 0
    assert "owned" in done.out


def test_a_run_and_its_report_escape_control_characters(clip: Path, tmp_path: Path, capfd: Capture) -> None:
    target, report = tmp_path / f"out{NAME}.mp4", tmp_path / "report.json"
    done = checked(run_cli(capfd, "upscale", clip, target, "-m", "bicubic", "--report", report))
    assert done.code == 0
    assert is_safe(report.read_text(encoding="utf-8"))
    assert json.loads(report.read_text(encoding="utf-8"))["target"].startswith(str(tmp_path))


def test_models_commands_escape_control_characters(weights: Path, tmp_path: Path, capfd: Capture) -> None:
    done = checked(run_cli(capfd, "models", "show", weights))
    assert done.code == 0
    assert "owned" in done.out
    target = tmp_path / f"made{NAME}.safetensors"
    assert checked(run_cli(capfd, "models", "convert", weights, "-o", target)).code == 0
    mixed = tmp_path / f"mixed{NAME}.safetensors"
    assert checked(run_cli(capfd, "models", "interpolate", weights, target, "-o", mixed)).code == 0


def test_a_table_on_a_terminal_escapes_control_characters(
    monkeypatch: pytest.MonkeyPatch, capfd: Capture
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    from vsr.cli import console

    console.table(("what", "value"), [(EVIL, f"[bold]{EVIL}")])
    shown = capfd.readouterr().out
    assert "[bold]" in shown
    for sent in ("\x1b]", "\x1b[2J", "\x9b", "\x85", "\u202e", "\x07", "\r", "\x7f"):
        assert sent not in shown


@pytest.mark.parametrize(
    "words", [("upscale", NAME, "out.mkv"), ("train", NAME, "-o", "x"), (NAME,), ("--" + NAME,)]
)
def test_errors_escape_control_characters(words: tuple[str, ...], tmp_path: Path, capfd: Capture) -> None:
    done = checked(run_cli(capfd, *words))
    assert done.code != 0


def test_a_traceback_escapes_control_characters(tmp_path: Path, capfd: Capture) -> None:
    done = checked(run_cli(capfd, "--debug", "info", tmp_path / NAME))
    assert "Traceback" in done.err


def test_text_that_the_terminal_cannot_encode_is_escaped(
    monkeypatch: pytest.MonkeyPatch, capfd: Capture
) -> None:
    from vsr.cli import console

    console.out("stray \udcff byte, Zürich")
    assert capfd.readouterr().out == "stray \\udcff byte, Zürich\n"
