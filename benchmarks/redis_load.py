"""
Events that come at a pace, from a process that leaves the machine to who reads them.

``python -m benchmarks.redis_load URL STREAMS RATE SECONDS`` claims runs, tells their ids in one line, and at a line
from the reader appends events at the pace of `RATE` a second in all, one run after the other. Each says when its append
was sent, on the clock that processes share. At last it tells its CPU time.

The commands are those that `RedisStore.append` sends, on a bare socket that does not wait for the answers: with a task
an event the writer would want more of two cores than the reader and the server.
"""

import asyncio
import json
import re
import socket
import sys
from collections.abc import Sequence
from time import monotonic, process_time, sleep

from benchmarks.redis_floor import FRAME, command, connect
from benchmarks.redis_runs import claimed
from sse_relay.stores.redis import RedisStore
from sse_relay.stores.redis.codec import pack
from sse_relay.stores.redis.head import Head
from sse_relay.stores.redis.keys import Keys
from sse_relay.stores.redis.scripts import Flavour, load

__all__ = ["STAMP"]

STAMP = 18  # digits of a time
_HEAD = b"event: text\ndata: "
_FILLER = FRAME[len(_HEAD) + STAMP :]
_TICK = 0.0005  # seconds between two sends, at least
_APPEND = load("append")
_REFUSED = re.compile(rb"[A-Za-jl-np-z]")


def _stamped() -> bytes:
    return b"%b%018.6f%b" % (_HEAD, monotonic(), _FILLER)


def _append(head: Head, offset: int) -> bytes:
    """Write what appends one event."""
    words = head.words(offset, offset, pack([_stamped()]))
    return _APPEND.written(Flavour.OLD, words, head.count, loads=False)


class _Answers:
    """What the server says to each append: ``ok``, and numbers."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._count = 0

    def take(self, count: int, flags: int = 0) -> None:
        """Wait until so many appends are answered; with the flag, take what is there."""
        while self._count < count:
            try:
                said = self._sock.recv(1 << 16, flags)
            except BlockingIOError:
                return
            if not said or _REFUSED.search(said):
                raise RuntimeError(said or "the server has hung up")
            self._count += said.count(b"o")


def _write(sock: socket.socket, heads: Sequence[Head], count: int, rate: float) -> None:
    """Append the events when they are due."""
    answers = _Answers(sock)
    sent, start = 0, monotonic()
    while sent < count:
        due = min(int((monotonic() - start) * rate) + 1, count)
        rows = [divmod(number, len(heads)) for number in range(sent, due)]
        sock.sendall(b"".join([_append(heads[place], row + 1) for row, place in rows]))
        sent = due
        answers.take(sent, socket.MSG_DONTWAIT)
        sleep(max(start + sent / rate - monotonic(), _TICK))
    answers.take(count)


async def _main(url: str, streams: int, rate: float, seconds: float) -> None:
    store = RedisStore.from_url(url, deadline=30)  # a busy machine makes events late, and lets none fail
    grants = await claimed(store, streams)
    print(json.dumps([grant.run_id for grant in grants]), flush=True)
    sys.stdin.readline()
    keys, count = Keys("sse_relay"), max(int(rate * seconds), 1)
    heads = [Head(keys, grant.run_id, grant.epoch, grant.fence, ()) for grant in grants]
    with connect(url) as sock:
        sock.sendall(command(b"SCRIPT", b"LOAD", _APPEND.text(Flavour.OLD).source))
        sock.recv(100)
        used = process_time()
        _write(sock, heads, count, rate)
        print(process_time() - used, flush=True)
    await store.aclose()


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4])))
