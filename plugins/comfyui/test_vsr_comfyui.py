"""The folder is loaded as ComfyUI loads custom nodes, with stand-ins
for the few ComfyUI names that it uses."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch

import vsr
from tests.media_maker import make_clip

FOLDER = Path(__file__).parent
EXACT = {"device": "cpu", "backend": "torch", "precision": "fp32"}
"""Fixed here, because by default a short trial decides which backend runs a network."""


class Interrupted(Exception):  # noqa: N818 - stands for comfy's InterruptProcessingException
    """The exception of ComfyUI for an interrupt by the user."""


class Comfy:
    """Records what the nodes report to ComfyUI."""

    def __init__(self) -> None:
        self.total = self.done = 0
        self.interrupt_at: int | None = None
        self.files: dict[str, str] = {}

    def progress_bar(self, total: int) -> SimpleNamespace:
        self.total = total

        def update(count: int) -> None:
            self.done += count

        return SimpleNamespace(update=update)

    def throw_if_interrupted(self) -> None:
        if self.interrupt_at is not None and self.done >= self.interrupt_at:
            raise Interrupted


def module(name: str, **names: object) -> ModuleType:
    made = ModuleType(name)
    made.__spec__ = importlib.util.spec_from_loader(name, loader=None)
    made.__dict__.update(names)
    return made


@pytest.fixture
def comfy(monkeypatch: pytest.MonkeyPatch) -> Comfy:
    host = Comfy()
    for made in (
        module("comfy", __path__=[]),
        module("comfy.utils", ProgressBar=host.progress_bar),
        module("comfy.model_management", throw_exception_if_processing_interrupted=host.throw_if_interrupted),
        module(
            "folder_paths",
            get_filename_list=lambda folder: list(host.files) if folder == "upscale_models" else [],
            get_full_path=lambda folder, name: host.files.get(name) if folder == "upscale_models" else None,
        ),
    ):
        monkeypatch.setitem(sys.modules, made.__name__, made)
    return host


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """Load the folder as ComfyUI does: under its path with dots replaced."""
    name = str(FOLDER).replace(".", "_x_")
    before = set(sys.modules)
    spec = importlib.util.spec_from_file_location(name, FOLDER / "__init__.py")
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, loaded)
    spec.loader.exec_module(loaded)
    yield loaded
    for extra in [one for one in sys.modules if one.startswith(name) and one not in before]:
        del sys.modules[extra]


def call(nodes: ModuleType, node: str, **inputs: object) -> torch.Tensor | vsr.Upscaler:
    """Call a node as ComfyUI's executor does: an instance, the method in
    FUNCTION, a value for each RETURN_TYPE."""
    kind = nodes.NODE_CLASS_MAPPINGS[node]
    declared = kind.INPUT_TYPES()
    assert set(declared["required"]) <= set(inputs) <= {*declared["required"], *declared.get("optional", {})}
    with torch.inference_mode():
        values = getattr(kind(), kind.FUNCTION)(**inputs)
    assert len(values) == len(kind.RETURN_TYPES)
    return values[0]


def batch(count: int, height: int = 20, width: int = 30) -> torch.Tensor:
    return torch.rand((count, height, width, 3), generator=torch.Generator().manual_seed(7))


@pytest.mark.parametrize(("model", "scale"), [("fast", 2.0), ("bicubic", 1.5), ("fast", 0.0)])
def test_the_result_equals_that_of_the_upscaler(
    nodes: ModuleType, comfy: Comfy, model: str, scale: float
) -> None:
    images = batch(5)
    upscaler = call(nodes, "VsrLoadModel", model=model, scale=scale, **EXACT)
    result = call(nodes, "VsrUpscaleFrames", upscaler=upscaler, images=images)
    own = vsr.Upscaler(model, scale=scale or None, **EXACT)
    told = np.stack(list(own.frames(picture.numpy() for picture in images)))
    side = float(own.scale)
    assert result.shape == (5, int(20 * side), int(30 * side), 3)
    assert result.dtype == torch.float32
    np.testing.assert_array_equal(result.numpy(), np.clip(told, 0, 1))
    assert (comfy.total, comfy.done) == (5, 5)


def test_a_batch_of_real_frames_equals_the_upscaled_file(
    nodes: ModuleType, comfy: Comfy, tmp_path: Path
) -> None:
    """The frames are R'G'B', as video loaders in ComfyUI return them."""
    source = make_clip(tmp_path / "in.mkv", codec="ffv1", pix_fmt="bgr0", frames=4)
    with vsr.open_video(source) as video:
        images = torch.stack([frame.to_rgb().image.permute(1, 2, 0) for frame in video])
    upscaler = call(nodes, "VsrLoadModel", model="fast", scale=2.0, **EXACT)
    result = call(nodes, "VsrUpscaleFrames", upscaler=upscaler, images=images)
    vsr.upscale(source, tmp_path / "out.mkv", model="fast-x2", encoder="ffv1", **EXACT)
    with vsr.open_video(tmp_path / "out.mkv") as video:
        told = torch.stack([frame.to_rgb().image.permute(1, 2, 0) for frame in video])
    assert (result - told).abs().max() <= 1 / 255


