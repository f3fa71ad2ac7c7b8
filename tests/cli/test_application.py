"""Commands start fast: Typer takes milliseconds to build one, so only one is built, and no library is loaded
that most commands do not need.
"""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.cli.run_cli import run_cli
from vsr.cli.application import COMMANDS, built


@pytest.mark.parametrize("name", sorted(built(*COMMANDS).commands))
def test_one_command_is_built_as_among_all_others(name: str) -> None:
    (one,) = built(name).commands.values()
    whole = built(*COMMANDS).commands[name]
    assert one.name == name
    assert [parameter.opts for parameter in one.params] == [parameter.opts for parameter in whole.params]


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_help_shows_no_type_of_python(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    text = run_cli(capfd, name, "--help").out
    assert "--help" in text
    assert re.search(r"<\w+|list\[|\bNone\b", text) is None


def test_a_command_is_built_without_the_modules_of_the_others() -> None:
    program = (
        "import sys; from vsr.cli.application import COMMANDS, built; built('report');"
        "print(*sorted(name for name in sys.modules if name.startswith('vsr.cli.commands.')))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["vsr.cli.commands.report"]


def test_the_command_line_starts_without_openssl() -> None:
    """hashlib loads it, which takes a tenth of the start-up."""
    program = "import sys, vsr.cli; print(*{'_hashlib', '_ssl', 'av'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
