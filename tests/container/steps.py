"""`make test-container`: builds the image of the Dockerfile, and upscales a clip in it.

It uses a container engine if there is one. Without an engine, as root, it executes the
Dockerfile's instructions in a clean Debian root, which debootstrap creates in a temporary folder.
It prints which way it uses, and leaves no files.
"""

from __future__ import annotations

import argparse
import logging
import signal
import sys
import tempfile
import time
from pathlib import Path

from tests.container.checks import CHECKS, Container
from tests.container.dockerfile import BuildError, carry_out
from tests.container.engine import Engine, working_engine
from tests.container.root import Root, why_not

CHECKOUT = Path(__file__).parent.parent.parent
logger = logging.getLogger(__name__)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--way", choices=["engine", "root"], help="default: an engine if one works")
    parser.add_argument("--base", help="the Dockerfile's build argument BASE")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="test-container: %(message)s", stream=sys.stdout)
    # SIGTERM raises an exception like Ctrl-C, so that everything is removed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix="vsr-container-") as folder:
        try:
            built_and_checked(Path(folder), options.way, {"BASE": options.base} if options.base else {})
        except BuildError as error:
            logger.error("error: %s", error)
            return 1
    return 0


def built_and_checked(folder: Path, way: str | None, given: dict[str, str]) -> None:
    """Build in one of the two ways, and check the result; the caller removes the folder."""
    # Users of the container are not the caller, so they must be allowed to enter the folder and write to it.
    folder.chmod(0o755)
    (folder / "media").mkdir()
    (folder / "media").chmod(0o777)
    started = time.monotonic()
    container = built(folder, way, given)
    try:
        logger.info("built in %d s", time.monotonic() - started)
        for check in CHECKS:
            logger.info("%s", check(container))
        logger.info("passed in %d s, by %s", time.monotonic() - started, container.way)
    finally:
        container.close()


def built(folder: Path, way: str | None, given: dict[str, str]) -> Container:
    """Return the container, built in the requested way or in the better one that works here."""
    engine = None if way == "root" else working_engine()
    if engine:
        return _by_engine(Engine(engine, CHECKOUT, folder / "media"), given)
    if way == "engine":
        raise BuildError("neither docker nor podman answers. Use --way root, which needs neither")
    reason = why_not()
    if reason:
        raise BuildError(f"no container engine answers; without one, {reason}")
    return _by_hand(Root(folder, CHECKOUT), given)


def _by_engine(engine: Engine, given: dict[str, str]) -> Container:
    logger.info("by %s", engine.way)
    engine.build(given)
    return engine


def _by_hand(root: Root, given: dict[str, str]) -> Container:
    logger.info("by %s", root.way)
    root.image = carry_out((CHECKOUT / "Dockerfile").read_text(), root, root.pip | given)
    return root


if __name__ == "__main__":
    sys.exit(main())
