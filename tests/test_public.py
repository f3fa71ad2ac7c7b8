"""The public names: all are listed, documented, typed and quick to import."""

from __future__ import annotations

import ast
import doctest
import inspect
import re
import subprocess
import sys
import threading
import tomllib
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import vsr
from tests import typed_program
from tests.media_maker import make_clip
from tests.training.photographs import write_photographs, write_recipe

ROOT = Path(__file__).parent.parent
FUNCTIONS = [
    vsr.compare,
    vsr.estimate,
    vsr.evaluate,
    vsr.finetune,
    vsr.load_generator,
    vsr.open_video,
    vsr.preview,
    vsr.probe,
    vsr.train,
    vsr.upscale,
    vsr.upscale_image,
    vsr.verify,
]
POSITIONAL = {"settings"}
"""What has a default and may yet be given by position."""


def test_dir_lists_every_public_name_and_nothing_private() -> None:
    assert vsr.__all__ == sorted(set(vsr.__all__))
    assert [name for name in dir(vsr) if not name.startswith("__")] == vsr.__all__
    for name in vsr.__all__:
        assert getattr(vsr, name) is not None
    with pytest.raises(AttributeError, match="nonsense"):
        _ = vsr.nonsense  # type: ignore[attr-defined]


def test_names_are_imported_at_run_time_from_where_type_checkers_find_them() -> None:
    tree = ast.parse(Path(vsr.__file__).read_text(encoding="utf-8"))
    (block,) = (
        node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    )
    checked = {
        alias.name: node.module
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert checked == vsr._LAZY
    assert not any(alias.asname for node in block.body for alias in getattr(node, "names", ()))


def test_to_import_vsr_imports_neither_torch_nor_numpy_nor_pyav() -> None:
    code = "import sys, vsr; dir(vsr); sys.exit(' '.join({'torch', 'numpy', 'av'} & set(sys.modules)) or 0)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_log_belongs_to_the_program_that_imports_vsr(
    tmp_path: Path,
) -> None:
    """Loggers are named `vsr...`, and none of ours prints or changes the root logger."""
    code = (
        "import logging, vsr; root = logging.getLogger(); ours = logging.getLogger('vsr')\n"
        "vsr.upscale('in.mp4', 'new.mp4', model='bicubic'); logging.getLogger('vsr.any').warning('unheard')\n"
        "assert not root.handlers and root.level == logging.WARNING\n"
        "assert [type(one).__name__ for one in ours.handlers] == ['NullHandler'] and ours.propagate\n"
    )
    make_clip(tmp_path / "in.mp4", time_base=None)
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.__name__)
def test_options_are_keywords_and_the_docstring_explains_each(function: Callable[..., Any]) -> None:
    text = inspect.getdoc(function) or ""
    assert "Raises:" in text
    for name, parameter in inspect.signature(function).parameters.items():
        described = rf"^    \**{name}: \S" if parameter.kind != parameter.VAR_KEYWORD else r"^    \*\*\w+: \S"
        assert re.search(described, text, re.MULTILINE), name
        if parameter.default is not parameter.empty and name not in POSITIONAL:
            assert parameter.kind == parameter.KEYWORD_ONLY, name


def hints(owner: Any) -> Iterator[Any]:
    """The types of a function's parameters and result, or of a class's fields, properties and methods."""
    known = {"Tensor": torch.Tensor}
    if inspect.isfunction(owner):
        yield from typing.get_type_hints(owner, localns=known).values()
    elif inspect.isclass(owner):
        yield from typing.get_type_hints(owner, localns=known).values()
        for name, member in vars(owner).items():
            if not name.startswith("_"):
                yield from hints(member.fget if isinstance(member, property) else member)


def classes(hint: Any) -> Iterator[type]:
    if isinstance(hint, type) and not typing.get_args(hint):
        yield hint
    for argument in typing.get_args(hint):
        yield from classes(argument)


