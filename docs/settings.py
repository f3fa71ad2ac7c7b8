"""Writes what follows from the settings but is not made at run time: `python docs/settings.py`.

That is `vsr/settings/keywords.py`, whose types a type checker reads, and the table in docs/settings.md. A
test fails where one of them is not what this writes.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

from vsr.settings import schema
from vsr.settings.field import Setting, choices_of, settings_of

ROOT = Path(__file__).parent.parent
KEYWORDS = ROOT / "vsr" / "settings" / "keywords.py"
PAGE = ROOT / "docs" / "settings.md"
BEGIN, END = "<!-- settings, written by docs/settings.py -->\n", "<!-- end of settings -->\n"

KINDS = (schema.UpscaleSettings, schema.EncoderSettings)
ACCEPTED = {
    "Fraction": "Fraction | float | str",
    "tuple[tuple[str, str], ...]": "Mapping[str, str]",
    "tuple[str, ...]": "Sequence[str]",
    "ColorSpec": "ColorSpec | Mapping[str, str]",
}
"""What a keyword takes for the type of a field, where that is more than the type."""
PATHS = {"model", "partner"}
HEAD = '''"""The keywords of `vsr.upscale` with their types, written by `python docs/settings.py`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TypedDict

from vsr.color.spec import ColorSpec
from vsr.settings.schema import Backend, Deinterlace, ForcedOrder, Hwaccel, PipeFormat, Precision


class Overrides(TypedDict, total=False):
    """Every setting by keyword. One that is absent or None stays as it is."""

'''


def keywords() -> str:
    """The text of `vsr/settings/keywords.py`, formatted."""
    text = HEAD + "".join(_keyword(field, meaning) for field, meaning in _fields())
    command = [sys.executable, "-m", "ruff", "format", "--stdin-filename", str(KEYWORDS), "-"]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout


def page() -> str:
    """The page with a table that is true."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    rows = ["| TOML key, keyword | flag | default | meaning |\n", "| --- | --- | --- | --- |\n"]
    rows += [_row(kind, field, meaning) for kind, field, meaning in _all()]
    return before + BEGIN + "".join(rows) + END + rest.partition(END)[2]


def _fields() -> list[tuple[dataclasses.Field[Any], str]]:
    return [(field, meaning) for _, field, meaning in _all()]


def _all() -> list[tuple[type, dataclasses.Field[Any], str]]:
    rows = []
    for kind in KINDS:
        meanings = _docstrings(kind)
        names = settings_of(kind)
        rows += [(kind, f, meanings[f.name]) for f in dataclasses.fields(kind) if f.name in names]
    return rows


def _docstrings(kind: type) -> dict[str, str]:
    """The text below each field of a class, on one line."""
    body = ast.parse(inspect.getsource(kind)).body[0]
    assert isinstance(body, ast.ClassDef)
    found = {}
    for field, text in zip(body.body, body.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr):
            assert isinstance(field.target, ast.Name)
            found[field.target.id] = " ".join(ast.literal_eval(text.value).split())
    return found


def _keyword(field: dataclasses.Field[Any], meaning: str) -> str:
    kind = str(field.type).removesuffix(" | None")
    accepted = "str | Path" if field.name in PATHS else ACCEPTED.get(kind, kind)
    return f'    {field.name}: {accepted} | None\n    """{_wrapped(meaning)}"""\n'


def _wrapped(text: str) -> str:
    return "\n    ".join(textwrap.wrap(text, 100))


def _row(kind: type, field: dataclasses.Field[Any], meaning: str) -> str:
    facts: Setting = settings_of(kind)[field.name]
    key = f"encoder.{field.name}" if kind is schema.EncoderSettings else field.name
    keyword = "" if key == field.name else f", `{field.name}`"
    flag = ", ".join(f"`{flag}`" for flag in facts.flags)
    choices = choices_of(kind, field.name)
    listed = f" One of {', '.join(f'`{choice}`' for choice in choices)}." if choices else ""
    return f"| `{key}`{keyword} | {flag} | {_default(field)} | {meaning}{listed} |\n"


def _default(field: dataclasses.Field[Any]) -> str:
    value = field.default
    empty = value is None or value == () or value == schema.UNTAGGED
    return "" if empty else f"`{str(value).lower() if isinstance(value, bool) else value}`"


if __name__ == "__main__":
    KEYWORDS.write_text(keywords(), encoding="utf-8")
    PAGE.write_text(page(), encoding="utf-8")
