"""Tables of degradations: the included ones can be read, and mistakes are named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from vsr.errors import ConfigError
from vsr.settings.toml import read_toml
from vsr.training.degrade.degradation import (
    Blur,
    CodecRange,
    Degradation,
    Jpeg,
    KernelShares,
    Noise,
    Resize,
    Sharpen,
    check_lr_size,
)

FOLDER = Path(__file__).parents[3] / "pipelines" / "degrade"
SHIPPED = sorted(FOLDER.glob("*.toml"))


def shipped(name: str) -> Degradation:
    return read_toml(FOLDER / f"{name}.toml", Degradation)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
@pytest.mark.parametrize("scale", [2, 4])
def test_an_included_table_can_be_read_and_supports_every_scale(path: Path, scale: int) -> None:
    check_lr_size(read_toml(path, Degradation), scale)


def test_the_documented_tables_exist() -> None:
    assert {path.stem for path in SHIPPED} == {"bicubic", "h264", "mild", "real-esrgan", "video", "worn"}


def test_real_esrgan_equals_the_published_settings() -> None:
    # realesrgan_model.py and train_realesrgan_x4plus.yml of the authors' repository
    found = shipped("real-esrgan")
    first, second = found.orders
    assert not found.codecs
    assert found.clean == 0
    assert found.usm == Sharpen(weight=0.5, size=51, threshold=10)
    assert first.blur == Blur(probability=1, sizes=(7, 21), sinc=0.1, sigma=(0.2, 3))
    assert first.resize == Resize(up=0.2, down=0.7, factor=(0.15, 1.5))
    assert first.noise == Noise(gaussian=0.5, sigma=(1, 30), poisson=(0.05, 3), grey=0.4)
    assert first.jpeg == second.jpeg == Jpeg(quality=(30, 95), mode="kornia")
    assert first.blur is not None
    assert second.blur == replace(first.blur, probability=0.8, sigma=(0.2, 1.5))
    assert second.resize == Resize(up=0.3, down=0.4, factor=(0.3, 1.2), of="lr")
    assert second.noise == Noise(gaussian=0.5, sigma=(1, 25), poisson=(0.05, 2.5), grey=0.4)
    assert (found.final.sinc, found.final.after_jpeg, found.final.antialias) == (0.8, 0.5, False)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("clean = 2.0", "clean = 2.0 must be in"),
        ("frames = 0", r"frames \(0\)"),
        ("drift = -1.0", r"drift \(-1.0\)"),
        ("size = 8\nsiez = 9", "unknown key 'siez'"),
        ("orders = [{}, {}, {}]", "3 orders, at most two"),
        ("usm = { size = 50 }", r"odd size \(50\)"),
        ("augment = { gamma = [2.0, 1.0] }", r"augment.gamma = \[2.0, 1.0\] must be increasing"),
        ("final = { modes = [] }", "final.modes is empty"),
        ("final = { sizes = [7, 20] }", r"final.sizes = \[7, 20\] must be odd"),
        ("orders = [{ blur = { sizes = [8, 21] } }]", "must be odd"),
        ("orders = [{ blur = { shares = { iso = -1.0 } } }]", "must not be negative"),
        ("orders = [{ resize = { up = 0.6, down = 0.6 } }]", "up_and_down = 1.2"),
        ("orders = [{ resize = { factor = [1.1, 1.5] } }]", "must contain 1"),
        ("orders = [{ resize = { modes = ['box'] } }]", "'box' is not one of"),
        ("orders = [{ noise = { sigma = [0.0, 300.0] } }]", "noise.sigma"),
        ("orders = [{ jpeg = { quality = [5, 90] } }]", r"must be increasing and within \[12, 100\]"),
        ("codecs = [{ encoder = 'h264', quality = [1, 2] }]", "'h264' is not one of"),
        ("codecs = [{ encoder = 'libx264' }]", "set either quality or bitrate"),
        (
            "codecs = [{ encoder = 'libx264', quality = [1, 2], bitrate = [1, 2] }]",
            "set either quality or bitrate",
        ),
        ("codecs = [{ encoder = 'libx264', quality = [20, 60] }]", r"within \[0, 51\]"),
        ("codecs = [{ encoder = 'mpeg2video', quality = [0, 6] }]", r"within \[1, 31\]"),
        ("codecs = [{ encoder = 'dvvideo', quality = [1, 6] }]", "dvvideo has neither quality nor bitrate"),
        ("final = { halo = { sigma = [0.0, 1.0] } }", r"halo.sigma = \[0.0, 1.0\]"),
        ("codecs = [{ encoder = 'mpeg4', bitrate = [0, 6] }]", "mpeg4.bitrate"),
        ("codecs = [{ encoder = 'mpeg4', quality = [2, 6], share = 0 }]", "share"),
        ("codecs = [{ encoder = 'mpeg4', quality = [2, 6], gop = [0, 6] }]", "mpeg4.gop"),
        (
            "codecs = [{ encoder = 'libvpx-vp9', quality = [2, 6], presets = ['while(1,1)'] }]",
            "presets must be words",
        ),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, table: str, said: str) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text(table, encoding="utf-8")
    with pytest.raises(ConfigError, match=said):
        read_toml(path, Degradation)


def test_at_least_one_kernel_must_have_a_probability() -> None:
    with pytest.raises(ValueError, match="above 0"):
        KernelShares(
            iso=0,
            aniso=0,
            generalised_iso=0,
            generalised_aniso=0,
            plateau_iso=0,
            plateau_aniso=0,
        )


@pytest.mark.parametrize(
    ("size", "scale", "said"), [(130, 4, "must be a multiple of 8"), (120, 2, "at least 128 for libx265")]
)
def test_sizes_that_a_stage_does_not_support_are_rejected(size: int, scale: int, said: str) -> None:
    hevc = CodecRange(encoder="libx265", quality=(20, 30))
    with pytest.raises(ValueError, match=said):
        check_lr_size(Degradation(size=size, codecs=(hevc,)), scale)
