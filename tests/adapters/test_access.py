"""The application's word on runs: asked for each request, and nothing but True is yes. By route: test_routes."""

import asyncio
from typing import Any

import pytest

from sse_relay import Relay, RunExpiredError, RunNotFoundError
from sse_relay.adapters.access import Access, AccessRequest
from sse_relay.adapters.messages import Scope
from tests.adapters.relays import memory
from tests.adapters.servers import on_virtual_time
from tests.adapters.sources import play, silence
from tests.naming import named

SCOPE: Scope = {"type": "http"}
ANYTHING = AccessRequest(SCOPE, "info", "a", None, None)


@pytest.mark.parametrize("answer", [True, False, None, 1, "yes", object()], ids=named)
@pytest.mark.parametrize("later", [False, True], ids=["now", "later"])
@on_virtual_time
async def test_only_true_is_yes(answer: Any, later: bool) -> None:
    """I12: what is merely true-like, as a user object that a check returns by mistake, opens nothing."""

    async def slowly() -> Any:
        await asyncio.sleep(1)
        return answer

    access = Access(Relay(memory()), lambda _: slowly() if later else answer)
    assert await access.allows(ANYTHING) is (answer is True)
    if answer is not True:
        with pytest.raises(RunNotFoundError):
            await access.require(ANYTHING)


@on_virtual_time
async def test_a_question_says_what_is_wanted() -> None:
    """I12: the application is asked once about each request, with the run, if there is one, and its key."""
    asked: list[AccessRequest] = []

    def authorize(request: AccessRequest) -> bool:
        asked.append(request)
        return True

    async with Relay(memory(retention=60)) as relay:
        access = Access(relay, authorize)
        run = await relay.start(play("a", silence()), key="chat")
        found, request = await access.find(SCOPE, "events", run.id)
        assert found == request.run
        assert asked == [AccessRequest(SCOPE, "events", run.id, "chat", found)]
        for unknown in ("unknown", "\x00", "x" * 1000):
            with pytest.raises(RunNotFoundError):
                await access.find(SCOPE, "info", unknown)
            assert asked.pop() == AccessRequest(SCOPE, "info", unknown, None, None)
        await relay.cancel(run.id)
        await asyncio.sleep(70)
        with pytest.raises(RunExpiredError):
            await access.find(SCOPE, "info", run.id)
        assert asked.pop().run is None


@on_virtual_time
async def test_what_is_forbidden_is_not_found() -> None:
    """I12: a live run, an expired one and none raise the same to whoever may not see them."""
    async with Relay(memory(retention=60)) as relay:
        access = Access(relay, lambda _: False)
        expired, live = await relay.start(play("a")), await relay.start(play(silence()))
        await asyncio.sleep(70)
        for run_id in (expired.id, live.id, "unknown"):
            with pytest.raises(RunNotFoundError):
                await access.find(SCOPE, "cancel", run_id)


def test_authorize_is_a_function() -> None:
    """I12: there is no application that lets everyone in because somebody wrote True."""
    anything: Any = True
    with pytest.raises(TypeError, match="authorize"):
        Access(Relay(), anything)
