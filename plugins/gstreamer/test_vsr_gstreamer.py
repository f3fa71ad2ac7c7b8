"""The element in real pipelines: of `gst-launch-1.0`, and of a program that seeks and counts."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

import vsr
from tests.cli.run_cli import run_cli
from tests.media_maker import Audio, make_clip, number_in, numbers_of, pts_of
from vsr.color.spec import ColorSpec, Matrix, Primaries, Range, Transfer

FOLDER = Path(__file__).parent
SYSTEM_PYTHON = "/usr/bin/python3"
"""GStreamer's Python is the system's, because its bindings are packages of the system."""
QUICK = "model=bicubic scale=2 device=cpu"
WIDE = ColorSpec(
    matrix=Matrix.BT2020_NCL, transfer=Transfer.PQ, primaries=Primaries.BT2020, range=Range.LIMITED
)
BT709 = ColorSpec(
    matrix=Matrix.BT709, transfer=Transfer.BT709, primaries=Primaries.BT709, range=Range.LIMITED
)


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return the environment of a host with the plugin; skips if GStreamer or a part of it is not installed.

    Only the system's Python is on its PATH, because GStreamer's loader
    asks the first one there for its location.
    """
    folder = tmp_path_factory.mktemp("gstreamer")
    bin_folder = folder / "bin"
    bin_folder.mkdir()
    (bin_folder / "vsr").symlink_to(Path(sys.executable).parent / "vsr")
    env = {
        **{name: os.environ[name] for name in ("HOME", "TMPDIR", "OMP_NUM_THREADS") if name in os.environ},
        "PATH": f"{bin_folder}:/usr/bin:/bin",
        "GST_PLUGIN_PATH": str(FOLDER),
        "GST_REGISTRY": str(folder / "registry.bin"),
    }
    if shutil.which("gst-inspect-1.0", path=env["PATH"]) is None:
        pytest.skip("there is no gst-inspect-1.0, so GStreamer is not installed")
    subprocess.run(["gst-inspect-1.0", "fakesink"], env=env, capture_output=True, timeout=120)
    missing = [name for name in ELEMENTS if not has(name, env)]
    if missing:
        pytest.skip(f"GStreamer has no {', '.join(missing)}; the README names Debian's packages")
    return env


ELEMENTS = ("python", "x264enc", "matroskamux", "qtdemux", "videoconvert", "avdec_h264", "avenc_ffv1")


def has(name: str, env: dict[str, str]) -> bool:
    asked = subprocess.run(["gst-inspect-1.0", "--exists", name], env=env, capture_output=True, timeout=120)
    plugin = subprocess.run(["gst-inspect-1.0", name], env=env, capture_output=True, timeout=120)
    return asked.returncode == 0 or plugin.returncode == 0


def launch(pipeline: str, env: dict[str, str], *, fails: bool = False) -> str:
    """Return the messages of gst-launch-1.0 on standard error."""
    command = ["gst-launch-1.0", "-q", *pipeline.split()]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=240)
    assert (done.returncode != 0) == fails, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


def play(pipeline: str, env: dict[str, str], data: Path, *more: str) -> dict[str, Any]:
    """Return the report of `host_for_tests.py`, and check that no process is left."""
    command = [SYSTEM_PYTHON, str(FOLDER / "host_for_tests.py"), pipeline, str(data), *more]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    told = json.loads(done.stdout)
    assert told["children"] == []
    return told


@pytest.mark.parametrize(("kind", "count"), [("live", 65), ("segment", 10)])
def test_a_live_frame_comes_out_before_the_next_goes_in_and_a_segment_ends_after_its_last_frame(
    host: dict[str, str], kind: str, count: int
) -> None:
    command = [SYSTEM_PYTHON, str(FOLDER / "live_host_for_tests.py"), kind, str(count), QUICK]
    done = subprocess.run(command, env=host, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"came": count}


def pictures(path: Path) -> list[np.ndarray]:
    """Return every sample of a file; (frames, samples) for each plane."""
    planes: list[list[np.ndarray]] = []
    with vsr.open_video(path) as video:
        planes = [[plane.numpy().copy() for plane in frame.planes] for frame in video]
    return [np.stack(plane).astype(int) for plane in zip(*planes, strict=True)]


def assert_same(made: Path, wanted: Path, *, tolerance: int) -> None:
    for one, other in zip(pictures(made), pictures(wanted), strict=True):
        assert one.shape == other.shape
        assert np.abs(one - other).max() <= tolerance


def assert_same_times(made: Path, wanted: Path) -> None:
    """Compare times relative to the first frame, to the millisecond of GStreamer's Matroska."""
    found, told = pts_of(made), pts_of(wanted)
    gaps = [abs((a - found[0]) - (b - told[0])) for a, b in zip(found, told, strict=True)]
    assert max(gaps) <= Fraction(1, 1000)


