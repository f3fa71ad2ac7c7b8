"""What the Dockerfile says, without building it; `make test-container` builds it."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.container.dockerfile import (
    BuildError,
    Image,
    carry_out,
    copies,
    files_sent,
    ignored,
    patterns_of,
    steps_of,
)
from tests.container.engine import build_arguments
from tests.container.root import local_paths

CHECKOUT = Path(__file__).parent.parent.parent
DOCKERFILE = (CHECKOUT / "Dockerfile").read_text(encoding="utf-8")
SENT = files_sent(CHECKOUT, patterns_of((CHECKOUT / ".dockerignore").read_text(encoding="utf-8")))


class Reader:
    """A place that only records the instructions."""

    def __init__(self) -> None:
        self.base = ""
        self.ran: list[tuple[str, str]] = []
        self.copied: dict[str, str] = {}
        self.folders: list[str] = []

    def begin(self, base: str) -> dict[str, str]:
        self.base = base
        return {"PATH": "/usr/bin"}

    def run(self, image: Image, command: str) -> None:
        self.ran.append((image.user, command))

    def copy(self, source: str, target: str) -> None:
        self.copied |= copies(SENT, source, target)

    def make_folder(self, path: str) -> None:
        self.folders.append(path)


def read(text: str = DOCKERFILE, **given: str) -> tuple[Image, Reader]:
    reader = Reader()
    return carry_out(text, reader, given), reader


def test_the_image_runs_vsr_without_root_in_the_mounted_folder() -> None:
    image, reader = read()
    assert image.entrypoint == ["vsr"]
    assert image.command == ["--help"]
    assert image.user not in ("", "root", "0")
    assert f"uid 10001 {image.user}" in reader.ran[-1][1]
    assert reader.folders == ["/media"] == [image.folder]


def test_the_base_is_a_build_argument_with_a_fixed_tag() -> None:
    _, reader = read()
    name, _, tag = reader.base.rpartition(":")
    assert name
    assert re.match(r"\d+\.\d+", tag)
    assert read(BASE="other:1.2")[1].base == "other:1.2"
    assert "latest" not in DOCKERFILE


def test_only_the_files_for_the_installation_are_sent() -> None:
    _, reader = read()
    assert set(reader.copied) == set(SENT)
    tracked = {"vsr", "pipelines", "pyproject.toml", "constraints.txt", "README.md", "LICENSE"}
    assert {name.split("/")[0] for name in SENT} == tracked
    weights = {f"vsr/weights/{path.name}" for path in (CHECKOUT / "vsr/weights").glob("*.safetensors")}
    assert weights
    assert weights <= set(SENT)
    assert not [name for name in SENT if "__pycache__" in name or name.endswith(".pyc")]


def test_no_file_that_git_ignores_is_sent() -> None:
    if not (CHECKOUT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("this is no git checkout")
    asked = subprocess.run(
        ["git", "check-ignore", "--no-index", "--stdin"],
        cwd=CHECKOUT,
        input="\n".join(SENT),
        capture_output=True,
        text=True,
    )
    assert asked.stdout == ""


def test_a_wheel_can_be_built_from_the_sent_files_alone(tmp_path: Path) -> None:
    _, reader = read()
    for name, to in reader.copied.items():
        place = tmp_path / to.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(CHECKOUT / name, place)
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=tmp_path / "src", check=True, capture_output=True)
    assert list(tmp_path.glob("*.whl"))


def test_pinned_versions_are_installed_without_a_cache_and_the_source_is_removed() -> None:
    _, reader = read()
    (install,) = [command for _, command in reader.ran if "pip install" in command]
    assert "--no-cache-dir" in install
    assert "-c /src/constraints.txt" in install
    assert install.endswith("rm -rf /src")
    assert "/src/constraints.txt" in reader.copied.values()
    (extra,) = re.findall(r"/src\[(\w+)\]", install)
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert extra in project["optional-dependencies"]


def test_no_secret_is_required_or_kept() -> None:
    image, reader = read(PIP_EXTRA_INDEX_URL="https://name:word@index.example/simple")
    assert "word" not in " ".join([*image.env.values(), *(command for _, command in reader.ran)])
    assert not re.search(r"(?i)secret|token|password|api_?key", DOCKERFILE)
    for command in (command for _, command in reader.ran if "apt-get" in command):
        assert "/var/lib/apt/lists" in command


def test_an_engine_gets_package_indexes_but_no_files_of_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {"PIP_EXTRA_INDEX_URL": "https://index.example/simple", "PIP_CERT": str(CHECKOUT)}
    monkeypatch.setattr("tests.container.engine.pip_settings", lambda: settings)
    assert build_arguments(DOCKERFILE, {"BASE": "b:1"}) == {
        "BASE": "b:1",
        "PIP_EXTRA_INDEX_URL": "https://index.example/simple",
    }
    settings["PIP_EXTRA_INDEX_URL"] = f"file://{CHECKOUT}"
    assert build_arguments(DOCKERFILE, {}) == {}


def test_files_of_the_host_in_pips_settings_are_found_with_those_beside_an_index(tmp_path: Path) -> None:
    (tmp_path / "index/simple").mkdir(parents=True)
    (tmp_path / "wheels").mkdir()
    settings = {
        "A": f"file://{tmp_path}/index/simple https://index.example/simple",
        "B": f"{tmp_path}/wheels",
    }
    assert local_paths(settings) == [tmp_path / "index", tmp_path / "wheels"]


def test_continued_lines_are_one_instruction_and_comments_are_removed() -> None:
    steps = steps_of("# a\nRUN one \\\n# b\n\n  && two\nUSER vsr\n")
    assert [(s.line, s.name, s.rest) for s in steps] == [(2, "RUN", "one && two"), (6, "USER", "vsr")]


def test_build_arguments_before_from_apply_only_to_from() -> None:
    with pytest.raises(BuildError, match="BASE is not set"):
        read("ARG BASE=a:1\nFROM $BASE\nENV X=$BASE\n")
    image, _ = read("FROM a:1\nARG X=1\nENV PATH=/x/$X:${PATH}\n", X="2")
    assert image.env == {"PATH": "/x/2:/usr/bin"}


@pytest.mark.parametrize(
    "line",
    [
        "HEALTHCHECK CMD true",
        "ADD . /src",
        "COPY --from=other . /src",
        "COPY *.txt /src/",
        "COPY nowhere /src",
        "COPY tests /src",
        "RUN --mount=type=cache,target=/x true",
        "RUN <<EOF",
        "ENTRYPOINT vsr",
        "ENV NAME value",
        "ENV A=${B:-c}",
        "FROM other:1",
        "USER a:b",
        "RUN one \\",
    ],
)
def test_an_unsupported_instruction_is_an_error_that_names_the_line(line: str) -> None:
    with pytest.raises(BuildError, match=r"^Dockerfile:2: ") as error:
        read(f"FROM a:1\n{line}\n")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("path", "patterns", "out"),
    [
        ("a/b.txt", ["*"], True),
        ("a/b.txt", ["*", "!a"], False),
        ("a/b.txt", ["*.txt"], False),
        ("b.txt", ["*.txt"], True),
        ("a/b/c.txt", ["**/*.txt"], True),
        ("c.txt", ["**/*.txt"], True),
        ("a/__pycache__/x.pyc", ["*", "!a", "**/__pycache__"], True),
        ("a/b", ["a", "!a/b"], False),
        ("ab", ["a?", "/a"], True),
        ("abc", ["ab"], False),
    ],
)
def test_the_last_pattern_that_matches_a_path_or_a_folder_above_it_decides(
    path: str, patterns: list[str], out: bool
) -> None:
    assert ignored(path, patterns) == out


def test_copy_copies_the_content_of_a_folder_and_a_file_into_a_folder_or_to_a_name() -> None:
    sent = ["a/b", "a/c/d", "e"]
    assert copies(sent, "a", "/to") == {"a/b": "/to/b", "a/c/d": "/to/c/d"}
    assert copies(sent, "e", "/to/") == {"e": "/to/e"}
    assert copies(sent, "e", "/to") == {"e": "/to"}
    assert copies(sent, ".", "/to") == {name: f"/to/{name}" for name in sent}
