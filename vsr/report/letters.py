"""Labels in pictures: text of Latin letters, drawn from `letters.png`, which `benchmarks/pictures/letters.py`
makes."""

from __future__ import annotations

import json
from functools import cache
from importlib import resources

import av
import torch
from torch import Tensor

_UNKNOWN = "□"  # shown for a letter that is not in the strip
_CUT = "…"
_PADDING = 5  # pixels around the text
_SHADE = 0.35  # brightness that the panel keeps behind the text


@cache
def _strip() -> tuple[dict[str, tuple[int, int]], Tensor]:
    """Return for each letter its first column and its width, and the strip `(H, W)` in [0, 1]."""
    folder = resources.files("vsr.report")
    table = json.loads((folder / "letters.json").read_text(encoding="utf-8"))
    decoder = av.CodecContext.create("png", "r")
    packet = av.Packet((folder / "letters.png").read_bytes())
    (frame,) = [*decoder.decode(packet), *decoder.decode(None)]
    strip = torch.from_numpy(frame.to_ndarray(format="gray").copy()).to(torch.float32) / 255
    places, left = {}, 0
    for letter, width in zip(table["letters"], table["widths"], strict=True):
        places[letter] = (left, width)
        left += width
    return places, strip


def text_mask(text: str, *, width: int) -> Tensor:
    """Return the opacity of a line of text, `(H, W)` in [0, 1], cut with an ellipsis to at most `width`."""
    places, strip = _strip()
    known = [letter if letter in places else _UNKNOWN for letter in text]
    if sum(places[letter][1] for letter in known) > width:
        while known and sum(places[letter][1] for letter in [*known, _CUT]) > width:
            known.pop()
        known.append(_CUT)
    columns = [strip[:, left : left + wide] for left, wide in (places[letter] for letter in known)]
    return torch.cat(columns, -1)[:, :width] if columns else strip[:, :0]


def labelled(image: Tensor, text: str) -> Tensor:
    """Write white text on a darkened box into the upper left corner of `(3, H, W)` uint8, which is not
    changed."""
    mask = text_mask(text, width=max(0, image.shape[-1] - 2 * _PADDING))
    height, width = min(mask.shape[0], image.shape[-2]), mask.shape[1]
    labelled_image = image.clone()
    down, right = min(height + 2, image.shape[-2]), min(width + 2 * _PADDING, image.shape[-1])
    box = labelled_image[:, :down, :right]
    box.copy_((box.to(torch.float32) * _SHADE).to(torch.uint8))
    inside = labelled_image[:, :height, _PADDING : _PADDING + width]
    opacity = mask[:height]
    inside.copy_((inside.to(torch.float32) * (1 - opacity) + 255 * opacity).round().to(torch.uint8))
    return labelled_image
