"""360 degree video keeps its projection: the output has its own container's metadata, whatever the
source's.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from tests.judges import ffprobe
from tests.media_maker import make_clip
from vsr.frame import Spherical, Stereo
from vsr.media.decode.facts.probe import probe
from vsr.media.decode.source import open_video
from vsr.media.formats.boxes import box, edited, find_boxes
from vsr.media.mux.sink_opening import open_sink
from vsr.pipeline.run import upscale
from vsr.settings.schema import EncoderSettings

_V1 = bytes.fromhex("ffcc8263f8554a938814587a02521fdd")
_XML = b"""<?xml version="1.0"?><rdf:SphericalVideo xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"
xmlns:GSpherical="http://ns.google.com/videos/1.0/spherical/"><GSpherical:Spherical>true</GSpherical:Spherical>
<GSpherical:Stitched>true</GSpherical:Stitched><GSpherical:StitchingSoftware>x</GSpherical:StitchingSoftware>
<GSpherical:ProjectionType>equirectangular</GSpherical:ProjectionType>
<GSpherical:StereoMode>top-bottom</GSpherical:StereoMode></rdf:SphericalVideo>"""


def _marked(path: Path) -> Path:
    """Write an MP4 with Spherical Video V1 metadata, a uuid box with XML."""
    data = make_clip(path, frames=3).read_bytes()
    with path.open("rb") as file:
        ((start, end),) = find_boxes(file, 0, len(data), b"moov")
    index = edited(data[start:end], lambda track: track + box(b"uuid", _V1 + _XML), b"trak")
    path.write_bytes(data[: start - 8] + box(b"moov", index) + data[end:])
    return path


@pytest.mark.parametrize("suffix", ["mkv", "mp4", "mov", "webm"])
def test_spherical_v1_metadata_becomes_the_containers_own(tmp_path: Path, suffix: str) -> None:
    source, target = _marked(tmp_path / "a.mp4"), tmp_path / f"b.{suffix}"
    upscale(source, target, model="bicubic", scale=2)
    (video,) = ffprobe(target, "-show_streams", "-select_streams", "v")["streams"]
    found = {data["side_data_type"]: data for data in video["side_data_list"]}
    assert found["Spherical Mapping"]["projection"] == "equirectangular"
    assert found["Stereo 3D"]["type"] == "top and bottom"
    assert probe(target).stereo == Stereo(kind=2)


@pytest.mark.parametrize("suffix", ["mkv", "mp4"])
@pytest.mark.parametrize(
    "sphere",
    [
        Spherical(projection=0, yaw=Fraction(30), pitch=Fraction(-10), roll=Fraction(5)),
        Spherical(projection=2, bounds=(2**30, 2**29, 2**30, 2**29)),
        Spherical(projection=1, padding=4),
    ],
    ids=["turned", "a part", "cube map"],
)
def test_every_projection_is_kept(tmp_path: Path, suffix: str, sphere: Spherical) -> None:
    source, target = make_clip(tmp_path / "a.mkv", frames=3), tmp_path / f"b.{suffix}"
    info = replace(probe(source), spherical=sphere)
    sink = open_sink(target, source=source, info=info, width=64, height=48, settings=EncoderSettings())
    with sink, open_video(source) as video:
        for frame in video.frames():
            sink.write(frame)
    assert probe(target).spherical == sphere


def test_a_projection_that_no_container_supports_is_reported(tmp_path: Path) -> None:
    source, target = make_clip(tmp_path / "a.mkv", frames=3), tmp_path / "b.mp4"
    info = replace(probe(source), spherical=Spherical(projection=5))
    sink = open_sink(target, source=source, info=info, width=64, height=48, settings=EncoderSettings())
    sink.abort()
    assert any("360 degree" in line for line in sink.warnings)
