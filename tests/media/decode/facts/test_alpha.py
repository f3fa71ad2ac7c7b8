"""A loss of transparency is reported for a GIF only if it has transparent pixels."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from tests.media.pass_through import pass_through
from tests.media_maker import make_clip
from vsr.media.decode.facts.alpha import without_unused_alpha
from vsr.media.decode.facts.probe import probe


def gif(path: Path, *, holes: bool) -> Path:
    """Write five images; with `holes`, the last one is partly transparent."""
    with av.open(str(path), "w") as box:
        stream = box.add_stream("gif", rate=Fraction(10))
        stream.width, stream.height, stream.pix_fmt = 32, 32, "pal8"
        for number in range(5):
            pixels = np.full((32, 32), number, np.uint8)
            colors = np.zeros((256, 4), np.uint8)
            colors[:, 0] = 255
            colors[:, 1] = np.arange(256)
            if holes and number == 4:
                pixels[:16] = 200
                colors[200] = 0
            frame = av.VideoFrame.from_ndarray((pixels, colors), format="pal8")
            frame.pts = number
            box.mux(stream.encode(frame))
        box.mux(stream.encode(None))
    data = bytearray(path.read_bytes())
    for place in (n for n in range(len(data)) if holes and data[n : n + 3] == b"\x21\xf9\x04"):
        data[place + 3] = data[place + 3] & ~0x1C | 0x08  # clear the image before the next one is drawn
    path.write_bytes(data)
    return path


def test_no_loss_is_reported_for_an_opaque_gif(tmp_path: Path) -> None:
    source = gif(tmp_path / "in.gif", holes=False)
    assert probe(source).layout.alpha, "the decoder always gives alpha"
    assert not without_unused_alpha(probe(source)).layout.alpha
    passed = pass_through(source, tmp_path / "out.mp4")
    assert not any("transparency" in warning for warning in passed.warnings)


def test_transparency_in_a_later_frame_is_reported(tmp_path: Path) -> None:
    source = gif(tmp_path / "in.gif", holes=True)
    assert without_unused_alpha(probe(source)).layout.alpha
    passed = pass_through(source, tmp_path / "out.mp4")
    assert any("transparency" in warning for warning in passed.warnings)


def test_alpha_of_other_formats_is_not_checked(tmp_path: Path) -> None:
    info = probe(make_clip(tmp_path / "in.mkv", codec="ffv1", pix_fmt="yuva420p", frames=1))
    assert without_unused_alpha(info) is info
