"""What unmodified clients make of a real server: each in the words of its own, and all of them the same."""

import json
from typing import Any

import pytest

from tests.clients.clients import COMING_BACK, Client
from tests.clients.plays import PIECES, SECRET, TEXT, TOOLS

Saw = dict[str, Any]

# The first test of a client waits for all that it watches: three seconds of silence, and a producer's last lease.
pytestmark = pytest.mark.timeout(60)


def test_a_text_arrives_whole(saw: Saw, client: Client) -> None:
    """Every piece of a text arrives once, in order, and then the true reason of its end (I1, I2)."""
    assert (_text(saw["text"]), saw["text"]["finish"], saw["text"]["error"]) == (TEXT, [client.finish], None)


def test_interleaved_calls_are_kept_apart(saw: Saw, client: Client) -> None:
    """Two calls of tools whose arguments come interleaved arrive as two whole calls (I1)."""
    calls = [[call_id, name, json.loads(arguments)] for call_id, name, arguments in saw["tools"]["tools"]]
    assert calls == [[call_id, name, json.loads(arguments)] for call_id, name, arguments in TOOLS]
    assert (_text(saw["tools"]), saw["tools"]["finish"]) == ("Let me see.", [client.calls])


def test_usage_is_told(saw: Saw, client: Client) -> None:
    """The tokens that were used arrive where the client has a word for them, beside a whole text (I1)."""
    assert tuple(saw["usage"]["usage"] or ()) == (client.usage or ())
    assert _text(saw["usage"]) == TEXT


def test_heartbeats_bridge_a_silence(saw: Saw, client: Client) -> None:
    """Three silent seconds neither end a client that waits for one second, nor show in what it reads (L4)."""
    assert saw["silence"] == saw["text"]


@pytest.mark.parametrize(
    ("play", "words"),
    [
        ("raises", ["internal_error", "An internal error occurred."]),
        ("killed", ["producer_lost", "The producer of the stream has died."]),
        ("endless", ["cancelled", "abort"]),
    ],
)
def test_no_abnormal_end_looks_like_success(saw: Saw, play: str, words: list[str]) -> None:
    """A producer that raises, dies or is stopped in mid-run is an error that says so, behind the text (I2, I7)."""
    seen = saw[play]
    assert _text(seen) == "".join(PIECES[:3])
    assert seen["finish"] == []
    said = " ".join(str(part) for part in (seen["error"] or {}).values())
    assert any(word in said for word in words), seen["error"]


def test_no_detail_of_an_exception_leaks(saw: Saw) -> None:
    """What an exception of the producer says, no client reads (I13)."""
    assert saw["raises"]["error"] is not None
    assert SECRET not in json.dumps(saw)


@pytest.mark.parametrize("client", COMING_BACK, ids=str, indirect=True)
def test_a_cut_connection_loses_and_doubles_nothing(saw: Saw, client: Client) -> None:
    """A client notices a cut, wherever it is; it comes back, and has the same in the end (I3)."""
    assert saw[client.whole_play]["cut"] is None, "there are more events"
    for play in client.cut_plays:
        seen = saw[play]
        assert seen["cut"] is not None, play
        assert seen["error"] is None, play
        assert seen["pieces"] in ([TEXT], list(PIECES)), play
        assert tuple(seen["usage"] or ()) == (client.usage or ()), play
        # The end is one record: who did not get it to its last event gets it again.
        assert set(seen["finish"]) == {client.finish}, play


def _text(seen: Saw) -> str:
    return "".join(seen["pieces"])
