"""
Records → the bytes that a client reads of them, in its dialect.

Texts are nearly all of a log. A renderer that has a template for them gets a run of them as stored; they are never
decoded, and a chunk has many. Everything else is an event, and a chunk of its own.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

from sse_relay.dialects.protocol import Dialect, Renderer
from sse_relay.runs.batch import Batch
from sse_relay.wire.event import ServerSentEvent

__all__ = ["TrimmedError", "encoded", "rendered"]

_Texts = Callable[[Sequence[bytes], int], bytes]


class TrimmedError(Exception):
    """Records are lost, and the dialect has no word for it."""


def rendered(batch: Batch, renderer: Renderer, dialect: Dialect) -> Iterable[bytes]:
    """
    Render a batch, in chunks of whole records, while they are asked for.

    Raises:
        TrimmedError: Records in front of it are lost.
    """
    if batch.has_gap:
        raise TrimmedError
    texts: _Texts | None = None if dialect.has_ids else getattr(renderer, "texts", None)
    if texts is None:
        return _events(enumerate(batch.events, batch.first), renderer, dialect)
    runs = batch.runs
    if len(runs) == 1:
        ((offset, run),) = runs
        if type(run) is list:
            return (texts(run, offset),)
    return _runs(runs, texts, renderer, dialect)


def _runs(
    runs: Iterable[tuple[int, list[bytes] | ServerSentEvent]], texts: _Texts, renderer: Renderer, dialect: Dialect
) -> Iterator[bytes]:
    for offset, run in runs:
        if isinstance(run, list):
            yield texts(run, offset)
        else:
            yield from _events([(offset, run)], renderer, dialect)


def _events(records: Iterable[tuple[int, ServerSentEvent]], renderer: Renderer, dialect: Dialect) -> Iterator[bytes]:
    for offset, event in records:
        shown = renderer.event(offset, event) if event.outcome is None else renderer.end(event.outcome)
        if shown:
            yield encoded(shown, event.id if dialect.has_ids else None)


def encoded(events: Sequence[ServerSentEvent], last_id: str | None) -> bytes:
    """Encode the frames of one record: its id is on the last one only, so that no cut loses or doubles any of them."""
    last = len(events) - 1
    return b"".join([_with_id(event, last_id if at == last else None) for at, event in enumerate(events)])


def _with_id(event: ServerSentEvent, event_id: str | None) -> bytes:
    """Encode a frame under an id, or none: one that a renderer passes on has that of its record still."""
    return (event if event.id == event_id else event.replace(id=event_id)).encode()
