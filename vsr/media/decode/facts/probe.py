"""Facts of a file and its video stream, read from the headers and the first frame.

Torch is not imported here, so that `vsr info` is quick.
"""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path

import av
from av import VideoFrame, VideoStream
from av.container import InputContainer

from vsr.color.spec import UNTAGGED, ColorSpec
from vsr.errors import InputError
from vsr.frame import VideoInfo
from vsr.media.decode.facts.ends import end_of
from vsr.media.decode.facts.track_facts import track_facts
from vsr.media.decoders.concatenated import can_start_over
from vsr.media.decoders.decoder import (
    READ_ERRORS,
    FrameDecoder,
    choose_stream,
    decoder_of,
    leave_out_others,
    read_packets,
)
from vsr.media.decoders.edited_times import frames_begun
from vsr.media.files.opening import ANIMATED_WEBP, MAX_PIXELS, is_animated_webp, open_media, shown
from vsr.media.files.protection import is_protected
from vsr.media.files.pyav import fraction, time_base_of
from vsr.media.files.stdio import is_pipe
from vsr.media.filters.fields import field_order_of
from vsr.media.integrity.truncation import has_avi_index
from vsr.media.metadata.messages import messages_of
from vsr.media.metadata.orientation import Matrix, ratio_of_ffmpeg, rotation_of
from vsr.media.metadata.tags import (
    color_of,
    content_light_of,
    details_of,
    display_matrix_of,
    dolby_vision_of,
    mastering_display_of,
    spherical_of,
    stereo_of,
)
from vsr.media.pixels.layouts import layout_of
from vsr.media.remote.places import name_of

FIRST_FRAME_PACKETS = 2000
"""The number of packets without a frame after which reading gives up: more than a minute of video."""
RUNNING_CLOCKS = frozenset(
    {"mpegts", "mpeg", "wtv", "pva", "ty", "flv", "live_flv", "asf", "asf_o", "rm", "dhav"}
)
"""FFmpeg's demuxers of recorded broadcasts and live streams. Their clock ran before the recording began, so
the earliest time is the recording's zero. In other containers (MP4, Matroska) an offset is intended."""
_AVIF_BRANDS = ("avif", "avis")
_ENCRYPTED = "{}: its frames are encrypted. Remove the copy protection first"
FASTEST = 1000
"""The highest plausible frame rate. A higher one that equals the clock rate is not a frame rate."""
_DURATION_TAG = re.compile(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)")


def probe(
    path: str | Path,
    *,
    video_stream: int | None = None,
    max_pixels: int = MAX_PIXELS,
    color: ColorSpec = UNTAGGED,
) -> VideoInfo:
    """Read the facts of a file's video stream. The first frame is decoded, because headers often lack some of
    them.

    Args:
        path: Path of a local file.
        video_stream: Index among all streams; None takes FFmpeg's choice, except cover pictures.
        max_pixels: Larger frames are refused.
        color: Colour tags that override those of the file.

    Raises:
        ConfigError: `video_stream` is not a video stream.
        InputError: the file cannot be opened, contains no video, or none of its frames can be decoded.
    """
    with open_media(path, max_pixels=max_pixels) as container:
        stream = choose_stream(container, str(path), index=video_stream)
        decoder = decoder_of(stream, threads=1, max_pixels=max_pixels)
        frame = first_frame(container, stream, decoder, str(path), max_pixels=max_pixels)
        return describe(container, stream, frame, str(path), color=color)