def test_an_interrupt_raises_comfys_own_error(nodes: ModuleType, comfy: Comfy) -> None:
    comfy.interrupt_at = 2
    upscaler = call(nodes, "VsrLoadModel", model="bicubic", scale=2.0, device="cpu")
    with pytest.raises(Interrupted):
        call(nodes, "VsrUpscaleFrames", upscaler=upscaler, images=batch(6))
    assert 2 <= comfy.done < 6
    comfy.interrupt_at = None
    assert len(call(nodes, "VsrUpscaleFrames", upscaler=upscaler, images=batch(3))) == 3


def test_frames_are_processed_as_a_stream(nodes: ModuleType, comfy: Comfy) -> None:
    """On the CPU, each result must be stored before the next frame is read."""
    ahead: list[int] = []
    upscaler = call(nodes, "VsrLoadModel", model="bicubic", scale=2.0, device="cpu")

    class Watched:
        """An upscaler that records how many frames were read but not yet reported as done."""

        device = upscaler.device

        def frames(self, pictures):
            def counted():
                for taken, picture in enumerate(pictures):
                    ahead.append(taken - comfy.done)
                    yield picture

            return upscaler.frames(counted())

    call(nodes, "VsrUpscaleFrames", upscaler=Watched(), images=batch(30))
    assert len(ahead) == 30
    assert max(ahead) <= 1


@pytest.mark.parametrize("shape", [(3, 20, 30), (2, 20, 30, 4), (0, 20, 30, 3)])
def test_input_that_is_no_batch_of_images_is_rejected_in_one_line(
    nodes: ModuleType, comfy: Comfy, shape: tuple[int, ...]
) -> None:
    upscaler = call(nodes, "VsrLoadModel", model="bicubic", scale=2.0)
    with pytest.raises(vsr.InputError, match=re.escape(str(shape))):
        call(nodes, "VsrUpscaleFrames", upscaler=upscaler, images=torch.zeros(shape))


def test_a_result_that_does_not_fit_into_memory_is_rejected_with_its_size(
    nodes: ModuleType, comfy: Comfy
) -> None:
    upscaler = call(nodes, "VsrLoadModel", model="bicubic", scale=16.0, device="cpu")
    images = torch.zeros((1, 1, 1, 3)).expand(1 << 40, 40, 40, 3)  # one pixel in memory, expanded to 20 PB
    with pytest.raises(vsr.DeviceMemoryError, match=r"1099511627776 frames of 640x640 .* fewer"):
        call(nodes, "VsrUpscaleFrames", upscaler=upscaler, images=images)


