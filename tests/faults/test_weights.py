"""Hostile weights (rows D): one line and exit code 5; no code runs, and neither time nor memory is spent."""

from __future__ import annotations

import struct
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from tests.cli.run_cli import run_cli
from tests.faults.inputs.weight_zoo import (
    CANARY,
    KEY,
    STATE,
    ZOO,
    Evil,
    deflated,
    header,
    saved,
    two_directories,
)
from tests.media_maker import make_clip
from vsr.errors import ModelError
from vsr.models import files
from vsr.models.load import load_generator

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(tmp_path_factory.mktemp("clip") / "in.mp4", frames=2)


def placed(row: str, folder: Path) -> Path:
    path = folder / "weights.bin"
    path.write_bytes(ZOO[row][0](folder))
    return path


@pytest.mark.parametrize("row", ZOO)
def test_the_loader_rejects_the_file_in_one_line(row: str, tmp_path: Path) -> None:
    path = placed(row, tmp_path)
    began = time.process_time()
    with pytest.raises(ModelError, match=ZOO[row][1]) as caught:
        load_generator(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500 + len(str(path))
    assert not (tmp_path / CANARY).exists()
    assert time.process_time() - began < 3  # CPU time; a bomb would take minutes


@pytest.mark.parametrize("row", ZOO)
def test_the_command_line_ends_with_exit_5_and_one_line(
    row: str, tmp_path: Path, clip: Path, capfd: Capture
) -> None:
    path, target = placed(row, tmp_path), tmp_path / "out.mp4"
    outcome = run_cli(capfd, "upscale", clip, target, "-m", path)
    assert outcome.code == 5, outcome.err
    assert str(path) in outcome.line
    assert "Traceback" not in outcome.err
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_the_canary_detects_when_a_file_is_unpickled(tmp_path: Path) -> None:
    path = tmp_path / "evil.pth"
    path.write_bytes(saved({"x": Evil(tmp_path)}))
    torch.load(path, weights_only=False)
    assert (tmp_path / CANARY).exists()


def test_d2_an_environment_that_forces_full_pickles_has_no_effect(tmp_path: Path) -> None:
    path = tmp_path / "evil.pth"
    path.write_bytes(saved({"params": STATE, "x": Evil(tmp_path)}))
    script = (
        "import sys; from vsr.errors import ModelError; from vsr.models.load import load_generator\n"
        "try: load_generator(sys.argv[1])\nexcept ModelError: sys.exit(5)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], env={"TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1"}, check=False
    )
    assert done.returncode == 5
    assert not (tmp_path / CANARY).exists()


@pytest.mark.parametrize(("version", "refused"), [("2.5.1", True), ("2.9.1+cu128", True), ("2.10.0", False)])
def test_d3_with_an_old_torch_no_pth_is_read(
    version: str, refused: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "net.pth").write_bytes(saved(STATE))
    (tmp_path / "net.safetensors").write_bytes(save(STATE))
    monkeypatch.setattr(torch, "__version__", version)
    load_generator(tmp_path / "net.safetensors")
    if not refused:
        load_generator(tmp_path / "net.pth")
        return
    with pytest.raises(ModelError, match=r"upgrade torch to 2\.10"):
        load_generator(tmp_path / "net.pth")


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("cut", [1, 100, 0.2, 0.5, 0.99])
def test_d8_a_pth_truncated_anywhere_is_reported_as_damaged(cut: float, legacy: bool, tmp_path: Path) -> None:
    data = saved(STATE, legacy=legacy)
    path = tmp_path / "cut.pth"
    path.write_bytes(data[: cut if cut >= 1 else int(cut * len(data))])
    with pytest.raises(ModelError, match=r"damaged or (cut off|truncated)|neither"):
        load_generator(path)


def with_a_flipped_bit(data: bytes) -> bytes:
    """Flip the lowest bit of a weight, which stays finite."""
    flipped = bytearray(data)
    flipped[data.index(STATE[KEY].numpy().tobytes())] ^= 1
    return bytes(flipped)


@pytest.mark.parametrize("way", ["legacy .pth", ".pth without checksums", "safetensors"])
def test_d9_a_flipped_bit_changes_the_hash(way: str, tmp_path: Path) -> None:
    """These formats have no checksums; therefore the hash is printed, reported, and part of a job's key."""
    torch.serialization.set_crc32_options(way != ".pth without checksums")
    try:
        data = save(STATE) if way == "safetensors" else saved(STATE, legacy=way == "legacy .pth")
    finally:
        torch.serialization.set_crc32_options(True)
    paths = [tmp_path / name for name in ("whole", "flipped")]
    paths[0].write_bytes(data)
    paths[1].write_bytes(with_a_flipped_bit(data))
    whole, flipped = (load_generator(path) for path in paths)
    assert whole.sha256 != flipped.sha256


def test_d9_a_flipped_bit_in_a_pth_is_detected_by_its_checksum(tmp_path: Path) -> None:
    path = tmp_path / "flipped.pth"
    path.write_bytes(with_a_flipped_bit(saved(STATE)))
    with pytest.raises(ModelError, match=r"damaged.*CRC"):
        load_generator(path)


def test_d16_the_checked_directory_of_an_archive_with_two_is_the_one_that_is_loaded(tmp_path: Path) -> None:
    other = {key: value + 1 for key, value in STATE.items()}
    path = tmp_path / "two.pth"
    path.write_bytes(two_directories(saved(other), saved(STATE)))
    by_torch = torch.load(path, weights_only=True)
    assert torch.equal(by_torch[KEY], other[KEY]), (
        "both libraries read the same file, so this test has no effect"
    )
    assert torch.equal(files.read_weights(path).state[KEY], STATE[KEY])


def test_bytes_in_a_trainers_file_are_accepted(tmp_path: Path) -> None:
    """Pickles of protocol 2 have no type for bytes and create them from text with `_codecs.encode`."""
    path = tmp_path / "bytes.pth"
    path.write_bytes(saved({"params": STATE, "note": b"\x00\xff made on Friday", "counts": Counter("aab")}))
    assert files.read_weights(path).state.keys() == STATE.keys()


def test_a_header_of_the_maximum_length_is_read(tmp_path: Path) -> None:
    text = save(STATE)
    length = struct.unpack("<Q", text[:8])[0]
    padded = text[8 : 8 + length].ljust(files.MAX_HEADER_BYTES)
    path = tmp_path / "long.safetensors"
    path.write_bytes(struct.pack("<Q", len(padded)) + padded + text[8 + length :])
    load_generator(path)
    path.write_bytes(struct.pack("<Q", len(padded) + 1) + padded + b" " + text[8 + length :])
    with pytest.raises(ModelError, match="its header"):
        load_generator(path)


def test_the_undamaged_file_behind_the_zoo_can_be_loaded(tmp_path: Path) -> None:
    for number, data in enumerate((saved(STATE), saved(STATE, legacy=True), save(STATE))):
        path = tmp_path / str(number)
        path.write_bytes(data)
        load_generator(path)
    assert len(deflated(saved(STATE))) < len(saved(STATE))
    assert header({}) == b"\x02\0\0\0\0\0\0\0{}"
