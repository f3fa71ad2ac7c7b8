"""Checkpoints of a training run, as safetensors files.

A checkpoint contains the SHA-256 of its content. It is written under another name, flushed to the disk and
renamed. The last few are kept, and a run resumes from the newest one that is intact.

A run removes the newest checkpoint last, so the same command ends a run that was killed at its end. Weights
that are written before there is a checkpoint are announced by a file in its folder, which says that they are
those of an unfinished run.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save
from torch import Tensor, nn

from vsr.errors import ConfigError, InputError, OutputError
from vsr.reading import read_file
from vsr.training.recipe import Recipe, facts
from vsr.training.run.origin import Origin, differences, digest
from vsr.training.run.state import State
from vsr.writing import write_whole

logger = logging.getLogger(__name__)

_BEGUN = "begun.json"
_MOST_BYTES = 2**24


def checkpoint_folder(output: Path) -> Path:
    """Return the folder for the checkpoints of the run that writes `output`."""
    return output.with_suffix(".checkpoints")


def checkpoints(output: Path) -> list[Path]:
    """Return the checkpoints of a run, newest first."""
    return sorted(checkpoint_folder(output).glob("step-*.safetensors"), reverse=True)


def is_unfinished(output: Path) -> bool:
    """Return whether the weights of a path are, or will be, those of a run that can be resumed.

    An empty folder of a run that was killed after its end is removed.
    """
    folder = checkpoint_folder(output)
    with suppress(OSError):
        folder.rmdir()
    return bool(checkpoints(output)) or (folder / _BEGUN).exists()


def announce(output: Path, recipe: Recipe, origin: Origin | None = None) -> None:
    """Say that weights will be written before there is a checkpoint; does nothing if there is one.

    Raises:
        OutputError: The file cannot be written.
    """
    if checkpoints(output):
        return
    _make_folder(output)
    write_whole(checkpoint_folder(output) / _BEGUN, json.dumps(_head(recipe, origin)).encode())


def _head(recipe: Recipe, origin: Origin | None) -> dict[str, str]:
    """Return what decides whether a run may be resumed."""
    head = {"recipe": json.dumps(facts(recipe), sort_keys=True)}
    return head if origin is None else {**head, "origin": json.dumps(origin, sort_keys=True)}


def _make_folder(output: Path) -> Path:
    folder = checkpoint_folder(output)
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder} cannot be created ({error.strerror})") from error
    return folder


def save_checkpoint(output: Path, state: State, recipe: Recipe, origin: Origin | None = None) -> Path:
    """Write everything that a run needs to resume, and remove the
    checkpoints beyond the number in the recipe.

    Random states are not included, because random numbers depend only on the recipe's seed and the step.

    Raises:
        OutputError: The file cannot be written; older checkpoints are kept.
    """
    tensors = _tensors(state)
    head = {
        **_head(recipe, origin),
        "step": str(state.step),
        "seconds": repr(state.seconds),
        "best": json.dumps(state.best),
        "workers": str(state.group.size),
    }
    head["sha256"] = _digest(tensors, head)
    folder = _make_folder(output)
    path = folder / f"step-{state.step:09d}.safetensors"
    write_tensors(path, tensors, head)
    for old in checkpoints(output)[recipe.checkpoints :]:
        old.unlink(missing_ok=True)
    (folder / _BEGUN).unlink(missing_ok=True)
    return path


def resume(output: Path, state: State, recipe: Recipe, origin: Origin | None = None) -> bool:
    """Restore `state` from the newest intact checkpoint; False if there is no checkpoint.

    Raises:
        ConfigError: The checkpoint belongs to another recipe, or to other data or weights.
        InputError: There are checkpoints, but none can be read.
    """
    found = checkpoints(output)
    for path in found:
        try:
            head, tensors = _read(path)
        except InputError as error:
            logger.warning("%s; using the previous checkpoint", error)
            continue
        _check_recipe(path, head, recipe)
        _check_origin(path, head, origin)
        _tell_workers(path, head, state)
        _restore(state, head, tensors)
        return True
    if found:
        raise InputError(
            f"{checkpoint_folder(output)}: no checkpoint can be read. Delete the folder to start again"
        )
    begun = checkpoint_folder(output) / _BEGUN
    if begun.exists():
        head = _read_begun(begun)
        _check_recipe(begun, head, recipe)
        _check_origin(begun, head, origin)
    return False


def _read_begun(path: Path) -> dict[str, str]:
    try:
        head = json.loads(read_file(path, most_bytes=_MOST_BYTES))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} cannot be read ({error}). Delete the folder to start again") from error
    return (
        {name: text for name, text in head.items() if isinstance(text, str)} if isinstance(head, dict) else {}
    )


def share_state(state: State) -> None:
    """Give the state of process 0 to the other processes of the run."""
    if state.group.size == 1:
        return
    data = b""
    if state.group.leads:
        counters = torch.tensor([state.step, state.seconds], dtype=torch.float64)
        data = save({**_tensors(state), "counters": counters})
    data = state.group.from_leader(data)
    if not state.group.leads:
        tensors = load(data)
        step, seconds = tensors["counters"].tolist()
        _restore(state, {"step": str(int(step)), "seconds": repr(seconds), "best": "null"}, tensors)


def remove_checkpoints(output: Path) -> None:
    """Remove the checkpoints of a run, the newest one last."""
    folder, found = checkpoint_folder(output), checkpoints(output)
    newest, own = found[:1], [folder / _BEGUN, *found[1:]]
    # Behind a link may be another folder, with files of other programs.
    others = own if folder.is_symlink() or not folder.is_dir() else [*folder.iterdir()]
    for path in [*(path for path in others if path not in newest), *newest]:
        with suppress(OSError):
            path.unlink()
    shutil.rmtree(folder, ignore_errors=True)


def _read(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    try:
        with safe_open(path, framework="pt") as file:
            head: dict[str, str] = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path} cannot be read as a checkpoint ({error})") from error
    if head.pop("sha256", "") != _digest(tensors, head):
        raise InputError(f"{path} is damaged: its SHA-256 does not match")
    return head, tensors


def _check_recipe(path: Path, head: Mapping[str, str], recipe: Recipe) -> None:
    then, now = (
        _relevant_settings(json.loads(text)) for text in (head.get("recipe", "{}"), json.dumps(facts(recipe)))
    )
    differing = sorted(key for key in then.keys() | now.keys() if then.get(key) != now.get(key))
    if differing:
        raise ConfigError(
            f"{path} belongs to another recipe, which differs in {', '.join(differing)}."
            " Give that recipe, or delete the folder to start again"
        )


def _check_origin(path: Path, head: Mapping[str, str], origin: Origin | None) -> None:
    """Check that a run resumes with its original data; otherwise its
    licences and its best result would be wrong."""
    if origin is None:
        return
    if "origin" not in head:
        logger.warning("%s does not name its training data. Make sure that they are the same", path)
        return
    then = json.loads(head["origin"])
    if origin["start"] not in (None, then.get("start")):
        logger.warning("%s was started from other weights; the given initial weights are ignored", path)
    words = differences(then, origin)
    if words:
        raise ConfigError(
            f"{path} was started with other data: {'; '.join(words)}. Give the original data, or start a new"
            " run with its weights as `start_from` and another `output`"
        )


def _tell_workers(path: Path, head: Mapping[str, str], state: State) -> None:
    """Warn if another number of processes resumes the run: with the same batches, they round differently."""
    then, now = int(head.get("workers", "1")), state.group.size
    if then != now:
        logger.warning(
            "%s was written by a run of %d processes, and now there are %d. The batches stay the same, but"
            " sums are rounded differently, so the result is not bit for bit that of an uninterrupted run",
            path,
            then,
            now,
        )


def _relevant_settings(table: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that matter: not those that are None, nor
    `workers`, which does not change the clips."""
    return {
        key: _relevant_settings(value) if isinstance(value, dict) else value
        for key, value in table.items()
        if value is not None and key != "workers"
    }


