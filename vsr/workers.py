"""What a plugin needs that runs workers on other machines (entry points of the group `vsr.workers`).

A plugin says how a `Worker` is started: wherever it likes, a `WorkerProcess` runs there, and messages are
passed between it and the `Crew` of the run. `plugins/ray` is an example.
"""

from __future__ import annotations

from vsr.pipeline.crew.crew import Crew, Worker
from vsr.pipeline.crew.hosts import GROUP
from vsr.pipeline.crew.process import OnMessage, WorkerProcess
from vsr.pipeline.crew.task import with_threads_of_this_machine

__all__ = ["GROUP", "Crew", "OnMessage", "Worker", "WorkerProcess", "with_threads_of_this_machine"]
