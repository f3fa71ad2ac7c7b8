"""Reads a Dockerfile and a .dockerignore: the subset of both formats that
this project uses; the rest is an error.

`carry_out` executes the instructions in a `Place`, so that the same reader serves the test that only inspects
(`test_dockerfile.py`) and the script that builds (`steps.py`).
"""

from __future__ import annotations

import json
import logging
import os
import posixpath
import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

logger = logging.getLogger(__name__)


class BuildError(Exception):
    """An instruction is unknown or failed; the message is one line."""


@dataclass(frozen=True, slots=True)
class Step:
    line: int
    name: str
    rest: str
    """The text after the instruction's name, with continued lines joined."""


@dataclass(slots=True)
class Image:
    """The result of all instructions, besides files."""

    given: dict[str, str] = field(default_factory=dict)
    """Values of `--build-arg`, by name."""
    args: dict[str, str] = field(default_factory=dict)
    """Build arguments, known to RUN but not at run time."""
    env: dict[str, str] = field(default_factory=dict)
    base: str = ""
    user: str = "root"
    folder: str = "/"
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)


class Place(Protocol):
    """The place where instructions are executed."""

    def begin(self, base: str) -> dict[str, str]:
        """Create the base image's files, and return its environment."""

    def run(self, image: Image, command: str) -> None:
        """Run a line of shell as the image's user."""

    def copy(self, source: str, target: str) -> None:
        """Copy files of the checkout."""

    def make_folder(self, path: str) -> None:
        """Create a folder and its parents."""


def carry_out(text: str, place: Place, given: dict[str, str]) -> Image:
    """Execute the instructions of a Dockerfile in order."""
    image = Image(given=given)
    for step in steps_of(text):
        logger.info("Dockerfile:%d: %s %s", step.line, step.name, step.rest)
        if step.name not in _INSTRUCTIONS:
            raise BuildError(
                f"Dockerfile:{step.line}: {step.name} is not supported; add it to {Path(__file__).name}"
            )
        try:
            _INSTRUCTIONS[step.name](image, step.rest, place)
        except BuildError as error:
            raise BuildError(f"Dockerfile:{step.line}: {step.name}: {error}") from error
    return image


def steps_of(text: str) -> list[Step]:
    """Return the instructions of a Dockerfile, without comments and
    empty lines, also inside continued ones."""
    steps, begun, first = [], "", 0
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        first = first if begun else number
        begun += line.strip().removesuffix("\\")
        if not line.rstrip().endswith("\\"):
            name, _, rest = begun.partition(" ")
            steps.append(Step(first, name.upper(), rest.strip()))
            begun = ""
    if begun:
        raise BuildError(f"Dockerfile:{first}: the last line is continued")
    return steps


