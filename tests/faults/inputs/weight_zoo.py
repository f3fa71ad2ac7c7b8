"""Weight files that are hostile, damaged or something else, by their row in the catalogue of faults."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor

from tests.models.small_nets import make
from vsr.models.archs.compact import CompactConfig
from vsr.models.archs.rrdb import RRDBConfig

STATE = {key: value.clone() for key, value in make(CompactConfig(scale=2, nf=6, nc=3)).state_dict().items()}
RRDB = {key: value.clone() for key, value in make(RRDBConfig(scale=4, nf=4, nb=1, gc=2)).state_dict().items()}
KEY = "body.0.weight"
CANARY = "it-ran"
"""Folder that a hostile file creates beside itself when it is unpickled."""


class Evil:
    """Creates a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.path = str(folder / CANARY)

    def __reduce__(self) -> object:
        return os.mkdir, (self.path,)


def saved(what: object, *, legacy: bool = False) -> bytes:
    file = io.BytesIO()
    torch.save(what, file, _use_new_zipfile_serialization=not legacy)
    return file.getvalue()


def with_tensor(tensor: Tensor) -> bytes:
    return saved({**STATE, KEY: tensor})


def header(entries: dict[str, object], body: bytes = b"") -> bytes:
    text = json.dumps(entries).encode()
    return struct.pack("<Q", len(text)) + text + body


def deflated(data: bytes) -> bytes:
    """Return the same zip archive, compressed."""
    file = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(data)) as old,
        zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for entry in old.infolist():
            new.writestr(entry.filename, old.read(entry))
    return file.getvalue()


def with_entry(name: str, value: bytes, *, data: bytes = b"") -> bytes:
    """Return a .pth file with an additional entry in its archive."""
    file = io.BytesIO(data or saved(STATE))
    with zipfile.ZipFile(file, "a") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about a duplicate name
        archive.writestr(name, value)
    return file.getvalue()


def two_files(first: bytes, second: bytes) -> bytes:
    """Return an archive with the entries of two files of torch.save."""
    file = io.BytesIO(first)
    with zipfile.ZipFile(file, "a") as both, zipfile.ZipFile(io.BytesIO(second)) as other:
        for entry in other.infolist():
            both.writestr("other/" + entry.filename.split("/", 1)[1], other.read(entry))
    return file.getvalue()


def two_directories(torchs: bytes, pythons: bytes) -> bytes:
    """Return an archive in which torch finds one file and Python's
    zipfile another, both with the same layout.

    The end of an archive contains the position of its directory. torch reads that position; zipfile reads the
    directory directly before the end, because a program may precede an archive.
    """
    return torchs[: torchs.rindex(b"PK\x05\x06")] + pythons


