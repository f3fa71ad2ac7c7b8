"""The sink of a preview, which encodes nothing: it says how frames would be given to the encoder."""

from __future__ import annotations

from vsr.color.spec import ColorSpec, PixelLayout
from vsr.errors import VsrError
from vsr.frame import Damage, VideoInfo, YuvFrame
from vsr.media.decode.facts.alpha import without_unused_alpha
from vsr.media.encode.encoder_choice import EncoderPlan, choose
from vsr.media.formats.containers import Container
from vsr.media.mux.sink_report import SinkReport
from vsr.media.passthrough.stream_kinds import StreamFate
from vsr.settings.schema import EncoderSettings


class FrameSink:
    """Has the layout and the colour of a result, and no file."""

    def __init__(
        self, info: VideoInfo, settings: EncoderSettings, container: Container, *, width: int, height: int
    ) -> None:
        """Choose the encoder as for a result.

        Args:
            info: Of the video that would be written.
            settings: Encoder, quality and options.
            container: Of the result.
            width: Of the result in pixels.
            height: Of the result in pixels.

        Raises:
            ConfigError: as `encoder_choice.choose`.
        """
        seen = without_unused_alpha(info)
        self.plan: EncoderPlan = choose(settings, seen, width=width, height=height, container=container)
        self.warnings: list[str] = []
        self.fates: list[StreamFate] = []
        self.damage = Damage()
        self.frames = 0

    @property
    def layout(self) -> PixelLayout:
        """The layout of the frames that an encoder would get."""
        return self.plan.layout

    @property
    def color(self) -> ColorSpec:
        """Their colour."""
        return self.plan.color

    def write(self, frame: YuvFrame) -> None:
        """Count a frame."""
        self.frames += 1

    def finish(self) -> SinkReport:
        """Raise an error, because a preview has no file."""
        raise VsrError("a preview has no file to finish. Please report this bug")

    def drop_name(self) -> None:
        """Do nothing, because there is no file."""

    def abort(self) -> None:
        """Do nothing, because there is no file."""
