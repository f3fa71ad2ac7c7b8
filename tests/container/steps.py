"""`make test-container`: builds what the Dockerfile says, and upscales in it.

With a container engine, by that engine. Without one, as root: the Dockerfile's own instructions one by one in
a clean Debian root, which debootstrap makes in a temporary folder. It says which, and leaves nothing behind.
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
    parser.add_argument("--way", choices=["engine", "root"], help="without it, an engine where one works")
    parser.add_argument("--base", help="the Dockerfile's build argument BASE")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="test-container: %(message)s", stream=sys.stdout)
    # Ends as Ctrl-C does, by an exception, so that everything is taken away.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix="vsr-container-") as folder:
        try:
            built_and_checked(Path(folder), options.way, {"BASE": options.base} if options.base else {})
        except BuildError as error:
            logger.error("error: %s", error)
            return 1
    return 0


def built_and_checked(folder: Path, way: str | None, given: dict[str, str]) -> None:
    """Build in one of the two ways, and check what came of it; the folder is the caller's to remove."""
    # Users of the container are not the caller: they must get to the folder, and may write to it.
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
    """The container, by the way asked for, or the better one that works here."""
    engine = None if way == "root" else working_engine()
    if engine:
        return _by_engine(Engine(engine, CHECKOUT, folder / "media"), given)
    if way == "engine":
        raise BuildError("neither docker nor podman answers here; --way root does without")
    reason = why_not()
    if reason:
        raise BuildError(f"no container engine answers here, and without one {reason}")
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
