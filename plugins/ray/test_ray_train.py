"""`vsr.train` in the training function of Ray Train trains as one process does."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("ray", reason="Ray is not installed")
pytest.importorskip("pyarrow", reason="Ray Train is not installed (ray[train])")

import torch
from safetensors.torch import load_file

import vsr
from tests.training.photographs import write_photographs, write_recipe

STEPS = 8


def in_each_process(folder: Path) -> None:
    """Train as a user's function does that Ray Train calls in each of its processes."""
    torch.set_num_threads(1)
    vsr.train(
        folder / "tiny.toml", data=folder / "photographs", output=folder / "two.safetensors", steps=STEPS
    )


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning:ray")
def test_two_processes_of_ray_train_end_with_the_weights_of_one(cluster: Any, tmp_path: Path) -> None:
    from ray.train import RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    write_photographs(tmp_path / "photographs", 6)
    recipe = write_recipe(tmp_path)
    vsr.train(recipe, data=tmp_path / "photographs", output=tmp_path / "one.safetensors", steps=STEPS)
    trainer = TorchTrainer(
        partial(in_each_process, tmp_path),
        scaling_config=ScalingConfig(num_workers=2, use_gpu=False),
        run_config=RunConfig(storage_path=str(tmp_path / "ray")),
    )
    trainer.fit()
    one, two = (load_file(tmp_path / f"{name}.safetensors") for name in ("one", "two"))
    assert one.keys() == two.keys()
    for name, weight in one.items():
        # Sums of fp32 in another order; Adam makes more of it where a gradient is nearly zero.
        assert torch.allclose(two[name], weight, rtol=1e-3, atol=1e-4), name
