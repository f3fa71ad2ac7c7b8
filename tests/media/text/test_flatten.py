"""Texts at the same time become texts one after another."""

from __future__ import annotations

from vsr.media.text.flatten import Flattener, Text


def texts(*rows: tuple[int, int | None, str]) -> list[tuple[int, int | None, str]]:
    flat, out = Flattener(), []
    for start, end, words in rows:
        payload = words.encode()
        out += flat.push(Text(start, end, len(payload).to_bytes(2, "big") + payload))
    return [(text.start, text.end, text.words.decode()) for text in out + flat.flush(1)]


def test_texts_that_do_not_overlap_are_unchanged() -> None:
    rows = [(0, 2, "a"), (5, 9, "b"), (9, 12, "c")]
    assert texts(*rows) == rows


def test_overlapping_texts_are_joined_while_both_are_shown() -> None:
    assert texts((0, 10, "a"), (4, 6, "b")) == [(0, 4, "a"), (4, 6, "a\nb"), (6, 10, "a")]


def test_texts_with_the_same_start_are_joined() -> None:
    assert texts((3, 5, "a"), (3, 5, "b"), (3, 4, "c")) == [(3, 4, "a\nb\nc"), (4, 5, "a\nb")]


def test_a_text_without_an_end_lasts_until_the_next() -> None:
    assert texts((0, None, "a"), (4, None, "b")) == [(0, 4, "a"), (4, 9, "b")]


def test_blank_texts_are_removed() -> None:
    assert texts((0, 2, ""), (2, 3, "a"), (3, 8, "")) == [(2, 3, "a")]


def test_styling_of_a_single_text_is_kept() -> None:
    flat = Flattener()
    styled = b"\x00\x01a\x00\x00\x00\x08styl"
    assert flat.push(Text(0, 2, styled)) == []
    assert [text.payload for text in flat.until(2)] == [styled]


def test_until_returns_no_text_that_is_still_shown() -> None:
    flat = Flattener()
    flat.push(Text(0, 10, b"\x00\x01a"))
    assert flat.until(9) == []
    assert flat.until(10) == [Text(0, 10, b"\x00\x01a")]
