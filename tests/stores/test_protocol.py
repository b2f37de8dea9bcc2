"""The contract of a store."""

import inspect
from typing import get_type_hints

import pytest

from sse_relay.stores import protocol, readings, terms
from sse_relay.stores.memory import MemoryStore
from sse_relay.stores.protocol import Follower, StreamStore
from sse_relay.testing import run_virtual

OPERATIONS = [name for name, value in vars(StreamStore).items() if callable(value) and not name.startswith("_")]


def test_every_term_has_one_home() -> None:
    """Whoever implements the contract imports all of its words from one module."""
    homes = {name: home for home in (readings, terms) for name in home.__all__}
    assert set(protocol.__all__) == {"Follower", "StreamStore", *homes}
    assert len(homes) == len(readings.__all__) + len(terms.__all__)
    for name, home in homes.items():
        assert getattr(protocol, name) is getattr(home, name)


@pytest.mark.parametrize("name", OPERATIONS)
def test_the_reference_has_every_operation(name: str) -> None:
    """Each operation of the contract is there in memory, with the same parameters and the same result."""
    wanted, found = getattr(StreamStore, name), getattr(MemoryStore, name)
    assert inspect.signature(found).parameters.keys() == inspect.signature(wanted).parameters.keys()
    assert [each.default for each in inspect.signature(found).parameters.values()] == [
        each.default for each in inspect.signature(wanted).parameters.values()
    ]
    assert get_type_hints(found) == get_type_hints(wanted)


def test_nothing_is_missing_from_the_contract() -> None:
    """What the reference can do beyond the contract is no part of it: it has no public name of its own."""
    assert {name for name in vars(MemoryStore) if not name.startswith("_")} == set(OPERATIONS)
    assert len(OPERATIONS) == 13


def test_a_follower_is_what_it_says() -> None:
    """The reference's follower is one by the contract, and hears nothing by itself."""

    async def main() -> None:
        follower: Follower = await MemoryStore().follow(lambda _: None)
        for name in ("watch", "unwatch", "aclose"):
            assert callable(getattr(follower, name))
        await follower.aclose()

    run_virtual(main())


def test_every_operation_says_what_it_does() -> None:
    """Each operation of the contract is documented in words, because the words are the contract."""
    for kind in (StreamStore, Follower):
        for name, value in vars(kind).items():
            if callable(value) and not name.startswith("_"):
                assert inspect.getdoc(value)
