"""Checks MP4 and QuickTime: three tables in a track's index state its number of samples, and must agree."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from vsr.media.files.file_bytes import FileBytes
from vsr.media.formats.boxes import find_boxes

_TABLE = (b"mdia", b"minf", b"stbl")


def walk_mp4(data: FileBytes) -> tuple[str | None, int | None]:
    """Return where the tables of a video track disagree, or None, and then the number of frames that `stsz`
    states.
    """
    for start, end in find_boxes(data.file, 0, len(data), b"moov", b"trak"):
        kinds = [data[at + 8 : at + 12] for at, _ in find_boxes(data.file, start, end, b"mdia", b"hdlr")]
        if b"vide" not in kinds:
            continue
        counts = dict(_counts(data, start, end))
        if len(set(counts.values())) > 1:
            said = ", ".join(f"{name} {count}" for name, count in counts.items())
            fault = f"the index is damaged: its tables state different numbers of frames ({said})"
            return fault, counts.get("stsz")
    return None, None


def _counts(data: FileBytes, start: int, end: int) -> Iterator[tuple[str, int]]:
    tables = {
        name: data[at:stop]
        for name in (b"stsz", b"stts", b"stsc", b"stco", b"co64")
        for at, stop in find_boxes(data.file, start, end, *_TABLE, name)
    }
    if b"stsz" in tables and len(tables[b"stsz"]) >= 12:
        yield "stsz", int.from_bytes(tables[b"stsz"][8:12], "big")
    if b"stts" in tables:
        yield "stts", sum(count for count, _ in _rows(tables[b"stts"], ">II"))
    if b"stsc" in tables and (b"stco" in tables or b"co64" in tables):
        chunks = int.from_bytes(tables.get(b"stco", tables.get(b"co64", b""))[4:8], "big")
        yield "stsc", _samples_in(list(_rows(tables[b"stsc"], ">III")), chunks)


def _rows(table: bytes, form: str) -> Iterator[tuple[int, ...]]:
    """Yield the rows of a table after its version, flags and row count, as far as the data goes."""
    size = struct.calcsize(form)
    count = min(int.from_bytes(table[4:8], "big"), (len(table) - 8) // size)
    return struct.iter_unpack(form, table[8 : 8 + max(0, count) * size])


def _samples_in(runs: list[tuple[int, ...]], chunks: int) -> int:
    """Return the number of samples in all chunks. Each run extends to the first chunk of the next."""
    following = [*(run[0] for run in runs[1:]), chunks + 1][: len(runs)]
    return sum(
        max(0, later - first) * number for (first, number, _), later in zip(runs, following, strict=True)
    )
