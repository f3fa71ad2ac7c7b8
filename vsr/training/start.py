"""The facts about a model that a training starts from, for the metadata of the new weights."""

from __future__ import annotations

from vsr.models.catalog import MODELS
from vsr.models.load import LoadedModel


def facts_of_start(loaded: LoadedModel) -> dict[str, str]:
    """Return name and hash of the model, its licence, and the licences of the data that it was trained on.

    New weights derive from those that they start from, so the licences of both apply. A licence that the
    weight file does not state is `not stated`.
    """
    head = loaded.metadata
    entry = MODELS.get(loaded.name)
    stated = head.get("licence") or head.get("license") or "not stated"
    before = [head.get(key, "") for key in ("data_licences", "start_data_licences")]
    return {
        "started_from": f"{loaded.name} {loaded.sha256 or ''}".strip(),
        "start_licence": stated if entry is None else entry.licence,
        "start_data_licences": "; ".join(dict.fromkeys(text for text in before if text)),
    }
