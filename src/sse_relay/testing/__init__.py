"""
For your own tests: laws, faults, a history that checks the invariants, cancellation at every await, a virtual clock.

- `combinator_laws`, `store_contract`: what combinators and stores keep.
- `FaultyStore`, `fault_at_every_step`: what happens between a process and its store, at any moment.
- `History`: whether what stores and viewers have seen is right.
- `cancel_at_every_await`, `Probe`, `run_virtual`: the rest of a bad day, in milliseconds.

Nothing here needs a test framework: what is wrong is an `AssertionError`.
"""

from sse_relay.testing.clock import VirtualClockLoop, run_virtual
from sse_relay.testing.faults import FaultyStore
from sse_relay.testing.history import History, WatchedSubscription
from sse_relay.testing.interruption import cancel_at_every_await, cancelled_at
from sse_relay.testing.laws import Combinator, Law, combinator_laws
from sse_relay.testing.obstacles import Pause, Step
from sse_relay.testing.probe import Probe
from sse_relay.testing.steps import FaultAt, fault_at_every_step
from sse_relay.testing.stores import StoreFactory, StoreLaw, StoreUnderTest, store_contract
from sse_relay.testing.viewer import Viewer

__all__ = [
    "Combinator",
    "FaultAt",
    "FaultyStore",
    "History",
    "Law",
    "Pause",
    "Probe",
    "Step",
    "StoreFactory",
    "StoreLaw",
    "StoreUnderTest",
    "Viewer",
    "VirtualClockLoop",
    "WatchedSubscription",
    "cancel_at_every_await",
    "cancelled_at",
    "combinator_laws",
    "fault_at_every_step",
    "run_virtual",
    "store_contract",
]
