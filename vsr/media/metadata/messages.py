"""Converts side data of frames to messages for the output, and to words for people."""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable, Iterable

import av

from vsr.frame import DolbyVision, Message, VideoInfo
from vsr.media.metadata.bitstream import T35, TAKES
from vsr.media.metadata.hdr10plus import hdr10plus_message
from vsr.media.metadata.side_data import side_data_of

_ATSC = bytes.fromhex("b50031")
"""Country (USA) and provider (ATSC) of ITU-T T.35."""
_TRIPLES = 31
"""The largest number of caption triples in a message (CTA-708, 4.3)."""
_AMBIENT = struct.Struct("=6i")
"""AVAmbientViewingEnvironment: illuminance, x and y of the light, as rationals."""
_AMBIENT_TYPE = 148
_UNREGISTERED_TYPE = 5
_PANSCAN = struct.Struct("=3i6h")
"""AVPanScan: number, width and height, and three positions."""
_MASTERING_FLAGS = struct.Struct("=80x2i")
"""The end of AVMasteringDisplayMetadata: whether it has primaries, and whether it has luminances."""
_UNSPECIFIED_STEREO = 8
_ENCODERS_OWN = (
    bytes.fromhex("dc45e9bde6d948b7962cd820d923eeef"),
    bytes.fromhex("2ca2de09b51747dbbb55a4fe7fc2fc4e"),
)
"""UUIDs of the messages in which x264 and x265 describe their own settings, which do not apply to the
output."""

LABELS: dict[str, str] = {
    "A53_CC": "closed captions",
    "AFD": "the active format (AFD)",
    "DYNAMIC_HDR_PLUS": "HDR10+ metadata",
    "AMBIENT_VIEWING_ENVIRONMENT": "the ambient viewing environment",
    "SEI_UNREGISTERED": "user data (SEI)",
    "HDR_PLUS_WINDOWS": "HDR10+ metadata with several windows",
    "DOVI_METADATA": "Dolby Vision metadata",
    "DOVI_RPU_BUFFER": "Dolby Vision metadata",
    "DYNAMIC_HDR_VIVID": "HDR Vivid metadata",
    "ICC_PROFILE": "an ICC profile",
    "EXIF": "EXIF",
    "S12M_TIMECODE": "time codes of single frames",
    "PANSCAN": "pan and scan windows",
    "FILM_GRAIN_PARAMS": "film grain parameters",
    "DETECTION_BBOXES": "detected objects",
    "LCEVC": "an LCEVC enhancement layer",
    "VIEW_ID": "a further view",
    "PARTIAL_MASTERING": "mastering display metadata that lack a part",
    "3D_REFERENCE_DISPLAYS": "3D reference displays",
}
"""Words for the kinds of side data that belong to a frame. Other kinds are fields of `VideoInfo`, or describe
only how the stream was coded."""


def messages_of(frame: av.VideoFrame) -> tuple[tuple[Message, ...], tuple[str, ...]]:
    """Return the side data of a frame.

    Returns:
        The messages that an output can carry if its codec supports them, and the kinds of all side data that
        belongs to the frame.
    """
    found = side_data_of(frame)
    if not found:
        return (), ()
    made = [m for kind, data in found if kind in _MAKERS for m in _MAKERS[kind](bytes(data))]
    kinds = [kind for kind, data in found if kind not in _IS_RELEVANT or _IS_RELEVANT[kind](bytes(data))]
    kinds = [kind for kind in dict.fromkeys(_ALIASES.get(kind, kind) for kind in kinds) if kind in LABELS]
    empty = set(kinds) & set(_MAKERS) - {message.kind for message in made}
    if "DYNAMIC_HDR_PLUS" in empty:
        kinds.append("HDR_PLUS_WINDOWS")
    if "DOVI_METADATA" in kinds:
        empty.add("DOVI_RPU_BUFFER")
    return tuple(made), tuple(kind for kind in kinds if kind not in empty)


def not_carried(kinds: Iterable[str], codec: str) -> list[str]:
    """Return those of `kinds` that an output of `codec` (FFmpeg's name) cannot carry."""
    return [kind for kind in kinds if kind not in TAKES.get(codec, frozenset())]


def loss_note(kinds: Iterable[str], *, codec: str, dolby_vision: DolbyVision | None = None) -> list[str]:
    """Return at most one sentence that names the side data that an output will lack.

    Args:
        kinds: Kinds of side data as returned by `messages_of`.
        codec: FFmpeg's name of the output's codec.
        dolby_vision: Of the source.
    """
    lost = not_carried(kinds, codec)
    if not lost:
        return []
    words = [_label(kind, dolby_vision) for kind in lost]
    note = f"the output lacks side data of the source's frames: {', '.join(words)}"
    return [f"{note}{_remedy(lost, codec)}"]


