"""A clean Debian root instead of a container, in which chroot executes the Dockerfile's instructions.

Each command has its own namespaces (mounts, processes, and no network after the build), which end with it.
Nothing is mounted outside them and no process remains, so the folder can be removed at any time.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from tests.container.dockerfile import BuildError, Image, copies, files_sent, patterns_of

PACKAGES = "ca-certificates,python3,python3-pip"
"""Packages of the base image that this project uses, in addition to Debian's smallest root."""
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PROXIES = ("http_proxy", "https_proxy", "no_proxy")
REACHING = "cert default_timeout extra_index_url find_links index_url no_index proxy trusted_host"
"""Settings of pip that say where packages come from; others (a cache, a target) only concern the host."""


def why_not() -> str | None:
    """Return why no root can be created here, with the next step; None if it can."""
    if os.geteuid() != 0:
        return "debootstrap and chroot require root. Run it as root"
    if shutil.which("debootstrap") is None:
        return "debootstrap is not installed. Run apt-get install debootstrap"
    return None


class Root:
    """A place to build in, and then the container to run; the folder
    `media` beside it is mounted as /media."""

    way = "debootstrap and chroot: the Dockerfile's instructions one by one in a clean Debian root"

    def __init__(self, folder: Path, checkout: Path) -> None:
        self.top, self.media, self.checkout = folder / "root", folder / "media", checkout
        self.sent = files_sent(checkout, patterns_of((checkout / ".dockerignore").read_text()))
        self.pip = pip_settings()
        self.image = Image()

    def begin(self, base: str) -> dict[str, str]:
        """Use Debian's own Python in place of the base image's: the same version on the same Debian."""
        named = re.fullmatch(r"python:(3\.\d+)-slim-([a-z]+)", base)
        if named is None:
            raise BuildError(f"{base} has no equivalent in Debian's packages. Use python:3.N-slim-SUITE")
        _debootstrap(self.top, suite=named[2])
        python = (self.top / "usr/bin/python3").readlink().name
        if python != f"python{named[1]}":
            raise BuildError(
                f"{base} has Python {named[1]}, Debian's {named[2]} has {python}, so they are not equivalent"
            )
        return {"PATH": PATH}

    def run(self, image: Image, command: str) -> None:
        # As in an engine, the host's proxies are known during the build only.
        proxies = {name: value for name, value in os.environ.items() if name.lower() in PROXIES}
        env = proxies | self.pip | image.args | image.env
        words = self._enter(["/bin/sh", "-c", command], replace(image, env=env), self._pip_mounts())
        code = subprocess.run(words).returncode
        if code:
            raise BuildError(f"exit code {code}; its output is above")

    def copy(self, source: str, target: str) -> None:
        for name, to in copies(self.sent, source, target).items():
            place = self._at(to)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(self.checkout / name, place, follow_symlinks=False)

    def make_folder(self, path: str) -> None:
        self._at(path).mkdir(parents=True, exist_ok=True)

    def call(
        self, *words: str, user: str = "", entrypoint: str = "", read_only: bool = False
    ) -> subprocess.CompletedProcess[str]:
        """Do what `docker run --rm --network none -v MEDIA:/media` does with these words."""
        image = replace(self.image, user=user or self.image.user)
        program = [entrypoint, *words] if entrypoint else [*image.entrypoint, *(words or image.command)]
        mounts = [_mount("--bind", self.media, self._at("/media"))]
        if read_only:
            mounts += [_mount("-t", "tmpfs", "tmpfs", self._at("/tmp"))]
            mounts += [_mount("-o", "remount,bind,ro", self.top)]
        command = self._enter(program, image, mounts, network=False)
        return subprocess.run(command, capture_output=True, text=True)

    def close(self) -> None:
        """Do nothing: mounts have ended with their commands, and the folder is the caller's."""

    def _at(self, path: str) -> Path:
        place = self.top / path.lstrip("/")
        # From outside, an absolute link would lead to the host's own files.
        if not place.resolve().is_relative_to(self.top.resolve()):
            raise BuildError(f"{path} leads out of the root. Name its target")
        return place

    def _enter(self, words: list[str], image: Image, mounts: list[str], *, network: bool = True) -> list[str]:
        """Return the command that runs `words` in the root, as process 1 in its own namespaces."""
        uid, gid, home = self._account(image.user)
        known = [f"{name}={value}" for name, value in ({"HOME": home} | image.env).items()]
        chroot = ["chroot", f"--userspec={uid}:{gid}", "--groups=", str(self.top)]
        lines = [
            "set -e",
            # Makes the root a mount, because only a mount can be read-only.
            _mount("--bind", self.top, self.top),
            _mount("-t", "proc", "proc", self._at("/proc")),
            _mount("--bind", "-o", "ro", "/sys", self._at("/sys")),
            _mount("-t", "tmpfs", "shm", self._at("/dev/shm")),
            *mounts,
            "exec " + shlex.join([*chroot, "env", "-i", "-C", image.folder, *known, *words]),
        ]
        spaces = ["--mount", "--pid"] if network else ["--mount", "--pid", "--net"]
        return ["unshare", *spaces, "--fork", "--kill-child", "sh", "-c", "\n".join(lines)]

    def _account(self, user: str) -> tuple[str, str, str]:
        """Return user id, group id and home of a name, or of UID:GID as in `docker run --user`."""
        if ":" in user:
            uid, _, gid = user.partition(":")
            return uid, gid, "/"
        for line in self._at("/etc/passwd").read_text().splitlines():
            name, _, uid, gid, _, home, _ = line.split(":")
            if name == user:
                return uid, gid, home
        raise BuildError(f"the image has no user {user}")

    def _pip_mounts(self) -> list[str]:
        """Make the files from which this host's pip takes packages visible to the build only."""
        lines = []
        for path in local_paths(self.pip):
            inside = self._at(str(path))
            there = ["mkdir", "-p", str(inside)] if path.is_dir() else ["touch", str(inside)]
            lines += [shlex.join(["mkdir", "-p", str(inside.parent)]), shlex.join(there)]
            lines += [_mount("--bind", "-o", "ro", path, inside)]
        return lines


