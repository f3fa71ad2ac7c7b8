"""What a command leaves to be closed when it has ended and its last message is written."""

from __future__ import annotations

from contextlib import ExitStack

until_the_end = ExitStack()
"""Closed by `vsr.cli.main`, after errors were printed."""
