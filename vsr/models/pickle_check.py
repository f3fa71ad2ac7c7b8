"""What a pickle would do, told from its opcodes without running it.

torch's restricted unpickler runs nothing of a file's, but a few bytes can make it fill the memory, hang or
crash: calls that copy what they are given or that take a size, keys whose hash takes for ever. So the opcodes
are walked through first, with sizes in place of objects.
"""

from __future__ import annotations

import pickletools
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from vsr.errors import ModelError

MAX_PICKLE_BYTES = 2**22
"""Of a .pth file without its tensors: ten times a training state's."""
MAX_STEPS = 2**20
"""Opcodes in it; a tensor takes about 40."""
MAX_COPIED = 2**21
"""Things that all calls of a pickle are given together, such as numbers of a shape; a tensor takes 15."""
MAX_DEPTH = 100
"""Tuples within one another; a hash goes through all of them, and deep ones overflow the stack."""
MAX_KEY = 1_000
"""Things in a tuple that is the key of a table: its hash goes through what is in it twice, twice."""

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
"""What a pickle may call. torch allows more: `bytearray` makes 2 GB of 20 bytes, a storage any size."""
_NAMED = re.compile(r"torch\.(b?float\w+|u?int\w+|bool|complex\w+|half|double|long)")
"""What a pickle may name without calling it, beside storages."""
_NOT_PLAIN = re.compile(r"torch\._utils\._rebuild_(sparse_tensor|qtensor|nested_tensor)")


@dataclass(slots=True)
class _Value:
    """What stands for an object on the unpickler's stack."""

    size: int = 1
    """Things in it, at most `MAX_COPIED`; what is in it twice counts twice."""
    what: Any = None
    """Of a constant itself, of a tuple its values; None for others."""
    depth: int = 0
    """Of tuples within one another."""


class _Name(str):
    """What GLOBAL names."""


@dataclass(slots=True)
class _Machine:
    """The unpickler's stack, with `_Value` in place of objects."""

    file_bytes: int
    """What all storages may have together."""
    stack: list[_Value] = field(default_factory=list)
    marks: list[int] = field(default_factory=list)
    memo: dict[int, _Value] = field(default_factory=dict)
    storages: set[str] = field(default_factory=set)
    """Their keys."""
    claimed: int = 0
    """Bytes of all of them."""
    copied: int = 0

    def step(self, name: str, argument: Any) -> None:
        """One opcode.

        Raises:
            ModelError: torch.save does not write it, or it does harm.
            LookupError: nothing is there to act on.
        """
        if name in _CONSTANTS:
            value = _CONSTANTS[name] if argument is None else argument
            self.stack.append(_Value(1 + len(value) // 8 if isinstance(value, str) else 1, value))
        elif name in _TUPLES:
            self._tuple(self._taken(_TUPLES[name]))
        elif name in _CONTAINERS:
            self.stack.append(_Value())
        elif name in _ACTIONS:
            getattr(self, _ACTIONS[name])(argument)
        elif name not in ("PROTO", "STOP"):
            raise stranger(f"{name} in its pickle")

    def _taken(self, count: int | None) -> list[_Value]:
        """The topmost values, off the stack; None takes all above the last mark."""
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
        self._grow(self._taken(1))

    def extend(self, _: None) -> None:
        self._grow(self._taken(None))

    def set_item(self, _: None) -> None:
        self._set(self._taken(2))

    def set_items(self, _: None) -> None:
        self._set(self._taken(None))

    def _set(self, keys_and_values: list[_Value]) -> None:
        for key in keys_and_values[::2]:
            if isinstance(key.what, tuple) and _weight(key) > MAX_KEY:
                raise ModelError(f"has a table with a key of more than {MAX_KEY:,} things; get another file")
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
            raise ModelError("holds sparse or quantized tensors; plain numbers are usable")
        if name not in _CALLED and not _NAMED.fullmatch(name) and not _is_storage(name):
            raise stranger(name)
        self.stack.append(_Value(1, name))

    def call(self, _: None) -> None:
        """REDUCE and NEWOBJ: what is called, and its arguments in a tuple."""
        called, arguments = self._taken(2)
        if called.what not in _CALLED or not isinstance(called.what, _Name):
            raise stranger(str(called.what))
        if called.what == "_codecs.encode":
            _check_encode(arguments)
        self._copy(arguments)
        self.stack.append(_Value(arguments.size))

    def build(self, _: None) -> None:
        (state,) = self._taken(1)
        self._copy(state)
        self._grow([state])

    def _copy(self, value: _Value) -> None:
        self.copied += _weight(value)
        if self.copied > MAX_COPIED:
            raise ModelError(f"copies more than {MAX_COPIED:,} things within its pickle; get another file")

    def storage(self, _: None) -> None:
        """BINPERSID: a tuple of `storage`, its type, its key, its device, and how many numbers it has."""
        (value,) = self._taken(1)
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
                f"claims more than the numbers in its {self.file_bytes:,} bytes, so it is damaged or cut off;"
                " download it again"
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
    """Go through some pickles, to the end of the last.

    Args:
        file: At the first of them.
        file_bytes: Of the whole file; storages may have no more together.
        pickles: How many follow each other.

    Raises:
        ModelError: they name or call something else than tensors need, or would do harm.
        ValueError, LookupError: damaged.
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
    """What is said of an object that is none of torch.save's for tensors."""
    return ModelError(
        f"holds {ascii(name[:60])[1:-1]}, a program's object; only tensors are read: give a saved"
        " state_dict()"
    )


def _check_encode(arguments: _Value) -> None:
    """Bytes are written as text in latin1; other codecs make more of what they are given, over and over."""
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
    """Things that a call copies at most: those in its arguments as they are now, with what tuples hold."""
    count, todo = 0, [value]
    while todo and count <= MAX_COPIED and len(todo) <= MAX_STEPS:
        value = todo.pop()
        if isinstance(value.what, tuple):
            todo.extend(value.what)
        count += 1 if isinstance(value.what, tuple) else value.size
    return count


def _total(values: list[_Value]) -> int:
    return min(1 + sum(value.size for value in values), MAX_COPIED + 1)
