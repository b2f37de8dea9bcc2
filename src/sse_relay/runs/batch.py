"""Stored records → what their readers take: events, runs of texts, or native bytes; ids are cursors."""

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from itertools import accumulate
from typing import TYPE_CHECKING, final

from sse_relay.dialects.text_frames import runs_of_texts, texts_of
from sse_relay.exceptions import StoreContractError
from sse_relay.stores.protocol import Page
from sse_relay.wire.decoder import EventDecoder
from sse_relay.wire.event import ServerSentEvent, make_event

if TYPE_CHECKING:
    from sse_relay.outcome import Outcome

__all__ = ["Batch"]

_MAX_CHUNK = 1 << 16  # bytes
_NEARLY = _MAX_CHUNK * 15 // 16
_FEW = 16  # records
_DIGITS = 8  # of an offset, or fewer, and what is behind it
_THOUSAND = 1000
_MAX_RUN = 128  # texts: a dialect writes some 300 bytes around each
_PLAIN = re.compile(r"^(?:event: (.+)\n)?data: (.*)\n\n", re.MULTILINE)


@final
class Batch:
    """
    A page of records, made ready once for all who view them.

    Args:
        page: The records.
        number: Its place in its window.
        heard_at: When it came into its window; 0: nobody asks, or it has none.

    Attributes:
        page: The records.
        epoch: The epoch of all of them.
        first: The offset of the first one.
        last: The offset of the last one; of an empty page, where the reader stands.
        has_gap: Whether records between the reader's place and these were trimmed.
        number: Its place in its window; -1: it has none.
        heard_at: As above.
        outcome: How the run ended, if the last record here is its last one.
        decoded: The events, once somebody has asked for them.
    """

    __slots__ = (
        "_native", "_runs", "decoded", "epoch", "first", "has_gap", "heard_at", "last", "number", "outcome", "page",
    )  # fmt: skip

    def __init__(self, page: Page, number: int = -1, heard_at: float = 0.0) -> None:
        info = page.info
        self.number: int = number
        self.heard_at: float = heard_at
        self.page: Page = page
        self.epoch: str = page.epoch
        self.first: int = page.first
        self.last: int = page.first + len(page.frames) - 1
        self.has_gap: bool = page.first > page.after + 1
        self.outcome: Outcome | None = info.outcome if self.last >= info.last_offset else None
        self.decoded: list[ServerSentEvent] | None = None
        self._native: bytes | None = None
        self._runs: list[tuple[int, list[bytes] | ServerSentEvent]] | None = None

    @property
    def events(self) -> list[ServerSentEvent]:
        """The records as events, behind a ``gap`` if some before them were trimmed; the ``end`` carries its outcome."""
        if self.decoded is None:
            frames, offset = self.page.frames, self.first
            if len(frames) == 1 and (one := _PLAIN.fullmatch(frames[0].decode())) is not None:  # what comes live
                name, data = one.groups()
                events = [make_event(data, name, f"{self.epoch}:{offset}")]
            else:
                events = _decoded(frames, f"{self.epoch}:", offset)
            if events and self.outcome is not None:
                events[-1] = events[-1].replace(outcome=self.outcome)
            if self.has_gap:
                events.insert(0, self._gap())
            self.decoded = events
        return self.decoded

    @property
    def runs(self) -> list[tuple[int, list[bytes] | ServerSentEvent]]:
        """
        The records, without a gap: each run of texts, at its first offset, and whatever else there is as an event.

        Of each text, its JSON string without the quotes; of most batches, all that has to be decoded.
        """
        if self._runs is None:
            frames = self.page.frames
            # One text by itself is what a live stream is: the general way costs three times as much.
            alone = texts_of(frames) if len(frames) == 1 and self.outcome is None else None
            self._runs = [(self.first, alone)] if alone else list(self._divided())
        return self._runs

    def native(self) -> Iterator[bytes]:
        """Tell the same as a native event stream, in chunks of whole records; no payload is looked at."""
        if self._native is not None:
            yield self._native
            return
        frames = self.page.frames
        ahead = self._gap().encode() if self.has_gap else b""
        for number, chunk in _chunks(b"id: %b:" % self.epoch.encode(), frames, self.first):
            whole = ahead + chunk if ahead else chunk
            if number == len(frames):
                self._native = whole
            yield whole
            ahead = b""
        if ahead:
            yield ahead

    def after(self, offset: int) -> "Batch":
        """Leave out what a reader has seen already."""
        seen = offset + 1 - self.first
        if seen <= 0:
            return self
        page = replace(self.page, first=offset + 1, frames=self.page.frames[seen:], after=offset)
        cut = Batch(page, self.number, self.heard_at)
        if self.decoded is not None:
            cut.decoded = self.decoded[seen:]  # a window has no gaps
        return cut

    def _divided(self) -> Iterator[tuple[int, list[bytes] | ServerSentEvent]]:
        frames = self.page.frames
        if self.outcome is not None and frames:  # the last one is the end, whatever it says
            yield from self._texts_and_events(frames[:-1])
            (end,) = _decoded(frames[-1:], f"{self.epoch}:", self.last)
            yield self.last, end.replace(outcome=self.outcome)
        else:
            yield from self._texts_and_events(frames)

    def _texts_and_events(self, frames: Sequence[bytes]) -> Iterator[tuple[int, list[bytes] | ServerSentEvent]]:
        offset = self.first
        for begin in range(0, len(frames), _MAX_RUN):
            for run, texts in runs_of_texts(frames[begin : begin + _MAX_RUN]):
                if texts:
                    yield offset, texts
                else:
                    yield from enumerate(_decoded(run, f"{self.epoch}:", offset), offset)
                offset += len(run)

    def _gap(self) -> ServerSentEvent:
        said = {"after": self.page.after, "next": self.first, "reason": "trimmed"}
        return ServerSentEvent.json(said, event="gap", id=f"{self.epoch}:{self.first - 1}")


