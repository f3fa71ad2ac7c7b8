"""Safe reading and writing of weight files as tensors; `load.py` recognises their network.

Nothing in a file is ever executed: `torch_file.py` checks .pth files before torch's restricted unpickler
reads them.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from safetensors.torch import save as save_safetensors
from torch import Tensor

from vsr.errors import ModelError
from vsr.models import torch_file
from vsr.reading import read_file
from vsr.writing import write_whole

MAX_FILE_BYTES = 2**30
"""Largest weight file. The largest known generators have 67 MB, a training state with optimizer 0.5 GB."""
MAX_NUMBERS = 2**28
"""Most elements in all tensors of a file, 1 GiB in fp32: a few bytes of pickle can claim any shape."""
MAX_HEADER_BYTES = 2**20
"""Largest header of a .safetensors file, ten times that of the largest generator. A header of 33 MB takes 14
s and 1 GB to read."""
MAX_DEPTH = 8
"""Most tables around the weights; a table can also contain itself."""
MAX_NAME = 200
"""Most characters in the name of a layer."""
OLDEST_TORCH = (2, 10)
"""First version of torch without known ways to run code despite `weights_only` (CVE-2025-32434,
CVE-2026-24747)."""

AVERAGED = (
    "params_ema",
    "ema",
    "model_ema",
    "ema_model",
    "generator_ema",
    "net_g_ema",
    "netg_ema",
    "g_ema",
    "ema_params",
    "ema_state_dict",
    "state_dict_ema",
    "model_state_dict_ema",
    "averaged_model",
    "average_model",
    "swa_model",
    "shadow",
    "shadow_params",
)
"""Names that trainers give a generator's averaged weights, in lower case with `_` for `-`."""
PLAIN = (
    "params",
    "model_state_dict",
    "state_dict",
    "generator",
    "model",
    "online_model",
    "net",
    "netg",
    "net_g",
    "g",
    "network",
    "module",
    "weights",
)
"""Names that trainers give weights that are not averaged. Averaged weights are better and therefore
preferred, as in Real-ESRGAN."""
PREFIXES = ("module.", "_orig_mod.", "netG.", "net_g.", "generator_ema.", "generator.")
"""Prefixes of layer names from data parallelism, torch.compile and trainers; removed if every key has
them."""
_NETWORKS_OF_A_TRAINER = ("generator_ema.", "generator.")
"""Prefixes of the generator's layers in mmediting, which stores all networks in one table."""
COUNTERS = ("n_averaged", "step_counter", "step", "initted", "num_updates", "decay")
"""Numbers that weight averaging stores beside the weights."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightFile:
    """The weights in a file, with the file's own names."""

    path: Path
    sha256: str
    state: Mapping[str, Tensor]
    """Weights: finite, fp32 (counters keep their dtype), on the host."""
    wrapper: str | None
    """Key of the table that contains the weights; None if they are at the top level."""
    metadata: Mapping[str, str]
    """Metadata of a .safetensors file; empty for other files."""


def read_weights(path: Path) -> WeightFile:
    """Read a .safetensors, .pth or .pt file; its format is detected from its bytes, not its name.

    Raises:
        ModelError: the file is unreadable, damaged, too large, no weight file, or has weights that are not
            finite.
    """
    data = _read_bytes(path)
    table, metadata = _parse(data, path)
    state, wrapper = unwrap(table)
    if not state:
        raise ModelError(
            f"{path}: has no network weights, but {_list(table)}; give a generator's weight file"
        )
    if not all(key.isprintable() and len(key) <= MAX_NAME for key in state):
        raise ModelError(f"{path}: layers have unprintable names; give a generator's weight file")
    # An element takes at least a byte; strides of 0 would repeat elements.
    limit = min(MAX_NUMBERS, len(data))
    if sum(tensor.numel() for tensor in state.values()) > limit:
        raise ModelError(f"{path}: claims more than {limit:,} numbers; it is no generator's weight file")
    return WeightFile(
        path=path,
        sha256=hashlib.sha256(data).hexdigest(),
        state=_with_numbers(path, {key: _as_fp32(path, key, tensor) for key, tensor in state.items()}),
        wrapper=wrapper,
        metadata=metadata,
    )