def _networks(state: State) -> dict[str, nn.Module]:
    own = {"network": state.network, "average": state.average}
    return own if state.adversary is None else {**own, "discriminator": state.adversary.discriminator}


def _optimizers(state: State) -> dict[str, tuple[torch.optim.Adam, nn.Module]]:
    own = {"adam": (state.optimizer, state.network)}
    if state.adversary is None:
        return own
    return {**own, "d_adam": (state.adversary.optimizer, state.adversary.discriminator)}


def _tensors(state: State) -> dict[str, Tensor]:
    tensors = {
        f"{part}.{name}": value
        for part, network in _networks(state).items()
        for name, value in network.state_dict().items()
    }
    for part, (optimizer, _) in _optimizers(state).items():
        for number, moments in optimizer.state_dict()["state"].items():
            tensors |= {f"{part}.{number}.{name}": value for name, value in moments.items()}
    return {name: value.detach().cpu().contiguous() for name, value in tensors.items()}


def _digest(tensors: Mapping[str, Tensor], head: Mapping[str, str]) -> str:
    return digest(tensors, json.dumps(head, sort_keys=True).encode())


def _restore(state: State, head: Mapping[str, str], tensors: Mapping[str, Tensor]) -> None:
    for part, network in _networks(state).items():
        network.load_state_dict(_with_prefix(f"{part}.", tensors))
    for part, (optimizer, network) in _optimizers(state).items():
        _restore_adam(optimizer, network, _with_prefix(f"{part}.", tensors))
    state.step, state.seconds = int(head["step"]), float(head["seconds"])
    state.best = json.loads(head["best"])


def _restore_adam(optimizer: torch.optim.Adam, network: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    moments: dict[int, dict[str, Tensor]] = {}
    parameters = list(network.parameters())
    for key, value in tensors.items():
        number, name = key.split(".")
        moments.setdefault(int(number), {})[name] = _with_strides_of(parameters[int(number)], value)
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": moments, "param_groups": groups})


def _with_strides_of(parameter: Tensor, value: Tensor) -> Tensor:
    """Return `value` with `parameter`'s strides, because the fused optimiser reads both in memory order."""
    return value if value.dim() == 0 else torch.empty_like(parameter).copy_(value)


def save_weights(path: Path, state: State, recipe: Recipe, head: Mapping[str, str]) -> None:
    """Write the averaged weights, fp32, with `head` and the network's settings as metadata."""
    tensors = {name: value.detach().cpu() for name, value in state.average.state_dict().items()}
    tensors = {name: value for name, value in tensors.items() if value.is_floating_point()}
    text = {"format": "pt", **recipe.generator.facts(), **head, "steps": str(state.step)}
    write_tensors(path, tensors, text)


def write_tensors(path: Path, tensors: Mapping[str, Tensor], head: Mapping[str, str]) -> None:
    """Write a safetensors file, so that `path` is complete at any time.

    Raises:
        OutputError: The file cannot be written.
    """
    try:
        data = save({name: value.contiguous() for name, value in tensors.items()}, dict(head))
    except SafetensorError as error:
        raise OutputError(f"{path} cannot be written ({error})") from error
    write_whole(path, data)


def _with_prefix(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
