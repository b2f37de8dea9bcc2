"""What a start asks of the store: checked, scoped, and safe to ask again."""

import asyncio
import contextvars
import hashlib
import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from sse_relay.combinators.source import require_dialect
from sse_relay.combinators.stage import positive
from sse_relay.dialects.protocol import Dialect
from sse_relay.exceptions import IdempotencyConflictError, RunNotFoundError, StoreUnavailableError
from sse_relay.outcome import Outcome
from sse_relay.runs.producer import seal_of
from sse_relay.runs.reaper import LOST
from sse_relay.runs.source import Source, require_openable
from sse_relay.stores.protocol import OnConflict, Opened, Opening, StreamStore
from sse_relay.wire.encoder import encode_json

__all__ = ["StartRequest", "is_run_id", "require_run_id"]

_MAX_RUN_ID = 128
_RUN_ID = re.compile(r"[A-Za-z0-9_.{}:-]{1,128}")
_REPLACED = Outcome("cancelled", "replaced")
_PAUSES = (0.05, 0.2)  # before an opening of unknown fate is asked again


def is_run_id(text: str) -> bool:
    """Tell whether a run can have that id."""
    return len(text) <= _MAX_RUN_ID and _RUN_ID.fullmatch(text) is not None


def require_run_id(run_id: str) -> None:
    """
    Ask no store for a run whose id no run can have.

    Raises:
        RunNotFoundError: It cannot.
    """
    if not is_run_id(run_id):
        raise RunNotFoundError(run_id)


@dataclass(frozen=True, slots=True)
class StartRequest:
    """The arguments of `Relay.start`."""

    source: Source
    dialect: Dialect
    key: str | None
    on_conflict: OnConflict
    run_id: str | None
    idempotency_key: str | None
    metadata: Mapping[str, object] | None
    timeout: float | None
    idle_timeout: float | None
    context: contextvars.Context

    def check(self) -> None:
        """
        Refuse what cannot be meant.

        Raises:
            TypeError: The source or the dialect is none, or a name or a duration has the wrong type.
            ValueError: A duration is not positive, or the run id has other characters than it may have.
        """
        require_openable(self.source)
        require_dialect(self.dialect)
        names = ("key", self.key), ("run_id", self.run_id), ("idempotency_key", self.idempotency_key)
        for name, text in names:
            if text is not None and not isinstance(text, str):  # pyright: ignore[reportUnnecessaryIsInstance]
                raise TypeError(f"{name} must be text, not {type(text).__qualname__}")
        for name, seconds in (("timeout", self.timeout), ("idle_timeout", self.idle_timeout)):
            if seconds is not None:
                positive(name, seconds)
        if self.run_id is not None and not is_run_id(self.run_id):
            raise ValueError(f"run_id must be 1 to 128 of A-Z a-z 0-9 _ . {{ }} : -, not {self.run_id!r:.80}")

    async def open(self, store: StreamStore, lease: float, trace: str = "") -> tuple[Opened, float]:
        """
        Claim the run.

        An answer that was lost is asked for again: it is the same claim, and gets the same run.

        Returns:
            What the store gave, and when it was asked, by the loop's clock.

        Raises:
            StoreUnavailableError: The store did not answer at all. If it made a run nevertheless, its lease will pass.
        """
        opening = self._opening(store, lease, trace)
        loop = asyncio.get_running_loop()
        try:
            for pause in _PAUSES:
                sent_at = loop.time()
                try:
                    return await store.open(opening), sent_at
                except StoreUnavailableError:
                    await asyncio.sleep(pause)
            sent_at = loop.time()
            return await store.open(opening), sent_at
        except IdempotencyConflictError as error:
            raise IdempotencyConflictError(self.idempotency_key or "", error.run_id) from None

    def _opening(self, store: StreamStore, lease: float, trace: str = "") -> Opening:
        said: dict[str, object] = json.loads(encode_json(dict(self.metadata))) if self.metadata else {}
        idempotency_key = self.idempotency_key
        fingerprint = ""
        if idempotency_key is not None:
            text = json.dumps([self.dialect.name, said], sort_keys=True)
            fingerprint = hashlib.sha256(text.encode()).hexdigest()
            if self.key is None:
                idempotency_key = json.dumps([said.get("scope"), idempotency_key], sort_keys=True)
        return Opening(
            lease=lease,
            replaced=seal_of(_REPLACED),
            lapsed=seal_of(LOST),
            run_id=self.run_id or store.new_run_id(idempotency_key if self.key is None else self.key),
            key=self.key,
            on_conflict=self.on_conflict,
            idempotency_key=idempotency_key,
            fingerprint=fingerprint,
            metadata=said,
            dialect=self.dialect.name,
            claim=secrets.token_hex(16),
            trace=trace,
        )
