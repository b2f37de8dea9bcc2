"""
A history of what happened at stores and at viewers, and whether it keeps the invariants.

Every store that processes use is recorded, and every viewer is watched. `History.check` then tells what is broken:

- **I1** a viewer from cursor c has at every instant seen exactly L[c+1..c+k]; a gap only where records were trimmed;
- **I2** a run has one outcome, last: nothing is stored or seen after it;
- **I3** any read from any valid cursor equals the log;
- **I4** an (epoch, offset) never changes its content;
- **I5** what was acknowledged is there in every later read, once, however often it was sent;
- **I6** FENCED is sticky, and after a takeover nothing of the old producer commits;
- **I7** what has vanished is a gap or a typed error, never a splice;
- **I8** a run's status never goes back, and is never ahead of its log.
"""

from collections.abc import AsyncIterator
from types import TracebackType
from typing import Self

from sse_relay.outcome import Outcome
from sse_relay.runs.batch import Batch
from sse_relay.runs.relay import Relay
from sse_relay.runs.subscription import Subscription
from sse_relay.stores.protocol import Record, RunInfo, StreamStore
from sse_relay.testing.findings import Findings
from sse_relay.testing.ledger import Ledger
from sse_relay.testing.recording import RecordingStore
from sse_relay.testing.viewer import Viewer
from sse_relay.wire.cursor import Cursor
from sse_relay.wire.decoder import EventDecoder
from sse_relay.wire.event import ServerSentEvent

__all__ = ["History", "WatchedSubscription"]

_SHOWN = 20  # of what is broken: the first are the cause
_LARGE = 1 << 30  # larger than any event


class History:
    """
    What happened, of any number of runs, processes and viewers.

    It has to hear of everything that is written: record the store before its first use, under all processes.

    Args:
        trims: Whether the store may drop the oldest records of a log. Otherwise any gap is a loss.

    Example:
        >>> async def main():
        ...     history = History()
        ...     store = history.recorded(MemoryStore())
        ...     async with Relay(store) as here, Relay(store) as there:
        ...         channel = EventChannel()
        ...         run = await here.start(channel)
        ...         async with history.subscribe(there, run.id) as events:
        ...             await channel.push("Hello")
        ...             channel.close()
        ...             print([event.event or event.data async for event in events])
        ...     history.check()
        ...     print(len(history.log(run.id)))
        >>> asyncio.run(main())
        ['Hello', 'end']
        2
    """

    def __init__(self, *, trims: bool = False) -> None:
        self._findings = Findings(trims=trims)
        self._ledgers: dict[str, Ledger] = {}

    @property
    def run_ids(self) -> list[str]:
        """The runs that were heard of."""
        return list(self._ledgers)

    def recorded(self, store: StreamStore) -> RecordingStore:
        """Put a store in front of a store: whatever goes through it is written down."""
        return RecordingStore(store, self._findings, self._ledger)

    def subscribe(self, relay: Relay, run_id: str, after: Cursor | str | int | None = None) -> "WatchedSubscription":
        """Subscribe, and watch what is seen."""
        return WatchedSubscription(relay.subscribe(run_id, after), self.viewer(run_id, after))

    def viewer(self, run_id: str, after: Cursor | str | int | None = None) -> Viewer:
        """Watch a viewer that reads elsewhere, such as over HTTP: tell it what is seen, as native events."""
        return Viewer(self._ledger(run_id), after)

    def log(self, run_id: str) -> list[Record]:
        """Tell a run's log, as far as anybody wrote it with success or read it."""
        return self._ledger(run_id).log

    def expect_loss(self, run_id: str) -> None:
        """Take note that stored records of a run are lost: from now on a gap in its log is what readers have to see."""
        self._ledger(run_id).is_lossy = True

    def check(self) -> None:
        """
        Tell what is broken.

        Raises:
            AssertionError: Names each invariant that is broken, the run, and how.
        """
        if broken := list(dict.fromkeys(self._findings.broken)):
            more = [f"… and {len(broken) - _SHOWN} more"] if len(broken) > _SHOWN else []
            raise AssertionError("\n".join([*broken[:_SHOWN], *more]))

    def _ledger(self, run_id: str) -> Ledger:
        if (ledger := self._ledgers.get(run_id)) is None:
            ledger = self._ledgers[run_id] = Ledger(run_id, self._findings)
        return ledger


class WatchedSubscription:
    """
    A subscription whose events are watched; it is used like one.

    Attributes:
        subscription: The subscription.
        viewer: What it has seen.
    """

    def __init__(self, subscription: Subscription, viewer: Viewer) -> None:
        self.subscription: Subscription = subscription
        self.viewer: Viewer = viewer
        self._decoder = EventDecoder(_LARGE)

    @property
    def info(self) -> RunInfo:
        """The run's state when it was entered."""
        return self.subscription.info

    @property
    def outcome(self) -> Outcome | None:
        """How the run ended, once the reader has come to the end."""
        return self.subscription.outcome

    async def __aenter__(self) -> Self:
        await self.subscription.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.subscription.__aexit__(kind, exc, trace)

    def __aiter__(self) -> AsyncIterator[ServerSentEvent]:
        return self

    async def __anext__(self) -> ServerSentEvent:
        try:
            event = await anext(self.subscription)
        except StopAsyncIteration:
            self.viewer.ended(self.outcome)
            raise
        self.viewer.saw(event)
        return event

    async def read(self) -> Batch | None:
        """Take the next records as they are stored; what they say as a native stream is watched."""
        batch = await self.subscription.read()
        if batch is None:
            if self.subscription.done:
                self.viewer.ended(self.outcome)
            return None
        for chunk in batch.native():
            for event in self._decoder.feed(chunk):
                self.viewer.saw(event)
        return batch

    async def aclose(self) -> None:
        """Stop viewing."""
        await self.subscription.aclose()
