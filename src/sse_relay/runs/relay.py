"""Relay: start runs, subscribe to them, stop them; the face of it all."""

import asyncio
import contextvars
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Self

from sse_relay.combinators.stage import positive
from sse_relay.dialects.native import Native
from sse_relay.dialects.protocol import Dialect
from sse_relay.exceptions import DrainingError, InvalidCursorError, RunExpiredError
from sse_relay.observability.protocol import Observer
from sse_relay.observability.shield import shielded
from sse_relay.outcome import ErrorCatalog, Outcome
from sse_relay.runs.opening import StartRequest, require_run_id
from sse_relay.runs.reaper import Reaper
from sse_relay.runs.source import Source
from sse_relay.runs.subscription import Subscription
from sse_relay.runs.supervisor import Supervisor
from sse_relay.runs.tail import Tail
from sse_relay.runs.tasks import Tasks
from sse_relay.runs.transitions import OnTransition, Transitions
from sse_relay.stores.memory import MemoryStore
from sse_relay.stores.paging import PAGE_BYTES, require_page
from sse_relay.stores.protocol import OnConflict, Page, RunInfo, RunStatus, StreamStore, Wake
from sse_relay.wire.cursor import Cursor

__all__ = ["Relay"]

_NATIVE = Native()
_LEAVE_WITHIN = 0.5  # for sources that are cut off to clean up, of the drain's grace


