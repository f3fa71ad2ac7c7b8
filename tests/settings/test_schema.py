"""Each setting is one field: its flag, keyword, TOML key and place in the resume key follow from it."""

from __future__ import annotations

import re
from dataclasses import fields
from typing import get_args

import pytest

import docs.settings as written
from tests.cli.run_cli import run_cli
from vsr.cli.application import built
from vsr.errors import ConfigError
from vsr.settings.field import InResumeKey, choices_of, settings_of
from vsr.settings.keywords import Overrides
from vsr.settings.overrides import KEYWORDS
from vsr.settings.schema import EncoderSettings, UpscaleSettings

KINDS = (UpscaleSettings, EncoderSettings)
OF_A_RUN = {"progress", "pipeline", "size", "patience", "overwrite", "dry_run", "report", "quiet"} | {
    *("paths", "to", "name", "recursive", "files_from", "skip_existing"),
    *("allow_network", "work_folder", "preview_every"),
}
"""Flags of `vsr upscale` that are no settings of the result."""


def test_every_field_is_a_setting_and_every_setting_is_a_keyword() -> None:
    names = {f.name for kind in KINDS for f in fields(kind)} - {"encoder"} | {"encoder"}
    assert names == KEYWORDS | {"encoder"}
    assert set(Overrides.__annotations__) == KEYWORDS


def test_the_written_keywords_and_the_page_are_what_the_schema_says() -> None:
    assert written.KEYWORDS.read_text(encoding="utf-8") == written.keywords(), "run python docs/settings.py"
    assert written.PAGE.read_text(encoding="utf-8") == written.page(), "run python docs/settings.py"


def test_the_command_has_the_flags_of_the_schema_and_those_of_a_run_and_no_other() -> None:
    flags = {name for kind in KINDS for name, facts in settings_of(kind).items() if facts.flags}
    command = built("upscale").commands["upscale"]  # type: ignore[attr-defined]
    assert {one.name for one in command.params} == flags | OF_A_RUN


@pytest.mark.parametrize("kind", KINDS)
def test_every_setting_says_whether_it_belongs_to_the_resume_key(kind: type) -> None:
    assert all(facts.in_resume_key in get_args(InResumeKey) for facts in settings_of(kind).values())


@pytest.mark.parametrize("kind", KINDS)
def test_the_default_is_the_first_of_the_choices(kind: type) -> None:
    made = kind()
    for name in settings_of(kind):
        if choices := choices_of(kind, name):
            assert getattr(made, name) in (choices[0], None)


@pytest.mark.parametrize("kind", KINDS)
def test_numbers_outside_their_limits_are_refused_with_the_limit(kind: type) -> None:
    for name, facts in settings_of(kind).items():
        for wrong in () if facts.limits is None else (facts.limits[0] - 1, facts.limits[1] + 1, float("nan")):
            with pytest.raises(ConfigError, match=f"`{name}` .* is out of range; use "):
                kind(**{name: wrong})


def test_the_help_fits_two_screens_of_eighty_columns(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    text = run_cli(capfd, "upscale", "--help").out
    lines = text.splitlines()
    assert len(lines) <= 2 * 40, text  # 40 lines: a terminal window on a laptop
    assert max(map(len, lines)) <= 80
    first = text.partition("Options")[2].partition("╰")[0]
    for flag in (
        "--model",
        "--scale",
        "--crf",
        "--encoder",
        "--pipeline",
        "--start",
        "--overwrite",
        "--dry-run",
    ):
        assert re.search(rf"{flag}\b", first), f"{flag} is not among the first"
    assert "vsr upscale in.mp4 out.mp4" in text.partition("Arguments")[0], "the example comes first"
