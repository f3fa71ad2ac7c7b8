"""Networks of ncnn are converted to the generators that they were made from; others are refused."""

from __future__ import annotations

import re
import struct

import pytest
import torch
from safetensors.torch import load_file

from tests.models.ncnn_files import compact, rrdb
from tests.models.small_nets import CONFIGS, make, name_of
from vsr.errors import ModelError
from vsr.models.archs.compact import CompactConfig
from vsr.models.archs.rrdb import RRDBConfig
from vsr.models.ncnn import is_ncnn, read_ncnn
from vsr.models.ncnn_graph import evaluate, parse

USABLE = [
    config
    for config in CONFIGS
    if isinstance(config, CompactConfig) or (isinstance(config, RRDBConfig) and config.upsampler == "nearest")
]


def _net(config, state, **how):
    if isinstance(config, CompactConfig):
        return compact(state, config.scale, **how)
    return rrdb(state, config.unshuffle, **how)


@pytest.fixture
def pair(tmp_path):
    """The two files of a small Compact network."""
    config = CompactConfig(nf=6, nc=3, scale=2)
    return _net(config, make(config).state_dict(), merged=True, half=False).write(tmp_path / "net")


@pytest.mark.parametrize("config", USABLE, ids=name_of)
@pytest.mark.parametrize("merged", [True, False], ids=["merged", "plain"])
def test_weights_are_converted_to_the_bit_with_their_usual_names(config, merged, tmp_path):
    state = make(config).state_dict()
    found = read_ncnn(*_net(config, state, merged=merged, half=False).write(tmp_path / "net"))
    assert found.config == config
    assert found.state.keys() == state.keys()
    assert all(torch.equal(found.state[key], state[key]) for key in state)


@pytest.mark.parametrize("config", [USABLE[0], USABLE[-2]], ids=name_of)
def test_half_precision_weights_are_read_exactly(config, tmp_path):
    state = make(config).state_dict()
    found = read_ncnn(*_net(config, state, merged=True, half=True).write(tmp_path / "net"))
    for key, value in state.items():
        rounded = value.half().float() if value.dim() == 4 else value  # biases and slopes stay fp32
        assert torch.equal(found.state[key], rounded)


@pytest.mark.needs_material
def test_the_published_pair_equals_the_file_beside_it(material):
    weights = material / "data" / "weights"
    stem = weights / "original" / "realesr-animevideov3-x4"
    found = read_ncnn(stem.with_suffix(".param"), stem.with_suffix(".bin"))
    expected = load_file(weights / "realesr-animevideov3-x4.safetensors")
    assert found.state.keys() == expected.keys()
    assert all(torch.equal(found.state[key], expected[key]) for key in expected)


def test_a_network_with_the_same_weights_that_computes_something_else_is_refused(tmp_path):
    """Slopes and connections are only in the graph, so the weights do not show that they differ."""
    config = CompactConfig(nf=6, nc=1, scale=2, activation="relu")
    state = make(config).state_dict()
    read_ncnn(*compact(state, 2, merged=False, half=False).write(tmp_path / "relu"))
    leaky = compact(state, 2, merged=False, half=False, slope=0.1).write(tmp_path / "leaky")
    with pytest.raises(ModelError, match="something else than Compact"):
        read_ncnn(*leaky)
    config = USABLE[0]
    other = rrdb(make(config).state_dict(), config.unshuffle, merged=True, half=False, slope=0.1)
    with pytest.raises(ModelError, match="something else than RRDB"):
        read_ncnn(*other.write(tmp_path / "rrdb"))