def in_an_archive(pickle_bytes: bytes) -> bytes:
    """Return a .pth file with a custom pickle."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", pickle_bytes)
        archive.writestr("archive/version", "3")
        archive.writestr("archive/data/0", bytes(16))
    return file.getvalue()


def encoded(times: int) -> bytes:
    """Return a pickle in which `_codecs.encode` doubles 1 KB repeatedly: 30 times would give 1 TB."""
    data = b"\x80\x02" + b"c_codecs\nencode\n" * times + b"X\x00\x04\x00\x00" + b"a" * 1024
    return data + b"X\x03\x00\x00\x00hex\x86R" * times + b"."


def copied(what: bytes) -> bytes:
    """Return a pickle that copies a list of 100,000 numbers 100,000 times by calling the function `what`."""
    items = b"]q\x00(" + b"K\x01" * 100_000 + b"e"
    return b"\x80\x02](" + items + b"c" + what + b"\nq\x01" + b"h\x01h\x00\x85R" * 100_000 + b"e."


def grown_later() -> bytes:
    """Return the same with a list that is still empty when the arguments of the call are created."""
    start = b"\x80\x02](]q\x00ccollections\nCounter\nq\x01h\x00\x85q\x02h\x00("
    return start + b"K\x01" * 100_000 + b"e" + b"h\x01h\x02R" * 100_000 + b"e."


def key_of(tuples: int, step: bytes) -> bytes:
    """Return a pickle whose key is a nested tuple, or one of two equal
    tuples on each level, hashed 2^N times."""
    return b"\x80\x02}N" + step * tuples + b"Ns."


def storage_of(numbers: int, *, called: bool = False) -> bytes:
    """Return a pickle with a storage of an invented size."""
    if called:
        return b"\x80\x02ctorch.storage\nUntypedStorage\nJ" + struct.pack("<i", numbers) + b"\x85R."
    words = b"X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpu"
    return b"\x80\x02(" + words + b"J" + struct.pack("<i", numbers) + b"tQ."


def torchscript() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("net/constants.pkl", b"\x80\x02).")
        archive.writestr("net/code/__torch__.py", "def forward(self): ...")
    return file.getvalue()


def within_itself() -> bytes:
    table: dict[str, object] = {}
    table["params"] = table
    return saved(table)


def not_a_number() -> dict[str, Tensor]:
    state = {key: value.clone() for key, value in STATE.items()}
    state[KEY][0, 0, 0, 0] = float("nan")
    return state


def gray() -> dict[str, Tensor]:
    return {**RRDB, "conv_first.weight": RRDB["conv_first.weight"][:, :1].clone()}


BYTEARRAY = b"\x80\x02cbuiltins\nbytearray\nJ\xff\xff\xff\x7f\x85R."
"""2 GB from twenty bytes, created by torch's own unpickler."""
EMPTY = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}