def _expand(words: str, image: Image) -> str:
    """Replace $NAME and ${NAME}; an unknown name, which an engine replaces by nothing, is an error."""
    known = image.args | image.env

    def value(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        if name not in known:
            raise BuildError(
                f"{words}: {'$' + name + ' is not set' if name else 'a form of $ that is not supported'}"
            )
        return known[name]

    return re.sub(r"\$(?:(\w+)|\{(\w+)\})?", value, words)


def _refuse(rest: str, pattern: str) -> None:
    found = re.search(pattern, rest)
    if found:
        raise BuildError(f"{found[0].strip()} is not supported")


def _arg(image: Image, rest: str, place: Place) -> None:
    name, _, default = rest.partition("=")
    image.args[name] = image.given.get(name, _expand(default, image))


def _from(image: Image, rest: str, place: Place) -> None:
    _refuse(rest, r"--\w+| AS .*")
    if image.base:
        raise BuildError("a second stage is not supported")
    image.base = _expand(rest, image)
    image.args.clear()
    image.env = place.begin(image.base)


def _env(image: Image, rest: str, place: Place) -> None:
    pairs = [word.partition("=") for word in shlex.split(_expand(rest, image))]
    if not all(sign for _, sign, _ in pairs):
        raise BuildError("only the form NAME=VALUE is supported")
    image.env |= {name: value for name, _, value in pairs}


def _copy(image: Image, rest: str, place: Place) -> None:
    _refuse(rest, r"--\w+|<<|[*?\[\"']")
    *sources, target = _expand(rest, image).split()
    for source in sources:
        place.copy(source, posixpath.join(image.folder, target))


def _run(image: Image, rest: str, place: Place) -> None:
    _refuse(rest, r"^--\w+|^\[|<<")
    place.run(image, rest)


def _user(image: Image, rest: str, place: Place) -> None:
    _refuse(rest, ":.*")
    image.user = _expand(rest, image)


def _workdir(image: Image, rest: str, place: Place) -> None:
    image.folder = posixpath.join(image.folder, _expand(rest, image))
    place.make_folder(image.folder)


def _words(rest: str) -> list[str]:
    # As a line of shell, the program would not be process 1 and would
    # not receive the signal of `docker stop`.
    if not rest.startswith("["):
        raise BuildError('only the form ["word", ...] is supported')
    words: list[str] = json.loads(rest)
    return words


def _entrypoint(image: Image, rest: str, place: Place) -> None:
    image.entrypoint = _words(rest)


def _command(image: Image, rest: str, place: Place) -> None:
    image.command = _words(rest)


_INSTRUCTIONS = {
    "ARG": _arg,
    "FROM": _from,
    "ENV": _env,
    "COPY": _copy,
    "RUN": _run,
    "USER": _user,
    "WORKDIR": _workdir,
    "ENTRYPOINT": _entrypoint,
    "CMD": _command,
}


def patterns_of(text: str) -> list[str]:
    """Return the patterns of a .dockerignore."""
    lines = [line.strip() for line in text.splitlines()]
    patterns = [line for line in lines if line and not line.startswith("#")]
    for pattern in patterns:
        _refuse(pattern, r"[\[\\].*")
    return patterns


def ignored(path: str, patterns: list[str]) -> bool:
    """Return whether a path is ignored: the last pattern that matches it, or a folder above it, decides."""
    above = [path, *(str(p) for p in Path(path).parents)]
    fitting = [p for p in patterns if any(_regex(p).fullmatch(part) for part in above)]
    return bool(fitting) and not fitting[-1].startswith("!")


def _regex(pattern: str) -> re.Pattern[str]:
    """Convert a pattern: unlike in a shell, `*` does not match a slash,
    and `**` matches any number of folders."""
    parts = re.split(r"(\*\*/|\*\*|\*|\?)", pattern.removeprefix("!").strip("/"))
    means = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return re.compile("".join(means.get(part, re.escape(part)) for part in parts))


def files_sent(checkout: Path, patterns: list[str]) -> list[str]:
    """Return the files of the checkout that an engine would receive, in order."""
    kept = [pattern.removeprefix("!").strip("/") for pattern in patterns if pattern.startswith("!")]
    sent: list[str] = []
    for top, folders, files in os.walk(checkout):
        here = Path(top).relative_to(checkout)
        sent += [name for name in (str(here / file) for file in files) if not ignored(name, patterns)]
        # An ignored folder is read only if a pattern includes something
        # in it, because environments are large.
        paths = {name: str(here / name) for name in folders}
        folders[:] = [
            name
            for name, path in paths.items()
            if not ignored(path, patterns) or any(k.startswith((f"{path}/", "*")) for k in kept)
        ]
    return sorted(sent)


def copies(sent: list[str], source: str, target: str) -> dict[str, str]:
    """Map the received files to their targets of COPY, which copies
    the content of a folder, not the folder."""
    source = posixpath.normpath(source)
    if source in sent:
        return {
            source: posixpath.join(target, posixpath.basename(source)) if target.endswith("/") else target
        }
    within = {
        name: posixpath.relpath(name, source)
        for name in sent
        if source == "." or name.startswith(f"{source}/")
    }
    if not within:
        raise BuildError(f"{source} is not in the checkout, or .dockerignore excludes it")
    return {name: posixpath.join(target, rest) for name, rest in within.items()}
