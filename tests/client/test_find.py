"""Find a run by its key, and the outcome of one that has ended."""

import asyncio
import json

import httpx2
import pytest

from sse_relay import Outcome
from sse_relay.client.find import Finder, FindRun, outcome_at
from tests.adapters.servers import on_virtual_time
from tests.client.peers import Peer, Reply

WHERE = FindRun("http://peer/relay/", "chat/7")
OUTCOME = b'{"outcome":{"status":"failed","reason":"error","error":null}}'


def relay(runs: dict[str, str]) -> Peer:
    """A relay whose keys lead to these runs."""

    def answer(request: httpx2.Request) -> Reply:
        assert request.headers["authorization"] == "x"
        key, which = request.url.raw_path.decode().rsplit("/", 1)
        assert key == "/relay/keys/chat%2F7"
        return Reply(json.dumps({"id": runs[which]}).encode()) if which in runs else Reply(status=404)

    return Peer(answer)


@pytest.mark.parametrize(
    ("before", "after", "found"),
    [
        ({}, {"active": "new", "latest": "new"}, "new"),
        ({"latest": "old"}, {"latest": "new 1"}, "new%201"),
        ({"latest": "old"}, {"latest": "old"}, None),
        ({"active": "old", "latest": "old"}, {"active": "old", "latest": "old"}, "old"),
        ({}, {}, None),
    ],
    ids=["started", "ended meanwhile", "never started", "joined", "nothing"],
)
def test_the_run_of_a_request(before: dict[str, str], after: dict[str, str], found: str | None) -> None:
    """I3: the key's active run, or its latest if it was not there before: never an older answer."""

    @on_virtual_time
    async def main() -> None:
        finder = Finder(WHERE, relay(before).client, {"authorization": "x"})
        await finder.look_before()
        finder._client = relay(after).client
        assert await finder.url() == (found and f"http://peer/relay/runs/{found}/events")

    main()


@on_virtual_time
async def test_a_relay_that_does_not_answer() -> None:
    """I3: five seconds a question, and any answer that is none, mean that nothing was found."""
    finder = Finder(WHERE, Peer(Reply(b"[", status=200), Reply(1e9), httpx2.ConnectError("")).client, {})
    await finder.look_before()
    assert await finder.url() is None
    assert asyncio.get_running_loop().time() == pytest.approx(5)


@on_virtual_time
async def test_the_outcome_of_a_run() -> None:
    """I1: the state beside a run's events tells its outcome, if it is told there."""
    url = "http://peer/relay/runs/r/events?after=3"
    peer = Peer(Reply(OUTCOME))
    assert await outcome_at(peer.client, url, {}) == Outcome("failed", "error")
    assert str(peer.requests[0].url) == "http://peer/relay/runs/r"
    for body in (b'{"outcome":null}', b'{"outcome":{"status":"odd"}}', b"{}"):
        assert await outcome_at(Peer(Reply(body)).client, url, {}) is None
    assert await outcome_at(Peer().client, "http://peer/feed", {}) is None