class Relay:
    """
    Run sources detached from any request: viewers join, drop and resume as they like, and every run ends.

    Every call that names a run raises `RunNotFoundError`, or `RunExpiredError` if it was there; every call raises
    `StoreUnavailableError` if the store does not answer.

    Relays on one store, in whatever process, see each other's runs. A relay is open inside its ``async with``, which
    on leaving drains it at once; afterwards it may be entered again.

    Args:
        store: Where runs are kept; None: a `MemoryStore` of its own.
        lease: After how many seconds without a sign of life a producer is taken for dead.
        errors: What clients learn of exceptions; None: the built-in entries.
        on_transition: Told of each start and end, by the relay that made it so, at most once each; sync or async, for
            5 seconds at most. What it raises is logged.
        observer: Hears what runs and viewers do here, such as `sse_relay.observability.OpenTelemetry`; None: nobody
            does, at no cost.

    Raises:
        TypeError: The observer is none.
        ValueError: The lease is not positive.

    Example:
        >>> async def source():
        ...     yield "Hello"
        >>> async def main():
        ...     async with Relay() as relay:
        ...         run = await relay.start(source())
        ...         async with relay.subscribe(run.id) as events:
        ...             print([event.event or event.data async for event in events], events.outcome.status)
        >>> asyncio.run(main())
        ['Hello', 'end'] completed
    """

    def __init__(
        self,
        store: StreamStore | None = None,
        *,
        lease: float = 10.0,
        errors: ErrorCatalog | None = None,
        on_transition: OnTransition | None = None,
        observer: Observer | None = None,
    ) -> None:
        self._store: StreamStore = MemoryStore() if store is None else store
        self._tasks = Tasks()
        self._observer = None if observer is None else shielded(observer)
        self._transitions = Transitions(on_transition, self._tasks.spawn, self._observer)
        self._tail = Tail(self._store, self._tasks.spawn, observed=observer is not None)
        self._reaper = Reaper(self._store, positive("lease", lease), self._ended)
        self._supervisor = Supervisor(
            store=self._store, lease=lease, errors=errors or ErrorCatalog(), tasks=self._tasks, tail=self._tail,
            reaper=self._reaper, transitions=self._transitions, observer=self._observer,
        )  # fmt: skip
        self._open = False

    async def __aenter__(self) -> Self:
        if self._open:
            raise RuntimeError("this relay is open already; make one for each process, and enter it once")
        await self._tail.open()
        self._tasks.spawn(self._reaper.sweep())
        self._supervisor.draining = self._supervisor.closing = False
        self._open = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.drain(0)

    async def start(
        self,
        source: Source,
        *,
        dialect: Dialect = _NATIVE,
        key: str | None = None,
        on_conflict: OnConflict = "reject",
        run_id: str | None = None,
        idempotency_key: str | None = None,
        metadata: Mapping[str, object] | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - of the run, not of this call
        idle_timeout: float | None = None,
        context: contextvars.Context | None = None,
    ) -> RunInfo:
        """
        Start a run, or find the one that is there.

        **Closing**: the source belongs to the relay from the call on; where no run is made of it (joined, idempotent,
        refused) it is closed unstarted. None of it runs inside this call. **Cancellation** leaves a live run or none,
        never a claim without a producer.

        Args:
            source: An async iterable, an awaitable of one, or a callable of a `RunContext`.
            dialect: What the source speaks: its terminal becomes the outcome.
            key: What may have one active run, such as a conversation's id; None: nothing.
            on_conflict: What to do if the key has one: ``reject``, ``join`` it, or ``replace`` it.
            run_id: The caller's own; None: a random one.
            idempotency_key: The same start, asked again, finds the first one's run. It is scoped by `key`, else by
                ``metadata["scope"]``, else global.
            metadata: Kept with the run; JSON values.
            timeout: The longest that the run may take, in seconds; None: any time.
            idle_timeout: The longest silence of the source, in seconds; None: any time.
            context: In a copy of which context the source runs; None: of the caller's.

        Returns:
            The run; its `joined` tells whether it was there.

        Raises:
            RunConflictError: The key has an active run, or the run id is taken.
            IdempotencyConflictError: The idempotency key was used with another dialect or other metadata.
            InvalidEventError: The metadata is not JSON.
            DrainingError, StoreUnavailableError: The relay is draining; the store did not answer.
            TypeError, ValueError: An argument is of the wrong type, or out of range.
        """
        request = StartRequest(
            source, dialect, key, on_conflict, run_id, idempotency_key, metadata, timeout, idle_timeout,
            contextvars.copy_context() if context is None else context,
        )  # fmt: skip
        return await self._supervisor.start(request)

    def subscribe(
        self, run_id: str, after: Cursor | str | int | None = None, *, page_bytes: int = PAGE_BYTES
    ) -> Subscription:
        """
        View a run: ``async with relay.subscribe(run_id) as events``.

        Args:
            run_id: The run.
            after: A cursor, its text, or an offset in the current epoch; None: from the first record.
            page_bytes: The most bytes of records that are read from the store at once, unless a single one is larger.

        Raises:
            InvalidCursorError: `after` is none of them.
            ValueError: `page_bytes` is below 1.
            RunNotFoundError, RunExpiredError, CursorMismatchError, DrainingError: When the subscription is entered.
        """
        if isinstance(after, str):
            after = Cursor.parse(after)
        elif after is not None and not isinstance(after, Cursor) and (type(after) is not int or after < 0):
            raise InvalidCursorError(after)
        require_page(1, page_bytes)
        return Subscription(
            self._store, self._tail, self._reaper.look, run_id, after, page_bytes=page_bytes, observer=self._observer
        )

    async def cancel(self, run_id: str, reason: str = "user", grace: float = 5.0) -> RunInfo:
        """
        Stop a run, whoever produces it and however dead that is; returns when its end is durable.

        The producer has the grace to stop and seal; then it is sealed over. Idempotent: a run that has ended stays so.
        **Cancellation** of this call does not take the request back.

        Args:
            run_id: The run.
            reason: The reason of its outcome.
            grace: How long to wait for the producer, in seconds.
        """
        require_run_id(run_id)
        info = await self._store.cancel(run_id, reason)
        if info.outcome is None:
            with suppress(TimeoutError, DrainingError):
                await self.wait(run_id, timeout=grace)
            info = await self._reaper.end(run_id, Outcome("cancelled", reason))
        return info

    async def info(self, run_id: str) -> RunInfo:
        """Tell a run's state; a run whose producer is dead is ``lost`` from then on."""
        require_run_id(run_id)
        return await self._reaper.look(run_id)

    async def lookup(self, key: str) -> RunInfo | None:
        """
        Tell the key's latest run as the store has it, also when it has ended; None: there is none any more.

        It is one question to the store whatever there is, so that what it costs tells nothing. A run whose producer is
        dead may still be ``running``: `latest` and `active` look closer.
        """
        return await self._store.lookup(key)

    async def latest(self, key: str) -> RunInfo | None:
        """Tell the key's latest run, also when it has ended; None: there is none any more."""
        found = await self.lookup(key)
        if found is None or found.outcome is not None:
            return found
        try:
            return await self._reaper.look(found.id)
        except RunExpiredError:
            return None

    async def active(self, key: str) -> RunInfo | None:
        """Tell the key's active run, also before its first token; None: there is none."""
        return found if (found := await self.latest(key)) is not None and found.outcome is None else None

    async def wait(self, run_id: str, timeout: float | None = None) -> Outcome:  # noqa: ASYNC109 - part of the contract
        """
        Wait until a run has ended, wherever it is produced.

        Raises:
            TimeoutError: It has not, in time.
            DrainingError: This relay was closed meanwhile.
        """
        require_run_id(run_id)
        async with asyncio.timeout(timeout):
            window = self._tail.enter(run_id)
            try:
                doubts = -1
                while window.info is None or window.info.outcome is None:
                    if doubts != window.doubts:
                        doubts = window.doubts
                        window.note(await self._reaper.look(run_id))
                    elif window.is_closed:
                        raise DrainingError
                    else:
                        await window.wait()
                return window.info.outcome
            finally:
                self._tail.leave(run_id, window)

    def runs(self, status: RunStatus | None = None) -> AsyncIterator[RunInfo]:
        """List runs, newest first; None: of any status."""
        return self._store.runs(status)

    async def drain(self, grace: float = 10.0) -> None:
        """
        Refuse new runs, let the live ones finish, seal the rest ``lost`` with the reason ``shutdown``.

        Then every subscription ends; one whose run goes on elsewhere has no outcome. Sources that are cut off get half
        a second of the grace to clean up; a grace of 0 is that half second. Returns within it, and closes the relay.
        """
        loop = asyncio.get_running_loop()
        leave = min(_LEAVE_WITHIN, grace / 2 or _LEAVE_WITHIN)
        deadline = loop.time() + (grace or leave)
        await self._supervisor.drain(max(grace - leave, 0), leave / 2)
        with suppress(TimeoutError):
            async with asyncio.timeout_at(deadline):
                await self._tail.aclose()
        await self._tasks.close(deadline - loop.time())
        self._open = False

    def _ended(self, info: RunInfo, last: Page) -> None:
        self._tail.hear(Wake(info.id, last))  # the viewers here do not need the store's
        self._transitions.tell(info)
