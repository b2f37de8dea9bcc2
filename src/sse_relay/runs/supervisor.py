"""
Watch over the runs of one process: from the claim to the seal.

The supervisor, not the source's own coroutine, owns the seal; and what has to be done when a task ends is done in its
callback: a task that is cancelled before its first step runs no ``finally``.
"""

import asyncio
import logging
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import cast

from sse_relay.combinators.cancellation import CancelToken
from sse_relay.exceptions import DrainingError, SSERelayError
from sse_relay.observability.protocol import Observer, RunObserver
from sse_relay.outcome import ErrorCatalog, Outcome
from sse_relay.runs.lease import LeaseKeeper
from sse_relay.runs.opening import StartRequest
from sse_relay.runs.outbox import Pool
from sse_relay.runs.producer import Production
from sse_relay.runs.reaper import Reaper
from sse_relay.runs.source import OwnedSource, RunContext, discard
from sse_relay.runs.tail import Tail
from sse_relay.runs.tasks import Tasks
from sse_relay.runs.transitions import Transitions
from sse_relay.stores.protocol import Grant, RunInfo, StreamStore, Wake

__all__ = ["Supervisor"]

_logger = logging.getLogger("sse_relay")
_SHUTDOWN = Outcome("lost", "shutdown")


class _Live:
    """One run that is produced here; its outcome, as far as it is known here."""

    __slots__ = ("_since", "info", "observer", "outcome", "production")

    def __init__(self, info: RunInfo, production: Production, observer: RunObserver | None) -> None:
        self.info = info
        self.production = production
        self.observer = observer
        self.outcome: Outcome | None = None
        self._since = asyncio.get_running_loop().time()

    def ended(self, outcome: Outcome) -> RunInfo:
        """Tell how the run ended, as far as it is known here: a store that has failed says nothing of it."""
        seconds = asyncio.get_running_loop().time() - self._since
        return replace(self.info, status=outcome.status, outcome=outcome, updated_at=self.info.updated_at + seconds)

    def hear(self, wake: Wake) -> None:
        """Take word of the run: somebody wants it to stop, or took it over."""
        lease = self.production.lease
        if wake.cancel is not None:
            self.production.stop(wake.cancel)
        elif (epoch := wake.taken or (wake.page and wake.page.info.epoch)) and epoch != lease.grant.epoch:
            lease.lose()


class _Claim:
    """One start that is under way: who asked is told, or has gone; the source is owned by a run, or discarded."""

    __slots__ = ("request", "told")

    def __init__(self, request: StartRequest) -> None:
        self.request = request
        self.told: asyncio.Future[RunInfo] = asyncio.get_running_loop().create_future()

    def tell(self, info: RunInfo) -> None:
        if not self.told.done():
            self.told.set_result(info)

    def fail(self, error: Exception) -> None:
        if not self.told.done():
            self.told.set_exception(error)


