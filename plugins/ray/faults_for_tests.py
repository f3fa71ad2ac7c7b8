"""What the tests do to the workers of a cluster."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import ray

from vsr.pipeline.crew.crew import Crew
from vsr.pipeline.workers import many_devices


def actor_of(crew: Crew, name: str) -> Any:
    """Return the actor of a worker."""
    return crew._members[name].worker.actor  # type: ignore[attr-defined]


def process_of(crew: Crew, name: str) -> int:
    """Return the number of the process that makes segments, on whichever machine it runs."""
    return int(ray.get(actor_of(crew, name).__ray_call__.remote(lambda relay: relay._process.process.pid)))


def kill(crew: Crew, name: str, *, whole_actor: bool) -> None:
    """End a worker as the kernel does when memory is short: its process, or the actor around it as well."""
    if whole_actor:
        ray.kill(actor_of(crew, name))
    else:
        with suppress(ProcessLookupError):
            os.kill(process_of(crew, name), signal.SIGKILL)


@contextmanager
def when(kind: str, then: Callable[[Any, str, dict[str, Any]], None]) -> Iterator[None]:
    """Call a function after each message of a kind was handled."""
    handler = many_devices._HANDLERS[kind]

    def handled(state: Any, name: str, message: dict[str, Any]) -> None:
        handler(state, name, message)
        then(state, name, message)

    many_devices._HANDLERS[kind] = handled
    try:
        yield
    finally:
        many_devices._HANDLERS[kind] = handler
