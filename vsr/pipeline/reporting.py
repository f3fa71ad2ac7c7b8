"""Fills in the report of a run."""

from __future__ import annotations

from dataclasses import fields, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from vsr.engine.upscaler import Upscaler
from vsr.frame import VideoInfo
from vsr.media.decode.source import VideoSource
from vsr.media.encode.encoder_choice import codec_of
from vsr.media.files.opening import shown
from vsr.media.metadata.messages import loss_note
from vsr.media.mux.sink_report import SinkReport
from vsr.media.passthrough.stream_kinds import StreamFate
from vsr.models.load import LoadedModel
from vsr.pipeline.flow import stages
from vsr.pipeline.flow.duplicates import REPEATED
from vsr.pipeline.flow.meter import Meter
from vsr.pipeline.job import output_size
from vsr.pipeline.job.chosen_settings import ChosenSettings
from vsr.pipeline.job.host_memory import tight
from vsr.pipeline.job.report import Report
from vsr.pipeline.job.resume import Sink
from vsr.pipeline.job.run_facts import host, now, software
from vsr.settings.schema import UpscaleSettings


def first_report(
    video: VideoSource,
    sink: Sink,
    model: LoadedModel,
    upscaler: Upscaler,
    size: output_size.TargetSize,
    target: Path,
    chosen: ChosenSettings,
) -> Report:
    """Return the report with everything that is known before the first frame."""
    info, plan, settings = video.info, sink.plan, chosen.settings
    return Report(
        started=now(),
        host=host(),
        software=software(),
        source=shown(info.path),
        target=shown(target),
        info=info,
        height=size.height,
        width=size.width,
        model=model_facts(model, settings),
        engine={
            "device": str(upscaler.device),
            "precision": upscaler.precision,
            "backend": upscaler.backend,
        },
        encoder={
            "codec": plan.codec,
            "crf": plan.crf,
            "preset": plan.preset,
            "pixel_format": plan.pixel_format,
            "options": dict(plan.options),
            "color": plan.color,
        },
        filters={
            "before": list(settings.filters_before),
            "deinterlace": settings.deinterlace,
            "after": list(settings.filters_after),
        },
        pipeline=None if chosen.pipeline is None else dict(chosen.pipeline),
        settings={key: {"value": value, "from": origin} for key, (value, origin) in chosen.rows().items()},
        decoder=video.decoding.name,
        streams=_fates(sink),
        warnings=[
            *chosen.replaced,
            *_guessed(info),
            *short_of(model, size, info),
            *tight(size, plan, batch=upscaler.batch),
            *video.warnings,
            *loss_note(info.side_data, codec=codec_of(plan.codec), dolby_vision=info.dolby_vision),
            *sink.warnings,
        ],
    )


def _fates(sink: Sink) -> list[StreamFate]:
    """Return what becomes of each stream; only the encoder knows what the video becomes."""
    codec = codec_of(sink.plan.codec)
    return [replace(fate, to=codec) if fate.fate == "upscaled" else fate for fate in sink.fates]


def model_facts(model: LoadedModel, settings: UpscaleSettings) -> dict[str, Any]:
    """Return what the report says about the model."""
    return {
        "name": model.name,
        "family": model.family,
        "scale": str(model.scale),
        "strength": settings.strength,
        "partner": settings.partner,
        "parameters": model.parameters,
        "sha256": model.sha256,
        "path": None if model.path is None else str(model.path.absolute()),
        "partner_sha256": model.partner_sha256,
        "partner_path": None if model.partner_path is None else str(model.partner_path.absolute()),
    }


def _guessed(info: VideoInfo) -> list[str]:
    """Return one warning for all guessed tags; most files lack some, and
    several lines would hide other warnings."""
    if not info.guesses:
        return []
    names = [
        f.name for f in fields(info.color) if getattr(info.color, f.name) != getattr(info.tagged, f.name)
    ]
    taken = ", ".join(f"{name} {getattr(info.color, name).name.lower()}" for name in names)
    return [f"colour is not fully tagged; assumed and written: {taken} (vsr info gives the reasons)"]


def short_of(model: LoadedModel, size: output_size.TargetSize, info: VideoInfo) -> list[str]:
    """Return a warning if the model's scale is smaller than the requested one."""
    rest = Fraction(size.height, info.height) / model.scale
    if rest <= Fraction(21, 20):  # less than 5 % is rounding
        return []
    return [f"{model.name} upscales by {model.scale}; the remaining factor of {float(rest):.2f} is bicubic"]


def last_report(
    report: Report,
    source: VideoSource,
    sink: Sink,
    upscaler: Upscaler,
    meter: Meter,
    written: SinkReport,
) -> None:
    """Add everything that is known after the file was written."""
    report.frames_in = meter.counts.get("decoded", 0) + source.skipped
    report.verification = {
        "frames_decoded": report.frames_in,
        "frames_encoded": sink.frames,
        "read_back": written.read_back,
        "frames": written.frames,
        "streams": written.streams,
        "packets": written.packets,
        "bytes": written.bytes,
    }
    report.seconds = meter.elapsed
    report.busy_seconds = meter.busy()
    report.occupancy = meter.occupancy()
    report.damage = source.damage.plus(sink.damage)
    plan = upscaler.plan(source.info.height, source.info.width)
    report.engine |= {
        "batch": plan.batch,
        "tile": plan.tile,
        "repeated": meter.counts.get(REPEATED, 0),
        "stood_still": meter.counts.get(stages.STILL, 0),
        "redone_smaller": upscaler.redone_smaller,
        "redone_in_fp32": meter.counts.get(stages.REDONE, 0),
    }
    late = [kind for kind in source.side_data if kind not in source.info.side_data]
    report.warnings += loss_note(late, codec=codec_of(sink.plan.codec))
    report.streams = _fates(sink)
    report.ended = now()
    report.warnings += [w for w in (*source.warnings, *sink.warnings) if w not in report.warnings]
