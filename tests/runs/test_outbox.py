"""What a producer has said: the newest of what is stored, and all that is not stored yet."""

from random import Random

import pytest

from sse_relay.runs import outbox
from sse_relay.runs.outbox import Outbox, Pool


def frames(first: int, count: int, size: int = 0) -> list[bytes]:
    """Make frames that say their places."""
    return [b"%d" % offset + b"x" * size for offset in range(first, first + count)]


def sent(box: Outbox) -> list[bytes]:
    """Send all that waits, in order."""
    told: list[bytes] = []
    while box.waits:
        first, piece = box.next()
        assert first == box.last_stored + 1
        assert box.settle(first + len(piece) - 1)
        told += piece
    return told


def test_one_part_is_sent_as_it_was_given() -> None:
    """A batch is sent as it is, and again; one that is acknowledged waits no more, and nothing is no part."""
    box = Outbox()
    batch = frames(1, 3)
    box.add(batch)
    box.add([])
    first, piece = box.next()
    assert (first, box.end) == (1, 4)
    assert piece == box.next()[1] == tuple(batch)
    assert box.settle(3)
    assert not box.waits
    assert box.next() == (4, ())


def test_many_parts_are_sent_in_pieces() -> None:
    """What has piled up is sent in order, 1,000 events or 1 MiB at once; a larger part goes alone (I5)."""
    for count, size in ((64, 0), (1, 0), (64, 5000), (1, 3 << 20)):
        box = Outbox()
        for _ in range(40):
            box.add(frames(box.end, count, size))
        sizes = list[int]()
        while box.waits:
            first, piece = box.next()
            assert piece[0].startswith(b"%d" % first)
            assert len(piece) <= 1000
            assert len(piece) == count or sum(map(len, piece)) <= 1 << 20
            sizes.append(len(piece))
            box.settle(first + len(piece) - 1)
        assert sum(sizes) == 40 * count
        assert len(sizes) == 40 * count // max(sizes) + bool(40 * count % max(sizes))


@pytest.mark.parametrize(("size", "most"), [(10, 10_000), (30_000, 150)])
def test_what_waits_is_bounded(size: int, most: int) -> None:
    """L6: events and bytes are bounded within one event; what there is no room for is handed back, in order."""
    box = Outbox()
    given, left = 0, list[bytes]()
    while not left:
        given += 64
        left[:] = box.add_bounded(frames(box.end, 64, size))
        assert box._waiting_size <= outbox._MOST_BYTES + size + 200
    assert most - 64 <= box.end - 1 <= most
    assert left == frames(box.end, given + 1 - box.end, size)
    assert box.add_bounded(left) == left
    box.settle(10)
    assert len(box.add_bounded(left)) < len(left)


def test_what_waits_of_all_runs_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """L6: many runs share a bound, within one event each; each may hold one, and what is let go of makes room."""
    monkeypatch.setattr(outbox, "_MOST_OF_ALL", 100_000)
    pool = Pool()
    boxes = [Outbox(pool) for _ in range(50)]
    left = [box.add_bounded(frames(1, 100, 1000)) for box in boxes]
    assert all(box.end > 1 for box in boxes)
    assert sum(100 - len(rest) for rest in left) < 100 + 50
    assert pool.waiting == sum(box._waiting_size for box in boxes) < 100_000 + 50 * 1300
    for box in boxes[1:]:
        box.settle(box.end - 1)
        box.clear()
    assert pool.waiting == boxes[0]._waiting_size
    boxes[0].settle(50)
    assert boxes[1].add_bounded(frames(boxes[1].end, 10, 1000)) == ()
    for box in boxes:
        box.clear()
    assert pool.waiting == 0


def test_what_is_stored_is_held_for_a_while() -> None:
    """A tail that was lost waits again, at its place; of a log the newest 256 KiB are held, of a small one all (I4)."""
    box = Outbox()
    for _ in range(10):
        box.add(frames(box.end, 5))
        box.settle(box.end - 1)
    assert not box.settle(60)
    for last in (50, 43, 40, 7, 0):
        assert box.settle(last)
        assert box.last_stored == last
        assert sent(box) == frames(last + 1, 50 - last)
    for _ in range(1000):
        box.add(frames(box.end, 10, 100))
        box.settle(box.end - 1)
        assert box._stored_size <= outbox._STORED_BYTES
    assert box.settle(box.end - 1000)
    assert len(sent(box)) == 999
    assert not box.settle(5000)


def test_what_is_dropped_leaves_no_hole() -> None:
    """What waits may be dropped: the next frame then has the place behind the last one that is stored (I7)."""
    box = Outbox()
    box.add(frames(1, 5))
    box.settle(3)
    box.drop()
    assert (box.end, box.waits) == (4, False)
    box.add(frames(4, 1))
    assert box.settle(2)
    assert sent(box) == frames(3, 2)
    box.clear()
    assert not box.settle(3)
    assert (box._stored_size, box._waiting_size) == (0, 0)


@pytest.mark.parametrize("seed", range(10))
def test_whatever_is_lost_is_sent_in_order(seed: int) -> None:
    """I4, I5: after any acknowledgements and losses, what is sent from a place on is what was said there."""
    random, box = Random(seed), Outbox()
    last = 0
    for _ in range(500):
        box.add(frames(box.end, random.randrange(4), random.randrange(50)))
        first, piece = box.next()
        for offset, each in enumerate(piece, first):
            assert each.rstrip(b"x") == b"%d" % offset
        last = random.choice(
            [first - 1 + len(piece), first - 1 + random.randint(0, len(piece)), random.randint(0, last)]
        )
        last = max(last, box.end - 1 - 300)
        assert box.settle(last)
        assert box._stored_size == outbox._size(list(box._stored))
        assert box._waiting_size == outbox._size(list(box._waiting))
        assert box.last_stored == last
