"""Names and paths are resolved to models, and all others are refused."""

from __future__ import annotations

from fractions import Fraction

import pytest

from vsr.errors import ConfigError, ModelError
from vsr.models import catalog


@pytest.mark.parametrize(
    ("scale", "member"),
    [
        *((scale, "fast-x2") for scale in (None, 1, Fraction(3, 2), 2)),
        *((scale, "fast-x4") for scale in (Fraction(201, 100), 3, 4, 8)),
    ],
)
def test_a_family_gives_the_smallest_network_with_enough_scale(scale, member):
    assert catalog.resolve("fast", scale).name == member


@pytest.mark.parametrize("scale", [Fraction(1, 2), 1, Fraction(3, 2), 16])
def test_a_filter_takes_the_requested_scale(scale):
    found = catalog.resolve("lanczos", scale)
    assert (found.path, found.scale) == (None, scale)


def test_a_filter_doubles_without_a_requested_scale():
    assert catalog.resolve("bicubic").scale == 2


@pytest.mark.parametrize("scale", [0, -1, Fraction(-1, 2), 17])
@pytest.mark.parametrize("name", ["bicubic", "fast", "fast-x4"])
def test_impossible_scales_are_refused_with_the_limit(name, scale):
    with pytest.raises(ConfigError, match="16"):
        catalog.resolve(name, scale)


def test_a_network_of_another_scale_is_no_error_because_its_result_is_resized(tmp_path):
    file = tmp_path / "x4.pth"
    file.touch()
    assert catalog.resolve("fast-x4", 2).name == "fast-x4"
    assert catalog.resolve(str(file), 2).path == file


def test_the_error_for_an_unknown_name_lists_the_known_ones():
    with pytest.raises(ModelError, match=r"nosuch.*fast.*bicubic.*lanczos"):
        catalog.resolve("nosuch")


def test_the_error_for_a_folder_says_that_it_is_one(tmp_path):
    with pytest.raises(ModelError, match="folder"):
        catalog.resolve(str(tmp_path))


def test_partners_and_families_name_existing_models():
    named = [name for members in catalog.FAMILY_NAMES.values() for name in members]
    named += [entry.partner for entry in catalog.MODELS.values() if entry.partner]
    assert set(named) <= catalog.MODELS.keys()
    assert not catalog.FAMILY_NAMES.keys() & catalog.MODELS.keys()


def test_partners_are_a_faithful_and_a_crisp_model_of_one_scale():
    for entry in catalog.MODELS.values():
        if entry.partner:
            other = catalog.MODELS[entry.partner]
            assert (other.partner, other.scale, other.crisp) == (entry.name, entry.scale, not entry.crisp)


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("scale", [1, 2, 4])
def test_auto_is_a_shipped_model_on_every_device_and_says_why(device, scale):
    name, why = catalog.choose("auto", device)
    entry = catalog.resolve(name, scale).entry
    assert entry is not None
    assert entry.path is not None
    assert entry.path.is_file()
    assert why


def test_a_named_model_is_not_replaced():
    assert catalog.choose("bicubic", "cuda") == ("bicubic", "")
