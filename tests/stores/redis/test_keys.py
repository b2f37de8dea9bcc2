"""The names of what is stored: injective, and in the partition that an id tells."""

import re
from itertools import product

import pytest
from redis.crc import key_slot

from sse_relay.stores.redis.keys import HASH_SLOTS, PARTITIONS, Keys, hash_slot

HOSTILE = ("", "a", "A", "a:b", "b", ":", "{a}", "a}b{", "\0", "é", "e\u0301", "\ud800", "None", "null", "1", "x" * 999)
KEYS = Keys("app")


def test_different_texts_have_different_names() -> None:
    """Security: no two runs, keys or pairs of key and idempotency key share a name, nor do two of different kinds."""
    names = [KEYS.run(text) for text in HOSTILE] + [KEYS.slot(text) for text in HOSTILE]
    names += [KEYS.start(key, name) for key, name in product((*HOSTILE, None), HOSTILE)]
    assert len(set(names)) == len(names) == 2 * len(HOSTILE) + (len(HOSTILE) + 1) * len(HOSTILE)


def test_text_of_users_cannot_break_out() -> None:
    """Security: whatever the text, a name has one partition tag, the first braces, and ASCII without blanks only."""
    for text in HOSTILE:
        for name in (KEYS.run(text), KEYS.slot(text), KEYS.start(text, text), KEYS.start(None, text)):
            assert re.fullmatch(r"app:\{p[0-9]{1,3}\}:(run|key|start):[!-~]+", name)
    assert KEYS.run("x" * 129).endswith(KEYS.run("x" * 129)[-65:])
    assert "#" in KEYS.run("x" * 129)
    assert KEYS.run("x" * 128).endswith("x" * 128)


def test_a_run_is_where_its_key_is() -> None:
    """Cluster: the id made for a key leads to the key's partition, as do its idempotency keys and its channel."""
    for key in HOSTILE:
        tag = KEYS.slot(key).split("}")[0] + "}:"
        run_id = KEYS.new_run_id(key)
        for name in (KEYS.run(run_id), KEYS.start(key, "i"), KEYS.wakes(run_id), KEYS.stops(run_id)):
            assert name.startswith(tag)
    assert KEYS.wakes(KEYS.new_run_id("a")) == KEYS.slot("a").split("}")[0] + "}:wakes"
    assert KEYS.stops(KEYS.new_run_id("a")) == KEYS.slot("a").split("}")[0] + "}:stops"
    assert KEYS.log("p17-}:run:") == "app:{p17}:log:p17-}:run:"
    assert KEYS.recent("p17-}:run:") == "app:{p17}:recent:p17-}:run:"


def test_an_id_tells_its_partition() -> None:
    """An id that begins as ours do is in the partition that it names, if there is one; any other is somewhere."""
    assert KEYS.run("p17-abc") == "app:{p17}:run:p17-abc"
    assert KEYS.run("p255-") == "app:{p255}:run:p255-"
    for run_id in ("p256-a", "p017-a", "p-a", "P1-a", "p1"):
        assert int(KEYS.run(run_id).split("{p")[1].split("}")[0]) < PARTITIONS
        assert KEYS.run(run_id) == KEYS.run(run_id)
    assert KEYS.index(3) == "app:{p3}:runs"
    assert KEYS.leases(3) == "app:{p3}:leases"


def test_new_ids_are_random() -> None:
    """An id has 128 random bits, and without a key it may be in any partition."""
    made = {KEYS.new_run_id(None) for _ in range(500)}
    assert len(made) == 500
    assert len({run_id.partition("-")[0] for run_id in made}) > 100
    assert all(re.fullmatch(r"p[0-9]{1,3}-[0-9a-f]{32}", run_id) for run_id in made)


@pytest.mark.parametrize("prefix", ["", "a{b", "a}b", "a b", "a\n", "é"])
def test_a_prefix_that_hides_the_tag_is_refused(prefix: str) -> None:
    """A prefix with braces would decide the slot on a Cluster, and is refused, as is any strange one."""
    with pytest.raises(ValueError, match="prefix must be of"):
        Keys(prefix)


def test_a_name_tells_its_hash_slot() -> None:
    """Cluster: what a server makes of any name of ours is known here, and all names of a partition are in one slot."""
    for partition in range(PARTITIONS):
        names = KEYS.run(f"p{partition}-x"), KEYS.index(partition), KEYS.leases(partition)
        assert {hash_slot(name) for name in (*names, KEYS.wakes(f"p{partition}-x"))} == {key_slot(names[0].encode())}
        assert hash_slot(names[0]) in HASH_SLOTS
    assert len(HASH_SLOTS) > 250
    for idempotency_key in HOSTILE:
        run = KEYS.run(KEYS.new_run_id(idempotency_key))
        assert run.partition("}")[0] == KEYS.start(None, idempotency_key).partition("}")[0]
