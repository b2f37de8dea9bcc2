"""What scripts are given: text, numbers and seals as bytes."""

from sse_relay.stores.redis.codec import outcome_text, pack
from sse_relay.stores.terms import Opening, Seal
from sse_relay.wire.encoder import encode_json

__all__ = ["microseconds", "of_opening", "of_seal", "plain"]

_LONGEST = 10**15  # microseconds: 31 years


def plain(value: str | int) -> bytes:
    """Write text as it is, with half characters too, or a whole number."""
    return str(value).encode("utf-8", "surrogatepass")


def microseconds(seconds: float) -> bytes:
    """Write a time in whole microseconds, one at least."""
    return plain(max(1, round(min(seconds * 1e6, _LONGEST))))


def of_seal(seal: Seal) -> tuple[bytes, bytes]:
    """Write a seal: its frame packed, and its outcome."""
    return pack([seal.frame]), plain(outcome_text(seal.outcome))


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
    ]