CHANGES = [
    (r"Convolution", "Deconvolution", "Deconvolution"),
    (r"Interp(.*) 0=1", r"Interp\1 0=3", "nearest"),
    (r"1=2.0e\+00 2=2.0e\+00", "1=5.0e-01 2=5.0e-01", "reduces the result"),
    (r"5=1 6=", "5=1 8=2 6=", "int8"),
    (r"5=1 6=", "5=1 99=2 6=", "99=2"),
    (r"5=1 6=", "5=1 2=2 6=", "2=2"),
    (r"5=1 6=", "5=1 9=5 6=", "activation 5"),
    (r"6=162", "6=163", "impossible size"),
    (r"6=162", "6=9e99", "impossible size"),
    (r"6=162", "6=nan", "impossible size"),
    (r"6=162", "6=inf", "impossible size"),
    (r"1=3 4=1", "1=0 4=1", "impossible size"),
    (r"1=3 4=1", "1=3 4=900000000", "does not fit|too large"),
    (r"PixelShuffle(.*) 0=2", r"PixelShuffle\1 0=5", "does not fit"),
    (r"1=2.0e\+00 2=2.0e\+00", "1=2e9 2=2e9", "does not fit|too large"),
    (r"BinaryOp(.*) 0=0", r"BinaryOp\1 0=2", "something else"),
    (r"BinaryOp(.*) 0=0", r"BinaryOp\1 0=7", "operation 7"),
    (r"BinaryOp.*", "", "announces"),
    (r"^7767517", "7767516", "first line"),
    (r"\n\d+ \d+\n", "\n-1 0\n", "announces"),
    (r" 1 1 b1 ", " 1 1 b99 ", "does not fit"),
    (r" 1 1 b1 ", " 9999999 1 b1 ", "no layer"),
    (r"6=162", "6=a", "no layer"),
    (r"6=162", "-23310=7,1", "no layer"),
]


@pytest.mark.parametrize(("pattern", "by", "message"), CHANGES)
def test_every_change_of_the_graph_is_refused_in_one_line(pattern, by, message, pair):
    text, changes = re.subn(pattern, by, pair[0].read_text(), count=1)
    assert changes == 1 or pytest.fail(f"{pattern} is not in the graph")
    pair[0].write_text(text)
    with pytest.raises(ModelError, match=message) as caught:
        read_ncnn(*pair)
    assert "\n" not in str(caught.value)


def test_a_graph_that_doubles_endlessly_is_refused_before_it_takes_memory(tmp_path):
    """A hostile file needs only a few kilobytes to double a thousand times."""
    lines = ["Input a 0 1 b0"]
    for number in range(1000):
        lines.append(f"Split s{number} 1 2 b{number} l{number} r{number}")
        lines.append(f"Concat c{number} 2 1 l{number} r{number} b{number + 1}")
    graph = parse("\n".join(["7767517", f"{len(lines)} 1", *lines]), tmp_path / "net.param")
    with pytest.raises(ModelError, match="too large"):
        evaluate(graph, {layer.line: [] for layer in graph}, torch.rand(1, 3, 8, 8), tmp_path / "net.param")


@pytest.mark.parametrize("length", [0, 3, 4, 100, -1])
def test_truncated_weights_are_refused(length, pair):
    data = pair[1].read_bytes()
    pair[1].write_bytes(data[:length])
    with pytest.raises(ModelError, match="truncated"):
        read_ncnn(*pair)


def test_superfluous_weights_are_refused(pair):
    pair[1].write_bytes(pair[1].read_bytes() + b"\0\0\0\0")
    with pytest.raises(ModelError, match="two files of one network"):
        read_ncnn(*pair)


@pytest.mark.parametrize(("flag", "message"), [(0x000D4B38, "int8"), (0x12345678, "0x12345678")])
def test_the_error_for_another_precision_names_it(flag, message, pair):
    pair[1].write_bytes(struct.pack("<I", flag) + pair[1].read_bytes()[4:])
    with pytest.raises(ModelError, match=message):
        read_ncnn(*pair)


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(number, pair):
    data = pair[1].read_bytes()
    pair[1].write_bytes(data[:8] + struct.pack("<f", number) + data[12:])
    with pytest.raises(ModelError, match="NaN or infinity"):
        read_ncnn(*pair)


def test_a_param_file_is_recognised_by_its_first_bytes(pair, tmp_path):
    assert is_ncnn(pair[0])
    assert not is_ncnn(pair[1])
    assert not is_ncnn(tmp_path / "absent.param")


def test_unreadable_files_are_a_model_error(pair, tmp_path):
    for given in ((tmp_path / "absent.param", pair[1]), (pair[0], tmp_path), (pair[1], pair[1])):
        with pytest.raises(ModelError):
            read_ncnn(*given)
