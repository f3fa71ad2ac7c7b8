"""Settings with which the tests of whole runs are quick, and networks of their own in place of models."""

from __future__ import annotations

from fractions import Fraction

import pytest
from torch import nn

from vsr.models.load import LoadedModel
from vsr.pipeline.job import warm_generator
from vsr.settings.schema import EncoderSettings, UpscaleSettings

LOSSLESS = EncoderSettings(encoder="ffv1")
FAST = EncoderSettings(crf=12, preset="ultrafast")


def settings(**wishes: object) -> UpscaleSettings:
    values: dict[str, object] = {"model": "bicubic", "scale": Fraction(2), "encoder": FAST, "device": "cpu"}
    return UpscaleSettings(**(values | wishes))  # type: ignore[arg-type]


class fake_model:  # noqa: N801 - reads as a verb
    """A context in which every model name loads `network`."""

    def __init__(self, network: nn.Module) -> None:
        self.model = LoadedModel(
            network=network,
            name="fake",
            family="fake",
            config=None,
            scale=Fraction(2),
            receptive_radius=0,
            multiple=1,
            parameters=1,
        )

    def __enter__(self) -> None:
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(warm_generator, "load_generator", lambda *_, **__: self.model)

    def __exit__(self, *_: object) -> None:
        self.patch.undo()
