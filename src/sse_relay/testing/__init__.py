"""
For your own tests: laws that combinators and stores keep, cancellation at every await, a virtual clock.

Nothing here needs a test framework: what is wrong is an `AssertionError`.
"""

from sse_relay.testing.clock import VirtualClockLoop, run_virtual
from sse_relay.testing.interruption import cancel_at_every_await, cancelled_at
from sse_relay.testing.laws import Combinator, Law, combinator_laws
from sse_relay.testing.probe import Probe
from sse_relay.testing.stores import StoreFactory, StoreLaw, StoreUnderTest, store_contract

__all__ = [
    "Combinator",
    "Law",
    "Probe",
    "StoreFactory",
    "StoreLaw",
    "StoreUnderTest",
    "VirtualClockLoop",
    "cancel_at_every_await",
    "cancelled_at",
    "combinator_laws",
    "run_virtual",
    "store_contract",
]
