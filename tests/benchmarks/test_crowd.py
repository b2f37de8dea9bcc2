"""The benchmarks of many viewers measure what they say, and every table of theirs comes out."""

import errno
import resource
import socket
from contextlib import ExitStack
from typing import Any

import pytest

from benchmarks import crowd, idle_viewers, live_viewers, viewed
from benchmarks.client import Arrivals, connected, read_body
from benchmarks.measure import TIMES, Table
from benchmarks.redis_server import Server
from benchmarks.servers import BARE
from benchmarks.viewed import PATH, RESPONSE, Case
from sse_relay import EventDecoder
from tests.benchmarks.expecting import has_connections, targets

VIEWERS = 3
pytest.importorskip("uvicorn")


def stream(case: Case, server: Server, seconds: float) -> bytes:
    """What a viewer of a live run gets in some time, without the chunks of HTTP."""
    server.empty()
    with viewed.viewed(case.name, 1, store=case.store(server.unix), rate=50) as address, ExitStack() as stack:
        arrivals = stack.enter_context(Arrivals(connected(stack, address, PATH, 1)))
        arrivals.note(seconds)
        body = b"".join(part for _, part in arrivals.found)
    sizes_and_chunks = iter(body.split(b"\r\n"))
    return b"".join(chunk for _, chunk in zip(sizes_and_chunks, sizes_and_chunks, strict=False))


@pytest.mark.parametrize("case", live_viewers.CASES, ids=str)
def test_all_send_events_of_one_shape(server: Server, case: Case) -> None:
    """Each application sends the same fields in the same number of bytes, whoever makes them; places follow."""
    found = [event for event in EventDecoder().feed(stream(case, server, 0.5)) if event.data is not None]
    assert found
    assert {event.event for event in found} == {"text"}
    assert {len(event.data or "") for event in found} == {viewed.STAMP}
    epochs, offsets = zip(*[(event.id or "").split(":") for event in found], strict=True)
    assert {len(epoch) for epoch in epochs} == {16}
    assert list(map(int, offsets)) == list(range(int(offsets[0]), int(offsets[0]) + len(found)))


@pytest.mark.parametrize("case", live_viewers.CASES, ids=str)
def test_every_viewer_is_late_for_every_event_once(server: Server, case: Case) -> None:
    """A reading has as many times as events came to viewers, each of them later than the event was made."""
    found = live_viewers.read(case, server, VIEWERS, rate=50, settle=0.1, seconds=0.4)
    assert found.events == int(found.events) >= 1
    assert 0 < found.p50 <= found.p99 < 20_000
    assert found.cpu > 0


@pytest.mark.parametrize("case", idle_viewers.CASES, ids=str)
def test_idle_viewers_are_counted_in_their_server(server: Server, case: Case) -> None:
    """A server holds more with viewers than without, and each viewer has got its first byte."""
    assert idle_viewers.held(case, server, VIEWERS, traced=True) > 0


def test_idle_viewers_are_counted_in_their_store(server: Server) -> None:
    """What the process of idle viewers sends is counted, on connections of its own; none is left afterwards."""
    before = len(server.client.client_list())
    found = idle_viewers.asked(Case(RESPONSE, in_redis=True), server, VIEWERS, settle=0.1, seconds=1.1)
    assert found.connections > 0
    assert 0 < found.commands < found.inner  # renewals are scripts
    assert has_connections(server, before)


def test_viewers_come_from_another_address_where_ports_run_short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a port left of one address of this machine, a viewer has another; any other failure is one."""
    create, refused = socket.create_connection, [OSError(errno.EADDRNOTAVAIL, "none left")]

    def short(*arguments: Any, **options: Any) -> socket.socket:
        if refused:
            raise refused.pop()
        return create(*arguments, **options)

    monkeypatch.setattr(socket, "create_connection", short)
    with viewed.viewed(BARE, VIEWERS) as address, ExitStack() as stack:
        one, other = connected(stack, address, PATH, 2)
        assert (one.getsockname()[0], other.getsockname()[0]) == ("127.0.0.2", "127.0.0.1")
        assert int(read_body(address, "/viewers")) == 2
        refused.append(OSError(errno.ECONNREFUSED, "gone"))
        with pytest.raises(OSError, match="gone"):
            connected(stack, address, PATH, 1)


def test_as_many_viewers_as_the_system_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    """The soft limit of descriptors is raised to what is wanted; a hard one below that leaves fewer viewers."""
    limits: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "setrlimit", lambda _, limit: limits.append(limit))
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 20_000))
    assert viewed.allowed(5000) == 5000
    assert limits.pop() == (5100, 20_000)
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 1024))
    assert viewed.allowed(5000) == 924
    assert limits.pop() == (1024, 1024)
    monkeypatch.setattr(resource, "getrlimit", lambda _: (20_000, 20_000))
    assert viewed.allowed(5000) == 5000
    assert not limits


@pytest.mark.usefixtures("server")
@pytest.mark.evidence
@pytest.mark.timeout(120)  # it starts eighteen servers, one after the other
def test_every_table_comes_out() -> None:
    """A quick run gives the three tables, with all the targets that many viewers have."""
    tables = crowd.tables(quick=True)
    memory, store, live = tables
    assert targets(memory) == ["≤ 4 kB"] * 4
    assert targets(store) == ["≤ 3", "≤ 3", "≤ 0.5/s more"] * 2
    assert targets(live) == [f"≤ 1.5{TIMES}", f"≤ 2{TIMES}"] * 2
    for table in tables:
        assert all(len(row) == len(table.columns) for row in table.rows)


def test_fewer_viewers_are_said(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system allows fewer viewers the title says how many there are, and how many were wanted."""
    monkeypatch.setattr(crowd, "allowed", lambda _: 7)
    said: list[str] = []

    def memory(_server: Server, *, viewers: int, rounds: int, title: str) -> Table:
        said.append(f"{viewers}, {rounds}: {title}")
        return Table(title, ("",))

    monkeypatch.setattr(crowd, "memory_table", memory)
    monkeypatch.setattr(crowd, "store_table", lambda _, **load: Table(str(load["counts"]), ("",)))
    monkeypatch.setattr(crowd, "live_table", lambda _, **load: Table(str(load["viewers"]), ("",)))
    assert server.name
    _, store, _ = crowd.tables(quick=True)
    assert said == ["7, 1: 7 idle viewers (20 are more descriptors than this system allows)"]
    assert store.title == "(5, 7)"
