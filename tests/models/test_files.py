"""Damaged, dangerous and other files are refused in one line, and nothing in them is run."""

from __future__ import annotations

import os
import pickle
import struct
import zipfile

import pytest
import torch
from safetensors.torch import load_file, save, save_file

from tests.models.small_nets import CONFIGS, make
from vsr.errors import ModelError, OutputError
from vsr.models.files import read_weights, unwrap, write_weights

STATE = make(CONFIGS[-2]).state_dict()


def _refused(path, match):
    with pytest.raises(ModelError, match=match) as caught:
        read_weights(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n", "LFS"),
        (b"\n<!DOCTYPE html><html>not found</html>", "web page"),
        (b"7767517\n3 3\n", "ncnn"),
        (b'{"error": "not found"}', "JSON"),
        (b"just some words in a text file\n", "neither"),
        (b"\x07\x81\xfe\x10\xc3\x00\x9a" + b"\0" * 100, "neither|damaged"),
        (struct.pack("<Q", 2**62) + b"{}", "damaged"),
        (struct.pack("<Q", 2) + b"{}", "no network weights"),
    ],
)
@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
def test_the_error_for_another_kind_of_file_names_the_kind(content, match, suffix, tmp_path):
    path = tmp_path / f"x.{suffix}"
    path.write_bytes(content)
    _refused(path, match)


def test_the_error_for_a_missing_file_says_so(tmp_path):
    _refused(tmp_path / "none.pth", "No such file")