@pytest.mark.parametrize("name", vsr.__all__)
def test_every_type_of_ours_that_a_public_name_takes_or_gives_is_public(name: str) -> None:
    public = {getattr(vsr, other) for other in vsr.__all__ if inspect.isclass(getattr(vsr, other))}
    used = {kind for hint in hints(getattr(vsr, name)) for kind in classes(hint)}
    assert {kind for kind in used if kind.__module__.startswith("vsr")} <= public


def test_the_page_on_python_lists_every_public_name_once() -> None:
    page = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    section = page.partition("\n## All public names\n")[2]
    cells = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    listed = [name for cell in cells for name in re.findall(r"`(\w+)`", cell)]
    assert sorted(listed) == vsr.__all__


def test_examples_in_docstrings_are_true(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_clip(tmp_path / "in.mp4", time_base=None)
    monkeypatch.chdir(tmp_path)
    vsr.upscale("in.mp4", "out.mp4", model="bicubic", scale=2)
    runner = doctest.DocTestRunner()
    for name in vsr.__all__:
        for example in doctest.DocTestFinder(recurse=False).find(
            getattr(vsr, name), name, globs={"vsr": vsr}
        ):
            runner.run(example)
    assert runner.tries >= 4
    assert not runner.failures


def test_a_typed_program_runs(tmp_path: Path) -> None:
    """mypy checks it with the package: `make check`."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert "tests/typed_program.py" in project["tool"]["mypy"]["files"]
    make_clip(tmp_path / "in.mp4", time_base=None)
    assert typed_program.upscale(tmp_path).frames_out == 12
    assert typed_program.objects((tmp_path / "in.mp4").read_bytes())
    assert typed_program.images() == (3, 72, 96)
    assert typed_program.frames(tmp_path).stamp.index == 0
    assert typed_program.check(tmp_path) == ()
    assert (tmp_path / "both.png").stat().st_size


# Warnings


def test_warnings_are_given_before_the_work_and_again_in_the_report(tmp_path: Path) -> None:
    make_clip(tmp_path / "in.mkv", attachments=[("a.ttf", "font/ttf", b"x" * 9)])
    said: list[str] = []
    words: dict[str, Any] = {"model": "bicubic", "on_warning": said.append}
    report = vsr.upscale(tmp_path / "in.mkv", tmp_path / "out.mp4", **words)
    assert said == report.warnings
    assert any("a.ttf" in line for line in said)

    def refuse(warning: str) -> None:
        raise RuntimeError(warning)

    with pytest.raises(RuntimeError):
        vsr.upscale(tmp_path / "in.mkv", tmp_path / "new.mp4", model="bicubic", on_warning=refuse)
    assert not (tmp_path / "new.mp4").exists()


# Images


@pytest.mark.parametrize(
    "image",
    [
        np.arange(24 * 16 * 3, dtype=np.uint16).reshape(24, 16, 3),
        torch.linspace(0, 1, 24 * 16 * 3).reshape(3, 24, 16),
    ],
    ids=["array", "tensor"],
)
def test_one_image_is_what_a_stream_of_one_gives(image: Any) -> None:
    made = vsr.upscale_image(image, model="fast-x2", device="cpu")
    (expected,) = vsr.Upscaler("fast-x2", device="cpu").frames([image])
    assert type(made) is type(image)
    assert made.dtype == image.dtype
    assert (np.asarray(made) == np.asarray(expected)).all()


def test_an_image_that_is_none_is_refused() -> None:
    with pytest.raises(vsr.InputError, match="frame 0 is a str"):
        vsr.upscale_image("a.png", model="bicubic", scale=2)  # type: ignore[type-var]


# Comparisons


def test_what_is_lost_is_returned_and_not_raised(tmp_path: Path) -> None:
    clip, shorter = make_clip(tmp_path / "in.mp4"), make_clip(tmp_path / "out.mp4", frames=5)
    found = vsr.verify(str(clip), shorter)
    assert any(line.startswith("frames: 5 of 12") for line in found.lost)
    with pytest.raises(vsr.ConfigError, match="`start` 'soon' is not a time"):
        vsr.verify(clip, shorter, start="soon")


def test_a_comparison_replaces_nothing_unasked_and_never_a_video(tmp_path: Path) -> None:
    clip, picture = make_clip(tmp_path / "in.mp4"), tmp_path / "a.png"
    made = vsr.compare(clip, clip, output=picture, reference=clip)
    assert made.panels == ("in.mp4 (1)", "in.mp4 (2)", "in.mp4 (3)")
    with pytest.raises(vsr.ConfigError, match="`overwrite=True` replaces it"):
        vsr.compare(clip, clip, output=picture)
    assert vsr.compare(clip, clip, output=picture, at=0.1, overwrite=True).moments == 1
    with pytest.raises(vsr.ConfigError, match="is one of the inputs"):
        vsr.compare(clip, clip, output=linked(tmp_path / "b.png", clip), overwrite=True)
    with pytest.raises(vsr.InputError, match="choose an earlier `at`"):
        vsr.compare(clip, clip, output=picture, at=60, overwrite=True)


def linked(path: Path, target: Path) -> Path:
    path.symlink_to(target)
    return path


# Training


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    return write_recipe(tmp_path)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_photographs(tmp_path / "photographs", 4, side=72)


def test_training_returns_what_it_wrote_and_measured(recipe: Path, data: Path) -> None:
    seen: list[int] = []
    report = vsr.train(
        recipe,
        data=data,
        output=recipe.with_name("out.safetensors"),
        steps=3,
        device="cpu",
        on_progress=lambda progress: seen.append(progress.step),
    )
    assert seen == [1, 2, 3]
    assert vsr.load_generator(report.output).scale == 2
    assert {"gain"} <= report.gains.keys() < report.figures.keys()


def test_trained_weights_tell_what_they_started_from(recipe: Path, data: Path) -> None:
    first = vsr.train(recipe, data=data, output=recipe.with_name("first.safetensors"), steps=1, device="cpu")
    again = vsr.train(
        recipe,
        data=data,
        output=recipe.with_name("second.safetensors"),
        steps=1,
        device="cpu",
        start_from=first.output,
    )
    head = vsr.load_generator(again.output).metadata
    assert head["started_from"].split() == ["first", vsr.load_generator(first.output).sha256]
    assert head["start_licence"] == "not stated"


def test_training_that_is_cancelled_keeps_a_checkpoint(recipe: Path, data: Path) -> None:
    output, stop = recipe.with_name("out.safetensors"), threading.Event()
    words: dict[str, Any] = {"data": [data], "output": output, "device": "cpu"}
    with pytest.raises(vsr.CancelledError, match=r"stopped at step 1\. Run it again to resume"):
        vsr.train(recipe, **words, cancel=stop, on_progress=lambda _: stop.set())
    assert vsr.train(recipe, **words).output == output


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"steps": 0}, "steps 0 is not possible"),
        ({"validate_every": -1}, "validate_every -1 is not possible"),
        ({"minutes": 0}, "`minutes` 0 is not possible"),
        ({"minutes": float("nan")}, "`minutes` nan is not possible"),
        ({"output": "a.pth"}, "must end in .safetensors"),
        ({"device": "abacus"}, "abacus"),
    ],
)
def test_a_wrong_setting_is_refused_before_any_work(
    recipe: Path, data: Path, words: dict[str, Any], message: str
) -> None:
    with pytest.raises(vsr.ConfigError, match=message):
        vsr.train(recipe, data=data, **{"output": recipe.with_name("out.safetensors"), **words})


def test_finetuning_refuses_what_cannot_be_trained_and_what_may_not_be_replaced(
    tmp_path: Path, data: Path
) -> None:
    output = tmp_path / "mine.safetensors"
    with pytest.raises(vsr.ModelError, match="has no weights to train"):
        vsr.finetune(data, start_from="bicubic", output=output, device="cpu")
    output.write_bytes(b"precious")
    with pytest.raises(vsr.OutputError, match="`overwrite=True` replaces it"):
        vsr.finetune(data, start_from="fast-x2", output=output)
