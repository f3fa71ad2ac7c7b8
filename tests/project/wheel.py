"""`make test-wheel`: installs the wheel in an empty environment of each
Python, without constraints, and uses it.

Only the wheel and its requirements are installed, in the versions that pip chooses for a user today. The
checkout is not on the path. `vsr demo` generates, upscales and compares a clip, `vsr upscale` upscales it
again, and `vsr verify` checks the result. A skipped interpreter is named with the reason.
"""

from __future__ import annotations

import argparse
import logging
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).parent.parent.parent
logger = logging.getLogger(__name__)

MINORS = (11, 12, 13, 14)
INSTALL_SECONDS = 15 * 60
SMALL_TORCH = (11,)
"""Minor versions of Python with torch's version from constraints.txt, of which a small CPU build exists."""
SMALL_GIB, CUDA_GIB = 4, 12
"""Disk space for an environment: torch with CUDA, pip's default, is 3 GB to download and 6 GB unpacked."""


@dataclass(frozen=True, slots=True)
class Interpreter:
    minor: int
    path: str

    @property
    def name(self) -> str:
        return f"Python 3.{self.minor}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=int, default=20, help="time after which no environment is started")
    logging.basicConfig(level=logging.INFO, format="test-wheel: %(message)s", stream=sys.stdout)
    deadline = time.monotonic() + parser.parse_args().minutes * 60
    with tempfile.TemporaryDirectory(prefix="vsr-wheel-") as folder:
        wheel = build(Path(folder))
        passed = [one for one in MINORS if test(one, wheel, Path(folder), deadline)]
    if not passed:
        logger.error("error: no interpreter could be tested")
    return not passed


def build(folder: Path) -> Path:
    """Build the wheel as a user's `pip install .` does."""
    run([sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(folder), str(CHECKOUT)])
    (wheel,) = folder.glob("*.whl")
    return wheel


def test(minor: int, wheel: Path, folder: Path, deadline: float) -> bool:
    """Install and use the wheel; False if it is skipped, with the reason printed.

    Raises:
        SystemExit: It cannot be installed, or does not work.
    """
    found = interpreter(minor)
    reason = "not found here" if found is None else why_not(found, folder, deadline)
    if found is None or reason:
        logger.info(f"Python 3.{minor}: skipped, {reason}")
        return False
    place = folder / f"python3.{minor}"
    try:
        install(found, wheel, place)
    except subprocess.TimeoutExpired:
        logger.info(f"{found.name}: skipped, pip did not finish within {INSTALL_SECONDS // 60} minutes")
        return False
    else:
        use(found, place)
        return True
    finally:
        shutil.rmtree(place, ignore_errors=True)


def interpreter(minor: int) -> Interpreter | None:
    """Return the first interpreter that runs and can create environments: on the PATH, or of pyenv."""
    found = (path for path in candidates(minor) if works(path))
    return next((Interpreter(minor, path) for path in found), None)


def candidates(minor: int) -> Iterator[str]:
    """Yield interpreters of a minor version; a shim of pyenv on the PATH
    fails unless its version is selected."""
    name = f"python3.{minor}"
    if (on_path := shutil.which(name)) is not None:
        yield on_path
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    yield from sorted(str(path) for path in versions.glob(f"3.{minor}.*/bin/{name}"))


def works(path: str) -> bool:
    return subprocess.run([path, "-c", "import venv, ensurepip"], capture_output=True).returncode == 0


def why_not(
    found: Interpreter,
    folder: Path,
    deadline: float,
    *,
    clock: Callable[[], float] = time.monotonic,
) -> str | None:
    """Return why an environment is not started, for lack of disk space or time; None if it can be."""
    needed = SMALL_GIB if found.minor in SMALL_TORCH else CUDA_GIB
    free = shutil.disk_usage(folder).free / 2**30
    if free < needed:
        return f"the disk has {free:.0f} GiB free, but {needed} are needed"
    return "the time for all environments is over" if clock() > deadline else None


def install(found: Interpreter, wheel: Path, place: Path) -> None:
    """Create an environment with the wheel alone."""
    run([found.path, "-m", "venv", str(place)])
    pip = [str(place / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    run([*pip, str(wheel), *torch_for(found)], seconds=INSTALL_SECONDS)


def torch_for(found: Interpreter) -> list[str]:
    """Return the requirement for torch if a small build exists; pip chooses everything else."""
    lines = (CHECKOUT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line.startswith("torch==") and found.minor in SMALL_TORCH]


def use(found: Interpreter, place: Path) -> None:
    """Generate, upscale, compare and verify a clip."""
    media = place / "media"
    media.mkdir()
    vsr = str(place / "bin" / "vsr")
    run(
        [str(place / "bin" / "python"), "-c", "import llvmlite"]
    )  # the package that makes a plain installation fast
    doctor = run([vsr, "doctor"], cwd=media)
    run([vsr, "demo", "--folder", "demo"], cwd=media)
    clip = next(path for path in (media / "demo").iterdir() if path.suffix in (".mkv", ".mp4"))
    run([vsr, "upscale", str(clip), "out.mp4", "--model", "fast-x2", "--end", "1"], cwd=media)
    run([vsr, "upscale", str(clip), "whole.mkv", "--model", "bicubic"], cwd=media)
    said = run([vsr, "verify", str(clip), "whole.mkv"], cwd=media)
    if "nothing lost" not in said:
        raise SystemExit(f"test-wheel: {found.name}: vsr verify said {said!r}")
    versions = re.findall(r"^(?:torch|PyAV) +([^,]+)", doctor, re.MULTILINE)
    logger.info(f"{found.name}: passed, with torch {versions[0]} and PyAV {versions[1]}")


def run(command: list[str], *, cwd: Path | None = None, seconds: float = 600) -> str:
    """Return the output of a command, which runs without this environment's settings for Python and pip.

    Raises:
        SystemExit: It failed.
        subprocess.TimeoutExpired: It took longer than `seconds`.
    """
    ours = ("PYTHON", "PIP_CONSTRAINT")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    done = subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=seconds, check=False
    )
    if done.returncode:
        lines = (done.stdout + done.stderr).strip().splitlines()[-30:]
        raise SystemExit("\n".join([f"test-wheel: error: {' '.join(command)}", *lines]))
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
