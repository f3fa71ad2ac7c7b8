"""What processes exchange: means, largest numbers and bytes, the same in all of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from tests.training.distributed_runs import in_two_processes
from vsr.training.distributed.group import Group

ALONE = Group()


def exchange(group: Group, folder: Path) -> None:
    """Exchange something of each kind, and write what this process got."""
    own = torch.tensor([1.0, 2.0]) * (1 + 2 * group.rank)
    x = own.clone().requires_grad_()
    (group.mean(x) * torch.tensor([1.0, 10.0]) * (1 + group.rank)).sum().backward()
    whole, part = torch.full((2, 2), float(group.rank)), own.clone()
    group.mean_([whole, part])
    found = {
        "mean": group.mean(own).tolist(),
        "gradient": x.grad.tolist(),
        "in place": [whole.tolist(), part.tolist()],
        "terms": group.mean_terms({"loss": 4.0 * group.rank, "norm": 1.0}),
        "largest": group.largest(float(group.rank), -1.5),
        "leader": group.from_leader(b"abc" if group.leads else b"").decode(),
        "nothing": group.from_leader(b"").decode(),
        "all": [data.decode() for data in group.from_all(b"" if group.leads else b"two")],
        "share": [group.share(8).start, group.share(8).stop],
        "makes": [number for number in range(5) if group.makes(number)],
    }
    (folder / f"{group.rank}.json").write_text(json.dumps(found), encoding="utf-8")


def test_two_processes_get_the_same_from_each_exchange(tmp_path: Path) -> None:
    in_two_processes(exchange, tmp_path)
    first, second = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1))
    assert (first.pop("share"), second.pop("share")) == ([0, 4], [4, 8])
    assert (first.pop("makes"), second.pop("makes")) == ([0, 2, 4], [1, 3])
    assert first == second
    assert first == {
        "mean": [2.0, 4.0],
        "gradient": [1.5, 15.0],  # of the mean over both processes of what each does with the mean
        "in place": [[[0.5, 0.5], [0.5, 0.5]], [2.0, 4.0]],
        "terms": {"loss": 2.0, "norm": 1.0},
        "largest": [1.0, -1.5],
        "leader": "abc",
        "nothing": "",
        "all": ["", "two"],
    }


def test_one_process_gets_back_what_it_gives(tmp_path: Path) -> None:
    x = torch.tensor([3.0], requires_grad=True)
    assert ALONE.mean(x) is x
    assert ALONE.largest(1.0, 2.0) == [1.0, 2.0]
    assert ALONE.from_leader(b"a") == b"a"
    assert ALONE.from_all(b"a") == [b"a"]
    assert ALONE.mean_terms({"loss": 1.0}) == {"loss": 1.0}
    assert range(8)[ALONE.share(8)] == range(8)
    assert all(ALONE.makes(number) for number in range(8))


def fail_in_the_second(group: Group, folder: Path) -> None:
    from vsr.errors import InputError

    if group.rank:
        raise InputError("photo.png cannot be decoded")
    group.largest(1.0)


def end_the_second(group: Group, folder: Path) -> None:
    import os
    import signal

    if group.rank:
        os.kill(os.getpid(), signal.SIGKILL)
    group.largest(1.0)


def test_the_error_of_another_process_is_raised_with_its_class_and_number(tmp_path: Path) -> None:
    from vsr.errors import InputError

    with pytest.raises(InputError, match=r"^worker process 1: photo\.png cannot be decoded$"):
        in_two_processes(fail_in_the_second, tmp_path)


def test_a_process_that_is_killed_ends_the_others_with_one_line(tmp_path: Path) -> None:
    from vsr.training.distributed.group import LostProcessError

    with pytest.raises(LostProcessError, match=r"^worker process 1 was ended by SIGKILL\. The same command"):
        in_two_processes(end_the_second, tmp_path)
