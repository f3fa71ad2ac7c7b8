"""Claims: kernels for a card convert to the same bits as torch on the processor, for every form and size.
Without a card, their text compiled for the host does."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from collections.abc import Callable
from functools import cache
from itertools import product
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from vsr.color import convert
from vsr.color.chroma import SITES, chroma_size
from vsr.color.codes import LUMA_WEIGHTS
from vsr.color.cuda import backend
from vsr.color.native import backend as native
from vsr.color.spec import ChromaLocation, ColorSpec, Matrix, PixelLayout, Range
from vsr.kernels import nvrtc

HERE = Path(__file__).parent
SIZES = [(1, 1), (1, 33), (2, 2), (3, 5), (4, 8), (5, 3), (7, 47), (18, 100), (13, 9)]
"""No neighbours at all, only ends, odd and even, more than a block."""

Wish = tuple[ColorSpec, PixelLayout]


def wished(
    matrix: Matrix = Matrix.BT709,
    range_: Range = Range.LIMITED,
    location: ChromaLocation = ChromaLocation.LEFT,
    depth: int = 8,
    shift: tuple[int, int] = (1, 1),
    family: str = "yuv",
) -> Wish:
    color = ColorSpec(matrix=matrix, range=range_, chroma_location=location)
    return color, PixelLayout(family=family, bit_depth=depth, chroma_shift=shift)  # type: ignore[arg-type]


def every_form() -> dict[str, list[Wish]]:
    """Of each layout and siting: several depths, ranges and matrices."""
    subsampled = {
        f"{name} {location.name}": ("yuv", shift, location)
        for name, shift in (("4:2:0", (1, 1)), ("4:2:2", (1, 0)), ("4:4:0", (0, 1)))
        for location in SITES
    }
    plain = {name: (name, (0, 0), ChromaLocation.LEFT) for name in ("yuv", "rgb", "gray")}
    kinds = [
        (Matrix.BT709, Range.LIMITED, 8),
        (Matrix.SMPTE170M, Range.FULL, 8),
        (Matrix.BT2020_NCL, Range.LIMITED, 10),
        (Matrix.SMPTE240M, Range.FULL, 16),
    ]
    return {
        name: [wished(m, r, location, depth, shift, family) for m, r, depth in kinds]
        for name, (family, shift, location) in (subsampled | plain).items()
    }


FORMS = every_form()


def random_planes(height: int, width: int, layout: PixelLayout) -> tuple[Tensor, ...]:
    small = chroma_size(height, width, layout.chroma_shift)
    dtype = torch.uint8 if layout.bit_depth == 8 else torch.uint16
    generator = torch.Generator().manual_seed(height * width)
    sizes = [(height, width)] if layout.family == "gray" else [(height, width), small, small]
    codes = 1 << layout.bit_depth
    return tuple(torch.randint(0, codes, size, generator=generator).to(dtype) for size in sizes)


def random_image(height: int, width: int) -> Tensor:
    """Beyond black and white, too."""
    return torch.rand(3, height, width, generator=torch.Generator().manual_seed(1)) * 1.4 - 0.2


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Callable[[backend.Form], ctypes.CDLL]:
    """The kernels' own text for the host, without products that are contracted with sums."""
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("no g++ here to compile the kernels' text for the host")

    @cache
    def built(form: backend.Form) -> ctypes.CDLL:
        path = tmp_path_factory.mktemp("convert") / "convert.so"
        flags = [f"-D{name}={value}" for name, value in backend.defined(form)]
        options = ["-std=c++17", "-O1", "-w", "-ffp-contract=off", "-shared", "-fPIC"]
        where = ["-I", Path(backend.__file__).parent]
        subprocess.run([compiler, *options, *flags, *where, "-o", path, HERE / "emulate.cpp"], check=True)
        return ctypes.CDLL(str(path))

    return built


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.needs_cuda)])
def where(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> torch.device:
    """A card, or a host whose kernels are the card's."""
    monkeypatch.setenv(backend.SWITCH, "1")
    if request.param == "cpu":
        built = request.getfixturevalue("library")

        def start(entry: backend.Entry, form: backend.Form, image: Tensor, job: ctypes.Structure) -> None:
            blocks = -(-backend.threads_of(entry, form, image) // backend.THREADS)
            getattr(built(form), f"emulate_{entry}")(ctypes.byref(job), blocks)

        monkeypatch.setattr(backend, "start", start)
    return torch.device(request.param)


def rgb_by(where: torch.device, planes: tuple[Tensor, ...], wish: Wish) -> Tensor:
    """By the kernel, whatever device it is on."""
    moved = tuple(plane.to(where) for plane in planes)
    image = torch.full((3, *planes[0].shape), torch.nan, device=where)
    backend.to_rgb(moved, image, *wish)
    return image.cpu()


def planes_by(where: torch.device, image: Tensor, wish: Wish) -> tuple[Tensor, ...]:
    """By the kernel, into memory that holds something else."""
    like = random_planes(*image.shape[1:], wish[1])
    planes = tuple((plane ^ 85 if plane.dtype == torch.uint8 else plane).to(where) for plane in like)
    backend.to_planes(image.to(where), planes, *wish)
    return tuple(plane.cpu() for plane in planes)


def by_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "can_convert", lambda *_: False)


@pytest.mark.parametrize("form", FORMS)
def test_planes_become_the_picture_that_torch_makes(
    form: str, where: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_torch(monkeypatch)
    for wish, size in product(FORMS[form], SIZES):
        planes = random_planes(*size, wish[1])
        assert torch.equal(rgb_by(where, planes, wish), convert.to_rgb(planes, *wish)), (wish, size)


@pytest.mark.parametrize("form", FORMS)
def test_pictures_become_the_codes_that_torch_makes(
    form: str, where: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_torch(monkeypatch)
    for wish, size in product(FORMS[form], SIZES):
        image = random_image(*size)
        expected = convert.to_planes(image, *wish)
        assert all(map(torch.equal, planes_by(where, image, wish), expected)), (wish, size)


def test_every_matrix_is_torchs(where: torch.device, monkeypatch: pytest.MonkeyPatch) -> None:
    by_torch(monkeypatch)
    image = random_image(18, 100)
    for matrix, range_ in product(LUMA_WEIGHTS, (Range.LIMITED, Range.FULL)):
        wish = wished(matrix, range_)
        codes = planes_by(where, image, wish)
        assert all(map(torch.equal, codes, convert.to_planes(image, *wish))), wish
        assert torch.equal(rgb_by(where, codes, wish), convert.to_rgb(codes, *wish)), wish


@pytest.mark.parametrize("form", [name for name in FORMS if name != "gray"])
def test_a_round_trip_returns_every_code(form: str, where: torch.device) -> None:
    for wish, size in product(FORMS[form], SIZES):
        planes = random_planes(*size, wish[1])
        returned = planes_by(where, rgb_by(where, planes, wish), wish)
        assert all(map(torch.equal, planes, returned)), (wish, size)


def test_samples_are_read_where_they_lie(where: torch.device) -> None:
    """Rows with padding, chroma of semi-planar pictures, and results of channels_last."""
    wish, (height, width) = wished(), (20, 64)
    planes = random_planes(height, width, wish[1])
    padded = torch.nn.functional.pad(planes[0], (0, 13)).to(where)[:, :width]
    mixed = torch.stack(planes[1:], -1).to(where)
    image = torch.empty(3, height, width, device=where)
    backend.to_rgb((padded, mixed[..., 0], mixed[..., 1]), image, *wish)
    assert torch.equal(image.cpu(), rgb_by(where, planes, wish))
    apart = image.permute(1, 2, 0).contiguous().permute(2, 0, 1)
    codes = tuple(torch.empty_like(plane, device=where) for plane in planes)
    backend.to_planes(apart, codes, *wish)
    assert all(torch.equal(code.cpu(), plane) for code, plane in zip(codes, planes, strict=True))


def test_nothing_is_written_beside_the_planes(where: torch.device) -> None:
    wish, image = wished(), random_image(21, 67).to(where)
    sides = ((21, 67), (11, 34), (11, 34))
    memory = [torch.full((rows + 2, width), 99, dtype=torch.uint8, device=where) for rows, width in sides]
    backend.to_planes(image, tuple(m[1:-1] for m in memory), *wish)
    assert all(bool((m[0] == 99).all() and (m[-1] == 99).all()) for m in memory)


def test_what_is_not_a_number_becomes_a_code_and_nothing_else_changes(where: torch.device) -> None:
    image = torch.full((3, 4, 40), 0.5)
    image[:, 2, 7] = torch.nan
    luma, *_ = planes_by(where, image, wished(shift=(0, 0)))
    assert (luma == luma[0, 0]).sum() == luma.numel() - 1


def test_pictures_on_the_host_and_coarser_chroma_are_left_to_others() -> None:
    assert not backend.can_convert(torch.zeros(8, 64), *wished())
    if torch.cuda.is_available():
        assert not backend.can_convert(torch.zeros(8, 64, device="cuda"), *wished(shift=(2, 0)))


@pytest.mark.skipif(not nvrtc.has_compiler(), reason="no NVRTC here")
@pytest.mark.parametrize("target", ["sm_75", "sm_80", "sm_90"])
@pytest.mark.parametrize("form", ["4:2:0 LEFT", "4:2:0 BOTTOMLEFT", "rgb", "gray"])
def test_nvrtc_compiles_it(form: str, target: str) -> None:
    for wish in FORMS[form]:
        kind = backend.form_of(*wish)
        assert nvrtc.compiled(backend.source(), backend.defined(kind), target, ["--fmad=false"])


@pytest.mark.needs_cuda
def test_on_a_card_pictures_are_converted_by_the_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    started, real = [], backend.start
    monkeypatch.setenv(backend.SWITCH, "1")
    monkeypatch.setattr(backend, "start", lambda *given: (started.append(given[0]), real(*given)))
    wish = wished()
    planes = tuple(plane.cuda() for plane in random_planes(36, 64, wish[1]))
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        returned = convert.to_planes(convert.to_rgb(planes, *wish), *wish)
    torch.cuda.current_stream().wait_stream(stream)
    assert started == ["to_rgb", "to_planes"]
    assert all(map(torch.equal, planes, returned))


@pytest.mark.parametrize("value", [None, "0", ""])
def test_unless_they_are_asked_for_torch_converts(monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
    monkeypatch.delenv(backend.SWITCH, raising=False)
    if value is not None:
        monkeypatch.setenv(backend.SWITCH, value)
    asked: list[object] = []
    monkeypatch.setattr(backend, "_kernel", lambda *given: asked.append(given))
    plane = SimpleNamespace(is_cuda=True, device=torch.device("cuda", 0))
    assert not backend.can_convert(plane, *wished())  # type: ignore[arg-type]
    assert not asked
