"""The names for plugins that run workers on other machines (entry points of the group `vsr.workers`).

A plugin starts a `WorkerProcess` on a machine of its choice, and a `Worker` that passes messages between that
process and the `Crew` of the run. `plugins/ray` is an example.
"""

from __future__ import annotations

from vsr.pipeline.crew.crew import Crew, Worker
from vsr.pipeline.crew.hosts import GROUP
from vsr.pipeline.crew.process import OnMessage, WorkerProcess
from vsr.pipeline.crew.task import with_threads_of_this_machine

__all__ = ["GROUP", "Crew", "OnMessage", "Worker", "WorkerProcess", "with_threads_of_this_machine"]
