"""Signs in the container that frames were lost, beyond the errors that the decoder reports."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from av import VideoStream
from av.container import InputContainer

from vsr.media.decode.facts.probe import is_indexed
from vsr.media.integrity.fragments import broken_fragment, skips_fragments
from vsr.media.integrity.transport import has_breaks
from vsr.media.structure.avi_chunks import holds_no_frame


def confirmation_of_gaps(
    container: InputContainer, stream: VideoStream, path: str
) -> Callable[[], bool] | None:
    """Return a function that tells whether gaps between timestamps mean lost frames.

    None for the other containers: there, a gap counts as a loss only close to an error of the demuxer or
    decoder.
    """
    if container.format.name == "mpegts":
        return partial(has_breaks, path)
    if "mp4" in container.format.name and not is_indexed(container, stream, path):
        return lambda: skips_fragments(path) or broken_fragment(path) is not None
    return None


def harmless_holes(container: InputContainer, path: str) -> Callable[[int, int], bool] | None:
    """Return a function that tells whether the bytes between two packets hold no frame, or None."""
    return partial(holds_no_frame, path) if container.format.name == "avi" else None


def broken_fragment_note(path: str, kind: str) -> str | None:
    """Return a sentence about the first damaged fragment of a fragmented MP4 file, or None."""
    at = broken_fragment(path) if "mp4" in kind else None
    return None if at is None else f"the fragment at byte {at} is damaged and was skipped"
