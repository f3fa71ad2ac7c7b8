"""Validates JSON against the schemas in the package, and finds keys that a schema does not describe."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib import resources
from typing import Any

import pytest

FOLDER = resources.files("vsr") / "schemas"


def schema(name: str) -> dict[str, Any]:
    """Return a schema of the package: `schema("report-1")`."""
    found: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return found


def validate(value: Any, name: str) -> None:
    """Check a value with jsonschema, and that the schema describes each of its keys."""
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed: pip install '.[dev]'")
    referencing = pytest.importorskip("referencing")
    known = [schema(path.name.removesuffix(".json")) for path in FOLDER.iterdir()]
    registry = referencing.Registry().with_resources(
        (one["$id"], referencing.Resource.from_contents(one)) for one in known
    )
    rules = schema(name)
    checker = jsonschema.Draft202012Validator(rules, registry=registry)
    checker.check_schema(rules)
    errors = [f"{error.json_path}: {error.message}" for error in checker.iter_errors(value)]
    assert errors == [], errors
    unknown = sorted(undescribed(value, rules, rules))
    assert unknown == [], unknown


def undescribed(value: Any, rules: dict[str, Any], whole: dict[str, Any], at: str = "$") -> Iterator[str]:
    """Yield the paths of keys that no part of a schema describes, where the schema lists keys at all."""
    if "$ref" in rules and rules["$ref"].startswith("#/$defs/"):
        rules = whole["$defs"][rules["$ref"].removeprefix("#/$defs/")] | rules
    if isinstance(value, list):
        for place, item in enumerate(value):
            yield from undescribed(item, rules.get("items", {}), whole, f"{at}[{place}]")
    if not isinstance(value, dict) or "properties" not in rules:
        return
    for key, item in value.items():
        if key in rules["properties"]:
            yield from undescribed(item, rules["properties"][key], whole, f"{at}.{key}")
        else:
            yield f"{at}.{key}"
