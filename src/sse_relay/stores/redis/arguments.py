"""What scripts are given: text, numbers and seals as bytes."""

from sse_relay.exceptions import InvalidCursorError
from sse_relay.stores.redis.codec import outcome_text, pack
from sse_relay.stores.terms import Opening, Seal
from sse_relay.wire.cursor import Cursor
from sse_relay.wire.encoder import encode_json

__all__ = ["microseconds", "of_bounds", "of_opening", "of_seal", "offset_of", "plain"]

_LONGEST = 10**15  # microseconds: 31 years
_ENDLESS = 10**15  # records, or bytes


def plain(value: str | int) -> bytes:
    """Write text as it is, with half characters too, or a whole number."""
    return str(value).encode("utf-8", "surrogatepass")


def microseconds(seconds: float) -> bytes:
    """Write a time in whole microseconds, one at least."""
    return plain(max(1, round(min(seconds * 1e6, _LONGEST))))


def of_seal(seal: Seal) -> tuple[bytes, bytes]:
    """Write a seal: its frame packed, and its outcome."""
    return pack([seal.frame]), plain(outcome_text(seal.outcome))


def of_bounds(max_events: int | None, max_bytes: int | None, on_full: str) -> tuple[bytes, ...]:
    """
    Write how long a log may grow; nothing where it may without end.

    Raises:
        ValueError: A bound is not positive, or `on_full` is neither ``fail`` nor ``trim``.
    """
    for name, value in (("max_events", max_events), ("max_bytes", max_bytes)):
        if value is not None and not value > 0:
            raise ValueError(f"{name} must be positive, not {value}")
    if on_full not in {"fail", "trim"}:
        raise ValueError(f'on_full must be "fail" or "trim", not {on_full!r}')
    if max_events is None and max_bytes is None:
        return ()
    events, size = (plain(_ENDLESS if bound is None else bound) for bound in (max_events, max_bytes))
    return events, size, b"1" if on_full == "trim" else b""


def of_opening(opening: Opening, run_id: str, retention: float, epochs: tuple[str, str]) -> list[bytes]:
    """
    Write an opening, in the order in which ``open.lua`` reads it.

    Raises:
        InvalidEventError: The metadata is not JSON.
    """
    return [
        plain(run_id),
        plain(opening.claim),
        plain(opening.on_conflict),
        plain(opening.fingerprint),
        microseconds(opening.lease),
        microseconds(retention),
        plain(epochs[0]),
        plain(opening.dialect),
        plain(encode_json(dict(opening.metadata))) if opening.metadata else b"",
        b"" if opening.key is None else b"1",
        plain(opening.key or ""),
        b"" if opening.idempotency_key is None else b"1",
        *of_seal(opening.lapsed),
        *of_seal(opening.replaced),
        plain(epochs[1]),
        plain(opening.trace),
    ]


def offset_of(after: Cursor | int | None) -> int:
    """
    Tell the offset of a place.

    Raises:
        InvalidCursorError: No log can have it.
    """
    if isinstance(after, Cursor):
        return after.offset
    try:
        return Cursor("any-epoch", 0 if after is None else after).offset
    except InvalidCursorError:
        raise InvalidCursorError(after) from None
