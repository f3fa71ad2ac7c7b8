"""The page of `vsr report`: how busy each thread was over the course of a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from vsr.report.occupancy.reading import Run, sentences
from vsr.web_page.charts import Series, areas, legend
from vsr.web_page.document import document, facts, paragraph, table


def page(runs: Sequence[Run], *, title: str, words: Callable[[str], str] = str) -> bytes:
    """Return a page with a part for each run.

    Args:
        runs: What the reports say.
        title: Headline.
        words: Replaces keywords in sentences by what a user writes, such as flags.
    """
    return document("\n".join(part for run in runs for part in _parts(run, words)), title=title)


def _parts(run: Run, words: Callable[[str], str]) -> list[str]:
    colors = {stage: number for number, stage in enumerate(s for thread in run.threads for s in thread)}
    return [
        f"<section>{paragraph(f'{run.source} → {run.target}', kind='note')}",
        *(paragraph(words(one), kind="lead") for one in sentences(run)),
        "<h2>How busy each thread was</h2>",
        *_charts(run, colors),
        _totals(run),
        "<h2>The run</h2>",
        facts([("frames", f"{run.frames} in {run.seconds:.1f} s, {run.fps:.2f} a second"), *run.facts]),
        "</section>",
    ]


def _charts(run: Run, colors: dict[str, int]) -> list[str]:
    if run.interval_seconds is None:
        return [
            paragraph("This report has no record over time: an earlier version of vsr wrote it.", kind="note")
        ]
    found = []
    for thread in run.threads:
        series = [Series(name=s, values=run.shares_over_time(s), color=colors[s]) for s in thread]
        name = " + ".join(thread)
        chart = areas(
            series, label=f"Share of the time busy: {name}", width_of_one=run.interval_seconds, x_text=_clock
        )
        found.append(f"<figure>{legend(series)}{chart}</figure>")
    note = f"Each step is {run.interval_seconds:g} s."
    if run.workers > 1:
        note += f" The shares are means over {run.workers} workers."
    return [*found, paragraph(note, kind="note")]


def _totals(run: Run) -> str:
    rows = [
        (stage, ", ".join(thread), f"{run.busy_seconds.get(stage, 0):.2f}", f"{run.share(stage):.0%}")
        for thread in run.threads
        for stage in thread
    ]
    return table(("stage", "thread", "busy, s", "share"), rows, numbers=(2, 3))


def _clock(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.3g} s"
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"
