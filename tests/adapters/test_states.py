"""What clients are told of a run, as JSON; and what a path takes."""

import json

from sse_relay import Relay
from sse_relay.adapters.states import JsonResponse, OptionsResponse, described
from tests.adapters.relays import memory
from tests.adapters.servers import Exchange, on_virtual_time
from tests.adapters.sources import play


@on_virtual_time
async def test_a_state_has_no_metadata() -> None:
    """I13: of all that is known of a run, the metadata is the application's own."""
    async with Relay(memory()) as relay:
        run = await relay.start(play("a"), key="chat", metadata={"secret": "hunter2"})
        await relay.wait(run.id)
        said = described(await relay.info(run.id))
        assert said["outcome"] == {"status": "completed", "reason": None, "error": None}
        assert said["key"] == "chat"
        assert "hunter2" not in json.dumps(dict(said))


@on_virtual_time
async def test_json_is_not_kept() -> None:
    """I13: a state is of this instant and for this client; a HEAD has the headers only."""
    response = JsonResponse({"a": "ä"})
    whole = await Exchange().ask(response)
    assert (whole.status, whole.json) == (200, {"a": "ä"})
    assert whole.headers["cache-control"] == "no-store"
    head = await Exchange("HEAD").ask(response)
    assert (head.headers, head.body) == (whole.headers, b"")
    assert head.headers["content-length"] == str(len(whole.body))


@on_virtual_time
async def test_options_tell_methods() -> None:
    """I12: the answer to OPTIONS is of the path, and no word of a run."""
    exchange = await Exchange("OPTIONS").ask(OptionsResponse("GET, HEAD"))
    assert (exchange.status, exchange.headers, exchange.body) == (204, {"allow": "GET, HEAD"}, b"")
