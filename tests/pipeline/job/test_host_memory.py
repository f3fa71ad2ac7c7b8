"""Results that are too large for host memory are rejected before the work, with the required memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.media_maker import make_clip
from vsr.errors import DeviceMemoryError
from vsr.media.decode.facts.probe import probe
from vsr.media.encode.encoder_choice import choose
from vsr.media.formats.containers import CONTAINERS
from vsr.pipeline.job.host_memory import BYTES, check_room, tight
from vsr.pipeline.job.output_size import TargetSize
from vsr.settings.schema import EncoderSettings

SIZE = TargetSize(height=1000, width=2000, sample_aspect_ratio=None)
ONE = 2_000_000 * BYTES


def test_frames_that_do_not_fit_are_rejected_with_the_required_memory() -> None:
    check_room(SIZE, batch=1, free=ONE)
    with pytest.raises(DeviceMemoryError, match=r"2000x1000 need about 0\.2 GiB"):
        check_room(SIZE, batch=1, free=ONE - 1)


def test_each_frame_of_a_batch_counts() -> None:
    check_room(SIZE, batch=4, free=4 * ONE)
    with pytest.raises(DeviceMemoryError):
        check_room(SIZE, batch=4, free=4 * ONE - 1)


@pytest.mark.parametrize(("encoder", "least"), [("ffv1", 20), ("libx264", 200)])
def test_memory_of_the_encoder_is_only_a_warning(encoder: str, least: int, tmp_path: Path) -> None:
    info = probe(make_clip(tmp_path / "in.mkv", frames=2))
    settings = EncoderSettings(encoder=encoder)
    plan = choose(settings, info, width=2000, height=1000, container=CONTAINERS[".mkv"])
    needed = ONE + 2_000_000 * least
    assert tight(SIZE, plan, batch=1, free=needed) == []
    assert encoder in tight(SIZE, plan, batch=1, free=needed - 1)[0]
