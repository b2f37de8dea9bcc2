"""When to connect again."""

import ssl
from collections.abc import Sequence

import httpx2
import pytest

from sse_relay import IdleTimeoutError, RunNotFoundError, StreamIncompleteError
from sse_relay.client import Backoff, ConnectionLostError, ServerBusyError
from sse_relay.client.reconnect import MAX_WISH, Reconnection, is_transient, was_sent

CUT = StreamIncompleteError("native")
DOUBLED = (3, 6, 12, 24, 24)


def pauses(reconnection: Reconnection, errors: Sequence[Exception]) -> list[float]:
    return [reconnection.pause_after(error, repeatable=True) for error in errors]


@pytest.mark.parametrize("jitter", [0.0, 0.5, 1.0])
def test_the_pause_doubles(jitter: float) -> None:
    """I2: 3 s at first, twice as long each time, a quarter of it at random, 30 s at most."""
    reconnection = Reconnection(Backoff(), None, lambda: jitter)
    expected = [nominal * (1 + jitter / 4) for nominal in DOUBLED]
    assert pauses(reconnection, [CUT] * 5) == pytest.approx(expected)
    assert pauses(reconnection, [CUT] * 2_000)[-1] <= 30
    reconnection.progressed()
    assert pauses(reconnection, [CUT]) == pytest.approx(expected[:1])


def test_what_the_server_wishes() -> None:
    """I2: `retry:` is the first pause, Retry-After the least one; neither sends a client away for good."""
    reconnection = Reconnection(Backoff(), None, lambda: 0.0)
    reconnection.retry = 100
    assert pauses(reconnection, [CUT, CUT]) == pytest.approx([0.1, 0.2])
    busy = ServerBusyError("", 503, retry_after=60.0)
    assert pauses(reconnection, [busy, ServerBusyError("", 503)]) == pytest.approx([60, 0.8])
    reconnection.retry = 10**12
    assert pauses(reconnection, [CUT]) == [MAX_WISH]


def test_the_limit() -> None:
    """I7: the connection after the last retry is not made; the first error since the last event is kept."""
    reconnection = Reconnection(Backoff(), 1, lambda: 0.0)
    pauses(reconnection, [CUT])
    reconnection.progressed()
    first, last = httpx2.ReadError("first"), httpx2.ConnectError("last")
    pauses(reconnection, [first])
    with pytest.raises(ConnectionLostError) as caught:
        pauses(reconnection, [last])
    assert (caught.value.original, caught.value.__cause__) == (first, last)


def test_a_first_connection_that_must_be() -> None:
    """I7: with `fail_fast` the first failure is final; once the stream was there, none is."""
    for error in (CUT, ServerBusyError("", 503)):
        with pytest.raises(ConnectionLostError, match="first connection") as caught:
            pauses(Reconnection(Backoff(), None, lambda: 0.0, fail_fast=True), [error])
        assert (caught.value.reason, caught.value.original) == ("fail_fast", error)
    reconnection = Reconnection(Backoff(), None, lambda: 0.0, fail_fast=True)
    reconnection.connected()
    assert pauses(reconnection, [CUT] * 9)


def test_what_is_final() -> None:
    """I7: what no repetition mends is raised as it is; its cause is what broke the connection first."""
    error = RunNotFoundError("x")
    with pytest.raises(RunNotFoundError) as caught:
        pauses(Reconnection(Backoff(), None, lambda: 0.0), [CUT, IdleTimeoutError(1), error])
    assert caught.value is error
    assert error.__cause__ is CUT


def test_options_are_checked() -> None:
    """A backoff that shrinks, and a negative limit, are refused."""
    with pytest.raises(ValueError, match="first"):
        Backoff(first=2, cap=1)
    with pytest.raises(ValueError, match="max_retries"):
        Reconnection(Backoff(), -1, lambda: 0.0)


def test_which_errors_pass() -> None:
    """I2: broken and silent connections pass; a request that cannot be right, or a server that is another, do not."""
    untrusted = httpx2.ConnectError("certificate")
    untrusted.__cause__ = ssl.SSLCertVerificationError()
    passing = [CUT, IdleTimeoutError(1), ConnectionResetError(), httpx2.ReadError(""), httpx2.RemoteProtocolError("")]
    final = [ValueError(), httpx2.UnsupportedProtocol(""), httpx2.TooManyRedirects(""), untrusted]
    assert all(map(is_transient, passing))
    assert not any(map(is_transient, final))


def test_what_the_server_may_have_begun() -> None:
    """I2: a request that was refused, or did not get out, has had no effect."""
    unsent = [httpx2.ConnectError(""), httpx2.ConnectTimeout(""), ServerBusyError("", 429), ConnectionRefusedError()]
    sent = [httpx2.ReadError(""), IdleTimeoutError(1), CUT, ConnectionResetError()]
    sent += [ServerBusyError("", 502), ServerBusyError("", 504)]
    assert not any(map(was_sent, unsent))
    assert all(map(was_sent, sent))