def _mount(*words: object) -> str:
    return shlex.join(["mount", *map(str, words)])


def _debootstrap(top: Path, *, suite: str) -> None:
    words = ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", suite, str(top), *_mirror(suite)]
    # debootstrap mounts /proc in the root; in its own namespaces, this mount cannot remain.
    code = subprocess.run(["unshare", "--mount", "--pid", "--fork", "--kill-child", *words]).returncode
    if code:
        raise BuildError(f"debootstrap {suite} ended with {code}; its output is above")
    for leftover in ("var/cache/apt/archives", "var/lib/apt/lists"):
        shutil.rmtree(top / leftover)
    for file in ("etc/resolv.conf", "etc/hosts"):
        shutil.copy(Path("/") / file, top / file)


def _mirror(suite: str) -> list[str]:
    """Return the mirror from which this host's apt takes the suite;
    otherwise debootstrap uses its own default."""
    if shutil.which("apt-get") is None:
        return []
    wanted = [f"Codename: {suite}", "Component: main", "Created-By: Packages"]
    return _output("apt-get", "indextargets", "--format", "$(REPO_URI)", *wanted).split()[:1]


def pip_settings() -> dict[str, str]:
    """Return this host's pip settings for reaching packages, from files or
    environment, as environment variables."""
    lines = [
        line.partition("=") for line in _output(sys.executable, "-m", "pip", "config", "list").splitlines()
    ]
    settings = {}
    for section in ("global.", "install.", ":env:."):  # later sections override, as in pip
        for name, _, value in lines:
            short = name.removeprefix(section).replace("-", "_")
            if name.startswith(section) and short in REACHING.split():
                settings[f"PIP_{short.upper()}"] = _unquoted(value)
    return settings


def _unquoted(value: str) -> str:
    """Return a value that pip prints in quotes; lists have a line for each item."""
    return value[1:-1].replace("\\n", "\n")


def local_paths(settings: dict[str, str]) -> list[Path]:
    """Return files and folders of this host in pip's settings."""
    words = [word.removeprefix("file://") for value in settings.values() for word in value.split()]
    paths = {Path(word) for word in words if word.startswith("/") and Path(word).exists()}
    # An index `simple` links to files in folders beside it.
    return sorted(path.parent if path.name == "simple" else path for path in paths)


def _output(*words: str) -> str:
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout
