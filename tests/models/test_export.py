"""An exported network computes in ONNX Runtime what it computes here, for any batch and size."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from tests.models.small_nets import CONFIGS, make, name_of
from vsr.errors import ConfigError, ModelError
from vsr.models.archs.compact import CompactConfig
from vsr.models.archs.msrresnet import MSRResNetConfig
from vsr.models.archs.rrdb import RRDBConfig
from vsr.models.archs.srresnet import SRResNetConfig
from vsr.models.export import TOLERANCE, largest_difference, to_onnx
from vsr.models.load import load_generator

ABSENT = [name for name in ("onnx", "onnxscript", "onnxruntime") if find_spec(name) is None]
needs_onnx = pytest.mark.skipif(bool(ABSENT), reason=f"the extra `onnx` is absent: {', '.join(ABSENT)}")
ONE_OF_EACH = [
    CompactConfig(nf=6, nc=3, scale=2),
    CompactConfig(nf=6, nc=1, scale=3, activation="relu"),
    RRDBConfig(scale=4, nf=6, nb=1, gc=3),
    RRDBConfig(scale=2, nf=5, nb=1, gc=4, unshuffle=2),
    RRDBConfig(scale=3, nf=4, nb=1, gc=2, upsampler="pixelshuffle"),
    SRResNetConfig(scale=4, nf=6, nb=1),
    SRResNetConfig(scale=2, nf=5, nb=1, trunk="prelu", tanh=True),
    MSRResNetConfig(scale=4, nf=6, nb=1),
]


@pytest.fixture
def load(tmp_path):
    """Return a function that loads a small network of a configuration."""

    def do(config, seed=0):
        path = tmp_path / f"net{seed}.safetensors"
        save_file(make(config, seed).state_dict(), path)
        return load_generator(path)

    return do


def _session(data):
    runtime = pytest.importorskip("onnxruntime")
    return runtime.InferenceSession(data, providers=["CPUExecutionProvider"])


@needs_onnx
@pytest.mark.parametrize("config", ONE_OF_EACH, ids=name_of)
def test_onnx_runtime_gives_the_same_images_for_any_batch_and_size(config, load):
    model = load(config)
    session = _session(to_onnx(model))
    unit = model.multiple
    for batch, height, width in ((1, 1, 1), (1, 3, 2), (4, 9, 31), (2, 40, 16)):
        lr = torch.rand(batch, 3, height * unit, width * unit)
        (sr,) = session.run(None, {"lr": lr.numpy()})
        with torch.no_grad():
            np.testing.assert_allclose(sr, model.network(lr).numpy(), rtol=0, atol=TOLERANCE)


@needs_onnx
def test_the_file_describes_the_network_and_the_sizes_it_takes(load):
    model = load(RRDBConfig(scale=2, nf=5, nb=1, gc=4, unshuffle=2))
    session = _session(to_onnx(model))
    facts = session.get_modelmeta().custom_metadata_map
    assert (facts["family"], facts["scale"], facts["multiple"]) == ("RRDB", "2", "2")
    assert facts["sha256"] == model.sha256
    (lr,), (sr,) = session.get_inputs(), session.get_outputs()
    assert (lr.name, sr.name, lr.type) == ("lr", "sr", "tensor(float)")
    assert (lr.shape[1], sr.shape[1]) == (3, 3)
    assert not any(isinstance(lr.shape[axis], int) for axis in (0, 2, 3))


@needs_onnx
def test_the_comparison_detects_another_network(load):
    model, other = load(CONFIGS[-2], seed=1), load(CONFIGS[-2], seed=2)
    data = to_onnx(model)
    assert largest_difference(data, model) < TOLERANCE
    assert largest_difference(data, other) > 100 * TOLERANCE
    with pytest.raises(ModelError, match="the exported file makes"):
        largest_difference(data, load(CONFIGS[-3], seed=3))
    with pytest.raises(ModelError, match="does not run"):
        largest_difference(data[: len(data) // 2], model)


@needs_onnx
def test_a_network_that_torch_cannot_export_is_refused_in_one_line(load):
    class Guess(nn.Module):
        scale, receptive_radius, multiple = 1, 0, 1

        def forward(self, x):
            return x if x.sum() > 1 else -x

    with pytest.raises(ModelError, match="torch cannot export") as caught:
        to_onnx(replace(load(CONFIGS[-2]), network=Guess()))
    assert "\n" not in str(caught.value)


def test_filters_are_refused():
    with pytest.raises(ConfigError, match="bicubic is a filter"):
        to_onnx(load_generator("bicubic"))


def test_the_error_for_missing_packages_names_them_and_the_remedy(load, monkeypatch):
    monkeypatch.setattr("vsr.models.export.find_spec", lambda name: None)
    model = load(CONFIGS[-2])
    with pytest.raises(ConfigError, match=r"onnx and onnxscript.*vsr-pipeline\[onnx\]"):
        to_onnx(model)
    assert largest_difference(b"", model) is None
