"""Opens the sink of a file, after a check of all that can be checked before the work.

These are the paths, the container, the encoder and the streams.
"""

from __future__ import annotations

from fractions import Fraction
from functools import partial
from pathlib import Path

from vsr.frame import VideoInfo
from vsr.media.decode.facts.alpha import without_unused_alpha
from vsr.media.encode.encoder_choice import choose
from vsr.media.files.output_path import check_target, deliver, make_anew, temporary_beside
from vsr.media.formats.containers import container_of
from vsr.media.mux.sink import VideoSink
from vsr.media.passthrough.stream_plan import plan_streams
from vsr.settings.schema import EncoderSettings


def open_sink(
    target: Path,
    *,
    source: Path,
    info: VideoInfo,
    width: int,
    height: int,
    settings: EncoderSettings,
    overwrite: bool = False,
    start: Fraction | None = None,
    end: Fraction | None = None,
    strict: bool = False,
    temporary: Path | None = None,
) -> VideoSink:
    """Check everything, then open the output under a temporary name.

    Args:
        target: Path of the output; its suffix names the container.
        source: Path of the input, whose other streams are copied.
        info: Of the input's video.
        width: Width of the output in pixels.
        height: Height of the output in pixels.
        settings: Encoder, quality and options.
        overwrite: Replace an existing target at the very end.
        start: In seconds after the first frame; other streams and the output's times begin there.
        end: In seconds after the first frame; other streams end there.
        strict: Raise `InputError` at the first damage to other streams instead of counting it.
        temporary: Path of the unfinished file, on the disk of `local_place`; None chooses a name.

    Raises:
        ConfigError: the target exists or is the input; unknown suffix, encoder or option; they do not fit
            together.
        OutputError: the folder is missing or cannot be written to, or the container refuses the streams.
        DeviceError: a hardware encoder cannot start.
        InputError: the source cannot be opened.
    """
    place = check_target(target, source, overwrite=overwrite)
    container = container_of(target)
    seen = without_unused_alpha(info)
    plan = choose(settings, seen, width=width, height=height, container=container)
    streams = plan_streams(source, video_index=info.stream_index, target=target)
    if temporary is None:
        temporary = temporary_beside(place)
    try:
        make_anew(temporary, target)
        return VideoSink(
            target,
            temporary,
            partial(deliver, temporary, place, target, overwrite=overwrite),
            source,
            info,
            plan=plan,
            streams=streams,
            container=container,
            start=start,
            end=end,
            strict=strict,
        )
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
