"""Apple GPUs through torch's MPS, with a stand-in: no machine with one was at hand.

The stand-in computes on the CPU, in the number format that was asked for, and refuses what Metal lacks.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.media_maker import make_clip, numbers_of
from vsr.cli.commands.doctor import doctor
from vsr.engine import device
from vsr.engine.upscaler import Upscaler
from vsr.errors import ConfigError, DeviceError
from vsr.models.archs.compact import Compact, CompactConfig
from vsr.models.catalog import choose
from vsr.pipeline.run import upscale
from vsr.settings.schema import EncoderSettings, UpscaleSettings

GIB = 1 << 30
MPS = torch.device("mps")


class AppleGpu:
    """What was brought to it, and what it holds."""

    def __init__(self) -> None:
        self.formats: set[torch.dtype] = set()
        self.emptied = 0
        self.used = 2 * GIB


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> AppleGpu:
    found, real = AppleGpu(), torch.Tensor.to

    def to(tensor: torch.Tensor, *places: Any, **more: Any) -> torch.Tensor:
        if MPS in (*places, more.get("device")):
            asked = (*places, more.get("dtype"), tensor.dtype)
            wanted = next(one for one in asked if isinstance(one, torch.dtype))
            assert wanted not in (torch.float64, torch.uint16), f"Metal has no {wanted}"
            found.formats.add(wanted)
            places = tuple(torch.device("cpu") if place == MPS else place for place in places)
            more = {key: torch.device("cpu") if value == MPS else value for key, value in more.items()}
        return real(tensor, *places, **more)

    def empty() -> None:
        found.emptied += 1

    monkeypatch.setattr(torch.Tensor, "to", to)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.mps, "recommended_max_memory", lambda: 10 * GIB)
    monkeypatch.setattr(torch.mps, "current_allocated_memory", lambda: found.used)
    monkeypatch.setattr(torch.mps, "empty_cache", empty)
    monkeypatch.setattr(torch.mps, "synchronize", lambda: None)
    monkeypatch.setattr(device.host, "free_memory", lambda: 20 * GIB)
    return found


def test_auto_takes_it_and_its_number_format(gpu: AppleGpu) -> None:
    assert device.choose_device("auto") == device.choose_device("mps") == MPS
    assert device.choose_dtype("auto", MPS) is torch.float16
    assert device.choose_dtype("fp32", MPS) is torch.float32
    assert choose("auto", "mps")[0] == "fast"


def test_auto_passes_over_one_that_does_not_compute(gpu: AppleGpu, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> torch.Tensor:
        raise RuntimeError("MPS backend out of memory (MPS allocated: 0 bytes, max allowed: 7.93 GB)")

    monkeypatch.setattr(torch.Tensor, "to", refuse)
    assert device.choose_device("auto") == torch.device("cpu")
    assert device.choose_device("mps") == MPS


def test_where_there_is_none_it_is_an_error_that_says_what_to_do() -> None:
    if torch.backends.mps.is_available():
        pytest.skip("this machine has one")
    with pytest.raises(DeviceError, match=r"no Apple GPU.*device='cpu'"):
        device.choose_device("mps")
    with pytest.raises(ConfigError, match="use auto, cpu, mps, cuda"):
        device.choose_device("vulkan")


def test_its_memory_is_what_metal_recommends_and_the_machine_has(
    gpu: AppleGpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert device.total_memory(MPS) == 10 * GIB
    assert device.free_memory(MPS) == 8 * GIB
    monkeypatch.setattr(device.host, "free_memory", lambda: 3 * GIB)
    assert device.free_memory(MPS) == 3 * GIB
    gpu.used = 11 * GIB
    assert device.free_memory(MPS) == 0
    device.release_cache(MPS)
    assert gpu.emptied == 1


def test_out_of_memory_is_known_by_metals_words() -> None:
    assert device.is_out_of_memory(RuntimeError("MPS backend out of memory (MPS allocated: 9 GB, ...)"))


def test_images_stay_on_the_host_and_only_float16_goes_to_it(gpu: AppleGpu) -> None:
    torch.manual_seed(0)
    network = Compact(CompactConfig(scale=2, nf=8, nc=2)).eval()
    on_gpu = Upscaler(network, device_name="mps")
    on_cpu = Upscaler(network, device_name="cpu", precision="fp32")
    images = torch.rand(1, 3, 24, 32)
    assert on_gpu.frames_device == torch.device("cpu")
    assert (on_gpu.precision, on_gpu.backend) == ("float16", "torch")
    result = on_gpu(images)
    assert result.device.type == "cpu"
    assert result.dtype is torch.float32
    # float16 has 11 bits: each layer rounds features of about 1 by 0.0005 at most.
    assert (result - on_cpu(images)).abs().max() < 0.01
    assert gpu.formats <= {torch.float16, torch.float32, torch.int64}


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv420p10le"])
def test_a_video_goes_through_it_whole(gpu: AppleGpu, tmp_path: Path, pixel_format: str) -> None:
    """10-bit frames, too, which are uint16."""
    clip = make_clip(tmp_path / "in.mkv", frames=6, pix_fmt=pixel_format, codec="ffv1")
    settings = UpscaleSettings(
        model="fast-x2", scale=Fraction(2), device="auto", encoder=EncoderSettings(encoder="ffv1")
    )
    report = upscale(clip, tmp_path / "out.mkv", settings)
    assert report.frames_out == 6
    assert numbers_of(tmp_path / "out.mkv") == list(range(6))
    assert torch.float16 in gpu.formats


def test_doctor_names_it(gpu: AppleGpu, capsys: pytest.CaptureFixture[str]) -> None:
    doctor()
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("Apple GPU")]
    assert "8.0 GiB free, auto takes torch in float16 for fast-x2" in line
