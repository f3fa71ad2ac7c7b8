"""Writes the page about the public names of Python, api.md, from their docstrings: `python docs/api.py`.

A test fails where the page is not what this writes. Signatures and fields are read from the source, so that
the page is the same with every version of Python.
"""

from __future__ import annotations

import ast
import enum
import inspect
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeGuard, get_args

import vsr

PAGE = Path(__file__).parent / "api.md"
HEAD = """# Python names

All public names of the package `vsr`, with their docstrings. [python.md](python.md) shows how they are used.
Names that are not on this page may change at any time. The page is written by `python docs/api.py`.
"""
GROUPS = {
    "Functions": "upscale upscale_image probe estimate verify compare preview evaluate open_video"
    " load_generator train finetune",
    "Objects that work": "Upscaler VideoSource KeptModel LoadedModel",
    "Results": "Report StreamFate Progress Damage Probe StreamInfo Chapter Estimate Audit Comparison Preview"
    " Evaluation TrainReport TrainProgress FinetuneReport",
    "Settings": "UpscaleSettings EncoderSettings Overrides Backend Precision Deinterlace ForcedOrder Hwaccel"
    " PipeFormat",
    "Frames": "YuvFrame RgbFrame Stamp Message PixelLayout",
    "Facts of a video": "VideoInfo Crop Stereo Spherical DolbyVision MasteringDisplay ContentLight",
    "Colour": "ColorSpec Matrix Primaries Transfer Range ChromaLocation",
    "Errors": "VsrError ConfigError InputError OutputError ReaderGoneError ModelError DeviceMemoryError"
    " DeviceError PluginError CancelledError",
}
TITLES = {"Args": "Arguments", "Returns": "Returns", "Yields": "Yields", "Raises": "Raises"}
ELSEWHERE = {"UpscaleSettings", "EncoderSettings", "Overrides"}
"""Names whose fields are the rows of settings.md."""


def page() -> str:
    """Return the page, with a section for each group and each name in it."""
    entries = {name: _entry(name) for names in GROUPS.values() for name in names.split()}
    parts = [HEAD]
    for title, names in GROUPS.items():
        parts.append(f"\n## {title}\n")
        parts += [f"\n### {name}\n\n{entries[name]}" for name in names.split()]
    return re.sub(r"\n{3,}", "\n\n", _formatted("".join(parts)))


def _entry(name: str) -> str:
    found = getattr(vsr, name)
    if name in ELSEWHERE:
        return f"{_text(found.__doc__)}\n[settings.md](settings.md) lists the names, types and meanings.\n"
    if values := get_args(found):
        return f"One of {', '.join(f'`{value}`' for value in values)}.\n"
    (node,) = ast.parse(textwrap.dedent(inspect.getsource(found))).body
    if isinstance(node, ast.FunctionDef):
        return _function(node, name)
    assert isinstance(node, ast.ClassDef)
    return "".join(_class(node, found))


def _class(node: ast.ClassDef, found: type) -> Iterator[str]:
    """Yield the docstring, the facts, then the methods of a class."""
    yield _text(ast.get_docstring(node))
    if issubclass(found, vsr.VsrError):
        yield f"\nExit code of the command: {found.exit_code}.\n"
    if issubclass(found, enum.Enum):
        yield "\n" + ", ".join(f"`{one.name}` ({one.value})" for one in found) + "\n"
    yield from _rows(list(_fields(node)))
    for one in node.body:
        if isinstance(one, ast.FunctionDef) and _is_public(one):
            yield _method(node.name, one)


def _is_public(method: ast.FunctionDef) -> bool:
    """Return whether programs call a method; they make objects whose `__init__` has a docstring."""
    return not method.name.startswith("_") or (method.name == "__init__" and bool(ast.get_docstring(method)))


def _method(owner: str, method: ast.FunctionDef) -> str:
    if method.name == "__init__":
        return f"\n#### {owner}(...)\n\n{_function(method, owner)}"
    return f"\n#### {owner}.{method.name}\n\n{_function(method, method.name)}"


