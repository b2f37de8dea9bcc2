"""Endpoints that count in their payloads."""

import json
from typing import Any

import pytest

from sse_relay import Outcome, ServerSentEvent
from sse_relay.client import connect
from sse_relay.client.place import Request
from sse_relay.client.starting_after import ByStartingAfter, Endpoint
from sse_relay.dialects import Letta
from tests.adapters.servers import TwoParts, on_virtual_time
from tests.client.peers import NO_PAUSE, Peer, Reply

RESPONSES = "https://api/v1/responses"
MESSAGES = "https://letta/v1/agents/agent-1/messages/stream"


class Ended(TwoParts):
    """A dialect that ends with `[DONE]`."""

    def outcome_of(self, event: ServerSentEvent) -> Outcome | None:
        """Recognise it."""
        return Outcome("completed") if event.data == "[DONE]" else None


def take(place: ByStartingAfter, *events: object) -> list[object]:
    place.connected()
    return [said for said in events if place.new_of([ServerSentEvent.json(said)])]


def test_a_response_that_was_begun_by_a_post() -> None:
    """I1, I2: the response's id and the last number make the address of the rest; the body is not sent again."""
    place = ByStartingAfter("openai")
    first = Request(RESPONSES, "POST", {"authorization": "x"}, {"input": "Hi", "stream": True})
    assert place.next_request(first) == first
    take(place, {"sequence_number": 0, "response": {"id": "resp/1"}}, {"sequence_number": 1})
    rest = f"{RESPONSES}/resp%2F1?stream=true&starting_after=1"
    assert place.next_request(first) == Request(rest, "GET", {"authorization": "x"})
    assert place.text == "1"


def test_a_response_that_is_there_already() -> None:
    """I2: at the address of a response, only the number changes."""
    place = ByStartingAfter("openai", 4)
    first = Request(f"{RESPONSES}/r?starting_after=0&stream=true&include=x")
    assert place.next_request(first).url == f"{RESPONSES}/r?include=x&stream=true&starting_after=4"


def test_a_letta_run() -> None:
    """I1, I2: the run and the last number of a Letta stream make the request for the rest."""
    place = ByStartingAfter("letta")
    first = Request(MESSAGES, "POST", json={"messages": []})
    take(place, {"run_id": "run-1"}, {"run_id": "run-1", "seq_id": 3})
    assert place.next_request(first) == Request("https://letta/v1/runs/run-1/stream", "POST", {}, {"starting_after": 3})
    first = Request("https://letta/v1/runs/run-1/stream", "POST", json={"batch_size": 5, "starting_after": 0})
    assert place.next_request(first).json == {"batch_size": 5, "starting_after": 3}


@pytest.mark.parametrize(("endpoint", "name"), [("openai", "sequence_number"), ("letta", "seq_id")])
def test_what_comes_again(endpoint: Endpoint, name: str) -> None:
    """I1, I2: numbers that were seen are dropped, with what has no number behind them."""
    place = ByStartingAfter(endpoint)
    one, two, more = {name: 1}, {name: 2}, {"more": True}
    assert take(place, one, more, two) == [one, more, two]
    assert take(place, one, more, two, {name: 3}, more) == [{name: 3}, more]
    assert take(place, "[DONE]", None, [1], {name: "4"}, {name: True}) == [
        "[DONE]",
        None,
        [1],
        {name: "4"},
        {name: True},
    ]


def test_what_was_cut_off_behind_a_number() -> None:
    """I1, I3: where a number comes again, what was not seen behind it is new."""
    place = ByStartingAfter("letta")
    last = {"seq_id": 9}
    assert take(place, {"seq_id": 8}, "a", last, "b") == [{"seq_id": 8}, "a", last, "b"]
    assert take(place, {"seq_id": 8}, "a", last, "b", "[DONE]") == ["[DONE]"]
    assert take(place, last, "b", "[DONE]") == []
    assert take(place, "a", last, "b", "[DONE]", "c") == ["c"]


@on_virtual_time
async def test_nothing_behind_a_stop_reason() -> None:
    """I2: a Letta stream that was cut between its stop reason and its end has ended as it said: 204 tells no more."""
    stop = {"message_type": "stop_reason", "stop_reason": "end_turn", "run_id": "r", "seq_id": 2}
    peer = Peer(Reply(ServerSentEvent.json(stop).encode()), Reply(status=204))
    async with connect(MESSAGES, client=peer.client, dialect=Letta(), starting_after="letta") as events:
        assert len([event async for event in events]) == 1
    assert events.outcome == Outcome("completed", "end_turn")


@on_virtual_time
async def test_ids_of_the_run_survive_a_resume() -> None:
    """I1, defect 20: a Letta stream that is cut twice is whole, and what it ends with is final."""
    records = [f"data: {json.dumps({'run_id': 'run-1', 'seq_id': number})}\n\n".encode() for number in range(1, 6)]

    def answer(request: Any) -> Reply:
        after = json.loads(request.content).get("starting_after", 0)
        return Reply(*records[after:][:2]) if after < 4 else Reply(*records[after:], b"data: [DONE]\n\n")

    peer = Peer(answer)
    options: dict[str, Any] = {"dialect": Ended(), "starting_after": "letta", "backoff": NO_PAUSE}
    async with connect(MESSAGES, method="POST", json={}, client=peer.client, **options) as events:
        seen = [event.data async for event in events]
    assert [json.loads(data or "")["seq_id"] for data in seen[:-1]] == [1, 2, 3, 4, 5]
    assert (events.outcome, events.last_id, events.resumes) == (Outcome("completed"), "5", 2)
    assert [request.url.path for request in peer.requests[1:]] == ["/v1/runs/run-1/stream"] * 2
