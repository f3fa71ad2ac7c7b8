"""Rules for every plugin: it is independent, and uses only public names of vsr."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import pytest

import vsr
from vsr.settings.field import settings_of
from vsr.settings.overrides import KEYWORDS
from vsr.settings.schema import EncoderSettings, UpscaleSettings

PLUGINS = sorted(path.parent for path in (Path(__file__).parent.parent / "plugins").glob("*/pyproject.toml"))


PROCESS_WIDE = {"engine.allocator"}
"""Not public, for it changes the whole process: a host decides it, and so does the plugin of a host."""

CONTRACTS = {"workers"}
"""Modules for plugins of one kind; what they export is what their entry points need."""


def modules(plugin: Path) -> list[Path]:
    return [
        path
        for path in plugin.rglob("*.py")
        if not path.name.startswith(("test_", "conftest")) and not path.stem.endswith("_for_tests")
    ]


def used_of_vsr(source: str) -> set[str]:
    """Return everything that a source imports from vsr or uses of it."""
    tree = ast.parse(source)
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {
                alias.name.removeprefix("vsr.") for alias in node.names if alias.name.startswith("vsr.")
            }
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "vsr":
            inside = (node.module or "").removeprefix("vsr").lstrip(".")
            found |= {inside} if inside else {alias.name for alias in node.names}
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "vsr":
            found.add(node.attr)
    return found


@pytest.mark.parametrize("plugin", PLUGINS, ids=lambda path: path.name)
def test_a_plugin_uses_only_public_names_and_never_ends_its_host(plugin: Path) -> None:
    assert modules(plugin)
    for path in modules(plugin):
        source = path.read_text(encoding="utf-8")
        assert used_of_vsr(source) <= {*vsr.__all__, "__version__", *PROCESS_WIDE, *CONTRACTS}, path
        assert not re.search(r"\bsys\.exit\b|\bos\._exit\b|\bsignal\.signal\b", source), path


@pytest.mark.parametrize("plugin", PLUGINS, ids=lambda path: path.name)
def test_a_plugin_is_a_project_with_a_readme_an_example_and_tests(plugin: Path) -> None:
    project = tomllib.loads((plugin / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["name"] == f"vsr-{plugin.name}"
    assert any(need.startswith("vsr-pipeline") for need in project["dependencies"])
    assert "```" in (plugin / "README.md").read_text(encoding="utf-8")
    assert list(plugin.glob("**/test_*.py"))


def test_the_check_above_finds_violations() -> None:
    assert used_of_vsr("import vsr.media.mux.sink") == {"media.mux.sink"}
    assert used_of_vsr("from vsr.media import sink") == {"media"}
    assert used_of_vsr("from vsr import upscale, media") == {"upscale", "media"}
    assert used_of_vsr("import vsr; vsr.engine.upscaler") == {"engine"}


OF_A_HOST = {
    "ffmpeg": {"upscale": {"stream", "size"}},
    "vapoursynth": {"upscale": {"clip", "num_streams"}},
    "comfyui": {"load": {"self"}},
}
"""Functions of hosts whose parameters are settings, and those of their parameters that are not."""
SOURCES = {
    "ffmpeg": "ffmpeg/vsr_ffmpeg/__init__.py",
    "vapoursynth": "vapoursynth/vsr_vapoursynth.py",
    "comfyui": "comfyui/vsr_comfyui.py",
    "gstreamer": "gstreamer/python/vsr_gstreamer.py",
}


@pytest.mark.parametrize("host", OF_A_HOST)
def test_the_parameters_of_a_host_are_settings_by_their_keywords(host: str) -> None:
    tree = ast.parse((PLUGINS[0].parent / SOURCES[host]).read_text(encoding="utf-8"))
    functions = {node.name: node.args for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    for name, others in OF_A_HOST[host].items():
        arguments = functions[name]
        given = {one.arg for one in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)}
        assert given - others <= KEYWORDS, "a setting has one name, in vsr/settings/schema.py"
        assert given - others >= {"model", "scale", "strength", "device", "precision", "tile", "batch"}


@pytest.mark.parametrize("host", ["ffmpeg", "gstreamer"])
def test_the_flags_that_a_host_gives_to_the_command_are_those_of_settings(host: str) -> None:
    flags = {
        flag
        for kind in (UpscaleSettings, EncoderSettings)
        for one in settings_of(kind).values()
        for flag in one.flags
    }
    text = (PLUGINS[0].parent / SOURCES[host]).read_text(encoding="utf-8")
    found = set(re.findall(r"[\"'](--[a-z-]+)[=\"']", text)) - {"--size", "--quiet"}
    assert found
    assert found <= flags


def test_comfyui_offers_every_backend_and_number_format() -> None:
    text = (PLUGINS[0].parent / SOURCES["comfyui"]).read_text(encoding="utf-8")
    assert "list(get_args(vsr.Backend))" in text
    assert "list(get_args(vsr.Precision))" in text
