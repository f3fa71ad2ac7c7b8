"""Export of generators to ONNX, for any batch and image size, with the weights in the file.

torch's exporter needs the packages onnx and onnxscript, and the check needs onnxruntime; the extra `onnx`
installs all three.
"""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec

import torch
from torch import Tensor

from vsr.errors import ConfigError, ModelError
from vsr.models.load import LoadedModel
from vsr.models.third_party import SpandrelNetwork

OPSET = 18
"""Version of the operators: the lowest that torch's exporter writes, so that most runtimes support it."""
TOLERANCE = 1e-4
"""Largest allowed difference, where white is 1: fp32 sums in another order differ by 1e-6 to 1e-5, a wrong
operator by 1e-2 or more."""
_SIZES = ((2, 5, 7), (1, 2, 3), (3, 1, 5))
"""Batch, height and width of the test images; height and width are in units that every network takes. The
first batch is also traced. All numbers differ, so that the exporter confuses no two of them."""
_LARGEST = 2**31 - 1
"""Bytes: protobuf's limit for one file."""


def to_onnx(model: LoadedModel) -> bytes:
    """Export a generator to ONNX.

    The input `lr` is `(batch, 3, height, width)` float32, R'G'B' in [0, 1]; the output `sr` is `scale` times
    as high and wide, not clipped. Height and width are arbitrary; for networks that unshuffle pixels they
    must be multiples of `model.multiple`, because the file does not pad.

    Returns:
        The content of a self-contained file, with the properties of the network in its metadata.

    Raises:
        ConfigError: the model is a filter, or onnx or onnxscript is not installed.
        ModelError: the network cannot be exported.
    """
    if model.path is None:
        raise ConfigError(f"{model.name} is a filter with no weights; ONNX runtimes have their own filters")
    if isinstance(model.network, SpandrelNetwork):
        raise ModelError(
            f"{model.name}: {model.family} networks cannot be exported; use spandrel's own network"
        )
    missing = [name for name in ("onnx", "onnxscript") if find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"export needs {' and '.join(missing)}, not installed; pip install 'vsr-pipeline[onnx]' brings it"
        )
    with _quiet():
        try:
            program = _export(model)
        except (Exception, SystemExit) as error:  # the exporter raises dozens of kinds of errors
            reason = " ".join(str(error).split())[:200]
            raise ModelError(
                f"{model.name}: torch cannot export a {model.family} network ({reason})"
            ) from error
        program.model.metadata_props.update(_facts(model))
        data: bytes = program.model_proto.SerializeToString()
    if len(data) > _LARGEST:
        raise ModelError(
            f"{model.name}: has {len(data):,} bytes as ONNX; a file can have at most {_LARGEST:,}"
        )
    return data


def _export(model: LoadedModel) -> torch.onnx.ONNXProgram:
    height, width = torch.export.Dim("height"), torch.export.Dim("width")
    if model.multiple > 1:
        height, width = model.multiple * height, model.multiple * width
    program = torch.onnx.export(
        model.network,
        (_images(model)[0],),
        dynamo=True,
        verbose=False,
        opset_version=OPSET,
        input_names=["lr"],
        output_names=["sr"],
        dynamic_shapes=({0: torch.export.Dim("batch"), 2: height, 3: width},),
    )
    assert program is not None
    return program


def _images(model: LoadedModel) -> list[Tensor]:
    unit = math.lcm(4, model.multiple)
    generator = torch.Generator().manual_seed(0)
    return [torch.rand(n, 3, h * unit, w * unit, generator=generator) for n, h, w in _SIZES]


def _facts(model: LoadedModel) -> dict[str, str]:
    return {
        "name": model.name,
        "family": model.family,
        "scale": str(model.scale),
        "multiple": str(model.multiple),
        "receptive_radius": str(model.receptive_radius),
        "sha256": model.sha256 or "none",
    }


def largest_difference(data: bytes, model: LoadedModel) -> float | None:
    """Compare an exported file with its network on images of several sizes.

    Returns:
        The largest difference, where white is 1; None if onnxruntime is not installed.

    Raises:
        ModelError: the file does not run, or its results have another size.
    """
    if find_spec("onnxruntime") is None:
        return None
    runtime = import_module("onnxruntime")
    largest = 0.0
    try:
        session = runtime.InferenceSession(data, providers=["CPUExecutionProvider"])
        for lr in _images(model):
            with torch.inference_mode():
                expected = model.network(lr)
            result = torch.from_numpy(session.run(None, {"lr": lr.numpy()})[0])
            if result.shape != expected.shape:
                raise ModelError(
                    f"{model.name}: the exported file makes {tuple(result.shape)} of {tuple(lr.shape)}"
                )
            largest = max(largest, float((result - expected).abs().max()))
    except ModelError:
        raise
    except (Exception, SystemExit) as error:  # onnxruntime's errors have no other common base class
        reason = " ".join(str(error).split())[:200]
        raise ModelError(f"{model.name}: the exported file does not run ({reason})") from error
    return largest


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress the exporter's messages about optional packages and its own code."""
    noisy = logging.getLogger("torch.onnx")
    level = noisy.level
    noisy.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        noisy.setLevel(level)
