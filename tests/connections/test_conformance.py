"""What is documented is what is answered: whatever is asked, no 500, and no status that the document does not have."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.config import SchemathesisConfig
from schemathesis.core.result import Ok
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sse_relay import MemoryStore, Relay
from sse_relay.adapters.asgi import drained_app, relay_app
from sse_relay.adapters.messages import Receive, Scope, Send
from sse_relay.dialects import Native
from sse_relay.testing import FaultyStore
from tests.adapters.relays import Totals
from tests.adapters.servers import App
from tests.adapters.sources import play, silence
from tests.adapters.test_fastapi import application
from tests.examples.serving import example, running

OPTIONS: dict[str, Any] = {"listing": True, "dialects": (Native(), Totals()), "max_age": 0.05}
RETENTION = 3600
chat = example("chat")
chat.answer = lambda prompt: play(prompt[:9], 0.01)
CHAT: FastAPI = chat.app

UNREADABLE = '{"detail":"There was an error parsing the body"}'  # FastAPI's own, which it documents nowhere
CONFIG = SchemathesisConfig.from_dict(
    {
        "checks": {  # a run is found or not before anything else is looked at, and it expires by itself
            "positive_data_acceptance": {"expected-statuses": ["2xx", 400, 404, 409, 410, 422, "5xx"]},
            "negative_data_rejection": {"expected-statuses": [400, 404, 409, 410, 422, "5xx"]},
        }
    }
)
MET = {  # what the questions have to have met: they are the same in each run
    "/relay/runs/{run_id}/events": {200, 204, 400, 404, 409, 410},
    "/relay/runs/{run_id}": {200, 404, 410},
    "/relay/runs/{run_id}/cancel": {200, 404, 410},
    "/relay/keys/{key}/active": {200, 404},
    "/relay/keys/{key}/latest": {200, 404},
    "/relay/runs": {200, 400},
}
DOCUMENTS = {
    "fastapi": application(Relay(), **OPTIONS).openapi(),
    "asgi": application(Relay(), **OPTIONS).openapi(),
    "example": CHAT.openapi(),
}
OPERATIONS = [
    pytest.param(name, operation, id=f"{name} {operation.label}")
    for name, document in DOCUMENTS.items()
    for found in schemathesis.openapi.from_dict(document, config=CONFIG).get_all_operations()
    if isinstance(found, Ok) and (operation := found.ok()).path.startswith("/relay" if name == "asgi" else "/")
]


class Scene:
    """A relay with a run of every kind, under the router of FastAPI or the bare application."""

    def __init__(self) -> None:
        self._skipped = 0.0
        self.store = FaultyStore(MemoryStore(retention=RETENTION, clock=lambda: time.time() + self._skipped))
        self.relay = Relay(self.store)

    def under_fastapi(self) -> FastAPI:
        """Serve the routes under FastAPI."""
        app = application(self.relay, **OPTIONS)
        app.add_route("/prepare", self._prepare)
        return app

    def alone(self) -> App:
        """Serve them without a framework."""
        routes = relay_app(self.relay, authorize=lambda _: True, **OPTIONS)

        async def answer(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["path"] == "/prepare":
                await (await self._prepare(Request(scope)))(scope, receive, send)
            else:
                await routes({**scope, "root_path": "/relay"}, receive, send)

        return drained_app(answer, self.relay, grace=0.2)

    async def _prepare(self, request: Request) -> Response:
        del request
        relay = self.relay
        expired = await relay.start(play("1"), key="expired")
        await relay.wait(expired.id)
        self._skipped = RETENTION + 60
        live = await relay.start(play("1", silence()), key="live")
        await relay.start(play("1", silence()), key="spared")  # nobody is told its id, to cancel it
        ended = await relay.start(play("1", "2"), key="ended")
        failed = await relay.start(play("1", ValueError("hunter2")), key="a/failed")
        for run in (ended, failed):
            await relay.wait(run.id)
        known = [{"run_id": run.id, "key": run.key} for run in (expired, live, ended, failed)]
        known += [{"run_id": ended.id, "last-event-id": f"{ended.epoch}:{offset}"} for offset in (1, 3, 9)]
        return JSONResponse([*known, {"key": "spared"}, {"chat": "ended"}])


class Target:
    """
    What is asked.

    Attributes:
        url: Where it is.
        known: What is there to be found: parameters, by name.
        store: What its relay reads; None: that is out of reach.
    """

    def __init__(self, url: str, known: list[dict[str, str]], store: FaultyStore | None) -> None:
        self.url = url
        self.known = known
        self.store = store


@pytest.fixture(scope="module")
def targets() -> Iterator[dict[str, Target]]:
    """Serve all three."""
    fastapi, alone = Scene(), Scene()
    with running(fastapi.under_fastapi()) as one, running(alone.alone()) as two, running(CHAT) as three:
        asked = requests.post(f"{three}/chats/7", json={"prompt": "Hi"}, cookies={"user": "ada"}, timeout=10)
        cursors = [line[4:] for line in asked.text.splitlines() if line.startswith("id: ")]
        prepared = [requests.get(f"{url}/prepare", timeout=10).json() for url in (one, two)]
        requests.post(f"{one}/chats/ended", timeout=10)
        yield {
            "fastapi": Target(one, prepared[0], fastapi.store),
            "asgi": Target(two, prepared[1], alone.store),
            "example": Target(
                three, [{"chat": "7", "user": "ada", "last-event-id": cursor} for cursor in cursors], None
            ),
        }


def ask(target: Target, operation: Any, examples: int, *, outage: bool = False) -> set[int]:
    """Ask what the document of an operation allows and forbids, of what is there and what is not; tell the statuses."""
    session = requests.Session()
    seen = set[int]()
    modes = [True, True, False] if operation.query or operation.headers or operation.body else [True]
    cases = {
        is_valid: operation.as_strategy(
            generation_mode=GenerationMode.POSITIVE if is_valid else GenerationMode.NEGATIVE
        )
        for is_valid in set(modes)
    }

    places = [place for place in target.known if any(f"{{{name}}}" in operation.path for name in place)]

    @settings(
        derandomize=True,
        database=None,
        deadline=None,
        max_examples=examples,
        suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow],
        phases=[Phase.generate],
    )
    @given(is_valid=st.sampled_from(modes), data=st.data())
    def run(is_valid: bool, data: st.DataObject) -> None:
        case = data.draw(cases[is_valid])
        headers = {}
        if (place := data.draw(st.sampled_from([None, *places]))) is not None:
            for part in (case.path_parameters, case.cookies if is_valid else {}):
                part.update((name, place[name]) for name in {*part} & {*place})
            if is_valid and operation.headers and "last-event-id" in place:
                headers["last-event-id"] = place["last-event-id"]
        answer = case.call(base_url=target.url, session=session, headers=headers)
        seen.add(answer.status_code)
        assert "hunter2" not in answer.text
        if answer.text != UNREADABLE:
            case.validate_response(answer, excluded_checks=[not_a_server_error] if outage else [])

    run()
    return seen


@pytest.mark.parametrize(("name", "operation"), OPERATIONS)
def test_what_is_answered_is_documented(targets: dict[str, Target], name: str, operation: Any) -> None:
    """F, I11: whatever is asked, valid or not: no 500, no undocumented status, type, body or header."""
    seen = ask(targets[name], operation, 100 if operation.path.endswith("/events") else 40)
    assert seen >= MET.get(operation.path, set())


@pytest.mark.parametrize(("name", "operation"), [case for case in OPERATIONS if case.values[0] != "example"])
def test_an_outage_is_documented(targets: dict[str, Target], name: str, operation: Any) -> None:
    """I13: a store that does not answer is 503, as documented, whatever is asked of it."""
    target = targets[name]
    assert target.store is not None
    with target.store.outage("open", "end", "info", "read", "lookup", "runs", "cancel"):
        assert 503 in ask(target, operation, 10, outage=True)


@pytest.mark.parametrize(("name", "operation"), OPERATIONS)
def test_what_is_not_documented_is_refused(targets: dict[str, Target], name: str, operation: Any) -> None:
    """F: a method that the document does not have is 405, with those that the path takes."""
    for method in ("PUT", "PATCH", "DELETE"):
        answer = requests.request(method, targets[name].url + operation.path, timeout=10)
        assert answer.status_code == 405
        if operation.path.startswith("/relay"):  # of a path with two endpoints FastAPI tells the first one's
            assert operation.method.upper() in answer.headers["allow"].split(", ")
