"""What the laws of a store work with: the store, its clock, and the words to say what is wrong."""

import asyncio
import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from sse_relay.exceptions import SSERelayError
from sse_relay.outcome import Outcome, Status
from sse_relay.stores.protocol import Answer, Appended, Grant, Opening, Page, Record, Seal, StreamStore
from sse_relay.wire.cursor import Cursor

__all__ = [
    "LEASE",
    "RETENTION",
    "SHORT",
    "StoreFactory",
    "StoreLaw",
    "StoreUnderTest",
    "expect",
    "expect_equal",
    "frames",
    "fresh",
    "log_of",
    "opening",
    "refused",
    "sealed",
    "start",
    "wrote",
]

LEASE = 60.0  # seconds: longer than a law takes
SHORT = 1.0  # seconds: for a law that waits until it has passed, and longer than its round trips take
RETENTION = 3600.0

_MANY = 10_000  # pages: more than any law writes

E = TypeVar("E", bound=Exception)


@dataclass(frozen=True, slots=True)
class StoreUnderTest:
    """
    A new and empty store, and what a law needs to know of it.

    Attributes:
        store: The store; the law closes it.
        peer: Another handle on the same data, as another process would have; None: the store itself.
        advance: Makes the store's clock move by so many seconds; a real server's can only be waited for.
    """

    store: StreamStore
    peer: StreamStore | None = None
    advance: Callable[[float], Awaitable[object]] = asyncio.sleep

    @property
    def other(self) -> StreamStore:
        """The peer, if there is one."""
        return self.store if self.peer is None else self.peer


StoreFactory = Callable[[float], StoreUnderTest]
"""Makes a new store that keeps runs for so many seconds; called in the running loop."""

StoreLaw = Callable[[StoreFactory], Coroutine[Any, Any, None]]


@asynccontextmanager
async def fresh(factory: StoreFactory, retention: float = RETENTION) -> AsyncGenerator[StoreUnderTest, None]:
    """Make a store, and close it afterwards; what it refuses without being asked to breaks the law."""
    under = factory(retention)
    try:
        yield under
    except SSERelayError as error:
        raise AssertionError(f"the store refused what it has to do: {error!r}") from error
    finally:
        await under.store.aclose()
        if under.peer is not None:
            await under.peer.aclose()


def sealed(status: Status = "completed", reason: str | None = None) -> Seal:
    """Make a seal."""
    return Seal(Outcome(status, reason), f'event: end\ndata: {{"status":"{status}","reason":"{reason}"}}\n\n'.encode())


def opening(**options: Any) -> Opening:  # noqa: ANN401 - the fields of an opening
    """Make an opening: a long lease, a claim of its own, and whatever else is said."""
    plain = Opening(
        LEASE, sealed("cancelled", "replaced"), sealed("lost", "lease_expired"), claim=secrets.token_hex(16)
    )
    return replace(plain, **options)


async def start(store: StreamStore, **options: Any) -> Grant:  # noqa: ANN401 - the fields of an opening
    """Open a run, which must be new."""
    opened = await store.open(opening(**options))
    if opened.grant is None:
        raise AssertionError(f"a start found the run {opened.info} instead of making one")
    return opened.grant


def frames(*names: object) -> list[bytes]:
    """Make records."""
    return [f"data: {name}\n\n".encode() for name in names]


async def wrote(
    store: StreamStore, grant: Grant, first: int, batch: Sequence[bytes], seal: Seal | None = None
) -> Appended:
    """Append, which must be OK."""
    answered = await store.append(grant, first, batch, seal)
    expect_equal(answered.answer, Answer.OK, f"the answer to records from {first}")
    expect_equal(answered.last_offset, first - 1 + len(batch) + (seal is not None), "the last offset after an append")
    return answered


async def log_of(store: StreamStore, run_id: str, after: Cursor | int | None = None, limit: int = 500) -> list[Record]:
    """Read on from a place to the end of the log, page by page, and check each page."""
    found: list[Record] = []
    for _ in range(_MANY):
        page = await store.read(run_id, after, limit=limit)
        _check_page(page, after, limit)
        found += page.records()
        if page.last >= page.info.last_offset:
            return found
        expect(len(page.frames) > 0, f"an empty page after {after}, though the log goes on: {page}")
        after = Cursor(page.epoch, page.last)
    raise AssertionError(f"reading run {run_id} never ends")


def _check_page(page: Page, after: Cursor | int | None, limit: int) -> None:
    place = after.offset if isinstance(after, Cursor) else after or 0
    expect_equal(page.after, place, f"page.after, having asked for what is after {after}")
    expect_equal(page.first, place + 1, f"the first record after {after}")
    expect(len(page.frames) <= limit, f"{len(page.frames)} records on a page of at most {limit}")
    expect(page.last <= page.info.last_offset, f"a page up to {page.last} of a log up to {page.info.last_offset}")
    expect((page.info.outcome is None) == (page.info.status == "running"), f"state and outcome disagree: {page.info}")


def expect(condition: bool, message: str) -> None:  # noqa: FBT001 - an assertion
    """Fail unless it holds."""
    if not condition:
        raise AssertionError(message)


def expect_equal(found: object, wanted: object, what: str) -> None:
    """Fail unless it is what it should be."""
    if found != wanted:
        raise AssertionError(f"{what}: {found!r} instead of {wanted!r}")


async def refused(work: Awaitable[object], error: type[E], what: str) -> E:
    """Fail unless it raises."""
    try:
        result = await work
    except error as exc:
        return exc
    raise AssertionError(f"{what} was not refused with {error.__name__}, but answered {result!r}")