class Supervisor:
    """
    Claim runs, produce them, and see to it that each one ends.

    Attributes:
        draining: Whether new runs are refused.
        closing: Whether what is left is being sealed.
    """

    def __init__(
        self,
        *,
        store: StreamStore,
        lease: float,
        errors: ErrorCatalog,
        tasks: Tasks,
        tail: Tail,
        reaper: Reaper,
        transitions: Transitions,
        observer: Observer | None = None,
    ) -> None:
        self.draining: bool = False
        self.closing: bool = False
        self._store = store
        self._lease = lease
        self._errors = errors
        self._tasks = tasks
        self._tail = tail
        self._reaper = reaper
        self._transitions = transitions
        self._observer = observer
        self._pool = Pool()
        self._keeper = LeaseKeeper(store, lease, tasks.spawn)
        self._claims: dict[asyncio.Task[None], _Claim] = {}
        self._live: dict[asyncio.Task[None], _Live] = {}

    async def start(self, request: StartRequest) -> RunInfo:
        """Make a run of a source, or discard it; a cancelled call leaves a task that does either."""
        claim = _Claim(request)
        task = self._tasks.spawn(self._run(claim), context=request.context)
        self._claims[task] = claim
        task.add_done_callback(self._gone)
        return await claim.told

    async def drain(self, grace: float, leave: float) -> None:
        """Let what is here end within the grace; then seal the rest, and stop it, within the time to leave."""
        self.draining = True
        await self._over(set(), grace)
        self.closing = True
        await self._over({self._tasks.spawn(self._shut_down(live)) for live in self._live.values()}, leave)

    async def _over(self, sealing: set[asyncio.Task[None]], within: float) -> None:
        """Wait until nothing is under way here any more, or the time is over."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + within
        while (left := self._claims.keys() | self._live.keys() | sealing | self._transitions.pending()) and (
            within := deadline - loop.time()
        ) > 0:
            await asyncio.wait(left, timeout=within)
            sealing = {task for task in sealing if not task.done()}

    async def _run(self, claim: _Claim) -> None:
        """Claim a run, and produce it: one task from the first word to the seal."""
        live = None
        try:
            info, live = await self._claim(claim.request)
        except Exception as error:  # noqa: BLE001 - whoever asked gets it
            claim.fail(error)
            return
        except asyncio.CancelledError:
            claim.fail(DrainingError())
            raise
        finally:
            del self._claims[_current_task()]
            if live is None:
                await discard(claim.request.source)
        claim.tell(info)
        if live is not None:
            await self._supervise(live)

    async def _claim(self, request: StartRequest) -> tuple[RunInfo, _Live | None]:
        request.check()
        self._tail.require_open()
        if self.draining:
            raise DrainingError
        observer = None if self._observer is None else self._observer.run_starting(request.key, request.dialect.name)
        if observer is None:
            return await self._open(request, None)
        try:
            return await self._open(request, observer)
        except BaseException as error:
            observer.refused(error)
            raise

    async def _open(self, request: StartRequest, observer: RunObserver | None) -> tuple[RunInfo, _Live | None]:
        opened, sent_at = await request.open(self._store, self._lease, "" if observer is None else observer.trace)
        if opened.ended is not None:
            self._transitions.tell(opened.ended)
        if opened.grant is not None and self.closing:
            await self._reaper.end(opened.info.id, _SHUTDOWN)
            raise DrainingError
        if opened.grant is None or opened.info.outcome is not None:
            if observer is not None:
                observer.joined(opened.info.id, opened.info.trace)
            return opened.info, None
        return opened.info, self._produce(opened.info, opened.grant, sent_at, request, observer)

    def _produce(
        self, info: RunInfo, grant: Grant, sent_at: float, request: StartRequest, observer: RunObserver | None
    ) -> _Live:
        if observer is not None:
            observer.started(info.id)
        token = CancelToken()
        production = Production(
            self._store,
            OwnedSource(request.source, RunContext(info.id, info.key, token, info.metadata)),
            token,
            grant=grant,
            sent_at=sent_at,
            spawn=partial(self._tasks.spawn, heard=True),
            dialect=request.dialect,
            errors=self._errors,
            timeout=request.timeout,
            idle=request.idle_timeout,
            observer=observer,
            pool=self._pool,
        )
        live = _Live(info, production, observer)
        self._live[_current_task()] = live
        self._keeper.hold(production.lease)
        self._tail.produce(info.id, live.hear)
        self._transitions.tell(info)
        return live

    async def _supervise(self, live: _Live) -> None:
        try:
            outcome, unsealed = await live.production.run(), live.production.unsealed
        except Exception as error:  # of the store, or of this library: the run still has to end
            _logger.exception("run %s: its producer failed", live.info.id, extra={"run_id": live.info.id})
            outcome, unsealed = None, self._errors.outcome_of(error)
        if outcome is not None:
            live.outcome = outcome
            self._transitions.tell(await self._info(live, outcome))
        elif unsealed is not None:
            await self._end(live, unsealed)
        elif live.observer is not None and live.outcome is None:  # somebody else has ended it
            with suppress(SSERelayError):
                live.outcome = (await self._store.info(live.info.id)).outcome

    async def _info(self, live: _Live, outcome: Outcome) -> RunInfo:
        try:
            return await self._store.info(live.info.id)
        except SSERelayError:
            return live.ended(outcome)

    async def _shut_down(self, live: _Live) -> None:
        live.production.stop("shutdown", _SHUTDOWN)
        await self._end(live, _SHUTDOWN)

    async def _end(self, live: _Live, outcome: Outcome) -> None:
        run_id = live.info.id
        try:
            live.outcome = (await self._reaper.end(run_id, outcome)).outcome
        except SSERelayError as error:
            fields = {"run_id": run_id, "status": outcome.status}
            _logger.warning(
                "run %s could not be sealed %s (%r); its lease will pass", run_id, outcome.status, error, extra=fields
            )

    def _gone(self, task: "asyncio.Task[None]") -> None:
        if (live := self._live.pop(task, None)) is not None:
            self._keeper.let_go(live.production.lease)
            self._tail.produced(live.info.id)
            if live.observer is not None:
                live.observer.ended(live.outcome)
            if task.cancelled():
                self._tasks.spawn(live.production.aclose())
        elif (claim := self._claims.pop(task, None)) is not None:  # cancelled before its first step
            claim.fail(DrainingError())
            self._tasks.spawn(discard(claim.request.source))


def _current_task() -> "asyncio.Task[None]":
    return cast("asyncio.Task[None]", asyncio.current_task())