Make = Callable[[Path], bytes]
ZOO: dict[str, tuple[Make, str]] = {
    "D1 pickle": (
        lambda f: pickle.dumps({"params": STATE, "x": Evil(f)}, protocol=2),
        r"object of a program",
    ),
    "D1 pickle, protocol 4": (lambda f: pickle.dumps(Evil(f), protocol=4), r"object of a program"),
    "D1 .pth": (lambda f: saved({"params": STATE, "x": Evil(f)}), r"mkdir, an object of a program"),
    "D1 .pth before 1.6": (
        lambda f: saved({"params": STATE, "x": Evil(f)}, legacy=True),
        r"object of a program",
    ),
    "D4 TorchScript": (lambda _: torchscript(), "TorchScript program, which is never run"),
    "D5 cut .safetensors": (lambda _: save(STATE)[:-5], "damaged or cut off"),
    "D5 .safetensors cut in its header": (lambda _: save(STATE)[:60], "damaged or cut off"),
    "D6 header of 2^60 bytes": (lambda _: struct.pack("<Q", 2**60) + b"{}" * 99, "damaged"),
    "D6 header of 500,000 tensors": (
        lambda _: header({f"t{i}": EMPTY for i in range(500_000)}),
        "its header",
    ),
    "D6 holes": (
        lambda _: header({"a": EMPTY | {"shape": [2], "data_offsets": [8, 16]}}, bytes(16)),
        "damaged",
    ),
    "D7 Git LFS pointer": (
        lambda _: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
        "git lfs",
    ),
    "D7 web page": (lambda _: b"<!DOCTYPE html><html>404</html>", "a web page"),
    "D7 JSON": (lambda _: b'{"error": 404}', "JSON"),
    "D7 empty": (lambda _: b"", "empty"),
    "D7 noise": (lambda _: bytes(range(1, 256)) * 9, "neither"),
    "D10 deflated": (lambda _: deflated(with_tensor(torch.zeros(2**20))), "unpacks to more"),
    "D10 bytearray": (lambda _: BYTEARRAY, "bytearray, an object of a program"),
    "D10 encode": (lambda _: in_an_archive(encoded(30)), r"_codecs\.encode, an object of a program"),
    "D10 encode, before 1.6": (lambda _: encoded(30), r"_codecs\.encode, an object of a program"),
    "D10 copied by a call": (lambda _: in_an_archive(copied(b"torch\nSize")), "copies more than"),
    "D10 copied into a dictionary": (
        lambda _: in_an_archive(copied(b"collections\nOrderedDict")),
        "copies more than",
    ),
    "D10 copied once it has grown": (
        lambda _: in_an_archive(grown_later()),
        "copies more than",
    ),
    "D10 a key that is hashed for ever": (
        lambda _: in_an_archive(key_of(40, b"q\x00h\x00\x86")),
        "a key of more than",
    ),
    "D10 a key that overflows the stack": (
        lambda _: in_an_archive(key_of(300_000, b"\x85")),
        "nests more than",
    ),
    "D10 a tuple that overflows the stack": (
        lambda _: in_an_archive(b"\x80\x02ccollections\nCounter\n](N" + b"\x85" * 300_000 + b"e\x85R."),
        "nests more than",
    ),
    "D10 a storage that is called": (
        lambda _: in_an_archive(storage_of(2**31 - 1, called=True)),
        r"UntypedStorage, an object of a program",
    ),
    "D10 a storage of a size made up": (
        lambda _: in_an_archive(storage_of(2**31 - 1)),
        "describes more numbers than",
    ),
    "D10 compressed, and no larger": (
        lambda _: with_entry("archive/.data/x", b"", data=deflated(saved({"x": 1}))),
        "unpacks to more|is compressed",
    ),
    "D10 entries": (
        lambda _: b"PK\x03\x04" + b"PK\x01\x02".ljust(46, b"\0") * 50_001,
        "more than 50,000 entries",
    ),
    "D16 a name in two cases": (
        lambda f: with_entry("ARCHIVE/DATA.PKL", pickle.dumps(Evil(f), protocol=2)),
        "two entries of one name",
    ),
    "D16 a name twice": (
        lambda f: with_entry("archive/data.pkl", pickle.dumps(Evil(f), protocol=2)),
        "two entries of one name",
    ),
    "D16 two files in one": (
        lambda f: two_files(saved({"x": Evil(f)}), saved(STATE)),
        "several files of torch.save|object of a program",
    ),
    "D16 an archive of something else": (
        lambda _: in_an_archive(b"").replace(b"data.pkl", b"data.txt"),
        "unpack it",
    ),
    "D10 4 MB of pickle": (
        lambda _: b"\x80\x02X\0\0\x60\0" + b"a" * 0x600000 + b"N.",
        "more than 4,194,304 bytes",
    ),
    "D10 steps": (lambda _: b"\x80\x02" + b"(" * 5_000_000 + b".", "more than 1,048,576 steps"),
    "D11 stride 0": (lambda _: with_tensor(torch.zeros(1).expand(2**40)), "claims more than"),
    "D11 stride 0, small": (lambda _: with_tensor(torch.zeros(1).expand(2**27)), "claims more than"),
    "D11 no data": (lambda _: with_tensor(STATE[KEY].to("meta")), "object of a program"),
    "D12 other layers": (lambda _: save({"fc.weight": torch.ones(2, 2)}), "an unknown network"),
    "D12 layers missing": (
        lambda _: save({k: v for k, v in RRDB.items() if not k.endswith("conv2.bias")}),
        r"without body\.0\.rdb1\.conv2\.bias, without \S+rdb2\S+, without \S+rdb3\S+; incomplete",
    ),
    "D12 a table in itself": (lambda _: within_itself(), "has no network weights"),
    "D12 a name of 100,000 letters": (lambda _: saved({**STATE, "x" * 100_000: torch.ones(1)}), "names"),
    "D13 NaN": (lambda _: save(not_a_number()), "has NaN"),
    "D13 overflow": (lambda _: save({k: v * 1e30 for k, v in STATE.items()}), "grey image has NaN"),
    "D14 gray": (lambda _: save(gray()), "takes 1 and gives 3 channels"),
}
"""For each name, the function that makes the bytes (given the folder of
the file), and the expected error line."""