def test_the_pipeline_of_the_readme_gives_the_frames_of_vsr_upscale(
    tmp_path: Path, host: dict[str, str]
) -> None:
    """Variable rate, B-frames, and audio that bypasses the element."""
    times = [0, 40, 80, 120, 160, 240, 400, 440, 480, 520]
    source = make_clip(
        tmp_path / "in.mp4",
        pts=times,
        time_base=Fraction(1, 1000),
        frames=len(times),
        bframes=2,
        audio=[Audio()],
        color=BT709,
    )
    out, wanted = tmp_path / "out.mkv", tmp_path / "wanted.mkv"
    launch(
        f"filesrc location={source} ! decodebin name=d d. ! queue ! videoconvert ! vsrupscale {QUICK} ! "
        f"x264enc pass=quant quantizer=0 ! matroskamux name=m ! filesink location={out} "
        "d. ! queue ! audioconvert ! flacenc ! m.",
        host,
    )
    vsr.upscale(source, wanted, model="bicubic", scale=2, device="cpu", encoder="ffv1")
    assert numbers_of(out) == list(range(len(times)))
    assert_same(out, wanted, tolerance=1)
    assert_same_times(out, wanted)
    with av.open(str(out)) as box:
        assert len(box.streams.audio) == 1


@pytest.mark.parametrize(
    ("pix_fmt", "color", "caps"),
    [
        ("yuv420p10le", WIDE, "I420_10LE"),
        ("yuv420p", BT709, "I420"),
        ("yuv444p", BT709, "Y444"),
        pytest.param("yuv422p", BT709, "Y42B", marks=pytest.mark.slow),
        pytest.param("gray", ColorSpec(), "GRAY8", marks=pytest.mark.slow),
    ],
)
def test_formats_with_odd_sizes_keep_their_depth_and_colour(
    tmp_path: Path, host: dict[str, str], pix_fmt: str, color: ColorSpec, caps: str
) -> None:
    """Rows of 31 samples are padded in GStreamer's buffers, those of 93 in its results."""
    source = make_clip(
        tmp_path / "in.mkv", codec="ffv1", pix_fmt=pix_fmt, width=31, height=17, frames=3, color=color
    )
    out, wanted = tmp_path / "out.mkv", tmp_path / "wanted.mkv"
    launch(
        f"filesrc location={source} ! matroskademux ! avdec_ffv1 ! video/x-raw,format={caps} ! "
        f"vsrupscale model=bicubic scale=3 device=cpu ! avenc_ffv1 ! matroskamux ! filesink location={out}",
        host,
    )
    vsr.upscale(source, wanted, model="bicubic", scale=3, device="cpu", encoder="ffv1")
    assert_same(out, wanted, tolerance=1)
    with vsr.open_video(out) as made, vsr.open_video(wanted) as told:
        assert made.info.pixel_format == told.info.pixel_format == pix_fmt
        assert (made.info.color.matrix, made.info.color.range) == (
            told.info.color.matrix,
            told.info.color.range,
        )


def test_the_chroma_location_is_used(
    tmp_path: Path, host: dict[str, str], capfd: pytest.CaptureFixture[str]
) -> None:
    """The result equals that of vsr with the same flag, and differs between locations."""
    sites = {"jpeg": "center", "mpeg2": "left", "cosited": "topleft"}
    caps = "video/x-raw,format=I420,width=32,height=16,chroma-site"
    launch(
        " ".join(
            f"videotestsrc num-buffers=1 pattern=smpte ! {caps}={site} ! tee name={site} "
            f"{site}. ! queue ! filesink location={tmp_path / site} "
            f"{site}. ! queue ! vsrupscale {QUICK} ! filesink location={tmp_path / word}"
            for site, word in sites.items()
        ),
        host,
    )
    results = {word: (tmp_path / word).read_bytes() for word in sites.values()}
    for site, word in sites.items():
        lr = (tmp_path / site).read_bytes()
        source, target = tmp_path / f"{word}.y4m", tmp_path / f"{word}.mkv"
        source.write_bytes(b"YUV4MPEG2 W32 H16 F25:1 Ip A1:1 C420\nFRAME\n" + lr)
        flags = ("--model=bicubic", "--scale=2", "--device=cpu", "--encoder=ffv1")
        told = run_cli(capfd, "upscale", source, target, *flags, f"--color=chroma_location={word}")
        assert told.code == 0, told.err
        made = np.concatenate([plane.ravel() for plane in pictures(target)])
        assert results[word] == made.astype(np.uint8).tobytes()
    assert len(set(results.values())) == 3


