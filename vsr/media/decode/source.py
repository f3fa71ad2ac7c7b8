"""Frames of a file in display order, each with its timestamp in the source.

Packets are decoded one by one, so a packet that the decoder refuses costs only its own frame. Damage is
counted in `VideoSource.damage`. Repairs and unusual input are reported in `VideoSource.warnings`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import TracebackType

from av import VideoFrame, VideoStream
from av.container import InputContainer

from vsr.color.spec import UNTAGGED, ColorSpec
from vsr.frame import Damage, Stamp, VideoInfo, YuvFrame
from vsr.media.decode.completeness import broken_fragment_note, confirmation_of_gaps, harmless_holes
from vsr.media.decode.entry import Entry, UnexpectedFrameError, as_expected, find_entry
from vsr.media.decode.facts.ends import end_of
from vsr.media.decode.facts.probe import is_indexed, probe
from vsr.media.decode.facts.sizes import with_lasting_size
from vsr.media.decode.frame_reader import FrameReader
from vsr.media.decode.headers import notes_of_headers, refuse_false_colors
from vsr.media.decode.hwaccel import SOFTWARE, Decoding, accelerator, choose_decoding
from vsr.media.decode.interlacing import (
    AUTOMATIC,
    FieldWork,
    check_film,
    deinterlaced,
    field_work,
    info_after,
    run_up_of_fields,
)
from vsr.media.decode.timeline import Timeline, until_the_next, with_both_fields
from vsr.media.decode.uniform import Uniform
from vsr.media.decoders.concatenated import nominal_step
from vsr.media.decoders.decoder import RAW, choose_stream, decoder_of
from vsr.media.files.named import Named
from vsr.media.files.opening import MAX_PIXELS, open_media, shown
from vsr.media.files.stdio import is_pipe, place_of, standard_input
from vsr.media.filters.deinterlace import Stamped
from vsr.media.filters.filters import FilterChain, filtered_info, parse, run_up_of
from vsr.media.integrity.damage import DamageWatch
from vsr.media.integrity.truncation import cut_off, unread_bytes
from vsr.media.metadata.messages import messages_of
from vsr.media.pixels.planes import repacked, to_planes
from vsr.media.remote.blocks import hold, release
from vsr.media.structure.walk import structure_of
from vsr.settings.schema import Deinterlace, ForcedOrder, Hwaccel

UNCOUNTED = "the file is a bare stream without a container, so it cannot be checked for missing frames"


def open_video(
    path: Named,
    *,
    video_stream: int | None = None,
    deinterlace: Deinterlace = "auto",
    field_order: ForcedOrder = "auto",
    start: Fraction | None = None,
    end: Fraction | None = None,
    strict: bool = False,
    threads: int = 0,
    max_pixels: int = MAX_PIXELS,
    color: ColorSpec = UNTAGGED,
    filters: Sequence[str] = (),
    hwaccel: Hwaccel = "none",
    card: int = 0,
    allow_network: bool = False,
) -> VideoSource:
    """Open the video of a file, to iterate over its frames, each with its timestamp.

    Args:
        path: Path of a local file, a URL, or a file object that is open for reading, which must stay open.
        video_stream: Index among all streams; None takes FFmpeg's choice, except cover pictures.
        deinterlace: `auto` deinterlaces frames that are flagged as interlaced, with bwdif, to one frame each,
            and `double` to one for each field; `film` reverses NTSC's telecine; `off` changes nothing;
            `top-first` and `bottom-first` are `auto` with that field order.
        field_order: Field order of all frames, whatever their flags say; `auto` uses the flags.
        start: In seconds after the first frame; earlier frames are left out.
        end: In seconds after the first frame; this frame and later ones are left out.
        strict: Raise `InputError` at the first damage instead of counting it.
        threads: Number of decoder threads; 0 lets FFmpeg decide.
        max_pixels: Larger frames are refused, even if the size changes within the video.
        color: Colour tags that override those of the file.
        filters: Filters of `media.filters.filters` as `name=arguments`, applied in this order.
        hwaccel: `auto` decodes on an NVIDIA GPU if its frames equal software's; `cuda` requires that.
        card: CUDA index of the GPU.
        allow_network: Whether the network may be used for a URL.

    Raises:
        ConfigError: `video_stream` is not a video stream, or a filter cannot be applied.
        DeviceError: `hwaccel` requires a GPU, and it cannot decode the video.
        InputError: the file cannot be opened, contains no video, none of its frames can be decoded, or its
            colours would be wrong (Dolby Vision profile 5).
    """
    work = field_work(deinterlace, field_order)
    place = place_of(path, allow_network=allow_network)
    hold(place)
    try:
        info = probe(place, video_stream=video_stream, max_pixels=max_pixels, color=color)
        refuse_false_colors(info, color)
        decoding = choose_decoding(info, hwaccel, card=card, strict=strict, max_pixels=max_pixels)
        info = with_lasting_size(info, max_pixels=max_pixels)
    except BaseException:
        release(place)
        raise
    return VideoSource(
        info,
        fields=work,
        start=start,
        end=end,
        strict=strict,
        threads=threads,
        max_pixels=max_pixels,
        color=color,
        filters=filters,
        decoding=decoding,
        held=place,
    )


class VideoSource:
    """The frames of one video stream. It is a context manager."""

    def __init__(
        self,
        info: VideoInfo,
        *,
        fields: FieldWork = AUTOMATIC,
        start: Fraction | None = None,
        end: Fraction | None = None,
        strict: bool = False,
        threads: int = 0,
        max_pixels: int = MAX_PIXELS,
        color: ColorSpec = UNTAGGED,
        filters: Sequence[str] = (),
        decoding: Decoding = SOFTWARE,
        held: Path | None = None,
    ) -> None:
        self._held = held
        self.warnings = [] if decoding.note is None else [decoding.note]
        """Repairs and unusual input, a sentence each; grows while frames are read."""
        self.decoding = decoding
        """The device that decodes."""
        self.side_data = dict.fromkeys(info.side_data)
        """Kinds of side data of the frames so far, in the order of their first appearance."""
        self._raw = info
        self._filters = parse(filters, where="filters_before")
        check_film(fields, info)
        self._info = filtered_info(info_after(info, fields), self._filters, where="filters_before")
        self._fields = fields
        self._start, self._end = start, end
        self._strict, self._threads, self._max_pixels = strict, threads, max_pixels
        self._color = color
        self._uniform = Uniform(info, color, self._warn)
        self._watch = DamageWatch(shown(info.path), strict=strict)
        self._timeline = Timeline(time_base=info.time_base, step=1)
        self._closed = False
        self.skipped = 0
        """The number of frames that `frames` left out because `wanted` refused them."""
        self.begins_late: bool | None = None
        """Whether the last call of `frames` for a later part of the video began to decode near that part;
        None before such a call."""
        for note in notes_of_headers(self._info, self._raw, self._fields):
            self._warn(note)

    @property
    def info(self) -> VideoInfo:
        """Facts of the frames that `frames` yields."""
        return self._info

    @property
    def damage(self) -> Damage:
        """Damage found in the frames that were read so far; complete when `frames` has ended."""
        return self._watch.damage

    def __iter__(self) -> Iterator[YuvFrame]:
        """Iterate over all frames; see `frames`."""
        return self.frames()

    def frames(
        self, first: int = 0, stop: int | None = None, *, wanted: Callable[[YuvFrame], bool] | None = None
    ) -> Iterator[YuvFrame]:
        """Yield frames in presentation order, each once. Every call counts damage anew.

        Frames before the first one to yield are not decoded where that cannot change a later frame, its
        number or its time (`vsr.media.decode.entry`). Damage in them is not found then.

        Args:
            first: Number of the first frame to yield, counted from the start of the stream.
            stop: Number of the first frame not to yield; None yields all to the end.
            wanted: Returns whether to yield a frame; other frames are counted in `skipped`. None yields all.

        Raises:
            InputError: with `strict`, at the first damage.
        """
        entry = self._entry(first, self._start)
        if first:
            self.begins_late = entry is not None
        yield from self._from(entry, first, stop, wanted)

    def _entry(self, index: int, start: Fraction | None) -> Entry | None:
        """Return where decoding can begin; None is the start of the stream."""
        needed, own = run_up_of(self._filters), run_up_of_fields(self._fields)
        if needed is None or own is None:
            return None
        index //= self._fields.per_frame
        limits = {"threads": self._threads, "max_pixels": self._max_pixels}
        return find_entry(
            self._raw, index=index, start=start, run_up=needed + own, stopped=self._is_closed, **limits
        )

    def _from(
        self,
        entry: Entry | None,
        first: int,
        stop: int | None,
        wanted: Callable[[YuvFrame], bool] | None,
    ) -> Iterator[YuvFrame]:
        """Yield frames as `frames` does, decoded from an entry; from the start where that fails."""
        warnings, side_data = list(self.warnings), dict(self.side_data)
        try:
            yield from self._read(entry, first, stop, wanted)
        except UnexpectedFrameError:  # it comes before the first frame that is yielded
            self.warnings[:], self.side_data = warnings, side_data
            yield from self._read(None, first, stop, wanted)

    def _read(
        self,
        entry: Entry | None,
        first: int,
        stop: int | None,
        wanted: Callable[[YuvFrame], bool] | None,
    ) -> Iterator[YuvFrame]:
        self.skipped = 0
        accelerated = accelerator(self.decoding.card)
        with open_media(
            self._info.path, max_pixels=self._max_pixels, last=True, hwaccel=accelerated
        ) as container:
            stream = choose_stream(container, self._info.path, index=self._info.stream_index)
            confirm = confirmation_of_gaps(container, stream, self._info.path)
            harmless = harmless_holes(container, self._info.path)
            self._watch = DamageWatch(
                shown(self._info.path), strict=self._strict, confirm=confirm, harmless=harmless
            )
            if container.format.name in RAW:
                self._warn(UNCOUNTED)
            timeline = self._timeline = self._new_timeline(stream)
            stamped = self._stamped(container, stream, timeline, entry)
            if not is_pipe(self._info.path):  # a live frame must not wait for the next one
                stamped = with_both_fields(stamped)
            if "mp4" in container.format.name:
                stamped = until_the_next(stamped, lambda: self._end_of(stream))
            frames = deinterlaced(stamped, self._raw, self._fields, self._warn)
            for frame, stamp in self._filtered(frames):
                reached = stamp.index >= first and self._in_range(stamp.seconds, timeline)
                if self._is_past(stamp.index, stop, stamp.seconds, timeline) or self._closed:
                    return
                if not reached:
                    continue
                planar = self._as_planes((frame, stamp))
                if wanted is None or wanted(planar):
                    yield planar
                else:
                    self.skipped += 1

    def reopen(self) -> None:
        """Let `frames` be called again after `close`; not for a pipe."""
        self._closed = False

    @property
    def is_closed(self) -> bool:
        """Whether `close` was called, so that a running `frames` ends before the video does."""
        return self._closed

    def _is_closed(self) -> bool:
        return self._closed

    def close(self) -> None:
        """Stop a running `frames` at its next frame, even while it waits for a pipe."""
        self._closed = True
        if is_pipe(self._info.path):
            standard_input().stop()
        if self._held is not None:
            held, self._held = self._held, None
            release(held)

    def __enter__(self) -> VideoSource:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _stamped(
        self, container: InputContainer, stream: VideoStream, timeline: Timeline, entry: Entry | None
    ) -> Iterator[Stamped]:
        """Yield the frames from `entry` on with one size and layout and with their stamps; check the file's
        completeness at the end.
        """
        decoder = decoder_of(stream, threads=self._threads, max_pixels=self._max_pixels)
        self._uniform = Uniform(self._raw, self._color, self._warn)
        reader = FrameReader(self._raw, self.decoding, self._watch, self._warn, entry, self._is_closed)
        frames = reader.frames(container, stream, decoder)
        if entry is not None:
            frames = as_expected(frames, entry)
            timeline.begin_at(entry)
            self._watch.left_out(entry.index)
            self._uniform.begin_after(entry.first, self._raw.time_base)
        for frame, time in frames:
            stamp = timeline.stamp(frame, time)
            self._watch.frame(frame, stamp)
            if not self._raw.may_go_on and container.format.name not in RAW:
                self._watch.starts_over(timeline.sections)
            for note in timeline.notes:
                self._warn(note)
            yield self._uniform.frame(frame, stamp, decoder), self._with_messages(frame, stamp)
        path, kind = self._info.path, container.format.name
        found = structure_of(path, kind)
        self._watch.finish(
            promised=max(self._raw.frames_promised or 0, found.frames or 0) or None,
            exact=is_indexed(container, stream, path) or found.frames is not None,
            cut_off=cut_off(path, kind) or broken_fragment_note(path, kind) or found.fault,
            unread=unread_bytes(path, kind, self._watch.end_of_last_packet),
        )

    def _end_of(self, stream: VideoStream) -> int | None:
        """Return the end of the video in ticks; None if frames are missing."""
        return None if self.damage else end_of(stream, self._info.path)

    def _with_messages(self, frame: VideoFrame, stamp: Stamp) -> Stamp:
        """Return the stamp with the side data of the frame."""
        messages, kinds = messages_of(frame)
        self.side_data |= dict.fromkeys(kinds)
        return replace(stamp, messages=messages) if messages else stamp

    def _filtered(self, frames: Iterator[Stamped]) -> Iterator[Stamped]:
        if not self._filters:
            yield from frames
            return
        chain = FilterChain(self._filters)
        for frame, stamp in frames:
            yield from chain.push(frame, stamp)
        yield from chain.drain()

    def _as_planes(self, stamped: Stamped) -> YuvFrame:
        frame, stamp = stamped
        planes, alpha = to_planes(repacked(frame, self._info.layout))
        color = self._uniform.color(frame)
        return YuvFrame(planes=planes, alpha=alpha, layout=self._info.layout, color=color, stamp=stamp)

    def _new_timeline(self, stream: VideoStream) -> Timeline:
        return Timeline(time_base=self._raw.time_base, step=nominal_step(stream))

    def _in_range(self, seconds: Fraction, timeline: Timeline) -> bool:
        return self._start is None or seconds - timeline.first_seconds >= self._start

    def _is_past(self, index: int, stop: int | None, seconds: Fraction, timeline: Timeline) -> bool:
        if stop is not None and index >= stop:
            return True
        return self._end is not None and seconds - timeline.first_seconds >= self._end

    def _warn(self, text: str) -> None:
        if text not in self.warnings:
            self.warnings.append(text)