def describe(
    container: InputContainer,
    stream: VideoStream,
    frame: VideoFrame,
    path: str,
    *,
    color: ColorSpec = UNTAGGED,
) -> VideoInfo:
    """Return the `VideoInfo` of an open stream, whose first frame is `frame`."""
    details = details_of(frame)
    layout = layout_of(frame.format.name)
    codec = stream.codec_context.codec.canonical_name
    matrix, facts = display_matrix_of(frame), track_facts(container, stream, path)
    order, by_container = field_order_of(codec, details.field_order, stream.codec_context.field_order)
    tagged = color.over(color_of(frame, details.chroma_location))
    rules = "avif" if container.metadata.get("major_brand") in _AVIF_BRANDS else codec
    complete, guesses = tagged.guess_for(width=frame.width, height=frame.height, layout=layout, codec=rules)
    return VideoInfo(
        path=name_of(path),
        stream_index=stream.index,
        codec=codec,
        width=frame.width,
        height=frame.height,
        pixel_format=frame.format.name,
        layout=layout,
        tagged=tagged,
        color=complete,
        guesses=tuple(guesses),
        time_base=fraction(stream.time_base) or Fraction(1, 1000),
        frame_rate=_frame_rate(stream),
        sample_aspect_ratio=_sample_aspect_ratio(stream, matrix),
        rotation=round(frame.rotation / 90) * 90 % 360,
        display_matrix=matrix and rotation_of(matrix)[0],
        field_order=order,
        fields_by_container=by_container,
        start_seconds=_first_shown(stream, frame),
        clock_start=_clock_start(container),
        duration_seconds=duration_seconds(container, stream, path),
        may_go_on=can_start_over(container) or container.format.name == "ogg",
        frames_promised=frames_promised(container, stream, path),
        mastering_display=mastering_display_of(frame),
        content_light=content_light_of(frame),
        crop=facts.crop,
        stereo=stereo_of(frame),
        spherical=spherical_of(frame),
        dolby_vision=facts.dolby_vision or dolby_vision_of(frame, codec),
        side_data=messages_of(frame)[1],
    )


def duration_seconds(container: InputContainer, stream: VideoStream, path: str) -> Fraction | None:
    """Return the duration of the video if the container states it, else that of the whole file, else None."""
    if stream.duration and stream.time_base:
        return _lasting(stream, path) * time_base_of(stream)
    end = _end_tag(stream)
    if end is not None:
        return end - (_start_seconds(stream) or 0)
    return Fraction(container.duration, av.time_base) if container.duration else None


def _lasting(stream: VideoStream, path: str) -> int:
    """Return the duration of a stream that states it, in ticks."""
    end = end_of(stream, path)
    return (stream.duration or 0) if end is None else end - (stream.start_time or 0)


def frames_promised(container: InputContainer, stream: VideoStream, path: str) -> int | None:
    """Return how many frames the container says it holds; None if it does not say.

    MP4 and AVI have an index. Matroska states only when the last frame ends, so with a constant rate the
    result is an estimate that may be wrong by a frame.
    """
    if is_indexed(container, stream, path):
        shown = sum(entry.size > 0 and not entry.is_discard for entry in stream.index_entries)
        return shown + frames_begun(container, stream, path)
    if stream.frames:
        return stream.frames
    end, rate = _end_tag(stream), fraction(stream.average_rate)
    if end is None or rate is None or rate != fraction(stream.base_rate):
        return None
    return round((end - (_start_seconds(stream) or 0)) * rate)


def is_indexed(container: InputContainer, stream: VideoStream, path: str) -> bool:
    """Return whether the container has a complete list of packets. Fragmented MP4 and AVI without an index do
    not.
    """
    entries = len(stream.index_entries)
    kind = container.format.name.split(",")[0]
    if kind == "mov":  # edit lists may leave fewer entries than `frames`
        return stream.frames > 0 and entries > 0
    if kind != "avi" or not entries:
        return False
    # The header also counts empty packets (dropped frames), which FFmpeg leaves out of the index.
    return 0 < stream.frames <= entries or has_avi_index(path)


