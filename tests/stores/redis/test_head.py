"""What all appends by one grant have in common, written once."""

import pytest

from sse_relay.stores.redis.head import Head
from sse_relay.stores.redis.keys import Keys
from sse_relay.stores.redis.resp import pack

BOUNDS = b"10", b"100", b"1"


@pytest.mark.parametrize("bounds", [(), BOUNDS])
@pytest.mark.parametrize("run_id", ["p17-abc", "100%d", "us\u00e9r \r\n%b", "\ud800"])
@pytest.mark.parametrize("packed", [b"", b"B\x01\x09data: %s\n\n", b"x" * 5000])
def test_words_are_the_arguments(run_id: str, bounds: tuple[bytes, ...], packed: bytes) -> None:
    """What is written in one piece is what a client would write of the arguments, whatever is in them."""
    head = Head(Keys("app"), run_id, "epoch", 3, bounds)
    for first, last in ((1, 1), (9, 10), (99, 98), (100_000, 123_456)):
        args = head.args(first, last, packed, b"")
        whole = pack(b"1", head.keys[0].encode(), *args)
        assert whole == b"*%d\r\n%b" % (head.count, head.words(first, last, packed))
        assert args[:5] == (b"3", b"%d" % (first - 1), b"%d" % last, packed, b"")
        assert args[5].startswith(b"log ")
        assert args[5].endswith(b" epoch %d %d " % (first, last - first + 1))
        assert args[9:] == bounds


def test_names_are_of_the_runs_partition() -> None:
    """Cluster: what the script is told the names of is in the slot of the run."""
    args = Head(Keys("app"), "p17-abc", "epoch", 1, ()).args(1, 1, b"", b"")
    assert args[6:] == (b"app:{p17}:recent:p17-abc", b"app:{p17}:log:p17-abc", b"app:{p17}:wakes")
