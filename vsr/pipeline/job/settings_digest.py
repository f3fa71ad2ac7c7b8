"""Computes a hash of all settings that change a result, by which finished results are recognised."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from vsr.pipeline.inputfile import fingerprint
from vsr.pipeline.job.report import plain
from vsr.settings.field import settings_of
from vsr.settings.schema import EncoderSettings, UpscaleSettings


def settings_digest(settings: UpscaleSettings) -> str:
    """Return a hash of the settings that change the result, and of the weight files that they name."""
    facts: dict[str, Any] = {
        name: plain(getattr(part, name))
        for kind, part in ((UpscaleSettings, settings), (EncoderSettings, settings.encoder))
        for name, setting in settings_of(kind).items()
        if setting.in_resume_key != "no" and name not in ("device", "threads", "allow_files")
    }
    for name in ("model", "partner"):
        path = Path(str(facts[name])).expanduser()
        with suppress(OSError):
            if path.is_file():
                facts[name] = fingerprint(path)
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]