def test_interleaved_formats_give_the_results_of_planar_ones(tmp_path: Path, host: dict[str, str]) -> None:
    """NV12 equals I420 to the bit, and RGB equals the upscaler of a Python program."""
    test = "videotestsrc num-buffers=2 pattern=smpte100 ! video/x-raw,format=RGB,width=31,height=17"
    i420, nv12, rgb, lr = (tmp_path / name for name in ("i420", "nv12", "rgb", "lr"))
    launch(
        f"{test} ! tee name=t t. ! queue ! vsrupscale {QUICK} ! filesink location={rgb} "
        f"t. ! queue ! filesink location={lr} "
        f"t. ! queue ! videoconvert ! video/x-raw,format=I420 ! tee name=u "
        f"u. ! queue ! vsrupscale {QUICK} ! filesink location={i420} "
        f"u. ! queue ! videoconvert ! video/x-raw,format=NV12 ! vsrupscale {QUICK} ! "
        "video/x-raw,format=NV12 ! "
        f"videoconvert ! video/x-raw,format=I420 ! filesink location={nv12}",
        host,
    )
    planar, mixed = (np.frombuffer(one.read_bytes(), np.uint8).reshape(2, -1) for one in (i420, nv12))
    for begin, end, stride, width in ((0, 64 * 34, 64, 62), (64 * 34, None, 32, 31)):
        one, other = (data[:, begin:end].reshape(2, -1, stride)[..., :width] for data in (planar, mixed))
        np.testing.assert_array_equal(one, other)
    small = np.frombuffer(lr.read_bytes(), np.uint8).reshape(2, 17, 96)[:, :, :93].reshape(2, 17, 31, 3)
    large = np.frombuffer(rgb.read_bytes(), np.uint8).reshape(2, 34, 188)[:, :, :186].reshape(2, 34, 62, 3)
    told = np.stack(list(vsr.Upscaler("bicubic", scale=2, device="cpu").frames(iter(small))))
    assert np.abs(large.astype(int) - told).max() <= 1


def test_the_format_that_downstream_requires_is_negotiated_with_upstream(
    tmp_path: Path, host: dict[str, str]
) -> None:
    """Sizes are free, everything else is the same on both sides."""
    told = play(
        "videotestsrc num-buffers=1 ! videoconvert ! vsrupscale name=vsr model=bicubic scale=2 ! "
        "video/x-raw,format=Y42B,framerate=12/1,pixel-aspect-ratio=4/3 ! fakesink name=out",
        host,
        tmp_path / "data",
    )
    assert (told["end"], told["error"]) == ("eos", "")
    for caps, size in ((told["caps_in"], (320, 240)), (told["caps_out"], (640, 480))):
        (words,) = caps
        assert "format=(string)Y42B" in words
        assert "framerate=(fraction)12/1" in words
        assert "pixel-aspect-ratio=(fraction)4/3" in words
        assert f"width=(int){size[0]}, height=(int){size[1]}" in words


def test_times_are_kept_to_the_nanosecond(tmp_path: Path, host: dict[str, str]) -> None:
    source = make_clip(
        tmp_path / "in.mkv", pts=[7, 8, 30, 31, 90, 200], time_base=Fraction(1, 1000), frames=6, bframes=2
    )
    told = play(
        f"filesrc location={source} ! decodebin ! vsrupscale name=vsr {QUICK} ! fakesink name=out sync=false",
        host,
        tmp_path / "data",
    )
    assert told["end"] == "eos"
    assert len(told["in"]) == 6
    assert told["out"] == told["in"]


def test_a_seek_discards_pending_frames_and_continues_at_the_new_time(
    tmp_path: Path, host: dict[str, str]
) -> None:
    source = make_clip(tmp_path / "in.mkv", frames=40, gop=10)
    told = play(
        f"filesrc location={source} ! decodebin ! videoconvert ! video/x-raw,format=I420 ! "
        f"vsrupscale name=vsr {QUICK} ! fakesink name=out sync=false",
        host,
        tmp_path / "data",
        str(800_000_000),
    )
    assert (told["sought"], told["end"]) == (True, "eos")
    assert told["out"] == told["in"]
    assert [pts for pts, _ in told["out"]] == [number * 40_000_000 for number in range(20, 40)]
    luma = np.frombuffer((tmp_path / "data").read_bytes(), np.uint8).reshape(20, 144, 128)[:, :96]
    assert [number_in(picture) for picture in luma] == list(range(20, 40))


