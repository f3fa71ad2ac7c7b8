"""A real container engine: builds the image and runs it like a user."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from tests.container.dockerfile import BuildError, steps_of
from tests.container.root import local_paths, pip_settings


def working_engine() -> str | None:
    """Return the first engine that is installed and answers; None if no daemon is running."""
    for name in ("docker", "podman"):
        if shutil.which(name) and subprocess.run([name, "ps"], capture_output=True).returncode == 0:
            return name
    return None


class Engine:
    """An image with its own name, which `close` removes; the folder `media` is mounted as /media."""

    def __init__(self, program: str, checkout: Path, media: Path) -> None:
        self.program, self.checkout, self.media = program, checkout, media
        self.way = f"{program} build and {program} run"
        self.tag = f"vsr:test-container-{os.getpid()}"

    def build(self, given: dict[str, str]) -> None:
        known = build_arguments((self.checkout / "Dockerfile").read_text(), given)
        arguments = [word for name, value in known.items() for word in ("--build-arg", f"{name}={value}")]
        words = [self.program, "build", "--tag", self.tag, *arguments, str(self.checkout)]
        code = subprocess.run(words).returncode
        if code:
            raise BuildError(f"{self.program} build ended with {code}; its output is above")

    def call(
        self, *words: str, user: str = "", entrypoint: str = "", read_only: bool = False
    ) -> subprocess.CompletedProcess[str]:
        command = [self.program, "run", "--rm", "--network", "none", "-v", f"{self.media}:/media"]
        command += ["--user", user] if user else []
        command += ["--entrypoint", entrypoint] if entrypoint else []
        command += ["--read-only", "--tmpfs", "/tmp"] if read_only else []
        return subprocess.run([*command, self.tag, *words], capture_output=True, text=True)

    def close(self) -> None:
        # Files of the image's users belong to them, and the caller might not be allowed to remove them.
        self.call("/media", "-mindepth", "1", "-delete", user="0:0", entrypoint="find")
        subprocess.run([self.program, "rmi", self.tag], capture_output=True)


def build_arguments(dockerfile: str, given: dict[str, str]) -> dict[str, str]:
    """Return the build arguments that the Dockerfile accepts, among them
    where this host's pip finds packages."""
    # A build in an engine does not see files of the host.
    settings = {name: value for name, value in pip_settings().items() if not local_paths({name: value})}
    known = settings | given
    names = [step.rest.partition("=")[0] for step in steps_of(dockerfile) if step.name == "ARG"]
    return {name: known[name] for name in names if name in known}
