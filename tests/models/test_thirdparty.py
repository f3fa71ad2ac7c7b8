"""Networks of other packages are loaded through a package that is really installed, or through spandrel."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from tests.cli.run_cli import run_cli
from tests.media_maker import make_clip
from tests.models.small_nets import CONFIGS, make
from vsr.engine.upscaler import Upscaler
from vsr.errors import ConfigError, ModelError, PluginError
from vsr.models.load import load_generator

ARCHITECTURE = """
    '''One convolution and a pixel shuffle; its weights are called as no network of vsr's are.'''
    from dataclasses import dataclass

    import torch
    from torch import nn


    @dataclass(frozen=True)
    class Config:
        scale: int


    class Tiny(nn.Module):
        def __init__(self, config):
            super().__init__()
            self.scale, self.receptive_radius = config.scale, 1
            self.tiny = nn.Conv2d(3, 3 * config.scale**2, 3, padding=1)
            self.register_buffer("gain", torch.tensor(0.5), persistent=False)

        def forward(self, x):
            return nn.functional.pixel_shuffle(self.tiny(x) * self.gain, self.scale)


    def detect(state):
        weight = state.get("theirs.weight")
        return None if weight is None else Config(scale=round((len(weight) / 3) ** 0.5))


    def remap(state):
        return {key.replace("theirs", "tiny"): value for key, value in state.items()}


    build = Tiny
"""


def _install(folder, *, name, module, code, entries):
    """Write a project and install it with pip into its own folder, without network access."""
    project, target = folder / name, folder / f"{name}-installed"
    project.mkdir()
    (project / f"{module}.py").write_text(dedent(code))
    (project / "pyproject.toml").write_text(
        dedent(f"""
        [build-system]
        requires = ["hatchling"]
        build-backend = "hatchling.build"
        [project]
        name = "{name}"
        version = "1.0"
        [project.entry-points."vsr.architectures"]
        {entries}
        [tool.hatch.build.targets.wheel]
        include = ["{module}.py"]
        """)
    )
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps"]
    command += ["--no-build-isolation", "--disable-pip-version-check", "--target", str(target), str(project)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return target


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """The folder where a package with one architecture is installed."""
    folder = tmp_path_factory.mktemp("packages")
    entry = 'tiny = "vsr_tiny"'
    return _install(folder, name="vsr-tiny-arch", module="vsr_tiny", code=ARCHITECTURE, entries=entry)


@pytest.fixture(scope="module")
def broken(tmp_path_factory):
    """The folder of a package that cannot be imported and comes first in the alphabet."""
    folder = tmp_path_factory.mktemp("packages")
    code = "raise RuntimeError('no such\\nluck')"
    return _install(
        folder, name="vsr-broken-arch", module="vsr_broken", code=code, entries='a = "vsr_broken"'
    )


@pytest.fixture
def weights(tmp_path):
    """A weight file of the package's architecture, and its convolution."""
    torch.manual_seed(0)
    conv = nn.Conv2d(3, 12, 3, padding=1)
    path = tmp_path / "theirs.safetensors"
    save_file({"theirs.weight": conv.weight.detach(), "theirs.bias": conv.bias.detach()}, path)
    return path, conv


SCRIPT = """
    import json, sys
    import torch, vsr
    from vsr.models.load import load_generator
    load_generator("fast-x2")
    early = "vsr_tiny" in sys.modules
    loaded = load_generator(sys.argv[1])
    x = torch.linspace(0, 1, 3 * 5 * 7).view(1, 3, 5, 7)
    with torch.no_grad():
        sr = loaded.network(x)
    print(json.dumps([early, loaded.family, int(loaded.scale), loaded.receptive_radius, sr.tolist()]))
"""


def test_an_installed_package_is_used_for_unknown_files_only(package, weights):
    path, conv = weights
    done = subprocess.run(
        [sys.executable, "-c", dedent(SCRIPT), str(path)],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": str(package)},
    )
    assert done.returncode == 0, done.stderr
    early, family, scale, radius, sr = json.loads(done.stdout)
    assert not early
    assert (family, scale, radius) == ("tiny", 2, 1)
    with torch.no_grad():
        x = torch.linspace(0, 1, 3 * 5 * 7).view(1, 3, 5, 7)
        torch.testing.assert_close(torch.tensor(sr), nn.functional.pixel_shuffle(conv(x) * 0.5, 2))


def test_the_error_of_a_failing_package_names_it_in_one_line(broken, weights, monkeypatch):
    monkeypatch.syspath_prepend(broken)
    with pytest.raises(PluginError, match=r"vsr-broken-arch.*no such") as caught:
        load_generator(weights[0])
    assert "\n" not in str(caught.value)


def test_a_file_that_names_its_architecture_is_passed_to_that_package_only(
    package, broken, weights, monkeypatch, tmp_path
):
    for folder in (broken, package):
        monkeypatch.syspath_prepend(folder)
    conv, path = weights[1], tmp_path / "named.safetensors"
    state = {"theirs.weight": conv.weight.detach(), "theirs.bias": conv.bias.detach()}
    save_file(state, path, metadata={"family": "tiny"})
    assert load_generator(path).family == "tiny"


def test_the_example_in_the_documentation_works(weights, tmp_path, monkeypatch):
    text = (Path(__file__).parents[2] / "docs" / "models.md").read_text()
    code = text.split("```python\n")[1].split("```")[0]
    target = _install(
        tmp_path, name="example", module="example_tiny", code=code, entries='x = "example_tiny"'
    )
    monkeypatch.syspath_prepend(target)
    conv = weights[1]
    save_file({f"conv.{key}": value for key, value in conv.state_dict().items()}, tmp_path / "e.safetensors")
    loaded = load_generator(tmp_path / "e.safetensors")
    assert (loaded.family, loaded.scale) == ("x", 2)
    lr = torch.rand(1, 3, 4, 5)
    with torch.no_grad():
        torch.testing.assert_close(loaded.network(lr), nn.functional.pixel_shuffle(conv(lr), 2))


FAULTS = [
    ("detect", lambda state: 7, "a int, not a dataclass"),
    ("detect", lambda state: sys.exit(3), "SystemExit"),
    ("detect", None, "has no detect"),
    ("build", lambda config: nn.Conv2d(3, 3, 1), "no int scale"),
    ("build", lambda config: 1 / 0, "ZeroDivisionError"),
    ("remap", lambda state: {}[0], "KeyError"),
]


@pytest.mark.parametrize(("name", "fault", "message"), FAULTS)
def test_a_mistake_of_a_package_is_a_plugin_error(name, fault, message, package, weights, monkeypatch):
    monkeypatch.syspath_prepend(package)
    monkeypatch.setattr(importlib.import_module("vsr_tiny"), name, fault)
    with pytest.raises(PluginError, match=f"vsr-tiny-arch.*{message}"):
        load_generator(weights[0])


def test_a_network_of_a_package_that_fails_on_an_image_is_refused(package, weights, monkeypatch):
    monkeypatch.syspath_prepend(package)
    module = importlib.import_module("vsr_tiny")
    monkeypatch.setattr(module.Tiny, "forward", lambda self, x: x)
    with pytest.raises(ModelError, match=r"tiny makes \(1, 3, 16, 16\) of 16x16"):
        load_generator(weights[0])


@pytest.mark.parametrize("code", [0, 3, None])
@pytest.mark.parametrize(("side", "error"), [(16, ModelError), (20, PluginError), (40, PluginError)])
def test_a_network_that_calls_exit_is_an_error_with_any_code(
    side, error, code, package, weights, monkeypatch
):
    """It exits at size 16 when it is loaded, at 20 when its memory is measured, at 40 during the run."""
    monkeypatch.syspath_prepend(package)
    module = importlib.import_module("vsr_tiny")
    forward = module.Tiny.forward

    def leaves(self, x):
        if x.shape[-1] >= side:
            sys.exit(code)
        return forward(self, x)

    monkeypatch.setattr(module.Tiny, "forward", leaves)
    with pytest.raises(error, match=r"SystemExit|ends the program"):
        Upscaler(load_generator(weights[0]).network, device_name="cpu")(torch.rand(1, 3, 40, 40))


def test_a_command_whose_network_calls_exit_fails_and_leaves_no_file(
    package, weights, monkeypatch, tmp_path, capfd
):
    monkeypatch.syspath_prepend(package)
    module = importlib.import_module("vsr_tiny")
    forward = module.Tiny.forward
    monkeypatch.setattr(
        module.Tiny, "forward", lambda self, x: sys.exit(0) if x.shape[-1] > 20 else forward(self, x)
    )
    clip = make_clip(tmp_path / "in.mp4", frames=3)
    outcome = run_cli(capfd, "upscale", clip, tmp_path / "out.mp4", "-m", weights[0], "--no-resume")
    assert outcome.code == 1
    assert "the network Tiny ends the program (exit code 0)" in outcome.line
    assert not (tmp_path / "out.mp4").exists()


def _fake_spandrel(tmp_path, monkeypatch, code):
    """Write a package with the name spandrel, first on the path."""
    folder = tmp_path / "fake"
    (folder / "spandrel").mkdir(parents=True)
    (folder / "spandrel" / "__init__.py").write_text(dedent(code))
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, "spandrel", raising=False)
    yield
    sys.modules.pop("spandrel", None)


@pytest.fixture
def unbuilt(tmp_path, monkeypatch):
    """A spandrel that fails as if torchvision had been built for another torch."""
    yield from _fake_spandrel(
        tmp_path, monkeypatch, "raise RuntimeError('operator torchvision::nms does not exist')"
    )


def test_the_error_for_a_spandrel_that_cannot_be_imported_says_what_to_install(unbuilt, weights):
    with pytest.raises(ModelError, match=r"torchvision::nms.*install the torchvision that belongs") as caught:
        load_generator(weights[0])
    assert "\n" not in str(caught.value)


def test_without_spandrel_the_message_names_it(weights, monkeypatch):
    monkeypatch.setattr("vsr.models.third_party.find_spec", lambda name: None)
    with pytest.raises(ModelError, match=r"an unknown network.*spandrel"):
        load_generator(weights[0])


ASKED = """
    asked = []

    class UnsupportedModelError(Exception):
        pass

    class ModelLoader:
        def __init__(self, device):
            pass

        def load_from_state_dict(self, state):
            asked.append(sorted(state))
            raise UnsupportedModelError
"""


@pytest.fixture
def asked(tmp_path, monkeypatch):
    """A spandrel that knows no network and records what it was called with."""
    yield from _fake_spandrel(tmp_path, monkeypatch, ASKED)


@pytest.mark.parametrize("config", [CONFIGS[0], CONFIGS[-2]], ids=["RRDB", "Compact"])
def test_spandrel_is_tried_for_a_variant_of_a_family_before_it_is_refused(config, asked, tmp_path):
    """ESRGAN+ has one more convolution in each dense block."""
    state = make(config).state_dict() | {"body.0.rdb1.conv1x1.weight": torch.zeros(3, 6, 1, 1)}
    state = state if config is CONFIGS[0] else {k: v for k, v in state.items() if k != "body.2.weight"}
    save_file(state, tmp_path / "net.safetensors")
    with pytest.raises(ModelError, match=r"with body\.0\.rdb1\.conv1x1|an unknown network"):
        load_generator(tmp_path / "net.safetensors")
    assert sys.modules["spandrel"].asked == [sorted(state)]


def test_known_files_are_never_passed_to_spandrel(unbuilt, tmp_path):
    save_file(make(CONFIGS[-2]).state_dict(), tmp_path / "net.safetensors")
    assert load_generator(tmp_path / "net.safetensors").family == "Compact"


@pytest.fixture
def spandrel():
    """The real spandrel; the test is skipped with a reason if it is missing."""
    try:
        return importlib.import_module("spandrel")
    except Exception as error:
        pytest.skip(f"spandrel cannot be imported here ({error})")


def _span(tmp_path):
    from spandrel.architectures import SPAN

    torch.manual_seed(0)
    network = SPAN.SPAN(num_in_ch=3, num_out_ch=3, feature_channels=16, upscale=2).eval()
    path = tmp_path / "span.pth"
    torch.save({"params": network.state_dict()}, path)
    return path, network


def test_networks_of_spandrel_give_the_same_results_as_in_spandrel(spandrel, tmp_path, caplog):
    path, network = _span(tmp_path)
    loaded = load_generator(path)
    assert (loaded.family, loaded.scale) == ("SPAN (spandrel)", 2)
    expected = spandrel.ModelLoader().load_from_state_dict(dict(network.state_dict()))
    lr = torch.rand(2, 3, 21, 34)
    result = Upscaler(loaded.network, device_name="cpu", precision="bf16")(lr)
    assert "computes in torch.float32, not torch.bfloat16" in caplog.text
    # So only the order of sums in another memory layout differs.
    torch.testing.assert_close(
        result, torch.cat([expected.eval()(one) for one in lr.split(1)]), rtol=0, atol=1e-4
    )


@pytest.mark.filterwarnings("ignore:torch.meshgrid")  # called by spandrel
def test_a_network_of_attention_windows_in_tiles_equals_the_whole_image(spandrel, tmp_path):
    from spandrel.architectures import SwinIR

    torch.manual_seed(0)
    network = SwinIR.SwinIR(
        img_size=16, window_size=8, depths=[2], embed_dim=12, num_heads=[2], upscale=2,
        upsampler="pixelshuffledirect",
    )  # fmt: skip
    torch.save(network.state_dict(), tmp_path / "swin.pth")
    loaded = load_generator(tmp_path / "swin.pth")
    lr = torch.rand(1, 3, 200, 170)
    results = [Upscaler(loaded.network, device_name="cpu", tile=tile)(lr) for tile in (0, 80)]
    torch.testing.assert_close(*results, rtol=0, atol=1e-4)  # 0.7 if tiles start anywhere


def test_networks_of_spandrel_cannot_be_mixed(spandrel, tmp_path):
    with pytest.raises(ConfigError, match="cannot be mixed"):
        load_generator(_span(tmp_path)[0], strength=0.5)


def test_networks_of_spandrel_for_other_images_are_refused(spandrel, weights, tmp_path):
    with pytest.raises(ModelError, match="an unknown network"):
        load_generator(weights[0])
    from spandrel.architectures import SPAN

    grey = SPAN.SPAN(num_in_ch=1, num_out_ch=1, feature_channels=16, upscale=2)
    torch.save(grey.state_dict(), tmp_path / "grey.pth")
    with pytest.raises(ModelError, match="takes 1 and gives 1 channels"):
        load_generator(tmp_path / "grey.pth")