def _fields(node: ast.ClassDef) -> Iterator[tuple[str, str, str]]:
    """Yield name, type with default, and the text below each field."""
    for field, after in zip(node.body, [*node.body[1:], None], strict=True):
        if isinstance(field, ast.AnnAssign) and not ast.unparse(field.target).startswith("_"):
            kind = ast.unparse(field.annotation)
            plain = field.value is None or isinstance(field.value, ast.Call)
            default = "" if plain or field.value is None else f" = {ast.unparse(field.value)}"
            meaning = after.value.value if _is_text(after) else ""
            yield ast.unparse(field.target), kind + default, meaning


def _is_text(node: ast.stmt | None) -> TypeGuard[Any]:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _rows(fields: list[tuple[str, str, str]]) -> Iterator[str]:
    if fields:
        yield "\n| field | type | meaning |\n| --- | --- | --- |\n"
    for name, kind, meaning in fields:
        text = " ".join(meaning.split()).replace("|", "\\|")
        kind = kind.replace("|", "\\|")
        yield f"| `{name}` | `{kind}` | {text} |\n"


def _function(node: ast.FunctionDef, name: str) -> str:
    """Return the signature as code, then the docstring."""
    if any(ast.unparse(one).endswith("property") for one in node.decorator_list):
        kind = f"`{name}: {ast.unparse(node.returns)}`" if node.returns else f"`{name}`"
        return f"{kind}\n\n{_text(ast.get_docstring(node))}"
    arguments = [one for one in node.args.args if one.arg not in ("self", "cls")]
    node.args.args = arguments
    returns = f" -> {ast.unparse(node.returns)}" if node.returns and node.name != "__init__" else ""
    signature = f"def {name}({ast.unparse(node.args)}){returns}: ..."
    return f"```python\n{signature}\n```\n\n{_text(ast.get_docstring(node))}"


def _text(docstring: str | None) -> str:
    """Return a docstring in Markdown: sections of arguments become lists, and examples become code."""
    parts = re.split(r"^(\w+):\n(?=    )", inspect.cleandoc(docstring or ""), flags=re.MULTILINE)
    text = _examples(parts[0])
    for title, body in zip(parts[1::2], parts[2::2], strict=True):
        section = re.match(r"(?:(?:    .*)?(?:\n|$))*", body)
        assert section is not None
        text += f"\n**{TITLES[title]}**\n\n{_section(section[0])}\n{_examples(body[section.end() :])}"
    return text


def _section(body: str) -> str:
    """Return the entries of a section as a list, or its text where it has no entries."""
    lines = textwrap.dedent(body.strip("\n")).splitlines()
    entry = re.compile(r"([*\w]+): (.*)")
    shown = [entry.sub(r"- `\1`: \2", line) if entry.match(line) else line.strip() for line in lines]
    listed = shown[0].startswith("- ")
    return "\n".join(line if line.startswith("- ") or not listed else f"  {line}" for line in shown) + "\n"


def _examples(text: str) -> str:
    """Return text in which a paragraph that begins with a prompt is a block of code."""
    paragraphs = [f"```python\n{one}\n```" if one.startswith(">>>") else one for one in text.split("\n\n")]
    return "\n\n".join(paragraphs).strip("\n") + "\n"


def _formatted(text: str) -> str:
    """Return the page with signatures that are broken into lines."""
    blocks = text.split("```python\ndef ")
    stubs = [block.partition("\n```")[0] for block in blocks[1:]]
    code = "\n# next\n".join(f"def {stub}" for stub in stubs)
    command = [sys.executable, "-m", "ruff", "format", "--isolated", "--line-length", "100", "-"]
    made = subprocess.run(command, input=code, capture_output=True, text=True, check=True).stdout
    shown = [one.strip().removeprefix("def ").removesuffix(": ...") for one in made.split("# next\n")]
    rest = [block.partition("\n```")[2] for block in blocks[1:]]
    pairs = zip(shown, rest, strict=True)
    return blocks[0] + "".join(f"```python\n{stub}\n```{after}" for stub, after in pairs)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
