"""`vsr models` lists, shows, interpolates, converts and exports, and does not overwrite files without -y."""

from __future__ import annotations

import hashlib
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from tests.models.ncnn_files import compact
from tests.models.small_nets import CONFIGS, make
from vsr.cli.commands.models import models
from vsr.errors import ConfigError, ModelError, OutputError
from vsr.models import catalog
from vsr.models.load import load_generator

CONFIG = CONFIGS[-2]


def _run(*args):
    result = CliRunner().invoke(models, [str(arg) for arg in args])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture
def pair(tmp_path):
    """Write two weight files of the same shape."""
    paths = (tmp_path / "a.safetensors", tmp_path / "b.pth")
    save_file(make(CONFIG, seed=1).state_dict(), paths[0], metadata={"recipe": "made up"})
    torch.save({"params_ema": make(CONFIG, seed=2).state_dict()}, paths[1])
    return paths


def test_list_has_a_line_for_every_model_with_its_parameters(pair, monkeypatch):
    file = catalog.CatalogEntry(name="shipped", family="Compact", scale=CONFIG.scale, description="small")
    monkeypatch.setattr(catalog, "MODELS", {"shipped": file, "lanczos": catalog.MODELS["lanczos"]})
    monkeypatch.setattr(
        catalog.CatalogEntry, "path", property(lambda e: pair[0] if e.name == "shipped" else None)
    )
    lines = [line.split("\t") for line in _run("list").stdout.splitlines()]
    count = sum(p.numel() for p in make(CONFIG).parameters())
    assert lines[1][:4] == ["shipped", "Compact", f"x{CONFIG.scale}", f"{count:,}"]
    assert lines[2][:4] == ["lanczos", "filter", "any", "0"]


