"""Check of a pickle's opcodes without executing them.

torch's restricted unpickler runs no code from a file, but a few bytes can make it fill the memory, hang or
crash: calls that copy their arguments or take a size, and keys that take very long to hash. So the opcodes
are simulated first, with sizes in place of objects.
"""

from __future__ import annotations

import pickletools
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from vsr.errors import ModelError

MAX_PICKLE_BYTES = 2**22
"""Largest pickle, which is a .pth file without its tensors: ten times that of a training state."""
MAX_STEPS = 2**20
"""Most opcodes; a tensor takes about 40."""
MAX_COPIED = 2**21
"""Most objects in the arguments of all calls together, such as the numbers of a shape; a tensor takes 15."""
MAX_DEPTH = 100
"""Deepest nesting of tuples; a hash visits all levels, and too many overflow the stack."""
MAX_KEY = 1_000
"""Most objects in a tuple that is a key of a table; a hash visits an object once for each reference to it."""

_DTYPE_BYTES = {
    "Double": 8, "Float": 4, "Half": 2, "BFloat16": 2, "Long": 8, "Int": 4, "Short": 2, "Char": 1, "Byte": 1,
    "Bool": 1, "ComplexDouble": 16, "ComplexFloat": 8, "Untyped": 1,
}  # fmt: skip
_STORAGE = re.compile(r"torch\.(?:storage\.|cuda\.)?(\w+)Storage")
_CALLED = frozenset(
    {
        "collections.OrderedDict",
        "collections.Counter",
        "_codecs.encode",
        "torch.Size",
        "torch.device",
        "torch.serialization._get_layout",
        "torch.nn.parameter.Parameter",
        "torch._utils._rebuild_tensor",
        "torch._utils._rebuild_tensor_v2",
        "torch._utils._rebuild_tensor_v3",
        "torch._utils._rebuild_parameter",
        "torch._utils._rebuild_parameter_with_state",
    }
)
"""Functions that a pickle may call. torch allows more: `bytearray` turns 20 bytes into 2 GB, a storage can
have any size."""
_NAMED = re.compile(r"torch\.(b?float\w+|u?int\w+|bool|complex\w+|half|double|long)")
"""Globals besides storages that a pickle may name without calling them."""
_NOT_PLAIN = re.compile(r"torch\._utils\._rebuild_(sparse_tensor|qtensor|nested_tensor)")


@dataclass(slots=True)
class _Value:
    """A placeholder for an object on the unpickler's stack."""

    size: int = 1
    """Objects in it, counted once for each reference, up to `MAX_COPIED` + 1."""
    what: Any = None
    """A constant itself, or the values of a tuple; None for other objects."""
    depth: int = 0
    """Levels of nested tuples."""


class _Name(str):
    """The name of a global (opcode GLOBAL)."""


