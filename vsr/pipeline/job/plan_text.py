"""The plan of a run in words: how the video is encoded, and which filters it passes."""

from __future__ import annotations

from vsr.pipeline.job.report import Report

_OPTION = "encoder.options."


def encoding(report: Report) -> str:
    """Return the encoder, its quality, preset and options that were set: `libx264, crf 18, preset slow`."""
    encoder = report.encoder
    facts = [str(encoder["codec"])]
    facts += [] if encoder["crf"] is None else [f"crf {encoder['crf']:g}"]
    facts += [] if encoder["preset"] is None else [f"preset {encoder['preset']}"]
    facts += [
        f"{key.removeprefix(_OPTION)}={row['value']}"
        for key, row in report.settings.items()
        if key.startswith(_OPTION)
    ]
    return ", ".join(facts)


def treatment(report: Report) -> list[str]:
    """Return what besides the model decides the image, one fact each: strength, filters, and the preset."""
    facts = []
    if report.model["strength"] is not None:
        facts.append(f"strength {report.model['strength']:g}")
    for when in ("before", "after"):
        if report.filters[when]:
            facts.append(f"filters {when}: {', '.join(report.filters[when])}")
    if report.pipeline is not None:
        facts.append(f"settings of {report.pipeline['name']}")
    return facts
