"""What the headers of a video say that a user has to know, or for which a video is refused."""

from __future__ import annotations

from collections.abc import Iterator

from vsr.color.spec import ColorSpec, Matrix
from vsr.errors import InputError
from vsr.frame import VideoInfo
from vsr.media.decode.interlacing import FieldWork, note_on_interlacing
from vsr.media.files.opening import shown
from vsr.media.files.stdio import is_pipe
from vsr.media.formats.edit_list import speeds_of
from vsr.media.pixels.layouts import repacking_note


def notes_of_headers(info: VideoInfo, raw: VideoInfo, fields: FieldWork) -> Iterator[str]:
    """Yield a sentence for each thing that the headers of a video say and that changes its frames.

    Args:
        info: Of the frames after filters and deinterlacing.
        raw: Of the frames as they are stored.
        fields: What is done with interlaced frames.
    """
    note = repacking_note(info.pixel_format)
    if note is not None:
        yield note
    if info.dolby_vision is not None and not info.dolby_vision.viewable:
        yield (
            "the colours are wrong: the video is Dolby Vision without a layer for other displays, and "
            "`color` sets its matrix"
        )
    if not is_pipe(info.path) and speeds_of(info.path):
        yield (
            "edits of this film play a part of it at another speed, or hold a frame; here every edit plays "
            "at the usual speed for its duration. Export the film anew with the program that made it"
        )
    interlacing = note_on_interlacing(raw, fields)
    if interlacing is not None:
        yield interlacing


def refuse_false_colors(info: VideoInfo, color: ColorSpec) -> None:
    """Refuse frames whose colours no matrix can convert, unless the user sets a matrix.

    Raises:
        InputError: the video is such a one, and `color` sets no matrix.
    """
    if info.dolby_vision is None or info.dolby_vision.viewable or color.matrix is not Matrix.UNSPECIFIED:
        return
    raise InputError(
        f"{shown(info.path)}: is Dolby Vision profile {info.dolby_vision.profile} without a layer for other "
        "displays: its colours would be wrong. Convert it to HDR10 first (FFmpeg's filter libplacebo can), "
        "or take the colours as they come with `color={'matrix': 'bt2020_ncl'}`"
    )
