"""The check that all processes of a run have the same recipe and the same data."""

from __future__ import annotations

import json

from vsr.errors import ConfigError
from vsr.training.distributed.group import Group
from vsr.training.recipe import Recipe, facts
from vsr.training.run.origin import Origin, differences


def check_alike(group: Group, recipe: Recipe, origin: Origin) -> None:
    """Compare recipe, data and weights of all processes; those of one machine may lie in another folder.

    Raises:
        ConfigError: They differ, or their number cannot share the batch.
    """
    check_shares(recipe, group.size)
    if group.size == 1:
        return
    own = json.dumps({"recipe": facts(recipe), "origin": origin}, sort_keys=True)
    found = [json.loads(data) for data in group.from_all(own.encode())]
    for rank, other in enumerate(found[1:], 1):
        words = differences(found[0]["origin"], other["origin"])
        if other["recipe"] != found[0]["recipe"]:
            words.append("the recipe is different")
        if other["origin"]["start"] != found[0]["origin"]["start"]:
            words.append("the initial weights are different")
        if words:
            raise ConfigError(f"worker process {rank} differs from process 0: {'; '.join(words)}")


def check_shares(recipe: Recipe, size: int) -> None:
    """Check that each process gets the same number of a batch's crops, and no half of a pair.

    Raises:
        ConfigError: The batch cannot be shared out among `size` processes.
    """
    unit = 2 if recipe.losses.temporal else 1
    if recipe.batch % (size * unit):
        what = f"pairs of crops ({recipe.batch // 2} a batch)" if unit == 2 else f"batch = {recipe.batch}"
        possible = [str(n) for n in range(1, recipe.batch + 1) if recipe.batch % (n * unit) == 0]
        raise ConfigError(
            f"{size} processes cannot share out {what} evenly. Possible numbers are {', '.join(possible)}"
        )