def _remedy(lost: list[str], codec: str) -> str:
    """Return a phrase that names the encoders which would keep the side data; empty if there is none."""
    if codec == "rawvideo":
        return ""
    possible = {kind for kind in lost if any(kind in kinds for kinds in TAKES.values())}
    fitting = [_ENCODERS[codec] for codec, kinds in TAKES.items() if possible <= kinds]
    if not possible or not fitting:
        return ""
    kept = ", ".join(LABELS[kind] for kind in lost if kind in possible)
    return f"; {' or '.join(f'`encoder={name!r}`' for name in fitting)} keeps {kept}"


_ENCODERS = {"h264": "libx264", "hevc": "libx265", "av1": "libsvtav1"}


def _label(kind: str, dolby_vision: DolbyVision | None) -> str:
    if kind == "DOVI_METADATA" and dolby_vision is not None:
        return f"Dolby Vision profile {dolby_vision.profile} (its base layer is kept)"
    return LABELS[kind]


def labels_of(info: VideoInfo) -> list[str]:
    """Return words for the side data of the first frame."""
    profile = info.dolby_vision and f"Dolby Vision profile {info.dolby_vision.profile}"
    return [profile if profile and kind == "DOVI_METADATA" else LABELS[kind] for kind in info.side_data]


def caption_messages(data: bytes) -> list[Message]:
    """Convert CTA-708 caption data as in ATSC A/53 part 4, 6.2.3: triples of flags with a type, and two
    bytes.
    """
    parts = [data[start : start + 3 * _TRIPLES] for start in range(0, len(data) // 3 * 3, 3 * _TRIPLES)]
    return [
        _t35("A53_CC", _ATSC + b"GA94" + bytes([3, 0xC0 | len(part) // 3, 0xFF]) + part + b"\xff")
        for part in parts
    ]


def _active_format(data: bytes) -> list[Message]:
    """Convert the active format as in ETSI TS 101 154, B.3: a flag that a format follows, and the format."""
    return [_t35("AFD", _ATSC + b"DTG1" + bytes([0x41, 0xF0 | data[0] & 15]))] if data else []


def _hdr10plus(data: bytes) -> list[Message]:
    message = hdr10plus_message(data)
    return [] if message is None else [_t35("DYNAMIC_HDR_PLUS", message)]


def _ambient(data: bytes) -> list[Message]:
    """Convert as in ITU-T H.274, 8.10: illuminance in units of 1/10000 lux, the light's x and y in units of
    1/50000.
    """
    if len(data) < _AMBIENT.size:
        return []
    lux, lux_parts, x, x_parts, y, y_parts = _AMBIENT.unpack_from(data)
    if not (lux_parts and x_parts and y_parts):
        return []
    values = (lux * 10_000 // lux_parts, x * 50_000 // x_parts, y * 50_000 // y_parts)
    if not (0 <= values[0] < 1 << 32 and all(0 <= value < 1 << 16 for value in values[1:])):
        return []
    payload = struct.pack(">IHH", *values)
    return [Message(kind="AMBIENT_VIEWING_ENVIRONMENT", payload_type=_AMBIENT_TYPE, payload=payload)]


def _unregistered(data: bytes) -> list[Message]:
    if len(data) < 16 or data.startswith(_ENCODERS_OWN):
        return []
    return [Message(kind="SEI_UNREGISTERED", payload_type=_UNREGISTERED_TYPE, payload=data)]


def _is_off_center(data: bytes) -> bool:
    """Return whether the window of an AVPanScan is off centre; MPEG-2 has a centred one in every frame."""
    return len(data) >= _PANSCAN.size and any(_PANSCAN.unpack_from(data)[3:])


def _is_partial(data: bytes) -> bool:
    """Return whether an AVMasteringDisplayMetadata has only primaries, or only luminances."""
    return len(data) >= _MASTERING_FLAGS.size and _MASTERING_FLAGS.unpack_from(data) in ((0, 1), (1, 0))


def _is_another_view(data: bytes) -> bool:
    """Return whether an AVStereo3D says that the other eye's view is outside of these frames (MV-HEVC)."""
    return len(data) >= 4 and int.from_bytes(data[:4], sys.byteorder) == _UNSPECIFIED_STEREO


_IS_RELEVANT: dict[str, Callable[[bytes], bool]] = {
    "PANSCAN": _is_off_center,
    "MASTERING_DISPLAY_METADATA": _is_partial,
    "STEREO3D": _is_another_view,
}
_ALIASES = {"MASTERING_DISPLAY_METADATA": "PARTIAL_MASTERING", "STEREO3D": "VIEW_ID"}


def _t35(kind: str, payload: bytes) -> Message:
    return Message(kind=kind, payload_type=T35, payload=payload)


_MAKERS: dict[str, Callable[[bytes], list[Message]]] = {
    "A53_CC": caption_messages,
    "AFD": _active_format,
    "DYNAMIC_HDR_PLUS": _hdr10plus,
    "AMBIENT_VIEWING_ENVIRONMENT": _ambient,
    "SEI_UNREGISTERED": _unregistered,
}