def _chunks(prefix: bytes, frames: Sequence[bytes], first: int) -> Iterator[tuple[int, bytes]]:
    """Put ids before frames, so many a chunk as there were room for in the last one: to measure all takes longer."""
    begin, some = 0, frames[:_FEW]
    size = sum(map(len, some)) + len(some) * (len(prefix) + _DIGITS)
    while begin < len(frames):
        some = frames[begin : begin + max(len(some) * _NEARLY // size, 1)]
        chunk = _numbered(prefix, some, first + begin)
        if len(chunk) > _MAX_CHUNK and len(some) > 1:
            some = some[: bisect_right(list(accumulate(map(len, some))), _MAX_CHUNK) or 1]
            chunk = _numbered(prefix, some, first + begin)
        yield len(some), chunk
        begin += len(some)
        size = len(chunk)


def _numbered(prefix: bytes, frames: Sequence[bytes], first: int) -> bytes:
    """Put an id before each frame, in three parts: what a thousand have in common, its last digits, the frame."""
    if len(frames) == 1:
        return b"%b%d\n%b" % (prefix, first, frames[0])
    parts = [b""] * (3 * len(frames))
    parts[2::3] = frames
    offset, behind = first, first + len(frames)
    while offset < behind:  # half of what a format for each takes
        thousands, digits = divmod(offset, _THOUSAND)
        count = min(_THOUSAND - digits, behind - offset)
        begin, end = 3 * (offset - first), 3 * (offset - first + count)
        parts[begin:end:3] = [b"%b%d" % (prefix, thousands) if thousands else prefix] * count
        parts[begin + 1 : end : 3] = _digits(b"%03d\n" if thousands else b"%d\n")[digits : digits + count]
        offset += count
    return b"".join(parts)


@cache
def _digits(written: bytes) -> list[bytes]:
    return [written % number for number in range(_THOUSAND)]


def _decoded(frames: Sequence[bytes], prefix: str, first: int) -> list[ServerSentEvent]:
    """Read frames back: all of them at a time, if each has a name at most and one line of data, as nearly all do."""
    text = b"".join(frames).decode()
    found = _PLAIN.findall(text)
    lines = 2 * len(found) + sum(1 for name, _ in found if name)
    whole = text.count("\n") == lines and text.endswith("\n") and b"" not in frames
    if whole and len(found) == len(frames):
        return [make_event(data, name or None, f"{prefix}{offset}") for offset, (name, data) in enumerate(found, first)]
    return [_decode(frame, f"{prefix}{offset}") for offset, frame in enumerate(frames, first)]


def _decode(frame: bytes, event_id: str) -> ServerSentEvent:
    events: Sequence[ServerSentEvent] = EventDecoder(max(len(frame), 1)).feed(frame)
    if len(events) != 1:
        raise StoreContractError(f"record {event_id} is not one event")
    return events[0].replace(id=event_id)
