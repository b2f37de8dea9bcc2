"""The other end of a response: who writes learns in time that it is gone, and of nothing else."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

import pytest

from sse_relay.adapters.connection import Client, ClientGoneError, detached, listen
from sse_relay.adapters.messages import Message, body
from tests.adapters.servers import on_virtual_time
from tests.adapters.sources import silence

both = pytest.mark.parametrize("patient", [False, True], ids=["impatient", "patient"])


def now() -> float:
    """Tell the time, in seconds."""
    return asyncio.get_running_loop().time()


def cancelling() -> int:
    """Tell how many cancellations the current task has not taken back."""
    task = asyncio.current_task()
    assert task is not None
    return task.cancelling()


class Line:
    """What `send` does: takes messages, at a pace, or does what it is told."""

    def __init__(self, pause: float = 0.0, then: Callable[[], None] | None = None) -> None:
        self.sent: list[bytes] = []
        self._pause = pause
        self._then = then

    async def send(self, message: Message) -> None:
        """Take a message."""
        await asyncio.sleep(self._pause)
        if self._then is not None:
            self._then()
        self.sent.append(message["body"])


def reset() -> None:
    """Fail as a connection does."""
    raise ConnectionResetError


def broken() -> None:
    """Fail as a server does."""
    raise ValueError


# Writing


@both
@on_virtual_time
async def test_a_write_has_a_deadline(patient: bool) -> None:
    """L4: a write that does not end is interrupted in time; who does not go on without the client ends there."""
    line = Line(1000)
    client = Client(line.send, 30, patient=patient)
    written: list[float] = []
    with client:
        await client.send(body(b"a"))
        written.append(now())
    assert written == ([30] if patient else [])
    assert now() == 30
    assert client.gone
    assert not line.sent
    assert cancelling() == 0


@on_virtual_time
async def test_the_deadline_is_of_one_write() -> None:
    """L4: slow writes, each in time, and long pauses between them, end nothing."""
    line = Line(25)
    client = Client(line.send, 30)
    with client:
        for pause in (0, 29, 31, 100, 5):
            await client.send(body(b"a"))
            await asyncio.sleep(pause)
        assert not client.gone
    assert len(line.sent) == 5
    assert client.gone  # nothing is sent after the end


@on_virtual_time
async def test_without_a_deadline_a_write_may_take_for_ever() -> None:
    """``send_timeout=None``: an hour is nothing."""
    line = Line(3600)
    client = Client(line.send, None)
    with client:
        await client.send(body(b"a"))
    assert line.sent == [b"a"]


@both
@on_virtual_time
async def test_a_connection_that_fails_is_a_client_that_is_gone(patient: bool) -> None:
    """F: OSError is a disconnect, and afterwards nothing is sent."""
    line = Line(then=reset)
    client = Client(line.send, 30, patient=patient)
    reached = False
    with client:
        for _ in range(3):
            await client.send(body(b"a"))
        reached = True
    assert reached is patient
    assert client.gone
    assert not line.sent
    assert cancelling() == 0


@both
@on_virtual_time
async def test_another_error_is_raised(patient: bool) -> None:
    """L7: what `send` raises apart from OSError goes on."""
    client = Client(Line(then=broken).send, 30, patient=patient)
    with pytest.raises(ValueError), client:  # noqa: PT011 - it is ours
        await client.send(body(b"a"))


# Leaving


@on_virtual_time
async def test_leaving_interrupts_what_waits() -> None:
    """F: a client that leaves ends a read that waits; the block is left quietly, once, and the task goes on."""
    client = Client(Line().send, 30)
    loop = asyncio.get_running_loop()
    for seconds in (10, 10, 11):
        loop.call_later(seconds, client.leave)
    with client:
        await silence().wait()
    assert now() == 10
    assert cancelling() == 0
    await asyncio.sleep(5)  # the later ones are nothing to a task that has left


@on_virtual_time
async def test_a_patient_response_reads_on() -> None:
    """F, ``on_disconnect="continue"``: a client that leaves interrupts a write, never the reading."""
    line = Line(20)
    client = Client(line.send, 30, patient=True)
    loop = asyncio.get_running_loop()
    loop.call_later(25, client.leave)
    with client:
        await client.send(body(b"a"))
        await client.send(body(b"b"))
        assert now() == 25
        await asyncio.sleep(100)
        await client.send(body(b"c"))
        assert now() == 125
    assert line.sent == [b"a"]
    assert cancelling() == 0


@pytest.mark.parametrize("first", ["client", "server"])
@pytest.mark.parametrize("writes", [False, True], ids=["reading", "writing"])
@both
@on_virtual_time
async def test_a_cancellation_by_the_server_goes_on(first: str, writes: bool, patient: bool) -> None:
    """I9: whoever cancels the task besides the client, before or after it, is heard."""
    client = Client(Line(1000).send, None, patient=patient)

    async def respond() -> None:
        with client:
            await (client.send(body(b"a")) if writes else silence().wait())

    task = asyncio.create_task(respond())
    await asyncio.sleep(1)
    steps: list[Callable[[], object]] = [client.leave, task.cancel]
    for step in steps if first == "client" else reversed(steps):
        step()
    await asyncio.wait({task})
    assert task.cancelled()


@on_virtual_time
async def test_an_old_cancellation_stays_where_it_was() -> None:
    """I9: a task that swallowed a cancellation before has it still, and no other."""
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    with suppress(asyncio.CancelledError):
        await asyncio.sleep(0)
    client = Client(Line().send, 30)
    asyncio.get_running_loop().call_later(1, client.leave)
    with client:
        await silence().wait()
    assert task.uncancel() == 0


@on_virtual_time
async def test_a_write_that_swallows_its_interruption_ends_too() -> None:
    """F: behind a middleware that swallows cancellations, the response ends with the write, and owes nobody one."""

    async def swallow(_: Message) -> None:
        with suppress(asyncio.CancelledError):
            await silence().wait()

    client = Client(swallow, 30)
    with client:
        await client.send(body(b"a"))
        raise AssertionError("it went on")
    assert now() == 30
    assert cancelling() == 0


@on_virtual_time
async def test_a_client_that_is_gone_is_an_exception_outside() -> None:
    """F: outside of a block around the writing, a client that is gone is an exception of its own."""
    client = Client(Line(then=reset).send, 30)
    with pytest.raises(ClientGoneError):
        await client.send(body(b"a"))


# Listening


@on_virtual_time
async def test_the_rest_of_a_request_is_read_over() -> None:
    """F: a request body that the application did not want does not hide that its client leaves."""
    messages = [{"type": "http.request", "body": b"x", "more_body": True}] * 3 + [{"type": "http.disconnect"}]
    client = Client(Line().send, 30)

    async def receive() -> Message:
        await asyncio.sleep(1)
        return messages.pop(0)

    await listen(receive, client)
    assert client.gone
    assert now() == 4


@on_virtual_time
async def test_a_receive_that_fails_means_gone(caplog: pytest.LogCaptureFixture) -> None:
    """L7: a `receive` that raises is a client that is gone, and the log has why."""

    async def receive() -> Message:
        raise ValueError("a broken middleware")

    client = Client(Line().send, 30)
    await listen(receive, client)
    assert client.gone
    assert "a broken middleware" in caplog.text


# Work that goes on


@pytest.mark.parametrize("times", [1, 2, 10])
@on_virtual_time
async def test_detached_work_goes_on(times: int) -> None:
    """I9: however often the one who waits is cancelled, the work is done, and the cancellation goes on."""
    done: list[float] = []

    async def work() -> None:
        await asyncio.sleep(10)
        done.append(now())

    task = asyncio.create_task(detached(work()))
    await asyncio.sleep(1)
    for _ in range(times):
        task.cancel()
        await asyncio.sleep(0)
    assert task.cancelled()
    await asyncio.sleep(20)
    assert done == [10]


@on_virtual_time
async def test_what_detached_work_raises_is_heard() -> None:
    """L7: who waits to the end gets the work's exception."""

    async def work() -> None:
        await asyncio.sleep(1)
        raise ValueError("of the work")

    with pytest.raises(ValueError, match="of the work"):
        await detached(work())