def first_frame(
    container: InputContainer,
    stream: VideoStream,
    decoder: FrameDecoder,
    path: str,
    *,
    max_pixels: int = MAX_PIXELS,
) -> VideoFrame:
    """Decode the first frame of a stream. The container must be at its start.

    Raises:
        InputError: the frames are encrypted, or none can be decoded.
    """
    if not is_pipe(path) and is_protected(path, container.format.name, stream.id):
        raise InputError(_ENCRYPTED.format(shown(path)))
    leave_out_others(container, stream)
    errors: list[Exception] = []
    for number, packet in enumerate(read_packets(container, errors.append, path=path)):
        if packet.stream_index != stream.index:
            continue
        if packet.has_sidedata("encryption_info"):
            raise InputError(_ENCRYPTED.format(shown(path)))
        try:
            for frame in decoder.decode(packet):
                return frame
        except READ_ERRORS as error:
            errors.append(error)
        if number >= FIRST_FRAME_PACKETS:
            break
    try:
        for frame in decoder.decode(None):
            return frame
    except READ_ERRORS as error:
        errors.append(error)
    if stream.codec_context.codec.canonical_name == "webp" and is_animated_webp(path):
        raise InputError(f"{shown(path)}: is {ANIMATED_WEBP}")
    what = f"{shown(path)}: no frame of video stream {stream.index} can be decoded"
    raise InputError(f"{what} ({_why(stream, errors, max_pixels)}). Try to play it")


def _why(stream: VideoStream, errors: list[Exception], max_pixels: int) -> str:
    if not stream.codec_context.width:  # the demuxer does not set it if the header states too large a size
        return f"their size is unknown, or over the limit of {max_pixels} pixels, see `max_pixels`"
    return str(getattr(errors[0], "strerror", None) or errors[0]) if errors else "the stream is empty"


def _sample_aspect_ratio(stream: VideoStream, matrix: Matrix | None) -> Fraction | None:
    """Return the ratio that the file states, times the stretching of the display matrix."""
    stated = fraction(stream.sample_aspect_ratio) or fraction(stream.codec_context.sample_aspect_ratio)
    stretch = rotation_of(matrix)[1] if matrix else Fraction(1)
    if matrix is None or stretch == 1:
        return stated
    guessed = ratio_of_ffmpeg(matrix)
    if stated is not None and guessed is not None and abs(stated / guessed - 1) < Fraction(1, 500):
        stated = None  # FFmpeg computed it from the matrix
    return (stated or 1) * stretch


def _start_seconds(stream: VideoStream) -> Fraction | None:
    if stream.start_time is None or not stream.time_base:
        return None
    return stream.start_time * time_base_of(stream)


def _frame_rate(stream: VideoStream) -> Fraction | None:
    """Return FFmpeg's average rate; for raw DV, whose average is the clock rate, its guessed rate."""
    average, guessed = fraction(stream.average_rate), fraction(stream.guessed_rate)
    ticks = average is not None and average > FASTEST and average * time_base_of(stream) == 1
    return guessed or average if average is None or ticks else average


def _first_shown(stream: VideoStream, frame: VideoFrame) -> Fraction | None:
    """Return when the first frame is shown. The stream may begin with frames that cannot be decoded."""
    ticks = frame.dts if frame.pts is None else frame.pts
    if ticks is None or stream.time_base is None:
        return _start_seconds(stream)
    return ticks * stream.time_base


def _clock_start(container: InputContainer) -> Fraction:
    """Return the start of the earliest stream. FFmpeg knows which stream that is, but rounds to
    microseconds.
    """
    if container.format.name not in RUNNING_CLOCKS or container.start_time is None:
        return Fraction(0)
    rounded = Fraction(container.start_time, av.time_base)
    known = [s for s in container.streams if s.start_time is not None and s.time_base is not None]
    starts = [Fraction(s.start_time or 0) * (s.time_base or 1) for s in known]
    return min(starts, key=lambda start: abs(start - rounded), default=rounded)


def _end_tag(stream: VideoStream) -> Fraction | None:
    """Return when the stream's last frame ends, in seconds, from Matroska's statistics tag DURATION."""
    found = _DURATION_TAG.fullmatch(stream.metadata.get("DURATION", ""))
    if found is None:
        return None
    return int(found[1]) * 3600 + int(found[2]) * 60 + Fraction(found[3])
