"""`--report` tells what was done with which files, settings and software, completely and in a stable form."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

import vsr
from tests.cli.run_cli import run_cli
from tests.media_maker import Audio, Subtitle, make_clip, png_bytes, truncated
from tests.schemas import FOLDER, schema, undescribed, validate
from vsr.models.archs.compact import Compact, CompactConfig

Capture = pytest.CaptureFixture[str]
BARE = ("--model", "bicubic", "--scale", "2", "--device", "cpu")
QUICK = (*BARE, "--preset", "ultrafast")


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def rich_clip(path: Path) -> Path:
    return make_clip(
        path,
        frames=8,
        audio=[Audio(language="deu"), Audio(codec="opus")],
        subtitles=[Subtitle(codec="ass")],
        attachments=[("a.ttf", "font/ttf", b"x" * 9)],
    )


def reported(capfd: Capture, folder: Path, *words: object) -> dict[str, Any]:
    """Run `vsr upscale` with a report in `folder`, and return the report after its validation."""
    done = run_cli(capfd, "upscale", *words, "--report", folder / "report.json", "-y")
    assert done.code in (0, 10), done.err
    report: dict[str, Any] = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    validate(report, "report-1")
    assert report["exit_code"] == done.code
    return report


def fates(report: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [(row["kind"], row["fate"], row["to"]) for row in report["streams"]]


# Files, time and host


def test_source_result_and_weights_are_named_with_their_sha256(tmp_path: Path, capfd: Capture) -> None:
    clip, made, net = make_clip(tmp_path / "in.mkv"), tmp_path / "out.mkv", tmp_path / "own.safetensors"
    save_file(Compact(CompactConfig(nf=8, nc=2, scale=2)).state_dict(), net)
    report = reported(capfd, tmp_path, clip, made, "--model", net, "--device", "cpu")
    assert report["source_file"]["sha256"] == sha256(clip)
    assert report["target_file"]["sha256"] == sha256(made)
    assert report["model"]["sha256"] == sha256(net)
    assert [Path(report[key]["path"]) for key in ("source_file", "target_file")] == [clip, made]
    assert report["target_file"]["bytes"] == made.stat().st_size == report["verification"]["bytes"]


def test_both_files_of_mixed_weights_are_named(tmp_path: Path, capfd: Capture) -> None:
    clip = make_clip(tmp_path / "in.mkv", frames=3)
    for seed, name in enumerate(("crisp", "faithful")):
        torch.manual_seed(seed)
        net = Compact(CompactConfig(nf=8, nc=2, scale=2))
        save_file(net.state_dict(), tmp_path / f"{name}.safetensors")
    crisp, faithful = tmp_path / "crisp.safetensors", tmp_path / "faithful.safetensors"
    words = ("--model", crisp, "--partner", faithful, "--strength", "0.5", "--device", "cpu")
    model = reported(capfd, tmp_path, clip, tmp_path / "out.mkv", *words)["model"]
    assert (model["sha256"], model["partner_sha256"]) == (sha256(crisp), sha256(faithful))
    assert Path(model["partner_path"]) == faithful
    alone = reported(capfd, tmp_path, clip, tmp_path / "out.mkv", "--model", crisp, "--device", "cpu")[
        "model"
    ]
    assert (alone["partner_sha256"], alone["partner_path"]) == (None, None)


def test_the_run_is_described_by_its_command_times_host_and_software(tmp_path: Path, capfd: Capture) -> None:
    clip, before = make_clip(tmp_path / "in.mkv"), datetime.now().astimezone()
    report = reported(capfd, tmp_path, clip, tmp_path / "out.mkv", *QUICK)
    started, ended = (datetime.fromisoformat(report[key]) for key in ("started", "ended"))
    assert before.replace(microsecond=0) <= started <= ended <= datetime.now().astimezone()
    assert started.utcoffset() is not None
    assert report["command"][:3] == ["vsr", "upscale", str(clip)]
    assert report["software"]["vsr"] == version("vsr-pipeline")
    assert report["software"]["torch"] == torch.__version__
    assert report["host"]["name"] == os.uname().nodename


def test_frames_that_an_interrupted_run_made_are_counted_and_the_hashes_are_of_the_whole_files(
    tmp_path: Path, capfd: Capture
) -> None:
    clip, made = make_clip(tmp_path / "in.mkv", frames=30), tmp_path / "out.mkv"
    settings: dict[str, Any] = {"model": "bicubic", "scale": 2, "segment_seconds": "0.4"}
    with pytest.raises(vsr.CancelledError, match="finished frames are kept"):
        vsr.upscale(
            clip, made, **settings, preset="ultrafast", device="cpu", cancel=lambda: _has_segment(tmp_path)
        )
    report = reported(capfd, tmp_path, clip, made, *QUICK, "--segment", "0.4")
    assert 0 < report["frames_kept"] < report["frames_out"] == 30
    assert report["source_file"]["sha256"] == sha256(clip)
    assert report["target_file"]["sha256"] == sha256(made)


def _has_segment(folder: Path) -> bool:
    return any(folder.glob(".*.vsr/*.segment"))


# Settings


def test_every_setting_says_where_it_comes_from(tmp_path: Path, capfd: Capture) -> None:
    clip = make_clip(tmp_path / "in.mkv", frames=3)
    words = ("-p", "film", "--model", "bicubic", "--crf", "30", "--encoder-option", "forced-idr=1")
    report = reported(capfd, tmp_path, clip, tmp_path / "out.mkv", *words)
    rows = {key: (row["value"], row["from"]) for key, row in report["settings"].items()}
    assert rows["model"] == ("bicubic", "flag")
    assert rows["scale"] == ("2", "preset")
    assert rows["encoder.encoder"] == ("libx265", "preset")
    assert rows["encoder.crf"] == (30.0, "flag")
    assert rows["encoder.options.tune"] == ("grain", "preset")
    assert rows["encoder.options.forced-idr"] == ("1", "flag")
    assert rows["segment_seconds"] == ("10", "default")
    assert rows["strength"] == (None, "default"), "another model drops the preset's strength"
    assert report["pipeline"]["name"] == "film"
    assert report["encoder"]["crf"] == 30.0


def test_a_pipeline_file_is_named_with_its_hash(tmp_path: Path, capfd: Capture) -> None:
    clip, own = make_clip(tmp_path / "in.mkv", frames=3), tmp_path / "own.toml"
    own.write_text('model = "bicubic"\nfilters_after = ["unsharp"]\n[color]\nrange = "full"\n')
    words = ("-p", own, "--color", "matrix=bt709")
    report = reported(capfd, tmp_path, clip, tmp_path / "out.mkv", *words)
    assert (report["pipeline"]["name"], report["pipeline"]["sha256"]) == (str(own), sha256(own))
    rows = {key: (row["value"], row["from"]) for key, row in report["settings"].items()}
    assert rows["filters_after"] == (["unsharp"], "pipeline file")
    assert (rows["color.range"], rows["color.matrix"]) == (("full", "pipeline file"), ("bt709", "flag"))
    assert report["filters"] == {"before": [], "deinterlace": "auto", "after": ["unsharp"]}


def test_a_program_sets_values_by_keyword_or_by_an_object(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "in.mkv", frames=3)
    base = vsr.UpscaleSettings(model="bicubic", encoder=vsr.EncoderSettings(crf=20))
    report = vsr.upscale(clip, tmp_path / "out.mkv", base, scale=3, preset=None)
    table = report.as_dict()
    validate(table, "report-1")
    rows = {key: row["from"] for key, row in table["settings"].items() if row["from"] != "default"}
    assert rows == {"model": "program", "encoder.crf": "program", "scale": "keyword"}
    assert table["command"] is None
    assert table["source_file"]["sha256"] is None, "whole files are read only where a hash is asked for"


# Streams, damage and verification


def test_each_stream_of_the_source_has_a_fate(tmp_path: Path, capfd: Capture) -> None:
    clip = rich_clip(tmp_path / "in.mkv")
    kept = reported(capfd, tmp_path, clip, tmp_path / "out.mkv", *QUICK)
    assert {fate for _, fate, _ in fates(kept)} == {"upscaled", "copied", "attached"}
    moved = reported(capfd, tmp_path, clip, tmp_path / "out.mp4", *QUICK)
    assert fates(moved) == [
        ("video", "upscaled", "h264"),
        ("audio", "copied", ""),
        ("audio", "copied", ""),
        ("subtitle", "converted", "mov_text"),
        ("attachment", "left out", ""),
    ]
    assert [row["language"] for row in moved["streams"]][1] == "deu"
    assert "positions, drawings and fonts" in moved["streams"][3]["reason"]
    assert "write to .mkv to keep it" in moved["streams"][4]["reason"]


def test_a_stream_without_packets_that_mp4_cannot_store_is_left_out(tmp_path: Path, capfd: Capture) -> None:
    clip = make_clip(tmp_path / "in.mkv", frames=8, subtitles=[Subtitle(lines=())])
    report = reported(capfd, tmp_path, clip, tmp_path / "out.mp4", *QUICK)
    assert fates(report) == [("video", "upscaled", "h264"), ("subtitle", "left out", "")]
    assert "it has no packets" in report["streams"][1]["reason"]
    segmented = reported(capfd, tmp_path, clip, tmp_path / "out.mp4", *QUICK, "--no-resume")
    assert fates(segmented) == fates(report)


def test_what_was_counted_and_damaged_is_reported(tmp_path: Path, capfd: Capture) -> None:
    whole = make_clip(tmp_path / "whole.mkv", frames=60, gop=10, audio=[Audio()])
    report = reported(capfd, tmp_path, whole, tmp_path / "out.mkv", *QUICK)
    found = report["verification"]
    assert (report["status"], found["read_back"], found["streams"]) == ("complete", True, 1)
    assert found["frames_decoded"] == found["frames_encoded"] == found["frames"] == 60
    cut = truncated(whole, tmp_path / "cut.mkv", 0.6)
    damaged = reported(capfd, tmp_path, cut, tmp_path / "out.mkv", *QUICK)
    assert damaged["status"] == "damaged"
    assert damaged["damage"]["notes"]


def test_a_picture_has_a_report_of_the_same_form(tmp_path: Path, capfd: Capture) -> None:
    photo, made = tmp_path / "in.png", tmp_path / "out.png"
    photo.write_bytes(png_bytes(32, 24))
    report = reported(capfd, tmp_path, photo, made, "--model", "bicubic", "--scale", "2", "--device", "cpu")
    assert report["source_file"]["sha256"] == sha256(photo)
    assert report["target_file"]["sha256"] == sha256(made)
    assert report["verification"]["bytes"] == made.stat().st_size
    words = (make_clip(tmp_path / "in.mkv", frames=3), tmp_path / "%03d.png", "--model", "bicubic")
    numbered = reported(capfd, tmp_path, *words, "--device", "cpu")
    assert Path(numbered["target_file"]["path"]) == tmp_path / "%03d.png"
    assert numbered["target_file"]["bytes"] == sum(path.stat().st_size for path in tmp_path.glob("0*.png"))


# Where it goes


def test_standard_output_carries_the_report_and_nothing_else(tmp_path: Path, capfd: Capture) -> None:
    clip = make_clip(tmp_path / "in.mkv", frames=3)
    done = run_cli(capfd, "upscale", clip, tmp_path / "out.mkv", *QUICK, "--report", "-")
    assert done.code == 0
    validate(json.loads(done.out), "report-1")
    refused = run_cli(capfd, "upscale", clip, "-", *QUICK, "--report", "-")
    assert refused.code == 2
    assert "the video goes there" in refused.line


def test_a_pipe_is_hashed_as_it_passes(tmp_path: Path) -> None:
    clip, report = make_clip(tmp_path / "in.mkv", frames=6), tmp_path / "report.json"
    raw = tmp_path / "in.nut"
    vsr_ = [sys.executable, "-m", "vsr", "upscale"]
    with raw.open("wb") as out:
        subprocess.run([*vsr_, str(clip), "-", *BARE, "-q"], stdout=out, check=True)
    words = [*vsr_, "-", "-", *BARE, "--report", str(report), "-q"]
    done = subprocess.run(words, input=raw.read_bytes(), capture_output=True, check=True)
    table = json.loads(report.read_text())
    validate(table, "report-1")
    assert table["source_file"] == {
        "path": "-",
        "bytes": raw.stat().st_size,
        "modified": None,
        "sha256": sha256(raw),
    }
    assert table["target_file"]["sha256"] == hashlib.sha256(done.stdout).hexdigest()
    assert table["verification"]["read_back"] is False


def test_a_part_of_a_pipe_has_no_hash(tmp_path: Path) -> None:
    clip, report = make_clip(tmp_path / "in.mkv", frames=60), tmp_path / "report.json"
    vsr_ = [sys.executable, "-m", "vsr", "upscale"]
    made = subprocess.run([*vsr_, str(clip), "-", *BARE, "-q"], capture_output=True, check=True).stdout
    words = [*vsr_, "-", str(tmp_path / "out.mkv"), *BARE, "--end", "0.2", "--report", str(report), "-q"]
    subprocess.run(words, input=made, capture_output=True, check=True)
    assert json.loads(report.read_text())["source_file"]["sha256"] is None


def test_each_file_of_a_queue_has_a_line_and_the_same_command_again_adds_its_own(
    tmp_path: Path, capfd: Capture
) -> None:
    rips, log = tmp_path / "rips", tmp_path / "log.jsonl"
    rips.mkdir()
    clip = make_clip(rips / "0.mkv", frames=3)
    (rips / "1.mkv").write_bytes(b"not a video" * 99)
    words = ("upscale", rips, "--to", tmp_path / "out", *QUICK, "--report")
    assert run_cli(capfd, *words, log).code == 3
    assert run_cli(capfd, *words, log).code == 3
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    for row in rows:
        validate(row, "queue-report-1")
    assert [row["status"] for row in rows] == ["done", "failed", "skipped", "failed"]
    assert rows[0]["report"]["source_file"]["sha256"] == sha256(clip)
    other = tmp_path / "precious.txt"
    other.write_text("somebody's notes\n")
    assert run_cli(capfd, *words, other).code == 2
    assert other.read_text() == "somebody's notes\n"


def test_lines_of_a_queue_on_standard_output_are_not_mixed_with_its_table(
    tmp_path: Path, capfd: Capture
) -> None:
    rips = tmp_path / "rips"
    rips.mkdir()
    make_clip(rips / "0.mkv", frames=3)
    (rips / "1.mkv").write_bytes(b"not a video" * 99)
    done = run_cli(capfd, "upscale", rips, "--to", tmp_path / "out", *QUICK, "--report", "-")
    rows = [json.loads(line) for line in done.out.splitlines()]
    assert [row["status"] for row in rows] == ["done", "failed"]


# The schema itself


def test_a_schema_finds_what_is_missing_wrong_or_not_described(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "in.mkv", frames=2)
    table = vsr.upscale(clip, tmp_path / "out.mkv", model="bicubic").as_dict()
    for wrong in (
        {**table, "started": "yesterday"},
        {**table, "exit_code": 1},
        {**table, "new_key": 1},
        {key: value for key, value in table.items() if key != "settings"},
        {**table, "encoder": {**table["encoder"], "nonsense": 1}},
    ):
        with pytest.raises(AssertionError):
            validate(wrong, "report-1")


def test_schemas_are_json_of_the_version_that_their_name_says() -> None:
    names = sorted(path.name for path in FOLDER.iterdir())
    assert "report-1.json" in names
    for name in names:
        assert schema(name.removesuffix(".json"))["$id"] == f"urn:vsr:{name.removesuffix('.json')}"
    assert list(undescribed({"a": {"b": 1}}, {"properties": {"a": {"properties": {}}}}, {})) == ["$.a.b"]
