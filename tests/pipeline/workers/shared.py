"""What the tests of several workers have in common."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from tests.pipeline.job.interrupted import SETTINGS
from vsr.pipeline.job.job import Job
from vsr.pipeline.job.report import Report
from vsr.pipeline.job.warm_generator import WarmGenerator
from vsr.pipeline.preparation import prepare
from vsr.pipeline.run import Progress, run
from vsr.settings.schema import UpscaleSettings

FRAMES = 38
ONE = SETTINGS
TWO = replace(ONE, device="cpu:2")
OnJob = Callable[[Job], Callable[[Progress], None]]


def upscaled(
    source: Path,
    target: Path,
    settings: UpscaleSettings,
    warm: WarmGenerator | None = None,
    on_job: OnJob = lambda job: lambda now: None,
) -> Report:
    with prepare(source, target, settings, overwrite=True, warm=warm) as job:
        run(job, on_job(job))
        return job.report


def processes(job: Job) -> list[subprocess.Popen[bytes]]:
    assert job.crew is not None
    return [member.worker.process for member in job.crew._members.values()]  # type: ignore[attr-defined]