def test_list_does_not_import_torch():
    code = (
        "import sys; from vsr.cli.commands.models import list_models; list_models();"
        " assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_show_lists_the_facts_of_a_file(pair):
    text = _run("show", pair[0]).stdout
    facts = dict(line.split("\t") for line in text.splitlines())
    assert facts["family"] == "Compact"
    assert facts["nf"] == str(CONFIG.nf)
    assert facts["scale"] == str(CONFIG.scale)
    assert facts["sha256"] == hashlib.sha256(pair[0].read_bytes()).hexdigest()
    assert facts["receptive radius"] == f"{CONFIG.nc + 2} LR pixels"
    assert facts["metadata: recipe"] == "made up"
    assert "params_ema" in _run("show", pair[1]).stdout


def test_show_does_not_print_a_files_control_characters(tmp_path):
    path = tmp_path / "sly.safetensors"
    save_file(make(CONFIG).state_dict(), path, metadata={"note": "a\x1b[2J\nb\tc"})
    text = _run("show", path).stdout
    assert "\x1b" not in text
    assert all(line.count("\t") == 1 for line in text.splitlines())


def test_show_rejects_a_model_that_does_not_exist():
    with pytest.raises(ModelError, match="bicubic"):
        _run("show", "nosuch")


def test_interpolate_writes_the_interpolation_and_its_origin(pair, tmp_path):
    output = tmp_path / "c.safetensors"
    _run("interpolate", *pair, "--alpha", "0.8", "-o", output)
    a, b = (make(CONFIG, seed=seed).state_dict() for seed in (1, 2))
    for key, value in load_file(output).items():
        torch.testing.assert_close(value, 0.2 * a[key] + 0.8 * b[key], rtol=1e-5, atol=1e-6)
    loaded = load_generator(output)
    assert loaded.config == CONFIG
    assert loaded.metadata["alpha"] == "0.8"
    assert loaded.metadata["second_sha256"] == hashlib.sha256(pair[1].read_bytes()).hexdigest()


def test_interpolate_replaces_a_file_only_with_the_flag(pair, tmp_path):
    output = tmp_path / "c.safetensors"
    output.write_text("precious")
    with pytest.raises(OutputError, match="--overwrite"):
        _run("interpolate", *pair, "-o", output)
    assert output.read_text() == "precious"
    _run("interpolate", *pair, "-o", output, "-y")
    assert load_generator(output).config == CONFIG


@pytest.mark.parametrize(
    ("name", "error"),
    [("c.pth", ConfigError), ("nowhere/c.safetensors", OutputError), ("a.safetensors", OutputError)],
)
def test_interpolate_rejects_a_bad_output_before_any_work(name, error, pair, tmp_path):
    before = pair[0].read_bytes()
    with pytest.raises(error):
        _run("interpolate", *pair, "-o", tmp_path / name, "-y")
    assert pair[0].read_bytes() == before


def test_interpolate_rejects_filters_and_other_shapes(pair, tmp_path):
    output = tmp_path / "c.safetensors"
    with pytest.raises(ConfigError, match="bicubic has no weights to interpolate"):
        _run("interpolate", pair[0], "bicubic", "-o", output)
    save_file(make(CONFIGS[0]).state_dict(), tmp_path / "other.safetensors")
    with pytest.raises(ModelError, match="network only"):
        _run("interpolate", pair[0], tmp_path / "other.safetensors", "-o", output)
    assert not output.exists()


@pytest.fixture
def ncnn(tmp_path):
    """Write the two files of an ncnn network; return them and the weights in them."""
    state = make(CONFIG).state_dict()
    return *compact(state, CONFIG.scale, merged=True, half=False).write(tmp_path / "n"), state


@pytest.mark.parametrize("given", ["both", "either order", "only the .param file"])
def test_convert_makes_an_ncnn_network_loadable(given, ncnn, tmp_path):
    param, numbers, state = ncnn
    files = {"both": (param, numbers), "either order": (numbers, param), "only the .param file": (param,)}[
        given
    ]
    output = tmp_path / "c.safetensors"
    assert "Compact" in _run("convert", *files, "-o", output).stdout
    assert all(torch.equal(value, state[key]) for key, value in load_file(output).items())
    loaded = load_generator(output)
    assert (loaded.config, loaded.metadata["source"]) == (CONFIG, "n.bin")
    assert loaded.metadata["source_sha256"] == hashlib.sha256(numbers.read_bytes()).hexdigest()


def test_convert_extracts_the_network_of_a_trainers_file(pair, tmp_path):
    output = tmp_path / "c.safetensors"
    _run("convert", pair[1], "-o", output)
    state = make(CONFIG, seed=2).state_dict()
    assert load_file(output).keys() == state.keys()
    assert all(torch.equal(value, state[key]) for key, value in load_file(output).items())


def test_convert_rejects_unsupported_files(pair, ncnn, tmp_path):
    output = tmp_path / "c.safetensors"
    with pytest.raises(ConfigError, match="2 files"):
        _run("convert", *pair, "-o", output)
    with pytest.raises(ModelError, match="convert"):
        _run("convert", ncnn[1], "-o", output)
    with pytest.raises(ModelError, match=r"missing\.param: cannot be read \(No such file"):
        _run("convert", tmp_path / "missing.param", ncnn[1], "-o", output)
    with pytest.raises(OutputError, match="input"):
        _run("convert", pair[0], "-o", pair[0], "-y")
    with pytest.raises(ConfigError, match=r"\.safetensors"):
        _run("convert", pair[1], "-o", tmp_path / "c.pth")
    assert not output.exists()


def test_loading_ncnn_files_directly_names_the_convert_command(tmp_path):
    net = compact(make(CONFIG).state_dict(), CONFIG.scale, merged=True, half=True)
    for path in net.write(tmp_path / "n"):
        with pytest.raises(ModelError, match="vsr models convert"):
            _run("show", path)


def test_export_writes_a_file_and_reports_the_difference(pair, tmp_path):
    for name in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(name, reason=f"the extra `onnx` is not installed: {name}")
    output = tmp_path / "net.onnx"
    assert "differs by" in _run("export", pair[0], "-o", output).stdout
    assert output.stat().st_size > sum(p.numel() * 4 for p in make(CONFIG).parameters())
    assert [path.name for path in tmp_path.glob("*onnx*")] == ["net.onnx"]  # the weights are inside the file


@pytest.fixture
def wrong(monkeypatch):
    """Replace the exporter by one with a wrong result."""
    monkeypatch.setattr("vsr.models.export.to_onnx", lambda model: b"onnx")
    monkeypatch.setattr("vsr.models.export.largest_difference", lambda data, model: 0.5)


def test_export_writes_no_file_that_differs(wrong, pair, tmp_path):
    with pytest.raises(ModelError, match=r"differs by 0\.5"):
        _run("export", pair[0], "-o", tmp_path / "net.onnx")
    assert not (tmp_path / "net.onnx").exists()
    with pytest.raises(ConfigError, match=r"\.onnx"):
        _run("export", pair[0], "-o", tmp_path / "net.safetensors")
    (tmp_path / "there.onnx").write_text("precious")
    with pytest.raises(OutputError, match="--overwrite"):
        _run("export", pair[0], "-o", tmp_path / "there.onnx")
