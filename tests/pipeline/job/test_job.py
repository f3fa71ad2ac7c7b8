"""Whose the processor's cores are while a job runs."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from tests.media_maker import make_clip
from vsr.pipeline.job.job import Job
from vsr.pipeline.run import upscale_video
from vsr.settings.schema import EncoderSettings, UpscaleSettings

LOSSLESS = EncoderSettings(encoder="ffv1")


@pytest.mark.parametrize(
    ("backend", "device", "on_host"),
    [("torch", "cpu", True), ("openvino", "cpu", False), ("torch", "cuda", False), ("cuda", "cuda", False)],
)
def test_cores_are_torchs_only_where_its_operators_on_them_do_the_work(
    backend: str, device: str, on_host: bool
) -> None:
    upscaler = SimpleNamespace(backend=backend, device=torch.device(device))
    assert Job.on_host.fget(SimpleNamespace(upscaler=upscaler)) is on_host  # type: ignore[attr-defined]


@pytest.mark.needs_cuda
@pytest.mark.parametrize("backend", ["torch", "cuda"])
def test_beside_a_card_torch_leaves_the_cores_to_the_encoder(tmp_path: Path, backend: str) -> None:
    """Copies of planes on sixteen threads waited 20 ms a frame for cores that x264 had."""
    source, seen = make_clip(tmp_path / "in.mkv", frames=4), set[int]()
    before = torch.get_num_threads()
    upscale_video(
        source,
        tmp_path / "out.mkv",
        UpscaleSettings(device="cuda", model="fast", backend=backend, encoder=LOSSLESS),  # type: ignore[arg-type]
        on_progress=lambda _: seen.add(torch.get_num_threads()),
    )
    assert seen == {1}
    assert torch.get_num_threads() == before
