"""New weights name the weights that they derive from, and all licences that apply to them."""

from __future__ import annotations

from pathlib import Path

from safetensors.torch import save_file

from vsr.models.load import load_generator
from vsr.training.start import facts_of_start


def own_start(folder: Path) -> Path:
    path = folder / "own.safetensors"
    state = load_generator("fast-x2", fold=False).network.state_dict()
    head = {"licence": "CC BY-NC 4.0", "data_licences": "CC BY 4.0", "start_data_licences": "CC0"}
    save_file({name: value.contiguous() for name, value in state.items()}, path, metadata=head)
    return path


def test_the_licences_of_a_start_and_of_its_data_are_kept(tmp_path: Path) -> None:
    facts = facts_of_start(load_generator(str(own_start(tmp_path)), fold=False))
    assert facts["started_from"].startswith("own ")
    assert facts["start_licence"] == "CC BY-NC 4.0"
    assert facts["start_data_licences"] == "CC BY 4.0; CC0"


def test_a_model_of_the_package_has_its_licence_and_a_silent_file_states_none(tmp_path: Path) -> None:
    assert facts_of_start(load_generator("fast-x2"))["start_licence"] == "Apache-2.0"
    state = load_generator("fast-x2", fold=False).network.state_dict()
    save_file({name: value.contiguous() for name, value in state.items()}, tmp_path / "silent.safetensors")
    facts = facts_of_start(load_generator(str(tmp_path / "silent.safetensors"), fold=False))
    assert facts["start_licence"] == "not stated"