def test_only_included_models_and_comfys_files_can_be_chosen(
    nodes: ModuleType, comfy: Comfy, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"no weights")
    comfy.files = {"broken.safetensors": str(broken)}
    choices, _ = nodes.NODE_CLASS_MAPPINGS["VsrLoadModel"].INPUT_TYPES()["required"]["model"]
    assert choices[-1] == "broken.safetensors"
    for model in choices[:-1]:
        assert call(nodes, "VsrLoadModel", model=model, scale=0.0, device="cpu").scale >= 1
    with pytest.raises(vsr.ModelError, match=r"broken\.safetensors"):
        call(nodes, "VsrLoadModel", model="broken.safetensors", scale=0.0)
    with pytest.raises(vsr.ModelError, match="upscale_models"):
        call(nodes, "VsrLoadModel", model=str(broken), scale=0.0)


def test_the_nodes_work_without_comfy(nodes: ModuleType) -> None:
    upscaler = call(nodes, "VsrLoadModel", model="bicubic", scale=2.0, tile=-1, batch=0, strength=-1.0)
    assert call(nodes, "VsrUpscaleFrames", upscaler=upscaler, images=batch(2)).shape == (2, 40, 60, 3)


def test_the_workflow_of_the_readme_names_existing_nodes_and_inputs(nodes: ModuleType, comfy: Comfy) -> None:
    (block,) = re.findall(r"```json\n(.*?)```", (FOLDER / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    ours = [node for node in json.loads(block).values() if node["class_type"].startswith("Vsr")]
    assert {node["class_type"] for node in ours} == set(nodes.NODE_CLASS_MAPPINGS)
    assert set(nodes.NODE_DISPLAY_NAME_MAPPINGS) == set(nodes.NODE_CLASS_MAPPINGS)
    for node in ours:
        declared = nodes.NODE_CLASS_MAPPINGS[node["class_type"]].INPUT_TYPES()
        known = {*declared["required"], *declared.get("optional", {})}
        assert set(declared["required"]) <= set(node["inputs"]) <= known


PEAK = """
import resource, sys
sys.path[:0] = [sys.argv[1]]
import torch, vsr_comfyui
count = int(sys.argv[2])
images = torch.rand(count + 119, 160, 3).unfold(0, 120, 1).permute(0, 3, 1, 2)  # all differ, and share memory
(upscaler,) = vsr_comfyui.LoadModel().load("bicubic", 2.0, device="cpu")
(result,) = vsr_comfyui.UpscaleFrames().upscale(upscaler, images)
assert len(result) == count
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - result.numel() * result.element_size())
"""


@pytest.mark.slow
def test_memory_besides_the_result_does_not_grow_with_the_length() -> None:
    """A second copy of 900 results would need 790 MiB."""
    peaks = []
    for count in (100, 1000):
        words = [sys.executable, "-c", PEAK, str(FOLDER), str(count)]
        peaks.append(int(subprocess.run(words, capture_output=True, check=True, timeout=400).stdout))
    assert peaks[1] - peaks[0] < 100 * 2**20


@pytest.mark.needs_cuda
def test_on_a_gpu_images_return_to_their_original_device(nodes: ModuleType, comfy: Comfy) -> None:
    upscaler = call(nodes, "VsrLoadModel", model="bicubic", scale=2.0, device="cuda", precision="fp32")
    images = batch(9)
    on_host = call(nodes, "VsrUpscaleFrames", upscaler=upscaler, images=images)
    on_device = call(nodes, "VsrUpscaleFrames", upscaler=upscaler, images=images.cuda())
    assert (on_host.device.type, on_device.device.type) == ("cpu", "cuda")
    torch.testing.assert_close(on_host, on_device.cpu(), atol=0, rtol=0)
    own = vsr.Upscaler("bicubic", scale=2, device="cpu").frames(images.permute(0, 3, 1, 2))
    told = torch.stack(list(own)).permute(0, 2, 3, 1).clamp(0, 1)
    torch.testing.assert_close(on_host, told, atol=1 / 255, rtol=0)
