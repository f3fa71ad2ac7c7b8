"""Checks of a container, for both ways to build it. Each returns a line about what it found."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Protocol

import av

from tests.container.dockerfile import BuildError
from tests.media_maker import pts_of

CHECKOUT = Path(__file__).parent.parent.parent
STRANGER = "54321:54321"
"""A user that is in no image, as in `docker run --user` with the owner of the mounted folder."""
OWN = ("/media", "/home/vsr")
FOR_ALL = ("/dev", "/tmp", "/var/tmp", "/run/lock")
"""Folders that are writable for everyone in Debian."""


class Container(Protocol):
    """A built image and how to run it: without a network, with the folder `media` as /media."""

    way: str
    media: Path

    def call(
        self, *words: str, user: str = "", entrypoint: str = "", read_only: bool = False
    ) -> subprocess.CompletedProcess[str]:
        """Run `docker run` with these words, optionally as another user,
        with another program or a read-only root."""

    def close(self) -> None:
        """Remove everything outside the caller's folder."""


def shows_help(container: Container) -> str:
    shown = _done(container.call())
    _need("upscale" in shown, "without arguments it does not show the help")
    return "without arguments it shows the help"


def upscales(container: Container) -> str:
    """Generate a clip and upscale it as the image's own user."""
    _done(container.call("demo", "--folder", "/media/demo"))
    _done(container.call("upscale", "/media/demo/clip.mkv", "out.mkv"))
    return f"as the image's user: {_result(container, 'out.mkv')}"


def upscales_as_documented(container: Container) -> str:
    """Run as SECURITY.md recommends for untrusted files, as the
    folder's owner, who has no home in the image."""
    call = container.call("upscale", "demo/clip.mkv", "owned.mkv", user=STRANGER, read_only=True)
    _done(call)
    # A library that requires a home or the network would print a message.
    others = [line for line in call.stderr.splitlines() if line and not line.startswith("vsr: ")]
    _need(not others, f"there are other messages: {others[:1]}")
    return f"as an unknown user in a read-only root: {_result(container, 'owned.mkv')}"


def writes_nowhere_else(container: Container) -> str:
    """Find what the image's user may write to, by asking the kernel for each file and folder."""
    # The exit code of the search reports folders that it may not even read.
    search = container.call("/", "-xdev", "-writable", "!", "-type", "l", entrypoint="find")
    found = search.stdout.splitlines()
    _need("/tmp" in found, f"the search for writable places failed: {search.stderr[-300:]}")
    wrong = [path for path in found if not f"{path}/".startswith(tuple(f"{own}/" for own in OWN + FOR_ALL))]
    _need(not wrong, f"its user may write to {', '.join(wrong[:5])}")
    return f"its user can write to nothing but {', '.join(OWN)}, and Debian's temporary folders"


def is_not_root(container: Container) -> str:
    uid = _done(container.call("-u", entrypoint="id")).strip()
    _need(uid != "0", "its user is root")
    return f"its user's id is {uid}"


def has_the_pinned_packages(container: Container) -> str:
    """Compare package versions with those of the tests, except a torch
    of the base; a label (+cpu) is ignored."""
    listed = _done(container.call("-m", "pip", "list", "--local", "--format=freeze", entrypoint="python3"))
    has, pinned = _versions(listed), _versions((CHECKOUT / "constraints.txt").read_text())
    wrong = [f"{name} {has[name]}" for name in has.keys() & pinned if has[name].split("+")[0] != pinned[name]]
    _need(not wrong, f"not the versions of constraints.txt: {', '.join(sorted(wrong))}")
    _need(
        {"av", "llvmlite", "openvino", "vsr-pipeline"} <= has.keys(), f"packages are missing: {sorted(has)}"
    )
    _need("openvino-telemetry" not in has, "openvino-telemetry sends events at run time")
    torch = has.get("torch", "of the base")
    return f"{len(has)} packages, {len(has.keys() & pinned)} of them pinned, torch {torch}"


def has_nothing_left_over(container: Container) -> str:
    """Look for a checkout, a cache or temporary files, as root, who sees everything."""
    places = ["/src/*", "*/.cache/*", "*/.config/*", "/tmp/*", "/var/tmp/*"]
    looked_for = [word for place in places for word in ("-o", "-path", place)][1:]
    found = container.call(
        "/", "-xdev", "-type", "f", "(", *looked_for, ")", user="0:0", entrypoint="find"
    ).stdout.split()
    _need(not found, f"left over: {', '.join(found[:5])}")
    sizes = _done(container.call("-smx", "/opt/vsr", "/", user="0:0", entrypoint="du"))
    ours, others = (line.split()[0] for line in sizes.splitlines())
    return f"nothing left over; {ours} MB in /opt/vsr beside {others} MB of Debian"


CHECKS = [
    shows_help,
    is_not_root,
    has_the_pinned_packages,
    has_nothing_left_over,
    writes_nowhere_else,
    upscales,
    upscales_as_documented,
]


def _need(condition: bool, otherwise: str) -> None:
    if not condition:
        raise BuildError(otherwise)


def _done(call: subprocess.CompletedProcess[str]) -> str:
    said = " ".join((call.stderr or call.stdout).split())[-600:]
    _need(call.returncode == 0, f"exit code {call.returncode}: {said}")
    return call.stdout


def _result(container: Container, name: str) -> str:
    """Compare a result with its clip: every frame at its time, twice the size."""
    clip, made = container.media / "demo/clip.mkv", container.media / name
    _need(len(pts_of(clip)) > 1, f"{clip.name} has no frames")
    _need(pts_of(made) == pts_of(clip), f"{name} lacks frames of {clip.name}, or times differ")
    (width, height), (wide, high) = _size(clip), _size(made)
    _need((wide, high) == (2 * width, 2 * height), f"{name} is {wide}x{high} of {width}x{height}")
    return f"{len(pts_of(made))} frames of {width}x{height} in, {len(pts_of(made))} of {wide}x{high} out"


def _size(path: Path) -> tuple[int, int]:
    with av.open(str(path)) as box:
        return box.streams.video[0].width, box.streams.video[0].height


def _versions(listed: str) -> dict[str, str]:
    pairs = re.findall(r"^([\w.-]+)==(\S+)$", listed, re.MULTILINE)
    return {re.sub("[-_.]+", "-", name).lower(): version for name, version in pairs}