def test_size_and_format_may_change_during_playback(tmp_path: Path, host: dict[str, str]) -> None:
    told = play(
        f"concat name=c ! vsrupscale name=vsr {QUICK} ! fakesink name=out "
        "videotestsrc num-buffers=3 ! video/x-raw,width=64,height=48,format=I420 ! c. "
        "videotestsrc num-buffers=2 ! video/x-raw,width=32,height=40,format=RGB ! c.",
        host,
        tmp_path / "data",
    )
    assert told["end"] == "eos"
    assert [("I420" in caps, "width=(int)128" in caps) for caps in told["caps_out"]] == [
        (True, True),
        (False, False),
    ]
    assert len(told["out"]) == 5
    assert (tmp_path / "data").stat().st_size == 3 * 128 * 96 * 3 // 2 + 2 * 64 * 80 * 3


def test_an_end_from_downstream_ends_the_pipeline(tmp_path: Path, host: dict[str, str]) -> None:
    """Upstream is endless, and no frame fits into the pipes, so the upstream thread is waiting for vsr."""
    told = play(
        "videotestsrc ! video/x-raw,format=I420,width=640,height=480 ! "
        f"vsrupscale name=vsr {QUICK} ! identity eos-after=3 ! fakesink name=out",
        host,
        tmp_path / "data",
    )
    assert (told["end"], told["error"]) == ("eos", "")
    assert 1 <= len(told["out"]) <= 3


@pytest.mark.parametrize(
    ("settings", "caps", "words"),
    [
        ("model=nonsense", "", "vsrupscale: nonsense: no weight file and no model"),
        ("model=bicubic device=cuda:77", "", "cuda:77"),
        (
            "model=bicubic",
            ",interlace-mode=interleaved",
            "interlaced video (interleaved) is not supported. Put the element",
        ),
    ],
)
def test_an_error_is_reported_as_one_error_of_gstreamer(
    tmp_path: Path, host: dict[str, str], settings: str, caps: str, words: str
) -> None:
    told = play(
        f"videotestsrc num-buffers=50 ! video/x-raw,width=64,height=48{caps} ! "
        f"vsrupscale name=vsr {settings} ! fakesink name=out",
        host,
        tmp_path / "data",
    )
    assert (told["end"], told["domain"]) == ("error", "gst-stream-error-quark")
    assert words in told["error"]
    assert "\n" not in told["error"]


def test_without_vsr_on_the_path_the_error_says_so(tmp_path: Path, host: dict[str, str]) -> None:
    said = launch(
        f"videotestsrc num-buffers=1 ! vsrupscale {QUICK} ! fakesink",
        host | {"PATH": "/usr/bin:/bin"},
        fails=True,
    )
    assert "there is no command vsr on the PATH" in said


def test_the_wheel_contains_the_element_with_all_its_modules(tmp_path: Path) -> None:
    """They are in the folder that the README names for GST_PLUGIN_PATH, without other files."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=FOLDER, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    parts = {str(path.relative_to(FOLDER)) for path in (FOLDER / "python").rglob("*.py")}
    assert {n.split("/share/vsr-gstreamer/")[-1] for n in names if ".dist-info/" not in n} == parts


def beginning(source: Path, to: Path, *, packets: int) -> Path:
    """Copy the first video packets of a file without encoding them again."""
    with av.open(str(source)) as box, av.open(str(to), "w") as out:
        stream = out.add_stream_from_template(box.streams.video[0])
        for packet in islice(box.demux(video=0), packets):
            packet.stream = stream
            out.mux(packet)
    return to


@pytest.mark.slow
def test_memory_does_not_grow_with_the_length(tmp_path: Path, host: dict[str, str]) -> None:
    """900 more frames of input and output would need 650 MiB."""
    peaks = []
    for count in (100, 1000):
        told = play(
            f"videotestsrc num-buffers={count} ! video/x-raw,format=I420,width=320,height=240 ! "
            f"vsrupscale name=vsr {QUICK} ! fakesink name=out",
            host,
            tmp_path / "data",
        )
        assert len(told["out"]) == count
        peaks.append(told["peak_kib"] + told["peak_children_kib"])
    assert peaks[1] - peaks[0] < 100 * 1024


@pytest.mark.needs_material
def test_a_real_clip_with_a_real_network(tmp_path: Path, host: dict[str, str], material: Path) -> None:
    source = material / "data/clips/anime_onepiece_demo.mp4"
    short = beginning(source, tmp_path / "short.mp4", packets=5)
    out, wanted = tmp_path / "out.mkv", tmp_path / "wanted.mkv"
    launch(
        f"filesrc location={short} ! decodebin ! videoconvert ! "
        "vsrupscale model=fast-x2 device=cpu precision=fp32 ! "
        f"avenc_ffv1 ! matroskamux ! filesink location={out}",
        host,
    )
    vsr.upscale(short, wanted, model="fast-x2", device="cpu", precision="fp32", encoder="ffv1")
    assert len(pts_of(out)) == 5
    assert_same(out, wanted, tolerance=1)
    assert_same_times(out, wanted)