class Canary:
    """Creates a folder if it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("way", ["pickle", "torch", "torch-legacy"])
def test_a_pickle_with_code_is_refused_and_not_run(way, tmp_path):
    path, trace = tmp_path / "evil.pth", tmp_path / "it-ran"
    payload = {"params": STATE, "extra": Canary(trace)}
    if way == "pickle":
        path.write_bytes(pickle.dumps(payload, protocol=2))
    else:
        torch.save(payload, path, _use_new_zipfile_serialization=way == "torch")
    _refused(path, r"contains (posix\.mkdir|torch\.storage)\S* an object of a program")
    assert not trace.exists()
    make_folder, where = Canary(trace).__reduce__()  # what a reader without the check would do
    make_folder(*where)
    assert trace.exists()


@pytest.mark.parametrize("share", [0.0, 0.001, 0.01, 0.3, 0.9, 0.999])
@pytest.mark.parametrize("way", ["safetensors", "zip", "legacy"])
def test_a_truncated_file_is_refused(share, way, tmp_path):
    path = tmp_path / "cut.pth"
    if way == "safetensors":
        save_file(STATE, path)
    else:
        torch.save(STATE, path, _use_new_zipfile_serialization=way == "zip")
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    _refused(path, "cut off|neither|empty|damaged")


def test_torchscript_is_refused_without_running_it(tmp_path):
    path = tmp_path / "script.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("script/constants.pkl", b"")
        archive.writestr("script/code/__torch__.py", "def forward(self): ...")
    _refused(path, "TorchScript")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
def test_weights_that_are_not_finite_are_refused_by_layer(value, suffix, tmp_path):
    state = {key: tensor.clone() for key, tensor in STATE.items()}
    state["body.4.weight"][1, 2, 0, 1] = value
    path = tmp_path / f"nan.{suffix}"
    save_file(state, path) if suffix == "safetensors" else torch.save(state, path)
    _refused(path, r"body\.4\.weight.*NaN")


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.int32, torch.bool])
def test_weights_of_whole_numbers_are_refused_since_their_scale_is_unknown(dtype, tmp_path):
    state = {key: tensor.mul(100).to(dtype) for key, tensor in STATE.items()}
    save_file(state, tmp_path / "quantized.safetensors")
    _refused(tmp_path / "quantized.safetensors", r"body\.\d\.\w+ has whole numbers")


def test_weights_that_are_all_zero_are_refused(tmp_path):
    save_file({key: torch.zeros_like(tensor) for key, tensor in STATE.items()}, tmp_path / "zero.safetensors")
    _refused(tmp_path / "zero.safetensors", "every weight is zero")


def test_a_large_shape_in_a_few_bytes_is_not_allocated(tmp_path):
    torch.save({"body.0.weight": torch.zeros(1).expand(2**40)}, tmp_path / "bomb.pth")
    _refused(tmp_path / "bomb.pth", "claims")


@pytest.mark.parametrize("what", [[1, 2], torch.zeros(3), {"epoch": 3, "optimizers": []}])
def test_a_file_without_named_weights_is_refused(what, tmp_path):
    torch.save(what, tmp_path / "other.pth")
    _refused(tmp_path / "other.pth", "has (a|no) ")


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize(
    ("wrap", "wrapper"),
    [
        (lambda s: s, None),
        (lambda s: {"params": s}, "params"),
        (lambda s: {"params": {"x": torch.zeros(1)}, "params_ema": s}, "params_ema"),
        (lambda s: {"state_dict": s, "iteration": 5}, "state_dict"),
        (lambda s: {"model": {"params-ema": s}}, "model.params-ema"),
        (lambda s: {"anything": s}, "anything"),
        (lambda s: {f"module.{k}": v for k, v in s.items()}, None),
        (lambda s: {"params": {f"module.netG.{k}": v for k, v in s.items()}}, "params"),
        (lambda s: {f"generator.{k}": v for k, v in s.items()} | {"step_counter": torch.zeros(1)}, None),
        (
            lambda s: (
                {f"generator_ema.{k}": v for k, v in s.items()} | {"generator.body.0.weight": torch.zeros(1)}
            ),
            None,
        ),
    ],
)
def test_wrappers_and_prefixes_are_removed_and_the_wrapper_is_reported(wrap, wrapper, legacy, tmp_path):
    path = tmp_path / "wrapped.pth"
    torch.save(wrap(STATE), path, _use_new_zipfile_serialization=not legacy)
    file = read_weights(path)
    assert file.wrapper == wrapper
    assert file.state.keys() == STATE.keys()
    assert all(torch.equal(file.state[key], STATE[key]) for key in STATE)


def test_a_prefix_of_only_some_keys_is_kept():
    state, _ = unwrap({"module.a": torch.zeros(1), "b": torch.zeros(1)})
    assert state.keys() == {"module.a", "b"}


def test_layer_names_with_control_characters_are_refused(tmp_path):
    save_file({"body.0\n\x1b[2Jfine": torch.zeros(1)}, tmp_path / "x.safetensors")
    _refused(tmp_path / "x.safetensors", "unprintable names")


def test_the_format_is_detected_from_the_bytes_not_the_name(tmp_path):
    path = tmp_path / "really_safetensors.pth"
    path.write_bytes(save(STATE, metadata={"from": "here"}))
    file = read_weights(path)
    assert file.metadata == {"from": "here"}
    assert file.state.keys() == STATE.keys()


def test_weights_are_written_completely_with_metadata_and_default_permissions(tmp_path):
    path = tmp_path / "out.safetensors"
    write_weights(path, STATE, {"alpha": "0.5"})
    assert read_weights(path).metadata == {"alpha": "0.5"}
    assert all(torch.equal(value, STATE[key]) for key, value in load_file(path).items())
    (tmp_path / "plain").touch()
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["out.safetensors", "plain"]


def test_weights_that_cannot_be_written_leave_nothing_behind(tmp_path):
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").touch()
    with pytest.raises(OutputError, match="taken"):
        write_weights(tmp_path / "taken", STATE, {})
    assert [entry.name for entry in tmp_path.iterdir()] == ["taken"]
    with pytest.raises(OutputError, match="nowhere"):
        write_weights(tmp_path / "nowhere" / "x.safetensors", STATE, {})
