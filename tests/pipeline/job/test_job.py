"""Which library uses the CPU's cores while a job runs."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from tests.media_maker import make_clip
from vsr.pipeline.job.job import Job
from vsr.pipeline.run import upscale
from vsr.settings.schema import EncoderSettings, UpscaleSettings

LOSSLESS = EncoderSettings(encoder="ffv1")


@pytest.mark.parametrize(
    ("backend", "device", "on_host"),
    [("torch", "cpu", True), ("openvino", "cpu", False), ("torch", "cuda", False), ("cuda", "cuda", False)],
)
def test_torch_uses_all_cores_only_if_its_operators_run_the_generator(
    backend: str, device: str, on_host: bool
) -> None:
    upscaler = SimpleNamespace(backend=backend, device=torch.device(device))
    assert Job.on_host.fget(SimpleNamespace(upscaler=upscaler)) is on_host  # type: ignore[attr-defined]


@pytest.mark.needs_cuda
@pytest.mark.parametrize("backend", ["torch", "cuda"])
def test_with_a_gpu_torch_leaves_the_cores_to_the_encoder(tmp_path: Path, backend: str) -> None:
    """With sixteen threads, copying planes waited 20 ms a frame for cores that x264 used."""
    source, seen = make_clip(tmp_path / "in.mkv", frames=4), set[int]()
    before = torch.get_num_threads()
    upscale(
        source,
        tmp_path / "out.mkv",
        UpscaleSettings(device="cuda", model="fast", backend=backend, encoder=LOSSLESS),  # type: ignore[arg-type]
        on_progress=lambda _: seen.add(torch.get_num_threads()),
    )
    assert seen == {1}
    assert torch.get_num_threads() == before
