"""LPIPS and DISTS use the weights of the given file, and download nothing."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

import vsr
from tests.training.photographs import write_photographs
from vsr.models.files import read_weights
from vsr.report.evaluate import learned

ALEXNET = {0: (64, 3, 11), 3: (192, 64, 5), 6: (384, 192, 3), 8: (256, 384, 3), 10: (256, 256, 3)}
VGG16 = {
    number: (wide, before, 3)
    for number, wide, before in zip(
        (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28),
        (64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512),
        (3, 64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512),
        strict=True,
    )
}
"""Output channels, input channels and side of the convolutions, under their numbers in torchvision."""


def state_of(shapes: dict[int, tuple[int, int, int]]) -> dict[str, Tensor]:
    """Return random weights with the names and shapes of torchvision's networks, and a classifier."""
    draw, found = torch.Generator().manual_seed(0), {}
    for number, (wide, before, side) in shapes.items():
        weight = torch.randn(wide, before, side, side, generator=draw)
        found[f"features.{number}.weight"] = weight * (2 / (before * side**2)) ** 0.5
        found[f"features.{number}.bias"] = 0.1 * torch.randn(wide, generator=draw)
    return {**found, "classifier.1.weight": torch.zeros(10, 10)}


@pytest.fixture(scope="module")
def alexnet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "alexnet.pth"
    torch.save(state_of(ALEXNET), path)
    return path


@pytest.fixture(scope="module")
def vgg16(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "vgg16.safetensors"
    save_file(state_of(VGG16), path)
    return path


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch) -> None:
    """Skip without torchmetrics, and fail where anything would be downloaded."""
    pytest.importorskip("torchmetrics", reason="torchmetrics is not installed (extra evaluate)")

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("nothing may be downloaded")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", refuse)
    monkeypatch.setattr("socket.socket.connect", refuse)


def images(seed: int) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (2, 3, 96, 80), generator=draw).to(torch.uint8)


def test_lpips_is_that_of_the_paper_with_the_given_weights(alexnet: Path, package: None) -> None:
    from torchmetrics.functional.image import lpips as theirs

    folder = Path(theirs.__file__).parent
    calibrated = read_weights(folder / "lpips_models" / "alex.pth").state
    mean, spread = torch.tensor([-0.030, -0.088, -0.188]), torch.tensor([0.458, 0.448, 0.450])
    state = state_of(ALEXNET)

    def features(image: Tensor) -> list[Tensor]:
        x, found = (2 * image - 1 - mean[:, None, None]) / spread[:, None, None], []
        for number, (_, _, side) in ALEXNET.items():
            x = F.max_pool2d(x, 3, stride=2) if number in (3, 6) else x
            stride, padding = (4, 2) if side == 11 else (1, side // 2)
            weight, bias = state[f"features.{number}.weight"], state[f"features.{number}.bias"]
            x = F.relu(F.conv2d(x, weight, bias, stride=stride, padding=padding))
            found.append(x / (x.square().sum(1, keepdim=True).sqrt() + 1e-8))
        return found

    def expected(a: Tensor, b: Tensor) -> float:
        pairs = zip(features(a[None] / 255), features(b[None] / 255), strict=True)
        weights = (calibrated[f"lin{number}.model.1.weight"] for number in range(5))
        return sum(
            (w * (x - y).square()).sum(1).mean().item() for w, (x, y) in zip(weights, pairs, strict=True)
        )

    a, b = images(1), images(2)
    found = learned.lpips(alexnet)(a, b)
    assert found == pytest.approx(sum(map(expected, a, b)) / 2, rel=1e-4)
    assert found > 0


def test_equal_images_have_no_distance_and_different_ones_have(vgg16: Path, package: None) -> None:
    for distance in (learned.lpips(vgg16), learned.dists(vgg16)):
        assert distance(images(1), images(1)) == pytest.approx(0, abs=1e-5)
        assert distance(images(1), images(2)) > 0.01


def test_the_weights_decide_the_distance(alexnet: Path, vgg16: Path, tmp_path: Path, package: None) -> None:
    other = tmp_path / "other.pth"
    torch.save({name: value.flip(0) for name, value in state_of(VGG16).items()}, other)
    found = [
        of(path)(images(1), images(2)) for of in (learned.lpips, learned.dists) for path in (vgg16, other)
    ]
    assert len(set(found)) == 4
    assert learned.lpips(alexnet)(images(1), images(2)) not in found


def test_the_package_is_left_as_it_was(vgg16: Path, package: None) -> None:
    from torchmetrics.functional.image import dists, lpips

    before = [dict(vars(dists)), dict(vars(lpips))]
    learned.dists(vgg16)
    learned.lpips(vgg16)
    assert [dict(vars(dists)), dict(vars(lpips))] == before


def test_rows_have_both_figures(tmp_path: Path, vgg16: Path, package: None) -> None:
    write_photographs(tmp_path, 1, side=80)
    rows = vsr.evaluate("fast-x2", data=tmp_path, lpips=vgg16, dists=vgg16)
    assert all(row.lpips is not None and row.lpips > 0 and row.dists is not None for row in rows)


def test_wrong_files_are_one_line(tmp_path: Path, alexnet: Path, package: None) -> None:
    other, cut = tmp_path / "other.safetensors", tmp_path / "cut.safetensors"
    save_file({"features.0.weight": torch.ones(64, 3, 7, 7)}, other)
    short = {name: value for name, value in state_of(ALEXNET).items() if "10" not in name}
    save_file(short, cut)
    with pytest.raises(vsr.ModelError, match="neither AlexNet nor VGG16"):
        learned.lpips(other)
    with pytest.raises(vsr.ModelError, match=r"features\.10\.weight is not that of alexnet"):
        learned.lpips(cut)
    with pytest.raises(vsr.ModelError, match="DISTS needs"):
        learned.dists(alexnet)


def test_a_missing_package_is_one_line(alexnet: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("torchmetrics", "torchmetrics.functional.image.lpips"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(vsr.ConfigError, match="install vsr with the extra evaluate"):
        learned.lpips(alexnet)
