"""Run a law against a store in memory, right or broken, on the virtual clock."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from sse_relay.stores.log import RunLog
from sse_relay.stores.memory import MemoryStore
from sse_relay.testing import run_virtual
from sse_relay.testing.stores import StoreLaw, StoreUnderTest


def keep(law: StoreLaw, store: Callable[..., Any] = MemoryStore) -> None:
    """Run a law, which raises if the store breaks it."""

    def make(retention: float) -> StoreUnderTest:
        return StoreUnderTest(store(retention=retention, clock=asyncio.get_running_loop().time))

    run_virtual(law(make))


def breaks(law: StoreLaw, store: Callable[..., Any], finding: str) -> None:
    """Run a law, which must find that, and say so."""
    with pytest.raises(AssertionError, match=finding):
        keep(law, store)


def names(values: Iterable[tuple[StoreLaw, type, str]]) -> list[str]:
    """Name the cases of a parametrization."""
    return [f"{law.__name__}-{store.__name__}" for law, store, _ in values]


class Open(MemoryStore):
    """A store whose runs can be reached into."""

    def run(self, run_id: str) -> RunLog:
        """Reach for a run."""
        run = self._registry.find(run_id)
        assert run is not None
        return run
