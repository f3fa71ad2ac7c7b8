"""Signs in the container that frames were lost, beside those that the decoder sees."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from av import VideoStream
from av.container import InputContainer

from vsr.media.decode.probe import is_indexed
from vsr.media.integrity.fragments import broken_fragment, skips_fragments
from vsr.media.integrity.transport import has_breaks


def confirmation_of_gaps(
    container: InputContainer, stream: VideoStream, path: str
) -> Callable[[], bool] | None:
    """What tells whether gaps are a loss, for the containers where nothing is to be seen near them."""
    if container.format.name == "mpegts":
        return partial(has_breaks, path)
    if "mp4" in container.format.name and not is_indexed(container, stream):
        return lambda: skips_fragments(path) or broken_fragment(path) is not None
    return None


def broken_fragment_note(path: str, kind: str) -> str | None:
    at = broken_fragment(path) if "mp4" in kind else None
    return None if at is None else f"the fragment at byte {at} is damaged and was skipped"
