"""The sink of a worker, which makes only those segments that it was given, and no file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from vsr.color.spec import ColorSpec, PixelLayout
from vsr.errors import OutputError, VsrError
from vsr.frame import Damage, VideoInfo, YuvFrame
from vsr.media.encode.encoder_choice import EncoderPlan
from vsr.media.encode.segments import Segment
from vsr.media.files.opening import shown
from vsr.media.formats.containers import Container
from vsr.media.formats.muxers import cannot_write
from vsr.media.mux.resumable.segment_maker import Making, SegmentMaker
from vsr.media.mux.resumable.source_hash import SourceHashes
from vsr.media.mux.resumable.stored_parts import stored_name
from vsr.media.mux.sink import VideoSink
from vsr.media.mux.sink_report import SinkReport
from vsr.media.passthrough.stream_kinds import StreamPlan
from vsr.media.remote.folder import StoreFolder
from vsr.system.folders import open_own_folder

Made = Callable[[int, str, str, Segment], None]
"""Called with the number, the name in the work folder, the SHA-256 and the trailer of a finished segment."""


class WorkerSink:
    """Encodes the frames of segments into files with temporary names in a work folder of another process.

    With a folder of a store, the files are made in a folder of this machine, and are put into the store when
    they are complete.
    """

    def __init__(
        self,
        checked: VideoSink,
        info: VideoInfo,
        container: Container,
        *,
        folder: Path,
        worker: str,
        length: int,
        store: StoreFolder | None = None,
    ) -> None:
        """Open the work folder.

        Args:
            checked: The output, opened as a test and aborted.
            info: Of the video that is written.
            container: Of the output.
            folder: The work folder; another process holds its lock.
            worker: Name of this worker, part of the names of its files.
            length: The number of frames in a segment.
            store: Where finished segments are put; None leaves them in `folder`.

        Raises:
            OutputError: the folder is missing, or belongs to another user.
        """
        self.plan: EncoderPlan = checked.plan
        self.streams: StreamPlan = checked.streams
        self.warnings: list[str] = list(checked.warnings)
        self.fates = checked.fates
        """What becomes of each stream of the source."""
        self.length = length
        self.damage = Damage()
        self.made: Made = lambda number, name, digest, segment: None
        self._store = store
        self.frames = 0
        self._target, self._info, self._container, self._worker = checked.target, info, container, worker
        try:
            self._folder = open_own_folder(folder)
        except OSError as error:
            raise OutputError(
                f"{shown(folder)}: the work folder cannot be used ({error.strerror})"
            ) from error
        self.begin()

    @property
    def layout(self) -> PixelLayout:
        """The layout of the frames that `write` takes."""
        return self.plan.layout

    @property
    def color(self) -> ColorSpec:
        """The colour of the frames that `write` takes."""
        return self.plan.color

    def begin(self) -> None:
        """Start to decode the source, for the first time or again."""
        self.hashes = SourceHashes(self.length)
        making = Making(
            length=self.length,
            path=lambda number: self._folder.inside / self._name(number),
            source=self.hashes.of,
            before=lambda: None,
            done=self._done,
        )
        self._maker = SegmentMaker(self.plan, self._info, self._container, making)

    def write(self, frame: YuvFrame) -> None:
        """Encode a frame of a segment.

        Raises:
            DeviceError: the encoder failed.
            OutputError: the disk is full.
        """
        try:
            self._maker.write(frame)
        except OSError as error:
            raise cannot_write(self._target, error) from error
        self.frames += 1

    def end_frames(self) -> None:
        """Finish the last segment.

        Raises:
            DeviceError: the encoder failed.
            OutputError: the disk is full.
        """
        try:
            self._maker.end()
        except OSError as error:
            raise cannot_write(self._target, error) from error

    def finish(self) -> SinkReport:
        """Raise an error, because a worker makes no file."""
        raise VsrError(f"{shown(self._target)}: a worker cannot finish a file. Please report this bug")

    def drop_name(self) -> None:
        """Do nothing, because there is no file."""

    def abort(self) -> None:
        """Remove what is unfinished; may be called repeatedly."""
        self._maker.drop()

    def _name(self, number: int) -> str:
        return f"{number:08d}.{self._worker}.made"

    def _done(self, number: int, segment: Segment, digest: str) -> None:
        name = self._name(number)
        if self._store is not None:
            file, name = self._folder.inside / name, stored_name(number, digest)
            self._store.put(file, name)
            file.unlink()
        self.made(number, name, digest, segment)
