"""Names a setting in an error as the pipeline file does that it comes from.

The library names settings in its messages as keywords in backquotes, which the command shows as flags. A
value of a file was given by neither, so the error names its key and the file: `encoder.crf = 99 (mine.toml)`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vsr.errors import VsrError
from vsr.pipeline.job.chosen_settings import ChosenSettings
from vsr.settings.field import settings_of
from vsr.settings.schema import EncoderSettings

_SETTING = re.compile(r"`([a-z_]+)(?:=([^`]+))?`")


@contextmanager
def named_by_origin(chosen: ChosenSettings) -> Generator[None, None, None]:
    """Name settings of a pipeline by their keys in the errors of the code inside.

    Raises:
        VsrError: the error of the code inside, with another message.
    """
    try:
        yield
    except VsrError as error:
        text = with_keys(str(error), chosen)
        if text != str(error):
            error.args = (text,)
        raise


def with_keys(message: str, chosen: ChosenSettings) -> str:
    """Return a message with `key (file)` in place of each keyword whose value comes from a pipeline.

    A keyword with another value than the present one is advice, such as "use `device='cpu'`", and stays.
    """
    if chosen.pipeline is None:
        return message
    file = Path(chosen.pipeline["path"]).name
    values = chosen.rows()

    def key(found: re.Match[str]) -> str:
        name, text = found[1], found[2]
        full = f"encoder.{name}" if name in settings_of(EncoderSettings) else name
        value, origin = values.get(full, (None, "default"))
        if origin not in ("preset", "pipeline file") or (text is not None and _value(text) != value):
            return found[0]
        return f"{full} ({file})" if text is None else f"{full} = {text} ({file})"

    return _SETTING.sub(key, message)


def _value(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
