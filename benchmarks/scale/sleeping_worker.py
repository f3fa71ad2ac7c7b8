"""A worker that waits for each frame as a slow generator does, but uses no core.

`benchmarks.scale.distribution` starts it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

from vsr.frame import YuvFrame
from vsr.pipeline.workers import worker

_told = worker._told


def _slowly(frames: Iterator[YuvFrame], talk: worker.Talk) -> Iterator[YuvFrame]:
    for frame in _told(frames, talk):
        time.sleep(float(os.environ["VSR_SLEEP"]))
        yield frame


if __name__ == "__main__":
    worker._told = _slowly
    worker.main()
