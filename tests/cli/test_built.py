"""Commands start fast: Typer takes milliseconds to build one, so only one is built, and no library is loaded
that most commands do not need.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

from vsr import cli


@pytest.mark.parametrize("name", sorted(cli.built().commands))
def test_one_command_is_built_as_among_all_others(name: str) -> None:
    (one,) = cli.built(name).commands.values()
    whole = cli.built().commands[name]
    assert one.name == name
    assert [parameter.opts for parameter in one.params] == [parameter.opts for parameter in whole.params]


def test_every_command_is_known_by_name_before_any_is_built() -> None:
    assert cli._names() == set(cli.built().commands)


def test_the_command_line_starts_without_openssl() -> None:
    """hashlib loads it, which takes a tenth of the start-up."""
    program = "import sys, vsr.cli; print(*{'_hashlib', '_ssl', 'av'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
