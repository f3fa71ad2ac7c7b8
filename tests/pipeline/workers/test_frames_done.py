"""The number of finished frames counts every frame of the video once, whichever workers compute it."""

from __future__ import annotations

import random

from vsr.pipeline.workers.frames_done import FramesDone

LENGTH = 5


def done() -> FramesDone:
    return FramesDone(length=LENGTH, finished=set())


def finish(count: FramesDone, number: int, frames: int = LENGTH) -> None:
    count.finished.add(number)
    count.made(number, frames)


def test_frames_of_all_workers_are_added_up() -> None:
    count = done()
    for index in (0, 5, 1, 6, 7):
        count.computed("a" if index < LENGTH else "b", index)
    assert count.frames == 5


def test_a_segment_that_two_workers_make_counts_as_far_as_the_faster_one() -> None:
    count = done()
    for worker, indices in (("a", (0, 1, 2)), ("b", (0, 1))):
        for index in indices:
            count.computed(worker, index)
    assert count.frames == 3
    finish(count, 0)
    count.computed("b", 2)
    assert count.frames == LENGTH, "the slower one goes on for a moment"


def test_what_a_worker_has_computed_of_an_unfinished_segment_is_lost_with_it() -> None:
    count = done()
    for index in range(7):
        count.computed("a", index)
    finish(count, 0)
    count.computed("b", 10)
    count.lost("a")
    assert count.frames == LENGTH + 1


def test_a_segment_with_less_frames_than_others_counts_with_its_own() -> None:
    count = done()
    count.computed("a", 0)
    finish(count, 0, frames=1)
    assert count.frames == 1


def test_whatever_workers_do_the_number_is_that_of_the_frames_that_exist() -> None:
    for seed in range(50):
        rng, count = random.Random(seed), done()
        working: dict[str, tuple[int, int]] = {}
        for _ in range(300):
            name = rng.choice("abc")
            number, frames = working.setdefault(name, (rng.randrange(12), 0))
            if rng.random() < 0.05:
                count.lost(name)
                del working[name]
            elif number in count.finished or frames == LENGTH:
                if number not in count.finished:
                    finish(count, number)
                del working[name]
            else:
                count.computed(name, number * LENGTH + frames)
                working[name] = (number, frames + 1)
            begun: dict[int, int] = {}
            for segment, computed in working.values():
                if segment not in count.finished:
                    begun[segment] = max(begun.get(segment, 0), computed)
            assert count.frames == LENGTH * len(count.finished) + sum(begun.values()), f"seed {seed}"
