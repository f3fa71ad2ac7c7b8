"""Names lead to what they promise, and nothing else does."""

from __future__ import annotations

from fractions import Fraction

import pytest

from vsr.errors import ConfigError, ModelError
from vsr.models import catalog


@pytest.mark.parametrize(
    ("scale", "member"),
    [
        *((scale, "compact-x2") for scale in (None, 1, Fraction(3, 2), 2)),
        *((scale, "compact-x4") for scale in (Fraction(201, 100), 3, 4, 8)),
    ],
)
def test_a_family_gives_the_smallest_network_that_is_enough(scale, member):
    assert catalog.resolve("compact", scale).name == member


@pytest.mark.parametrize("scale", [Fraction(1, 2), 1, Fraction(3, 2), 16])
def test_a_filter_takes_the_scale_that_is_wanted(scale):
    found = catalog.resolve("lanczos", scale)
    assert (found.path, found.scale) == (None, scale)


def test_a_filter_doubles_where_no_scale_is_wanted():
    assert catalog.resolve("bicubic").scale == 2


@pytest.mark.parametrize("scale", [0, -1, Fraction(-1, 2), 17])
@pytest.mark.parametrize("name", ["bicubic", "compact", "compact-x4"])
def test_impossible_scales_are_refused_with_the_limit(name, scale):
    with pytest.raises(ConfigError, match="16"):
        catalog.resolve(name, scale)


def test_a_network_of_another_scale_is_no_error_for_its_result_is_resized(tmp_path):
    file = tmp_path / "x4.pth"
    file.touch()
    assert catalog.resolve("compact-x4", 2).name == "compact-x4"
    assert catalog.resolve(str(file), 2).path == file


def test_an_unknown_name_gets_the_known_ones():
    with pytest.raises(ModelError, match=r"nosuch.*compact.*bicubic.*lanczos"):
        catalog.resolve("nosuch")


def test_a_folder_is_called_one(tmp_path):
    with pytest.raises(ModelError, match="folder"):
        catalog.resolve(str(tmp_path))


def test_partners_and_families_name_models_that_there_are():
    named = [name for members in catalog.FAMILY_NAMES.values() for name in members]
    named += [entry.partner for entry in catalog.MODELS.values() if entry.partner]
    assert set(named) <= catalog.MODELS.keys()
    assert not catalog.FAMILY_NAMES.keys() & catalog.MODELS.keys()