def write_weights(path: Path, state: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write a .safetensors file, completely or not at all.

    Raises:
        OutputError: the file cannot be written.
    """
    tensors = {key: tensor.detach().cpu().contiguous() for key, tensor in state.items()}
    write_whole(path, save_safetensors(tensors, metadata=dict(metadata)))


def _read_bytes(path: Path) -> bytes:
    try:
        return read_file(path, most_bytes=MAX_FILE_BYTES)
    except OSError as error:
        raise ModelError(
            f"{path}: cannot be read ({error.strerror or error}); give a generator's weight file"
        ) from error


def _parse(data: bytes, path: Path) -> tuple[Mapping[str, Any], dict[str, str]]:
    """Return the top-level table of a file, and its metadata."""
    _refuse_other_kinds(data, path)
    if data[8:9] == b"{":
        return _parse_safetensors(data, path)
    if not data.startswith((b"PK", b"\x80")):
        raise ModelError(f"{path}: neither .safetensors nor .pth; give a generator's weight file")
    return _parse_pickle(data, path), {}


_OTHER_KINDS = (
    (
        rb"version https://git-lfs",
        "a Git LFS pointer in place of the weights; fetch them with `git lfs pull`",
    ),
    (rb"\s*<", "a web page, not weights; download the file itself"),
    (rb"7767517", "an ncnn net; `vsr models convert A.param A.bin -o A.safetensors` makes it usable"),
    (rb"Gk0\x01", "weights of an ncnn net; convert them with `vsr models convert A.param A.bin`"),
    (rb"\s*[{\[]", "JSON text, not weights; give a .safetensors or .pth file"),
    (rb"\Z", "empty; download it again"),
)


def _refuse_other_kinds(data: bytes, path: Path) -> None:
    for pattern, what in _OTHER_KINDS:
        if re.match(pattern, data) and data[8:9] != b"{":
            raise ModelError(f"{path}: {what}")


def _parse_safetensors(data: bytes, path: Path) -> tuple[Mapping[str, Any], dict[str, str]]:
    length = int.from_bytes(data[:8], "little")
    if MAX_HEADER_BYTES < length <= len(data):
        raise ModelError(
            f"{path}: its header has {length:,} bytes, more than {MAX_HEADER_BYTES:,}; get another file"
        )
    try:
        table = load_safetensors(data)
        header = json.loads(data[8 : 8 + length])
        return table, header.get("__metadata__") or {}
    except (SafetensorError, ValueError, KeyError, RuntimeError, TypeError) as error:
        raise _damaged(path, error) from error


def _parse_pickle(data: bytes, path: Path) -> Mapping[str, Any]:
    _refuse_old_torch(path)
    try:
        table = torch.load(io.BytesIO(torch_file.checked(data)), map_location="cpu", weights_only=True)
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error
    except Exception as error:  # torch raises a dozen kinds of errors for damaged files
        raise _damaged(path, error) from error
    if not isinstance(table, Mapping):
        raise ModelError(f"{path}: has a {type(table).__name__}, not named weights; save a state_dict()")
    return table


def _refuse_old_torch(path: Path) -> None:
    found = tuple(int(part) for part in re.findall(r"\d+", torch.__version__)[:2])
    if found < OLDEST_TORCH:
        raise ModelError(
            f"{path}: a .pth file could run code in torch {torch.__version__};"
            f" upgrade torch to {OLDEST_TORCH[0]}.{OLDEST_TORCH[1]}, or give a .safetensors file"
        )


def _damaged(path: Path, error: Exception) -> ModelError:
    return ModelError(f"{path}: damaged or cut off ({_first_line(error)}); download it again")


def unwrap(table: Mapping[Any, Any]) -> tuple[dict[str, Tensor], str | None]:
    """Find the generator's weights in a table that a trainer saved.

    Returns:
        The weights, without a prefix that all names share, and empty if there are none; and the key of the
        table that contains them (dotted if nested), or None.
    """
    wrappers: list[str] = []
    while len(wrappers) < MAX_DEPTH and (key := _wrapper(table)) is not None:
        wrappers.append(str(key))
        table = table[key]
    state = {str(key): value for key, value in table.items() if isinstance(value, Tensor)}
    for network in _NETWORKS_OF_A_TRAINER:
        if any(key.startswith(network) for key in state):
            state = {key: value for key, value in state.items() if key.startswith(network)}
            break
    return _without_prefix(_without_counters(state)), ".".join(wrappers) or None


def _wrapper(table: Mapping[Any, Any]) -> Any | None:
    """Return the key of the inner table with the weights; None if they are in `table` itself, or nowhere."""
    below = [key for key, value in table.items() if isinstance(value, Mapping) and _has_tensors(value)]
    by_name = {_lower(key): key for key in reversed(below)}
    for name in (*AVERAGED, *PLAIN):
        if name in by_name:
            return by_name[name]
    return below[0] if len(table) == 1 and below else None


def _has_tensors(table: Mapping[Any, Any]) -> bool:
    """Return whether a table contains tensors at any depth."""
    level: list[Mapping[Any, Any]] = [table]
    for _ in range(MAX_DEPTH):
        if any(isinstance(value, Tensor) for table in level for value in table.values()):
            return True
        level = [value for table in level for value in table.values() if isinstance(value, Mapping)]
        level = list({id(table): table for table in level}.values())
    return False


def networks_in(state: Mapping[str, Tensor]) -> list[tuple[str, dict[str, Tensor]]]:
    """Split a table with the weights of several networks, as Lightning saves the networks of a module.

    Returns:
        The first part of the layers' names, and the weights without it, for each network. If there are
        several, only those with a usual name of a generator: a network may be a part of another one.
    """
    parts: dict[str, dict[str, Tensor]] = {}
    for key, value in state.items():
        first, dot, rest = key.partition(".")
        if dot and not rest[:1].isdecimal():  # `model.0.weight` is a layer of the ESRGAN of 2018
            parts.setdefault(first, {})[rest] = value
    return [
        (first, _without_prefix(_without_counters(part)))
        for first, part in parts.items()
        if len(parts) == 1 or is_averaged(first) or _lower(first) in PLAIN
    ]


def _lower(name: Any) -> str:
    return str(name).lower().replace("-", "_")


def is_averaged(name: str) -> bool:
    """Return whether trainers use a name for averaged weights."""
    return _lower(name) in AVERAGED


def _without_counters(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key: value for key, value in state.items() if key not in COUNTERS or value.numel() != 1}


def _without_prefix(state: dict[str, Tensor]) -> dict[str, Tensor]:
    for prefix in PREFIXES:
        if state and all(key.startswith(prefix) for key in state):
            return _without_prefix({key.removeprefix(prefix): value for key, value in state.items()})
    return state


def _with_numbers(path: Path, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights unless all are zero, as in a file of which only the size was written."""
    if not any(bool(tensor.any()) for tensor in state.values()):
        raise ModelError(f"{path}: every weight is zero, as after an unfinished download; get it again")
    return state


def _as_fp32(path: Path, key: str, tensor: Tensor) -> Tensor:
    if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_complex() or tensor.is_nested:
        raise ModelError(f"{path}: {key} is sparse, quantized or complex; plain numbers are usable")
    if key.endswith("num_batches_tracked"):
        return tensor
    if key.endswith((".weight", ".bias")) and not tensor.is_floating_point():
        kind = str(tensor.dtype).removeprefix("torch.")
        raise ModelError(
            f"{path}: {key} has whole numbers ({kind}), of which nothing says the scale; use float"
        )
    tensor = tensor.float()
    if not torch.isfinite(tensor).all():
        raise ModelError(f"{path}: {key} has NaN or infinity; use other weights")
    return tensor


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:120]


def _list(table: Mapping[Any, Any]) -> str:
    """Return the first few keys of a table for an error message."""
    keys = [ascii(str(key)[:30]) for key in list(table)[:4]]
    return ("keys " + ", ".join(keys)) if keys else "nothing"
