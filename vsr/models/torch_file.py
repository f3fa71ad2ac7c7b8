"""Check of files of torch.save before torch unpickles them.

A zip archive is rewritten from the entries that were checked, because two readers may see different contents
in one archive. `pickle_check.py` checks the pickles.
"""

from __future__ import annotations

import io
import re
import zipfile

from vsr.errors import ModelError
from vsr.models.pickle_check import walk

MAX_ENTRIES = 50_000
"""Most entries of an archive, which has one for each tensor: zipfile makes an object for each entry at
once."""
_LEGACY_PICKLES = 5
"""Pickles at the begin of a file from torch before 1.6; the elements of the tensors follow them."""
_KEPT = re.compile(r"(?P<root>[^/]+)/(data\.pkl|version|byteorder|data/\d+)")
"""Entries of an archive that torch reads."""


def checked(data: bytes) -> bytes:
    """Check a file of torch.save.

    Args:
        data: The file: a zip archive, or the format of torch before 1.6.

    Returns:
        A file with the same content that can be unpickled safely.

    Raises:
        ModelError: the file names or calls something that tensors do not need, or its tensors would take more
            memory than the file has bytes; the message does not begin with a path.
        zipfile.BadZipFile, NotImplementedError, ValueError, LookupError, EOFError: the file is damaged.
    """
    if not data.startswith(b"PK"):
        walk(io.BytesIO(data), len(data), pickles=_LEGACY_PICKLES)
        return data
    entries = _entries(data)
    pickle = next((value for name, value in entries.items() if name == "data.pkl"), None)
    if pickle is None:
        raise ModelError(
            "a zip archive without weights of torch.save; unpack it if it contains a weight file"
        )
    walk(io.BytesIO(pickle), len(data))
    return _archive(entries)


def _entries(data: bytes) -> dict[str, bytes]:
    """Return the entries that torch reads, by their names in the archive's folder."""
    if data.count(b"PK\x01\x02") > MAX_ENTRIES:
        raise ModelError(f"has more than {MAX_ENTRIES:,} entries in its archive; get another file")
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        infos = archive.infolist()
        _check_entries(infos, len(data))
        found = {info: match for info in infos if (match := _KEPT.fullmatch(info.filename))}
        if len({match["root"] for match in found.values()}) > 1:
            raise ModelError("contains several files of torch.save; unpack it, and give one of them")
        for info in found:
            if info.CRC == 0:
                del info.CRC  # torch can omit checksums; without the attribute zipfile does not compare it
        return {match[2]: archive.read(info) for info, match in found.items()}


def _check_entries(infos: list[zipfile.ZipInfo], file_bytes: int) -> None:
    names = [info.filename for info in infos]
    if any("/code/" in name or name.endswith("constants.pkl") for name in names):
        raise ModelError("a TorchScript program, which is never run; give the weights alone")
    again = "if you trust it, load it and save it again"
    if sum(info.file_size for info in infos) > file_bytes:
        raise ModelError(
            f"unpacks to more than its own {file_bytes:,} bytes, as no file of torch.save does; {again}"
        )
    if any(info.compress_type != zipfile.ZIP_STORED for info in infos):
        raise ModelError(f"is compressed, as no file of torch.save is; {again}")
    if len({name.lower() for name in names}) < len(names):
        raise ModelError(f"has two entries of one name, as no file of torch.save has; {again}")


def _archive(entries: dict[str, bytes]) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_STORED) as archive:
        for name, value in entries.items():
            archive.writestr(f"archive/{name}", value)
    return made.getvalue()
