"""What a plugin needs that runs workers on other machines (entry points of the group `vsr.workers`).

A plugin starts a `WorkerProcess` for each device, wherever it likes, passes lines between it and the driver,
and gives an object with the members of `Crew` to the run. `plugins/ray` is an example.
"""

from __future__ import annotations

from vsr.pipeline.workers.crew import Event
from vsr.pipeline.workers.hosts import GROUP, Crew
from vsr.pipeline.workers.process import WorkerProcess
from vsr.pipeline.workers.task import Task, with_threads_of_this_machine

__all__ = ["GROUP", "Crew", "Event", "Task", "WorkerProcess", "with_threads_of_this_machine"]
