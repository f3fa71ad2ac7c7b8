"""Converts texts that overlap in time to texts one after the other."""

from __future__ import annotations

from dataclasses import dataclass

UNKNOWN_SECONDS = 5
"""Duration of a last text without a duration."""


@dataclass(frozen=True, slots=True)
class Text:
    """QuickTime text on a track."""

    start: int
    """In ticks."""
    end: int | None
    """In ticks; None means until the next text."""
    payload: bytes
    """Two bytes of length, the text in UTF-8, then boxes of styling."""

    @property
    def words(self) -> bytes:
        return self.payload[2 : 2 + int.from_bytes(self.payload[:2], "big")]


class Flattener:
    """Takes texts in the order of their starts, and returns time spans that show one text, or several
    joined.
    """

    def __init__(self) -> None:
        self.late = 0
        """The number of texts that had ended before the start of an earlier one; they are not shown."""
        self._active: list[Text] = []
        self._now = 0

    def push(self, text: Text) -> list[Text]:
        """Take the next text, and return the spans that end by its start."""
        done = self._spans(text.start, cut=True)
        self._active = [other for other in self._active if other.end is not None]
        self._now = max(self._now, text.start)
        if text.words and (text.end is None or text.end > self._now):
            self._active.append(text)
        elif text.words and text.start < self._now:
            self.late += 1
        return done

    def until(self, time: int) -> list[Text]:
        """Return the spans that end by `time`, provided that all texts with an earlier start were pushed."""
        return self._spans(time, cut=False)

    def flush(self, tick_rate: int) -> list[Text]:
        """Return all remaining spans.

        Args:
            tick_rate: Ticks per second.
        """
        known = [text.end for text in self._active if text.end is not None]
        last = max(known, default=self._now + UNKNOWN_SECONDS * tick_rate)
        self._active = [Text(text.start, text.end or last, text.payload) for text in self._active]
        return self.until(last)

    def _spans(self, time: int, *, cut: bool) -> list[Text]:
        """Return the spans between changes up to `time`; with `cut`, `time` itself is a change."""
        done = []
        while self._active:
            changes = [text.end for text in self._active if text.end is not None] + [time] * cut
            stop = min(changes, default=self._now)
            if not self._now < stop <= time:
                break
            done.append(Text(self._now, stop, _joined(self._active)))
            self._now = stop
            self._active = [text for text in self._active if text.end is None or text.end > stop]
        return done


def _joined(texts: list[Text]) -> bytes:
    """Join texts one below the other. Styling is kept only for a single text."""
    if len(texts) == 1:
        return texts[0].payload
    words = b"\n".join(text.words for text in texts)[:0xFFFF].decode(errors="ignore").encode()
    return len(words).to_bytes(2, "big") + words
