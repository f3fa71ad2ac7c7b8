"""The filter in VapourSynth itself and in `vspipe`; `make test-vapoursynth`
runs it in a Python with VapourSynth."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import av
import numpy as np
import pytest
import torch

import vsr
from tests.media_maker import make_clip, number_in
from vsr.color.spec import ChromaLocation, ColorSpec, Matrix, Range

vs = pytest.importorskip("vapoursynth", reason="VapourSynth is not installed (Python 3.12 or later)")
import vsr_vapoursynth  # noqa: E402

FOLDER = Path(__file__).parent
QUICK = {"model": "bicubic", "scale": 2, "device": "cpu"}
NETWORK = {"model": "fast-x2", "device": "cpu", "backend": "torch", "precision": "fp32"}
"""Fixed here, because by default a short trial decides which backend runs a network."""


def clip_of(pictures: np.ndarray, form: int, **props: object) -> vs.VideoNode:
    """Make a clip of `(N, planes, H, W)`."""
    count, planes, height, width = pictures.shape
    blank = vs.core.std.BlankClip(width=width, height=height, format=form, length=count, keep=True)

    def filled(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        frame = f.copy()
        for plane in range(planes):
            np.copyto(np.asarray(frame[plane]), pictures[n, plane])
        frame.props.update({"number": n, **props})
        return frame

    return blank.std.ModifyFrame(blank, filled)


def planes_of(frame: vs.VideoFrame) -> list[np.ndarray]:
    return [np.asarray(frame[plane]).copy() for plane in range(frame.format.num_planes)]


def random(shape: tuple[int, ...], dtype: str) -> np.ndarray:
    values = np.random.default_rng(5).random(shape)
    white = {"uint8": 255, "uint16": 65535}.get(dtype, 1)
    return (values * white).astype(dtype)


@pytest.mark.parametrize(
    ("name", "dtype"), [("RGB24", "uint8"), ("RGB48", "uint16"), ("RGBH", "float16"), ("RGBS", "float32")]
)
def test_rgb_equals_the_result_of_the_upscaler_to_the_bit(name: str, dtype: str) -> None:
    lr = random((5, 3, 18, 31), dtype)
    made = vsr_vapoursynth.upscale(clip_of(lr, getattr(vs, name)), num_streams=2, **QUICK)
    told = vsr.Upscaler("bicubic", scale=2, device="cpu").frames(np.moveaxis(lr, 1, 3))
    assert (made.format.name, made.width, made.height, len(made)) == (name, 62, 36, 5)
    for number, (frame, picture) in enumerate(zip(made.frames(), told, strict=True)):
        assert frame.props["number"] == number
        np.testing.assert_array_equal(np.stack(planes_of(frame), axis=-1), picture)


@pytest.mark.parametrize("streams", [1, 2, 5, 7, 8])
@pytest.mark.parametrize("length", [1, 7])
def test_every_frame_comes_once_and_in_order_for_any_number_of_streams(length: int, streams: int) -> None:
    lr = random((length, 3, 8, 8), "uint8")
    made = vsr_vapoursynth.upscale(clip_of(lr, vs.RGB24), num_streams=streams, **QUICK)
    assert [frame.props["number"] for frame in made.frames()] == list(range(length))
    assert {frame.props["_DurationNum"] for frame in made.frames()} == {1}


def source_of(path: Path) -> vs.VideoNode:
    """Return a file's frames as a clip, with VapourSynth's properties for its tags."""
    with vsr.open_video(path) as video:
        frames, color, layout = list(video), video.info.color, video.info.layout
    family = vs.GRAY if layout.family == "gray" else vs.YUV
    form = vs.core.query_video_format(family, vs.INTEGER, layout.bit_depth, *layout.chroma_shift)
    blank = vs.core.std.BlankClip(
        width=frames[0].width, height=frames[0].height, format=form.id, length=len(frames), keep=True
    )

    def filled(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        frame = f.copy()
        for plane, samples in enumerate(frames[n].planes):
            np.copyto(np.asarray(frame[plane]), samples.numpy())
        frame.props["_Range"] = int(color.range == Range.FULL)
        frame.props["_Matrix"] = int(color.matrix)
        frame.props["_Transfer"] = int(color.transfer)
        frame.props["_Primaries"] = int(color.primaries)
        if layout.chroma_shift != (0, 0):
            frame.props["_ChromaLocation"] = int(color.chroma_location) - 1
        return frame

    return blank.std.ModifyFrame(blank, filled)


def upscaled_file(source: Path, to: Path, **settings: object) -> list[list[np.ndarray]]:
    vsr.upscale(source, to, encoder="ffv1", **settings)
    with vsr.open_video(to) as video:
        return [[plane.numpy().copy() for plane in frame.planes] for frame in video]


def assert_same(made: vs.VideoNode, told: list[list[np.ndarray]]) -> None:
    """Check that the frames are equal in number and in every sample."""
    assert len(made) == len(told)
    for frame, planes in zip(made.frames(), told, strict=True):
        for one, other in zip(planes_of(frame), planes, strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("pix_fmt", "color"),
    [
        ("yuv420p", ColorSpec(matrix=Matrix.BT709, range=Range.LIMITED)),
        ("yuv420p", ColorSpec(matrix=Matrix.SMPTE170M, range=Range.FULL)),
        ("yuv420p10le", ColorSpec(matrix=Matrix.BT2020_NCL, range=Range.LIMITED)),
        ("yuv422p10le", ColorSpec(matrix=Matrix.BT709, range=Range.LIMITED)),
        ("yuv444p", ColorSpec(matrix=Matrix.SMPTE240M, range=Range.LIMITED)),
        ("yuv420p16le", ColorSpec(matrix=Matrix.BT709, range=Range.FULL)),
        ("gray", ColorSpec(range=Range.FULL)),
        ("gray10le", ColorSpec(range=Range.LIMITED)),
    ],
)
@pytest.mark.parametrize("settings", [QUICK, NETWORK], ids=["filter", "network"])
def test_planes_equal_the_result_of_vsr_upscale_to_the_bit(
    tmp_path: Path, pix_fmt: str, color: ColorSpec, settings: dict[str, object]
) -> None:
    source = make_clip(tmp_path / "in.mkv", codec="ffv1", pix_fmt=pix_fmt, frames=3, color=color)
    lr = source_of(source)
    made = vsr_vapoursynth.upscale(lr, **settings)
    assert made.format.id == lr.format.id
    assert_same(made, upscaled_file(source, tmp_path / "out.mkv", **settings))
    for frame, before in zip(made.frames(), lr.frames(), strict=True):
        assert dict(frame.props) == dict(before.props)


@pytest.mark.parametrize("location", list(ChromaLocation)[1:], ids=str)
def test_a_chroma_location_equals_the_result_of_vsr_upscale_to_the_bit(
    tmp_path: Path, location: ChromaLocation
) -> None:
    source = make_clip(tmp_path / "in.mkv", codec="ffv1", frames=2)
    told = upscaled_file(source, tmp_path / "out.mkv", color={"chroma_location": location.name}, **QUICK)
    lr = source_of(source).std.SetFrameProps(_ChromaLocation=int(location) - 1)
    assert_same(vsr_vapoursynth.upscale(lr, **QUICK), told)


@pytest.mark.parametrize("name", ["YUV444PS", "YUV420PS", "YUV444PH", "GRAYS"])
def test_float_formats_are_converted_by_the_resizer(name: str) -> None:
    """The result is as close to 16-bit planes as the resizer's chroma filter permits."""
    lr = clip_of(random((2, 3, 18, 30), "uint16") // 4 + 24576, vs.YUV444P16, _Matrix=1, _Range=0)
    form = getattr(vs, name)
    if name.startswith("GRAY"):
        lr = lr.std.ShufflePlanes(0, vs.GRAY)
    made = vsr_vapoursynth.upscale(lr.resize.Bicubic(format=form), **QUICK)
    told = vsr_vapoursynth.upscale(lr, **QUICK).resize.Bicubic(format=form)
    assert made.format.id == form
    for frame, other in zip(made.frames(), told.frames(), strict=True):
        assert (frame.props["_Matrix"], frame.props["number"]) == (1, other.props["number"])
        np.testing.assert_allclose(planes_of(frame)[0], planes_of(other)[0], atol=2e-3)


def test_rgb_of_other_depths_keeps_every_code_value() -> None:
    lr = random((2, 3, 18, 31), "uint16") >> 6
    (one, _) = vsr_vapoursynth.upscale(clip_of(lr, vs.RGB30), **QUICK).frames()
    (told,) = vsr.Upscaler(**QUICK).frames([np.moveaxis(lr[0].astype(np.float32) / 1023, 0, 2)])
    np.testing.assert_allclose(np.stack(planes_of(one), -1), told.clip(0, 1) * 1023, atol=0.51)


def test_the_old_name_of_the_range_is_supported() -> None:
    """The core converts it to `_Range`, where the numbers are exchanged."""
    lr = random((1, 3, 18, 30), "uint8")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        old = clip_of(lr, vs.YUV444P8, _Matrix=1).std.SetFrameProps(_ColorRange=0)
        one = vsr_vapoursynth.upscale(old, **QUICK).get_frame(0)
    other = vsr_vapoursynth.upscale(clip_of(lr, vs.YUV444P8, _Matrix=1, _Range=1), **QUICK).get_frame(0)
    assert one.props["_Range"] == other.props["_Range"] == 1
    for a, b in zip(planes_of(one), planes_of(other), strict=True):
        np.testing.assert_array_equal(a, b)


def test_transfer_and_primaries_are_kept_and_other_tags_are_those_of_the_conversion() -> None:
    """Primaries of BT.2020 imply the matrix too; tags that are missing stay missing."""
    lr = vs.core.std.BlankClip(format=vs.YUV420P10, width=30, height=18, length=1)
    lr = lr.std.SetFrameProps(_Primaries=9, _Transfer=16)
    props = vsr_vapoursynth.upscale(lr, **QUICK).get_frame(0).props
    told = {"_Matrix": 9, "_Range": 0, "_ChromaLocation": 0, "_Primaries": 9, "_Transfer": 16}
    assert {name: props[name] for name in told} == told
    plain = vsr_vapoursynth.upscale(clip_of(random((1, 3, 18, 30), "uint8"), vs.YUV444P8), **QUICK)
    assert not {"_Primaries", "_Transfer", "_ChromaLocation"} & set(plain.get_frame(0).props)


def test_untagged_grey_is_limited_as_everywhere_in_vapoursynth() -> None:
    lr = random((1, 1, 18, 30), "uint8")
    made = vsr_vapoursynth.upscale(clip_of(lr, vs.GRAY8), **QUICK).get_frame(0)
    told = vsr_vapoursynth.upscale(clip_of(lr, vs.GRAY8, _Range=0), **QUICK).get_frame(0)
    assert made.props["_Range"] == 0
    np.testing.assert_array_equal(planes_of(made)[0], planes_of(told)[0])


def test_an_unsupported_matrix_is_one_error_of_the_frame() -> None:
    lr = clip_of(random((2, 3, 18, 30), "uint8"), vs.YUV444P8, _Matrix=8)
    made = vsr_vapoursynth.upscale(lr, **QUICK)
    with pytest.raises(vs.Error) as raised:
        made.get_frame(1)
    last = str(raised.value).strip().splitlines()[-1]  # VapourSynth prints a traceback before it
    assert "vsr_vapoursynth: frame 1: frame 1: Y'CbCr with matrix YCGCO cannot" in last
    assert "forms.py" not in str(raised.value)


@pytest.mark.parametrize("location", [ChromaLocation.LEFT, ChromaLocation.CENTER, ChromaLocation.TOPLEFT])
def test_the_chroma_location_is_used(tmp_path: Path, location: ChromaLocation) -> None:
    """A chroma gradient that another location would shift by at least a quarter of a chroma sample."""
    lr = np.zeros((1, 48, 64), np.uint8) + 128
    slope = (64 + 4 * np.arange(32, dtype=np.uint8))[None].repeat(24, 0)
    blank = vs.core.std.BlankClip(width=64, height=48, format=vs.YUV420P8, length=1, keep=True)

    def filled(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        frame = f.copy()
        for plane, samples in enumerate((lr[0], slope, slope)):
            np.copyto(np.asarray(frame[plane]), samples)
        frame.props.update({"_Matrix": 1, "_Range": 0, "_ChromaLocation": int(location) - 1})
        return frame

    made = vsr_vapoursynth.upscale(blank.std.ModifyFrame(blank, filled), **QUICK)
    row = planes_of(made.get_frame(0))[1][24].astype(float)
    # In luma samples of the source, chroma sample k is at 2k for left and at 2k + 1/2 for centre; luma sample
    # x of the result is at (x - 1/2) / 2.
    offset = 0.5 if location == ChromaLocation.CENTER else 0.0
    places = ((2 * np.arange(64) + offset) - 0.5) / 2
    wanted = 64 + 4 * (places - offset) / 2
    assert np.abs(row - wanted)[8:-8].max() <= 1


def test_an_untagged_frame_is_interpreted_as_players_do() -> None:
    lr = random((1, 3, 18, 30), "uint8")
    made = vsr_vapoursynth.upscale(clip_of(lr, vs.YUV444P8), **QUICK).get_frame(0)
    told = vsr_vapoursynth.upscale(clip_of(lr, vs.YUV444P8, _Matrix=6), **QUICK).get_frame(0)
    assert made.props["_Matrix"] == 6
    for one, other in zip(planes_of(made), planes_of(told), strict=True):
        np.testing.assert_array_equal(one, other)


def test_tags_may_change_from_frame_to_frame() -> None:
    lr = random((1, 3, 18, 30), "uint8").repeat(2, 0)
    apart = [vsr_vapoursynth.upscale(clip_of(lr[:1], vs.YUV444P8, _Matrix=m), **QUICK) for m in (1, 6)]
    parts = [clip_of(lr[:1], vs.YUV444P8, _Matrix=m) for m in (1, 6)]
    both = vsr_vapoursynth.upscale(vs.core.std.Splice(parts), **QUICK)
    for frame, alone in zip(both.frames(), apart, strict=True):
        assert frame.props["_Matrix"] == alone.get_frame(0).props["_Matrix"]
        for one, other in zip(planes_of(frame), planes_of(alone.get_frame(0)), strict=True):
            np.testing.assert_array_equal(one, other)


def test_frames_may_be_requested_in_any_order_and_concurrently() -> None:
    lr = random((9, 3, 18, 30), "uint8")
    made = vsr_vapoursynth.upscale(clip_of(lr, vs.RGB24), num_streams=3, **QUICK)
    told = list(vsr.Upscaler("bicubic", scale=2, device="cpu").frames(np.moveaxis(lr, 1, 3)))
    for number in (7, 0, 8, 3):
        np.testing.assert_array_equal(np.stack(planes_of(made.get_frame(number)), -1), told[number])
    waiting = [made.get_frame_async(number) for number in (6, 1, 5, 4, 2)]
    for number, future in zip((6, 1, 5, 4, 2), waiting, strict=True):
        frame = future.result(60)
        assert frame.props["number"] == number
        np.testing.assert_array_equal(np.stack(planes_of(frame), -1), told[number])


def test_concurrent_requests_form_one_batch() -> None:
    """Requests that arrive during the first computation are then computed together."""
    taken: list[int] = []
    started, go_on = threading.Event(), threading.Event()

    class Slow:
        def frames(self, pictures):
            pictures = list(pictures)
            taken.append(len(pictures))
            started.set()
            go_on.wait(60)
            return iter(pictures)

    executor = ThreadPoolExecutor(1)
    batcher = vsr_vapoursynth.Batcher(Slow(), executor, most=4)

    def ask() -> None:
        batcher.ask(torch.zeros(3, 2, 2))

    threads = [threading.Thread(target=ask) for _ in range(5)]
    threads[0].start()
    assert started.wait(60)
    for thread in threads[1:]:
        thread.start()
    end = time.monotonic() + 60
    while len(batcher._waiting) < 4 and time.monotonic() < end:
        time.sleep(0.01)
    go_on.set()
    for thread in threads:
        thread.join(60)
    executor.shutdown()
    assert taken == [1, 4]


WORKERS = """
import os, sys
sys.path[:0] = {folders!r}
import vapoursynth as vs, vsr_vapoursynth
clip = vs.core.std.BlankClip(width=320, height=240, format=vs.YUV420P8, length=4)
before = set(os.listdir("/proc/self/task"))
for frame in vsr_vapoursynth.upscale(clip, **{settings!r}).frames(close=True):
    pass
again = set(os.listdir("/proc/self/task"))
for frame in vsr_vapoursynth.upscale(clip, **{settings!r}).frames(close=True):
    pass
print(len(again - before), len(set(os.listdir("/proc/self/task")) - again))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts threads in /proc")
def test_only_one_thread_computes_so_that_worker_threads_do_not_compete() -> None:
    """There are VapourSynth's threads, the compute thread and one OpenMP
    worker, none for each request or clip."""
    words = WORKERS.format(folders=[str(FOLDER)], settings=NETWORK)
    env = os.environ | {"OMP_NUM_THREADS": "2"}
    done = subprocess.run(
        [sys.executable, "-c", words], env=env, capture_output=True, check=True, timeout=200
    )
    first, second = map(int, done.stdout.split())
    assert first <= 1 + 1 + vs.core.num_threads
    assert second == 0


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"model": "nonsense"}, "nonsense: no weight file"),
        ({"model": "bicubic", "scale": 99}, "a scale of 99"),
        ({"model": "bicubic", "num_streams": -1}, "num_streams of -1"),
    ],
)
def test_an_impossible_setting_is_one_error_of_vapoursynth(settings: dict[str, object], words: str) -> None:
    with pytest.raises(vs.Error, match=words) as raised:
        vsr_vapoursynth.upscale(vs.core.std.BlankClip(format=vs.RGB24), **settings)
    assert "\n" not in str(raised.value)


def test_sizes_that_the_format_does_not_permit_are_named() -> None:
    clip = vs.core.std.BlankClip(format=vs.YUV420P8, width=34, height=48)
    with pytest.raises(vs.Error, match=r"51x72 is not possible in YUV420P8, .* 2x2"):
        vsr_vapoursynth.upscale(clip, model="bicubic", scale=1.5)


def test_vspipe_runs_a_script(tmp_path: Path) -> None:
    """The frames equal those of `vsr upscale` to the bit, through the usual program."""
    source = make_clip(
        tmp_path / "in.mkv",
        codec="ffv1",
        frames=6,
        color=ColorSpec(matrix=Matrix.BT709, range=Range.LIMITED),
    )
    script = tmp_path / "script.vpy"
    script.write_text(
        "import sys\n"
        f"sys.path[:0] = {[str(FOLDER), str(FOLDER.parent.parent)]!r}\n"
        "from pathlib import Path\n"
        "import vsr_vapoursynth\n"
        "from plugins.vapoursynth.test_vsr_vapoursynth import source_of\n"
        f"clip = vsr_vapoursynth.upscale(source_of(Path({str(source)!r})), **{QUICK!r})\n"
        "clip.set_output()\n"
    )
    folder, env = Path(sys.executable).parent, os.environ | {"XDG_CONFIG_HOME": str(tmp_path)}
    subprocess.run(
        [folder / "vapoursynth", "config"], env=env, check=True, capture_output=True
    )  # selects the Python
    command = [folder / "vspipe", "-c", "y4m", script, "-"]
    done = subprocess.run(command, env=env, capture_output=True, timeout=200)
    assert done.returncode == 0, done.stderr.decode()
    (tmp_path / "out.y4m").write_bytes(done.stdout)
    told = upscaled_file(source, tmp_path / "out.mkv", **QUICK)
    size = 128 * 96 * 3 // 2
    header, _, rest = done.stdout.partition(b"\n")
    assert header.startswith(b"YUV4MPEG2 C420 W128 H96 ")
    assert len(rest) == 6 * (size + 6)
    for number, planes in enumerate(told):
        picture = np.frombuffer(rest, np.uint8, size, number * (size + 6) + 6)
        assert number_in(picture[: 128 * 96].reshape(96, 128)) == number
        np.testing.assert_array_equal(picture, np.concatenate([plane.ravel() for plane in planes]))


PULL = """
import resource, sys
sys.path[:0] = {folders!r}
import vapoursynth as vs, vsr_vapoursynth
vs.core.max_cache_size = 64
clip = vs.core.std.BlankClip(width=320, height=240, format=vs.YUV420P8, length={length}, color=[80, 100, 140])
for frame in vsr_vapoursynth.upscale(clip, **{settings!r}).frames(close=True):
    pass
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_length() -> None:
    """900 more frames of input and output would need 0.5 GiB;
    VapourSynth's cache is full after the first 300."""
    peaks = []
    for length in (400, 1300):
        words = PULL.format(folders=[str(FOLDER)], length=length, settings=QUICK)
        done = subprocess.run([sys.executable, "-c", words], capture_output=True, check=True, timeout=400)
        peaks.append(int(done.stdout))
    assert peaks[1] - peaks[0] < 100 * 1024


@pytest.mark.needs_material
@pytest.mark.parametrize("settings", [QUICK, NETWORK], ids=["filter", "network"])
def test_a_real_clip_equals_that_of_vsr_upscale_to_the_bit(
    tmp_path: Path, material: Path, settings: dict[str, object]
) -> None:
    source = tmp_path / "in.mp4"
    with (
        av.open(str(material / "data/clips/anime_onepiece_demo.mp4")) as box,
        av.open(str(source), "w") as out,
    ):
        stream = out.add_stream_from_template(box.streams.video[0])
        for packet in islice(box.demux(video=0), 4):
            packet.stream = stream
            out.mux(packet)
    told = upscaled_file(source, tmp_path / "out.mkv", **settings)
    assert_same(vsr_vapoursynth.upscale(source_of(source), **settings), told)
