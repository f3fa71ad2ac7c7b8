"""Files of torch.save, judged before torch unpickles them.

An archive is written anew from what was judged, because two readers of zip files may find different things in
one file. What its pickle does, `pickle_check.py` tells.
"""

from __future__ import annotations

import io
import re
import zipfile

from vsr.errors import ModelError
from vsr.models.pickle_check import walk

MAX_ENTRIES = 50_000
"""Of an archive: one a tensor. zipfile makes an object of each before anything can be looked at."""
_LEGACY_PICKLES = 5
"""At the start of a file of torch before 1.6; the tensors' numbers follow."""
_KEPT = re.compile(r"(?P<root>[^/]+)/(data\.pkl|version|byteorder|data/\d+)")
"""Entries of an archive that torch reads."""


def checked(data: bytes) -> bytes:
    """A file of torch.save that holds what this one holds, and that can be unpickled without harm.

    Args:
        data: The file: a zip archive, or the pickles of torch before 1.6.

    Raises:
        ModelError: it names or calls something else than tensors need, or would take more memory than the
            file has bytes; the message begins with what, not with a path.
        zipfile.BadZipFile, NotImplementedError, ValueError, LookupError, EOFError: damaged.
    """
    if not data.startswith(b"PK"):
        walk(io.BytesIO(data), len(data), pickles=_LEGACY_PICKLES)
        return data
    entries = _entries(data)
    pickle = next((value for name, value in entries.items() if name == "data.pkl"), None)
    if pickle is None:
        raise ModelError(
            "a zip archive without weights of torch.save; unpack it where it holds a weight file"
        )
    walk(io.BytesIO(pickle), len(data))
    return _archive(entries)


def _entries(data: bytes) -> dict[str, bytes]:
    """What torch reads of an archive, by its name below the archive's folder."""
    if data.count(b"PK\x01\x02") > MAX_ENTRIES:
        raise ModelError(f"has more than {MAX_ENTRIES:,} entries in its archive; get another file")
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        infos = archive.infolist()
        _check_entries(infos, len(data))
        found = {info: match for info in infos if (match := _KEPT.fullmatch(info.filename))}
        if len({match["root"] for match in found.values()}) > 1:
            raise ModelError("holds several files of torch.save in one; unpack it, and give one of them")
        for info in found:
            if info.CRC == 0:
                del info.CRC  # torch can leave checksums out; zipfile then compares none
        return {match[2]: archive.read(info) for info, match in found.items()}


def _check_entries(infos: list[zipfile.ZipInfo], file_bytes: int) -> None:
    names = [info.filename for info in infos]
    if any("/code/" in name or name.endswith("constants.pkl") for name in names):
        raise ModelError("a TorchScript program, which is never run; give the weights alone")
    again = "load and save it again where you trust it"
    if sum(info.file_size for info in infos) > file_bytes:
        raise ModelError(
            f"unpacks to more than its own {file_bytes:,} bytes, as no file of torch.save does; {again}"
        )
    if any(info.compress_type != zipfile.ZIP_STORED for info in infos):
        raise ModelError(f"is compressed, as no file of torch.save is; {again}")
    if len({name.lower() for name in names}) < len(names):
        raise ModelError(f"holds two entries of one name, as no file of torch.save does; {again}")


def _archive(entries: dict[str, bytes]) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_STORED) as archive:
        for name, value in entries.items():
            archive.writestr(f"archive/{name}", value)
    return made.getvalue()
