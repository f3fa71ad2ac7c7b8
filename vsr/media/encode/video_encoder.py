"""Opens the video encoder and runs it. It handles no other streams."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, cast

import av
from av.container import OutputContainer
from av.video.stream import VideoStream

from vsr.color.spec import ChromaLocation
from vsr.errors import ConfigError, DeviceError
from vsr.frame import Message, Stamp, VideoInfo, YuvFrame
from vsr.media.encode.encoder_choice import EncoderPlan, codec_of
from vsr.media.encode.encoder_table import ENCODERS
from vsr.media.encode.encoder_trial import open_encoder
from vsr.media.metadata.bitstream import ONCE, TAKES, with_messages
from vsr.media.pixels.planes import to_av_frame

FALLBACK_RATE = Fraction(25)
"""The frame rate for rate control if the source states none; timestamps are never computed from it."""


class VideoEncoder:
    """An open encoder for the video stream of an output."""

    def __init__(self, output: OutputContainer, plan: EncoderPlan, info: VideoInfo) -> None:
        """Add a stream to `output` and open its encoder.

        Raises:
            DeviceError: the encoder's hardware or driver is missing.
            ConfigError: the encoder refuses size, format or options.
        """
        self.plan = plan
        self.bytes = 0
        """The size of all packets so far."""
        self.end = 0
        """When the last frame ends, in ticks. A frame without a duration lasts like the previous one."""
        self._stamps: dict[int, Stamp] = {}
        self._last: int | None = None
        self._codec = codec_of(plan.codec)
        self._takes = TAKES.get(self._codec, frozenset())
        self.stream = _add_stream(output, plan, info)
        _open(self.stream, plan)

    def encode(self, frame: YuvFrame) -> list[av.Packet[Any]]:
        """Return the packets that are ready after `frame`; their times are the frames', in the source's time
        base.

        Raises:
            DeviceError: the encoder failed.
        """
        av_frame = to_av_frame(frame, self.plan.pixel_format)
        av_frame.pts = self._in_order(frame.stamp)
        return self._stamped(self._encoded(av_frame, f"frame {frame.stamp.index}"))

    def flush(self) -> list[av.Packet[Any]]:
        """Return the packets that the encoder still holds; afterwards nothing can be encoded.

        Raises:
            DeviceError: the encoder failed.
        """
        return self._stamped(self._encoded(None, "its end"))

    def _encoded(self, frame: av.VideoFrame | None, where: str) -> list[av.Packet[Any]]:
        try:
            return self.stream.encode(frame)
        except av.FFmpegError as error:
            raise DeviceError(
                f"{self.plan.codec} failed at {where} ({error.strerror}); try another `encoder`"
            ) from error

    def _in_order(self, stamp: Stamp) -> int:
        """Return a timestamp for the encoder: the frame's own, or one tick after the previous one if it is
        not later.
        """
        step = 1 if self._last is None else max(1, stamp.pts - self._last)
        self.end = stamp.pts + (stamp.duration or step)
        pts = stamp.pts if self._last is None else max(stamp.pts, self._last + 1)
        self._stamps[pts] = stamp
        self._last = pts
        return pts

    def _stamped(self, packets: list[av.Packet[Any]]) -> list[av.Packet[Any]]:
        """Set each packet's own time, duration and messages; encoders drop the last two."""
        made = []
        for packet in packets:
            assert packet.pts is not None
            stamp = self._stamps.pop(packet.pts, None)
            if stamp is not None:
                packet.pts, packet.duration = stamp.pts, stamp.duration
                packet = self._with_messages(packet, stamp.messages)
            self.bytes += packet.size
            made.append(packet)
        return made

    def _with_messages(self, packet: av.Packet[Any], messages: tuple[Message, ...]) -> av.Packet[Any]:
        """Return the packet with those of the messages that the codec supports."""
        wanted = [m for m in messages if m.kind in self._takes and (packet.is_keyframe or m.kind not in ONCE)]
        data = with_messages(self._codec, bytes(packet), wanted) if wanted else None
        if data is None:
            return packet
        made: av.Packet[Any] = av.Packet(data)
        made.stream, made.is_keyframe = packet.stream, packet.is_keyframe
        made.time_base, made.duration = packet.time_base, packet.duration
        made.pts, made.dts = packet.pts, packet.dts
        return made


def _add_stream(output: OutputContainer, plan: EncoderPlan, info: VideoInfo) -> VideoStream:
    rate = info.frame_rate or FALLBACK_RATE
    stream = cast(VideoStream, output.add_stream(plan.codec, rate=rate, options=dict(plan.options)))
    context = stream.codec_context
    context.width, context.height, context.pix_fmt = plan.width, plan.height, plan.pixel_format
    context.time_base = info.time_base
    stream.time_base = info.time_base
    context.thread_count = plan.threads
    context.thread_type = "AUTO"  # PyAV's default makes libx264 use as many slices as threads
    if plan.tag:
        context.codec_tag = plan.tag
    context.color_primaries = int(plan.color.primaries)
    context.color_trc = int(plan.color.transfer)
    context.colorspace = int(plan.color.matrix)
    context.color_range = int(plan.color.range)
    if plan.color.chroma_location is not ChromaLocation.UNSPECIFIED and plan.layout.chroma_shift == (1, 1):
        context.options["chroma_sample_location"] = str(int(plan.color.chroma_location))
    if info.sample_aspect_ratio:
        context.sample_aspect_ratio = info.sample_aspect_ratio
    if info.display_matrix is not None:
        stream.set_display_matrix(info.display_matrix)
    return stream


def _open(stream: VideoStream, plan: EncoderPlan) -> None:
    context = stream.codec_context
    try:
        open_encoder(context)
    except (av.FFmpegError, ValueError) as error:
        raise _refusal(plan, error) from error
    if context.options:  # FFmpeg leaves unused options here
        key = next(iter(context.options))
        raise ConfigError(f"{plan.codec} did not use the option {key}={context.options[key]}; leave it out")


def _refusal(plan: EncoderPlan, error: Exception) -> ConfigError | DeviceError:
    """Return the error for an encoder that did not open, in one line."""
    needs = ENCODERS[plan.codec].needs if plan.codec in ENCODERS else None
    if needs is not None:
        return DeviceError(
            f"{plan.codec} cannot start: it needs {needs}, and hardware that can encode {plan.width}x"
            f"{plan.height} {plan.pixel_format}; use `encoder='libx264'` or another software encoder"
        )
    reason = getattr(error, "strerror", None) or error
    options = " ".join(f"{key}={value}" for key, value in plan.options.items())
    return ConfigError(
        f"{plan.codec} refuses {plan.width}x{plan.height} {plan.pixel_format} with {options} ({reason}); "
        "check `options` and the size"
    )
