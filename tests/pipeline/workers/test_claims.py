"""Segments are handed out in order, each once, and come back when their worker ends."""

from __future__ import annotations

import random

from vsr.pipeline.workers.claims import ATTEMPTS, Claims


def test_segments_are_handed_out_in_the_order_of_the_video() -> None:
    claims = Claims()
    assert [claims.take(name, is_idle=True) for name in ("a", "b", "a")] == [0, 1, 2]


def test_finished_segments_of_an_earlier_run_are_left_out() -> None:
    claims = Claims(finished={0, 2})
    assert [claims.take("a", is_idle=True), claims.take("b", is_idle=True)] == [1, 3]


def test_nothing_is_handed_out_after_the_end_that_a_worker_found() -> None:
    claims = Claims()
    for name in ("a", "b"):
        claims.take(name, is_idle=True)
    claims.end("b", 1)
    assert claims.take("b", is_idle=True) is None
    assert claims.held_by("a") == [0]


def test_an_end_that_a_worker_found_too_early_is_forgotten_when_the_video_is_known() -> None:
    """A worker whose disk is full stops to read, which is not the end of the video."""
    claims = Claims()
    claims.take("a", is_idle=True)
    claims.end("a", 0)
    claims.release("a")
    assert claims.take("b", is_idle=True) is None
    claims.known = {0, 1}
    assert [claims.take("b", is_idle=True), claims.take("b", is_idle=False)] == [0, 1]


def test_a_video_that_is_cut_at_its_beginning_starts_with_a_later_segment() -> None:
    claims = Claims()
    claims.take("a", is_idle=True)
    claims.skip(0, 7)
    assert claims.take("a", is_idle=True) == 7


def test_a_segment_that_was_lost_is_next() -> None:
    claims = Claims()
    for name in ("a", "b", "c"):
        claims.take(name, is_idle=True)
    assert claims.lose("a") == [0]
    assert claims.take("b", is_idle=True) == 0


def test_a_segment_that_ended_a_worker_is_made_alone() -> None:
    claims = Claims()
    claims.take("a", is_idle=True)
    claims.lose("a")
    assert claims.take("b", is_idle=False) == 1, "a worker that is not idle gets another one"
    assert claims.take("c", is_idle=True) == 0
    assert claims.take("c", is_idle=False) is None, "it gets no other one beside it"


def test_a_segment_is_given_up_after_it_ended_three_workers_and_the_others_are_made() -> None:
    claims = Claims(known={0, 1, 2})
    for _ in range(ATTEMPTS):
        assert claims.take("a", is_idle=True) == 0
        claims.lose("a")
    for number in (1, 2):
        assert claims.take("a", is_idle=True) == number
        claims.finish(number)
    assert claims.is_over
    assert claims.failed == [0]


def test_an_end_with_another_cause_is_not_counted_against_a_segment() -> None:
    claims = Claims(known={0})
    for _ in range(2 * ATTEMPTS):
        assert claims.take("a", is_idle=True) == 0
        claims.release("a")
    assert claims.failed == []


def test_a_job_is_over_only_when_its_number_of_segments_is_known() -> None:
    claims = Claims()
    claims.finish(claims.take("a", is_idle=True) or 0)
    assert not claims.is_over
    claims.known = {0}
    assert claims.is_over


def test_whatever_workers_do_every_segment_is_made_and_none_by_two_at_once() -> None:
    for seed in range(50):
        rng = random.Random(seed)
        count, claims, made = rng.randint(1, 20), Claims(), []
        workers = ["a", "b", "c"]
        claims.known = set(range(count)) if rng.random() < 0.5 else None
        for turn in range(2000):
            name = rng.choice(workers)
            held = claims.held_by(name)
            if held and rng.random() < 0.7:
                number = held[0]
                if number >= count:
                    claims.end(name, count)
                else:
                    claims.finish(number)
                    made.append(number)
            elif held and rng.random() < 0.05:
                claims.release(name)
            elif len(held) < 2:
                claims.take(name, is_idle=not held)
            if turn == 50:
                claims.known = set(range(count))
            if claims.is_over:
                break
        assert sorted(made) == list(range(count)), f"seed {seed}"
