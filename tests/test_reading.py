"""Files that a user names are read completely or rejected with a message,
without waiting or exhausting memory."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from tests.cli.run_cli import run_cli
from tests.media_maker import make_clip
from tests.special_files import SPECIAL, make_special
from vsr.errors import ConfigError, ModelError
from vsr.reading import open_file, read_file
from vsr.settings.toml import MAX_TOML_BYTES, read_table
from vsr.training.losses.features import load_features

Capture = pytest.CaptureFixture[str]


def test_a_file_is_read_completely(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes(range(100)))
    assert read_file(tmp_path / "a", most_bytes=100) == bytes(range(100))
    with pytest.raises(OSError, match="has 100 bytes, and such files have at most 99"):
        read_file(tmp_path / "a", most_bytes=99)


@pytest.mark.parametrize("kind", SPECIAL)
def test_special_files_are_rejected_without_waiting(kind: str, tmp_path: Path) -> None:
    place = make_special(kind, tmp_path)
    with pytest.raises(OSError, match=f"is a {kind}"):
        open_file(place)


def test_sockets_and_folders_are_named(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(tmp_path / "s"))
        with pytest.raises(OSError, match="is a socket"):
            open_file(tmp_path / "s")
    with pytest.raises(OSError, match="is a folder"):
        open_file(tmp_path)


def test_a_file_that_grows_during_reading_is_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "grows"
    path.write_bytes(b"12345678")
    before = os.stat_result((0o100644, 1, 1, 1, 0, 0, 2, 0, 0, 0))  # two bytes
    monkeypatch.setattr(os, "fstat", lambda handle: before)
    with pytest.raises(OSError, match="has 5 bytes, and such files have at most 4"):
        read_file(path, most_bytes=4)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(tmp_path_factory.mktemp("clip") / "in.mp4", frames=2)


WAYS: dict[str, tuple[int, list[object]]] = {
    "-m": (5, ["upscale", "CLIP", "OUT.mp4", "-m", "SPECIAL"]),
    "--partner": (
        5,
        ["upscale", "CLIP", "OUT.mp4", "-m", "fast-x2", "--strength", 0.5, "--partner", "SPECIAL"],
    ),
    "--pipeline": (2, ["upscale", "CLIP", "OUT.mp4", "--pipeline", "SPECIAL"]),
    "models show": (5, ["models", "show", "SPECIAL"]),
    "models convert": (5, ["models", "convert", "SPECIAL", "-o", "OUT.safetensors"]),
    "models convert .bin": (5, ["models", "convert", "NET.param", "SPECIAL", "-o", "OUT.safetensors"]),
    "models interpolate": (5, ["models", "interpolate", "fast-x2", "SPECIAL", "-o", "OUT.safetensors"]),
    "models export": (5, ["models", "export", "SPECIAL", "-o", "OUT.onnx"]),
    "train recipe": (2, ["train", "SPECIAL", "-o", "OUT.safetensors", "--data", "FOLDER"]),
    "train --from": (
        5,
        ["train", "compact-x2", "--from", "SPECIAL", "-o", "OUT.safetensors", "--data", "CLIP"],
    ),
    "finetune --from": (5, ["finetune", "CLIP", "--from", "SPECIAL", "-o", "OUT.safetensors"]),
}
"""For each way to name a file, the exit code and the command."""


@pytest.mark.parametrize("kind", SPECIAL)
@pytest.mark.parametrize("way", WAYS)
def test_every_command_names_a_special_file_in_one_line(
    way: str, kind: str, tmp_path: Path, clip: Path, capfd: Capture
) -> None:
    folder = tmp_path / "results"
    folder.mkdir()
    code, command = WAYS[way]
    special = make_special(kind, tmp_path)
    (tmp_path / "net.param").write_text("7767517\n1 1\nInput in 0 1 in\n")
    names = {"CLIP": clip, "SPECIAL": special, "FOLDER": tmp_path, "NET.param": tmp_path / "net.param"}
    words = [
        folder / str(word).lower() if str(word).startswith("OUT.") else names.get(str(word), word)
        for word in command
    ]
    outcome = run_cli(capfd, *words)
    assert outcome.code == code, outcome.err
    assert f"{special}: " in outcome.line
    assert f"is a {kind}" in outcome.line
    assert not list(folder.iterdir())


@pytest.mark.parametrize("kind", SPECIAL)
def test_vggs_weights_are_read_with_the_same_checks(kind: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=f"is a {kind}|does not exist"):
        load_features(make_special(kind, tmp_path), ["conv1_1"])


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("a = " + "[" * 100_000, "nested too deeply"),
        ("#" * (MAX_TOML_BYTES + 1), "at most"),
        ("a = 1\xff", "TOML"),
    ],
)
def test_a_malicious_toml_file_is_rejected_in_one_line(text: str, match: str, tmp_path: Path) -> None:
    path = tmp_path / "trap.toml"
    path.write_bytes(text.encode("latin1"))
    with pytest.raises(ConfigError, match=match) as caught:
        read_table(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)
