"""The two files of a run: its weights, and a checkpoint from which it goes on. Both are safetensors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from vsr.errors import ConfigError, InputError, OutputError
from vsr.train.recipe import Recipe
from vsr.train.state import State


def checkpoint_path(output: Path) -> Path:
    """Where the checkpoint of a run lies that writes `output`."""
    return output.with_suffix(".checkpoint")


def save_checkpoint(path: Path, state: State, recipe: Recipe) -> None:
    """Write all that a run needs to go on: weights, averaged weights, Adam's state, step and seconds."""
    tensors = {f"net.{name}": value for name, value in state.net.state_dict().items()}
    tensors |= {f"average.{name}": value for name, value in state.average.state_dict().items()}
    for number, moments in state.optimizer.state_dict()["state"].items():
        tensors |= {f"adam.{number}.{name}": value for name, value in moments.items()}
    head = {"recipe": _text(recipe), "step": str(state.step), "seconds": repr(state.seconds)}
    write_tensors(path, tensors, head)


def load_checkpoint(path: Path, state: State, recipe: Recipe) -> None:
    """Bring `state` to where the checkpoint was written.

    Raises:
        ConfigError: it is of another recipe.
        InputError: it cannot be read.
    """
    try:
        with safe_open(path, framework="pt") as file:
            head, tensors = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise InputError(
            f"{path}: cannot be read as a checkpoint ({error}); delete it to start anew"
        ) from error
    if head.get("recipe") != _text(recipe):
        raise ConfigError(f"{path}: is of another recipe; delete it to start anew, or give its recipe")
    state.net.load_state_dict(_below("net.", tensors))
    state.average.load_state_dict(_below("average.", tensors))
    _load_adam(state, _below("adam.", tensors))
    state.step, state.seconds = int(head["step"]), float(head["seconds"])


def _load_adam(state: State, tensors: Mapping[str, Tensor]) -> None:
    moments: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        number, name = key.split(".")
        moments.setdefault(int(number), {})[name] = value
    for i, parameter in enumerate(state.net.parameters()):
        moments[i] = {name: _laid_out_as(parameter, value) for name, value in moments[i].items()}
    groups = state.optimizer.state_dict()["param_groups"]
    state.optimizer.load_state_dict({"state": moments, "param_groups": groups})


def _laid_out_as(parameter: Tensor, value: Tensor) -> Tensor:
    """`value` with `parameter`'s strides: the fused step walks through both in memory order."""
    return value if value.dim() == 0 else torch.empty_like(parameter).copy_(value)


def save_weights(path: Path, state: State, head: Mapping[str, str]) -> None:
    """Write the averaged weights, flat, fp32, with `head` and the network's shape as metadata."""
    shape = {"family": "compact", **{key: str(value) for key, value in asdict(state.net.config).items()}}
    write_tensors(
        path, state.average.state_dict(), {"format": "pt", **shape, **head, "steps": str(state.step)}
    )


def write_tensors(path: Path, tensors: Mapping[str, Tensor], head: Mapping[str, str]) -> None:
    """Write a safetensors file under another name and rename it, so that `path` is whole at any time.

    Raises:
        OutputError: the folder or the disk does not take it.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        # save_file would write it for the user's own eyes only (mode 600)
        part.write_bytes(save({name: value.contiguous() for name, value in tensors.items()}, dict(head)))
        part.replace(path)
    except (OSError, SafetensorError) as error:
        part.unlink(missing_ok=True)
        raise OutputError(f"{path}: cannot be written ({error})") from error


def _below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _text(recipe: Recipe) -> str:
    return json.dumps(asdict(recipe), sort_keys=True)
