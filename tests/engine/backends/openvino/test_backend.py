"""OpenVINO computes Compact and RRDB networks as torch does; `auto` takes it only where it is faster."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.engine.networks import random_images
from vsr.engine import device
from vsr.engine.backends import select, trial
from vsr.engine.backends.openvino import backend as openvino
from vsr.engine.backends.openvino import calibration
from vsr.engine.upscaler import Upscaler
from vsr.errors import ConfigError
from vsr.kernels.winograd import backend as winograd
from vsr.metrics import psnr
from vsr.models.archs.compact import Compact, CompactConfig, identity_init_
from vsr.models.archs.rrdb import RRDB, RRDBConfig
from vsr.models.archs.srresnet import SRResNet, SRResNetConfig
from vsr.models.load import load_generator

CPU = torch.device("cpu")
installed = pytest.mark.skipif(not openvino.available(), reason="the extra `openvino` is absent")


def network(**changes: object) -> Compact:
    torch.manual_seed(1)
    made = Compact(CompactConfig(**({"nf": 24, "nc": 6, "scale": 2} | changes)))  # type: ignore[arg-type]
    identity_init_(made)
    return made.eval()


@installed
def test_bf16_is_close_to_fp32_and_gives_the_same_bits_each_time() -> None:
    made, x = network(), random_images(1, 3, 40, 64)
    with torch.no_grad():
        expected = made(x).clamp(0, 1)
    run = openvino.compiled(made, dtype=torch.bfloat16)
    assert psnr(run(x).clamp(0, 1), expected, border=0) > 45
    assert torch.equal(run(x), run(x))


RRDBS = {
    "x4": RRDBConfig(nf=16, nb=1, gc=8),
    "x2 with pixel unshuffle": RRDBConfig(nf=16, nb=1, gc=8, scale=2, unshuffle=2),
    "x3 by pixel shuffle": RRDBConfig(nf=16, nb=1, gc=8, scale=3, upsampler="pixelshuffle"),
}


def rrdb(config: RRDBConfig) -> RRDB:
    torch.manual_seed(3)
    made = RRDB(config).eval()
    torch.nn.init.constant_(made.conv_last.bias, 0.5)  # results in the middle of the range, as of an image
    return made


@installed
@pytest.mark.skipif(not device.cpu_has_bf16(), reason="this CPU has no bf16 products")
@pytest.mark.parametrize("made", [network(), rrdb(RRDBS["x4"])], ids=["compact", "rrdb"])
def test_results_of_a_bf16_network_are_finer_than_bf16(made: Compact | RRDB) -> None:
    """In bf16 a smooth sky would have visible steps of 1/256; see Note [Last step]."""
    found = openvino.compiled(made, dtype=torch.bfloat16)(torch.full((1, 3, 32, 32), 0.7))
    found = found - torch.full_like(found, 0.7) if isinstance(made, Compact) else found
    assert (found == found.bfloat16().float()).float().mean() < 0.1


@installed
@pytest.mark.slow
@pytest.mark.parametrize("scale", [2, 4])
def test_a_shipped_network_in_int8_stays_close_to_fp32(scale: int) -> None:
    """At 40 dB to fp32 the quality drops by about 0.1 dB; a range wrong by a factor of 2 would cost 6 dB."""
    made = load_generator(f"compact-x{scale}").network
    assert isinstance(made, Compact)
    x = calibration.images()[1:5, :, :64, :96]
    run = openvino.compiled(made, dtype=torch.float32, int8=True)
    with torch.no_grad():
        expected = made(x).clamp(0, 1)
    assert 38 < psnr(run(x).clamp(0, 1), expected, border=0) < 60  # above: no integers were used
    assert torch.equal(run(x), run(x))


@installed
def test_int8_is_for_compact_networks_on_the_cpu_only() -> None:
    for wish, made, where in (
        ("auto", rrdb(RRDBS["x4"]), "cpu"),
        ("torch", network(), "cpu"),
        ("auto", network(), "cuda"),
    ):
        with pytest.raises(ConfigError, match=r"int8.* is for Compact"):
            select.select(made, torch.device(where), backend=wish, precision="int8")  # type: ignore[arg-type]
    upscaler = Upscaler(network(), device_name="cpu", precision="int8")
    assert (upscaler.precision, upscaler.backend) == ("int8", "openvino")


def test_a_filter_ignores_int8() -> None:
    assert (
        Upscaler(load_generator("bicubic").network, device_name="cpu", precision="int8").precision
        == "float32"
    )


@installed
def test_unsupported_networks_dtypes_and_devices_are_refused() -> None:
    other = SRResNet(SRResNetConfig(nf=16, nb=1, scale=2)).eval()
    with pytest.raises(ConfigError, match="networks of 3x3 convolutions"):
        select.select(other, CPU, backend="openvino", dtype=torch.float32)
    with pytest.raises(ConfigError, match="float16"):
        select.select(network(), CPU, backend="openvino", dtype=torch.float16)
    with pytest.raises(ConfigError, match="cuda"):
        select.select(network(), torch.device("cuda"), backend="openvino", dtype=torch.float32)
    assert select.select(other, CPU, dtype=torch.float32).backend == "torch"


def test_without_openvino_auto_takes_torch_and_asking_for_openvino_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(openvino, "available", lambda: False)
    monkeypatch.setattr(winograd, "available", lambda: False)
    assert select.select(network(), CPU, dtype=torch.float32).backend == "torch"
    with pytest.raises(ConfigError, match="pip install"):
        select.select(network(), CPU, backend="openvino", dtype=torch.float32)


@installed
def test_auto_takes_openvino_or_torch_whichever_won_the_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    made = network()
    monkeypatch.setattr(winograd, "available", lambda: False)
    for name in ("openvino", "torch"):
        monkeypatch.setattr(trial, "quicker", lambda candidates, *_, name=name: (name, candidates[name]()))
        chosen = select.select(made, CPU, dtype=torch.float32)
        assert chosen.backend == name
        assert chosen.compiled()(random_images(1, 3, 20, 30)).shape == (1, 3, 40, 60)


def test_small_networks_run_in_torch_without_a_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object, **__: object) -> Callable[[Tensor], Tensor]:
        raise AssertionError("compiled")

    monkeypatch.setattr(openvino, "compiled", never)
    assert select.select(network(nf=8, nc=1), CPU, dtype=torch.float32).backend == "torch"


def test_openvino_is_not_imported_until_it_is_used() -> None:
    code = (
        "import sys, torch; from vsr.engine.upscaler import Upscaler; "
        "from vsr.models.load import load_generator; "
        "Upscaler(load_generator('fast-x2').network, backend='torch', device_name='cpu'); "
        "assert 'openvino' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@installed
def test_a_process_survives_a_signal_after_networks_were_freed() -> None:
    """A second core of OpenVINO would free the memory of the thread's signal stack when it is freed."""
    code = """if True:
        import gc, signal, numpy, vsr
        for model in ("fast-x2", "fast-x4", "compact-x2"):
            upscaler = vsr.Upscaler(model, device="cpu", precision="fp32")
            list(upscaler.frames([numpy.zeros((32, 32, 3), numpy.uint8)]))
            del upscaler
            gc.collect()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            print("alive")
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "alive\n"), done.stderr


@installed
def test_openvino_sends_no_telemetry(tmp_path: Path) -> None:
    """`openvino_telemetry`, which is installed with it, would contact a host and write into the home
    folder."""
    code = """if True:
        import socket, sys
        names = []
        def look_up(*arguments, **more):
            names.append(arguments)
            raise OSError("nobody is asked")
        socket.getaddrinfo = look_up
        import numpy, vsr
        upscaler = vsr.Upscaler("fast-x2", device="cpu", backend="openvino")
        list(upscaler.frames([numpy.zeros((32, 32, 3), numpy.uint8)]))
        assert "openvino" in sys.modules
        import threading
        for thread in threading.enumerate():
            if thread is not threading.main_thread():
                thread.join(5)
        print(names)
    """
    environment = {key: value for key, value in os.environ.items() if key not in ("CI", "GITHUB_ACTIONS")}
    environment |= {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr
    assert not list(tmp_path.iterdir())