@dataclass(slots=True)
class _Machine:
    """The state of the unpickler, with `_Value` in place of objects."""

    file_bytes: int
    """Most bytes of all storages together."""
    stack: list[_Value] = field(default_factory=list)
    marks: list[int] = field(default_factory=list)
    memo: dict[int, _Value] = field(default_factory=dict)
    storages: set[str] = field(default_factory=set)
    """Keys of the storages so far."""
    claimed: int = 0
    """Bytes of all storages so far."""
    copied: int = 0
    """Objects in the arguments of all calls so far."""

    def step(self, name: str, argument: Any) -> None:
        """Simulate one opcode.

        Raises:
            ModelError: torch.save does not write it, or it is harmful.
            LookupError: its operands are missing.
        """
        if name in _CONSTANTS:
            value = _CONSTANTS[name] if argument is None else argument
            self.stack.append(_Value(1 + len(value) // 8 if isinstance(value, str) else 1, value))
        elif name in _TUPLES:
            self._tuple(self._pop(_TUPLES[name]))
        elif name in _CONTAINERS:
            self.stack.append(_Value())
        elif name in _ACTIONS:
            getattr(self, _ACTIONS[name])(argument)
        elif name not in ("PROTO", "STOP"):
            raise stranger(f"{name} in its pickle")

    def _pop(self, count: int | None) -> list[_Value]:
        """Pop the topmost values from the stack; with None, all above the last mark."""
        begin = self.marks.pop() if count is None else len(self.stack) - count
        if begin < 0:
            raise IndexError("the stack is empty")
        taken = self.stack[begin:]
        del self.stack[begin:]
        return taken

    def _tuple(self, values: list[_Value]) -> None:
        depth = 1 + max((value.depth for value in values), default=0)
        if depth > MAX_DEPTH:
            raise ModelError(f"nests more than {MAX_DEPTH} tuples; get another file")
        self.stack.append(_Value(_total(values), tuple(values), depth))

    def _grow(self, values: Iterable[_Value]) -> None:
        self.stack[-1].size = _total([self.stack[-1], *values])

    def append(self, _: None) -> None:
        self._grow(self._pop(1))

    def extend(self, _: None) -> None:
        self._grow(self._pop(None))

    def set_item(self, _: None) -> None:
        self._set(self._pop(2))

    def set_items(self, _: None) -> None:
        self._set(self._pop(None))

    def _set(self, keys_and_values: list[_Value]) -> None:
        for key in keys_and_values[::2]:
            if isinstance(key.what, tuple) and _weight(key) > MAX_KEY:
                raise ModelError(f"has a table with a key of more than {MAX_KEY:,} objects; get another file")
        self._grow(keys_and_values)

    def mark(self, _: None) -> None:
        self.marks.append(len(self.stack))

    def put(self, key: int) -> None:
        self.memo[key] = self.stack[-1]

    def get(self, key: int) -> None:
        self.stack.append(self.memo[key])

    def name(self, argument: str) -> None:
        name = _Name(argument.replace(" ", "."))
        if _NOT_PLAIN.fullmatch(name):
            raise ModelError("has sparse or quantized tensors; only dense ones are supported")
        if name not in _CALLED and not _NAMED.fullmatch(name) and not _is_storage(name):
            raise stranger(name)
        self.stack.append(_Value(1, name))

    def call(self, _: None) -> None:
        """REDUCE and NEWOBJ: pop a function and its arguments in a tuple."""
        called, arguments = self._pop(2)
        if called.what not in _CALLED or not isinstance(called.what, _Name):
            raise stranger(str(called.what))
        if called.what == "_codecs.encode":
            _check_encode(arguments)
        self._copy(arguments)
        self.stack.append(_Value(arguments.size))

    def build(self, _: None) -> None:
        (state,) = self._pop(1)
        self._copy(state)
        self._grow([state])

    def _copy(self, value: _Value) -> None:
        self.copied += _weight(value)
        if self.copied > MAX_COPIED:
            raise ModelError(f"copies more than {MAX_COPIED:,} objects within its pickle; get another file")

    def storage(self, _: None) -> None:
        """BINPERSID: pop a tuple of `storage`, its type, its key, its device, and its number of elements."""
        (value,) = self._pop(1)
        parts = [part.what for part in value.what] if isinstance(value.what, tuple) else []
        if (
            len(parts) < 5
            or not _is_storage(parts[1])
            or type(parts[2]) is not str
            or type(parts[4]) is not int
        ):
            raise ModelError("names storages as torch.save does not; give a saved state_dict()")
        if parts[2] not in self.storages:
            self.storages.add(parts[2])
            self.claimed += abs(parts[4]) * _bytes_of(parts[1])
        if self.claimed > self.file_bytes:
            raise ModelError(
                f"describes more numbers than its {self.file_bytes:,} bytes can contain, so it is damaged or"
                " truncated; download it again"
            )
        self.stack.append(_Value())


_CONSTANTS: dict[str, Any] = dict.fromkeys(
    ("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINSTRING", "NONE")
) | {"NEWTRUE": True, "NEWFALSE": False}
_TUPLES = {"TUPLE": None, "EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_CONTAINERS = frozenset({"EMPTY_LIST", "EMPTY_DICT"})
_ACTIONS = {
    "APPEND": "append",
    "SETITEM": "set_item",
    "APPENDS": "extend",
    "SETITEMS": "set_items",
    "MARK": "mark",
    "BINPUT": "put",
    "LONG_BINPUT": "put",
    "BINGET": "get",
    "LONG_BINGET": "get",
    "GLOBAL": "name",
    "REDUCE": "call",
    "NEWOBJ": "call",
    "BUILD": "build",
    "BINPERSID": "storage",
}


def walk(file: BinaryIO, file_bytes: int, *, pickles: int = 1) -> None:
    """Check consecutive pickles.

    Args:
        file: Positioned at the first pickle; afterwards it is at the end of the last one.
        file_bytes: Size of the whole file, which limits the storages together.
        pickles: Number of pickles.

    Raises:
        ModelError: a pickle names or calls something that tensors do not need, or is harmful.
        ValueError, LookupError: a pickle is damaged.
    """
    steps = 0
    for _ in range(pickles):
        begin = file.tell()
        machine = _Machine(file_bytes)
        for opcode, argument, place in pickletools.genops(file):
            steps += 1
            if (place or 0) - begin > MAX_PICKLE_BYTES:
                raise ModelError(
                    f"describes its tensors in more than {MAX_PICKLE_BYTES:,} bytes; get another"
                )
            if steps > MAX_STEPS:
                raise ModelError(f"describes its tensors in more than {MAX_STEPS:,} steps; get another")
            machine.step(opcode.name, argument)


def stranger(name: str) -> ModelError:
    """Return the error about an object that torch.save does not need for tensors."""
    return ModelError(
        f"contains {ascii(name[:60])[1:-1]}, an object of a program; only tensors are read: give a saved"
        " state_dict()"
    )


def _check_encode(arguments: _Value) -> None:
    """Allow only latin1, with which torch.save writes bytes as text; other codecs can multiply the size."""
    codec = arguments.what[1].what if isinstance(arguments.what, tuple) and len(arguments.what) == 2 else None
    if codec != "latin1":
        raise stranger("_codecs.encode")


def _is_storage(name: Any) -> bool:
    return (
        isinstance(name, _Name)
        and (found := _STORAGE.fullmatch(name)) is not None
        and found[1] in _DTYPE_BYTES
    )


def _bytes_of(name: str) -> int:
    found = _STORAGE.fullmatch(name)
    assert found is not None
    return _DTYPE_BYTES[found[1]]


def _weight(value: _Value) -> int:
    """Return the most objects that a call copies: those in its arguments at this time, with nested tuples."""
    count, todo = 0, [value]
    while todo and count <= MAX_COPIED and len(todo) <= MAX_STEPS:
        value = todo.pop()
        if isinstance(value.what, tuple):
            todo.extend(value.what)
        count += 1 if isinstance(value.what, tuple) else value.size
    return count


def _total(values: list[_Value]) -> int:
    return min(1 + sum(value.size for value in values), MAX_COPIED + 1)
