"""The routes of a relay: what each answers, to whom, and what nobody learns. Cursors: tests/connections."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import quote

import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.routing import Mount

from sse_relay import ErrorCatalog, Relay
from sse_relay.adapters.asgi import AccessRequest, relay_app
from sse_relay.adapters.messages import Message
from sse_relay.dialects import Native
from sse_relay.stores.protocol import RunInfo
from sse_relay.testing import FaultyStore
from tests.adapters.relays import Totals, ask, memory, open_to_all
from tests.adapters.servers import App, Exchange, TwoParts, on_virtual_time
from tests.adapters.sources import play, silence, stubborn
from tests.naming import named

SECRET = "password=hunter2"
ACTIONS = ["events", "info", "cancel", "active", "latest"]


def path(action: str, run: RunInfo) -> str:
    """Tell where an action on a run is asked for."""
    return {
        "events": f"/runs/{run.id}/events",
        "info": f"/runs/{run.id}",
        "cancel": f"/runs/{run.id}/cancel",
        "active": f"/keys/{run.key}/active",
        "latest": f"/keys/{run.key}/latest",
    }[action]


async def act(app: App, action: str, run: RunInfo, **options: Any) -> Exchange:
    """Ask for an action."""
    return await ask(app, path(action, run), method="POST" if action == "cancel" else "GET", **options)


async def started(relay: Relay, *steps: object, **options: Any) -> RunInfo:
    """Start a run under a key, and let it run for a second."""
    run = await relay.start(play(*steps), key="chat", **options)
    await asyncio.sleep(1)
    return run


# What the routes answer


@on_virtual_time
async def test_a_state_says_what_clients_may_know() -> None:
    """G2, I13: a run's state, live and ended, by its id and by its key: all but the metadata; nobody caches it."""
    async with Relay(memory()) as relay:
        app = open_to_all(relay)
        run = await started(relay, "a", 9.0, metadata={"secret": SECRET}, dialect=TwoParts())
        live = {
            "id": run.id,
            "key": "chat",
            "status": "running",
            "epoch": run.epoch,
            "last_offset": 1,
            "outcome": None,
            "created_at": 0.0,
            "updated_at": 0.0,
            "dialect": "two_parts",
        }
        for action in ("info", "active", "latest"):
            exchange = await act(app, action, run)
            assert exchange.json == live
            assert exchange.headers == {
                "content-type": "application/json",
                "cache-control": "no-store",
                "content-length": str(len(exchange.body)),
            }
        await relay.wait(run.id)
        ended = live | {"status": "completed", "last_offset": 2, "updated_at": 9.0}
        ended["outcome"] = {"status": "completed", "reason": None, "error": None}
        for action in ("info", "latest"):
            assert (await act(app, action, run)).json == ended
        assert (await act(app, "active", run)).status == 404


@pytest.mark.parametrize(
    ("steps", "options", "outcome"),
    [
        ([ValueError(SECRET)], {}, ("failed", "error", "internal_error")),
        ([50.0], {"timeout": 10}, ("timed_out", "timeout", "timeout")),
        ([50.0], {"idle_timeout": 10}, ("timed_out", "idle_timeout", "idle_timeout")),
    ],
    ids=["failed", "timeout", "idle"],
)
@on_virtual_time
async def test_a_state_says_what_went_wrong(
    steps: list[object], options: dict[str, Any], outcome: tuple[str, str, str], caplog: pytest.LogCaptureFixture
) -> None:
    """I13: an outcome has its code, a sentence and an id of the log, and no word of the exception."""
    async with Relay(memory()) as relay:
        run = await started(relay, *steps, **options)
        await relay.wait(run.id)
        exchange = await act(open_to_all(relay), "info", run)
        told = exchange.json["outcome"]
        assert (told["status"], told["reason"], told["error"]["code"]) == outcome
        assert exchange.json["status"] == outcome[0]
        assert set(told["error"]) == {"code", "message", "error_id"}
        assert SECRET.encode() not in exchange.body
        assert told["error"]["error_id"] is None or told["error"]["error_id"] in caplog.text


@on_virtual_time
async def test_a_state_is_json_whatever_a_key_is() -> None:
    """A key of any text, half a character too, does not keep a state from being told."""
    async with Relay(memory()) as relay:
        run = await relay.start(play("a"), key='"\ud83d\0\N{SNOWMAN}')
        exchange = await ask(open_to_all(relay), f"/runs/{run.id}")
        assert exchange.json["key"] == '"\ufffd\0\N{SNOWMAN}'


@pytest.mark.parametrize(
    "key",
    [
        "chat", "a/b", "/a//b/", "a b", "100%", "%2F", "a?b#c", "caf\xe9 \N{SNOWMAN}", "active", "a/active",
        "latest/active", "..", "../..", "+", "",
    ],
)  # fmt: skip
@on_virtual_time
async def test_a_key_may_be_any_text(key: str) -> None:
    """G3: a key is found again, percent-encoded by its client and decoded by the server, slashes and all."""
    async with Relay(memory()) as relay:
        run = await relay.start(play(silence()), key=key)
        other = await relay.start(play(silence()), key=f"x{key}")
        for action in ("active", "latest"):
            exchange = await ask(open_to_all(relay), f"/keys/{quote(key, safe='')}/{action}")
            assert exchange.json["id"] == run.id
            assert exchange.json["key"] == key
            exchange = await ask(open_to_all(relay), f"/keys/x{quote(key, safe='')}/{action}")
            assert exchange.json["id"] == other.id


@on_virtual_time
async def test_a_key_has_one_active_run_and_a_latest() -> None:
    """G3: a run is discovered before its first token; when it has ended it is the latest; a new one takes its place."""
    async with Relay(memory()) as relay:
        app = open_to_all(relay)
        first = await relay.start(play(2.0, "a"), key="chat")
        assert (await act(app, "active", first)).json["last_offset"] == 0
        await relay.wait(first.id)
        assert (await act(app, "active", first)).status == 404
        assert (await act(app, "latest", first)).json["id"] == first.id
        second = await relay.start(play(silence()), key="chat")
        assert (await act(app, "active", first)).json["id"] == second.id
        assert (await act(app, "latest", first)).json["id"] == second.id
        assert (await act(app, "info", first)).json["status"] == "completed"


@on_virtual_time
async def test_a_dead_producers_run_is_lost() -> None:
    """L2, defect 7: asking for the state of a run whose producer has died tells that it is lost."""
    store = memory()
    handle = FaultyStore(store)
    async with Relay(store, lease=10) as relay:
        dead = Relay(handle, lease=10)
        await dead.__aenter__()
        run = await started(dead, "a", silence())
        handle.vanish()
        assert (await act(open_to_all(relay), "info", run)).json["status"] == "running"
        await asyncio.sleep(10)
        said = (await act(open_to_all(relay), "info", run)).json
        assert said["status"] == "lost"
        assert said["outcome"]["error"]["code"] == "producer_lost"
        await dead.drain(0)


# Cancelling


@on_virtual_time
async def test_a_silent_run_is_cancelled() -> None:
    """Defect 4, E, L3: the answer comes once the end is durable, for a source that would be silent for ever."""
    async with Relay(memory()) as relay:
        app = open_to_all(relay)
        run = await started(relay, "a", silence())
        viewer = asyncio.create_task(ask(app, path("events", run)))
        await asyncio.sleep(1)
        exchange = await act(app, "cancel", run)
        assert exchange.status == 200
        assert exchange.times[-1] == 0
        assert exchange.json["status"] == "cancelled"
        assert exchange.json["outcome"] == {"status": "cancelled", "reason": "user", "error": None}
        assert json.loads((await viewer).events[-1].data or "") == exchange.json["outcome"]


@pytest.mark.parametrize("grace", [0.5, 3.0])
@on_virtual_time
async def test_a_stubborn_run_is_sealed_over(grace: float) -> None:
    """L3: a source that ignores its cancellation holds the answer up for the grace, and no longer."""
    async with Relay(memory()) as relay:
        run = await relay.start(stubborn("a"), key="chat")
        await asyncio.sleep(1)
        app = open_to_all(relay, cancel_grace=grace)
        exchange = await act(app, "cancel", run)
        assert exchange.times[-1] == pytest.approx(grace)
        assert exchange.json["status"] == "cancelled"
        assert exchange.json["epoch"] != run.epoch  # nothing of the old producer is kept any more


@on_virtual_time
async def test_a_run_is_cancelled_once() -> None:
    """E: asked again, at once, or after the end, it answers the same; what has completed stays so."""
    async with Relay(memory()) as relay:
        app = open_to_all(relay)
        run = await started(relay, "a", silence())
        answers = await asyncio.gather(*(act(app, "cancel", run) for _ in range(5)))
        answers.append(await act(app, "cancel", run))
        assert len({exchange.body for exchange in answers}) == 1
        done = await relay.start(play("a"))
        await relay.wait(done.id)
        assert (await act(app, "cancel", done)).json["status"] == "completed"


@on_virtual_time
async def test_a_run_is_cancelled_from_any_process() -> None:
    """L3: another process's run is stopped, its source closed, and a dead process's run is ended after the grace."""
    store, gone = memory(), FaultyStore(memory())
    async with Relay(store) as here, Relay(store) as there:
        run = await started(there, "a", silence())
        exchange = await act(open_to_all(here), "cancel", run)
        assert exchange.times[-1] == 0
        assert (await there.info(run.id)).status == "cancelled"
    dead = Relay(gone)
    await dead.__aenter__()
    run = await started(dead, "a", silence())
    gone.vanish()
    async with Relay(gone.store) as here:
        exchange = await act(open_to_all(here, cancel_grace=3), "cancel", run)
        assert exchange.times[-1] == 3
        assert exchange.json["status"] == "cancelled"
    await dead.drain(0)


# Who may do what


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
@on_virtual_time
async def test_the_application_is_asked_about_each_request(action: str, asynchronous: bool) -> None:
    """I12: `authorize`, sync or async, is asked once a request; before its yes nothing is done."""
    asked: list[AccessRequest] = []

    def authorize(request: AccessRequest) -> bool | Awaitable[bool]:
        asked.append(request)
        return later() if asynchronous else True

    async def later() -> bool:
        await asyncio.sleep(1)
        assert (await relay.info(run.id)).status == "running"
        return True

    async with Relay(memory()) as relay:
        run = await started(relay, "a", 20.0, metadata={"owner": "ada"})
        exchange = await act(relay_app(relay, authorize=authorize), action, run)
        assert exchange.status == 200
        (request,) = asked
        assert request.scope["path"] == path(action, run)
        assert request.action == action
        assert request.run_id == run.id
        assert request.key == "chat"
        assert request.run is not None
        assert request.run.metadata == {"owner": "ada"}


@on_virtual_time
async def test_the_application_is_asked_about_what_is_not_there() -> None:
    """I12: of a run that is unknown or expired it learns the id, of a key without a run the key."""
    asked: list[AccessRequest] = []

    def authorize(request: AccessRequest) -> bool:
        asked.append(request)
        return True

    async with Relay(memory(retention=10)) as relay:
        app = relay_app(relay, authorize=authorize)
        run = await started(relay, "a")
        await asyncio.sleep(12)
        for action in ACTIONS:
            exchange = await act(app, action, run)
            assert exchange.status == (404 if action in {"active", "latest"} else 410)
        await ask(app, "/runs/unknown")
        await ask(app, "/keys/a/b/active")
        told = [(request.run_id, request.key, request.run) for request in asked]
        assert told == [(run.id, None, None)] * 3 + [(None, "chat", None)] * 2 + [
            ("unknown", None, None),
            (None, "a/b", None),
        ]


@pytest.mark.parametrize("answer", [False, None, 0, 1, "yes", [True], object()], ids=named)
@on_virtual_time
async def test_anything_but_true_is_a_no(answer: Any) -> None:
    """I12: only `True` is a yes: what an application returns by mistake opens nothing."""

    async def later() -> Any:
        return answer

    async with Relay(memory()) as relay:
        run = await started(relay, "a", silence())
        for authorize in (lambda _: answer, lambda _: later()):
            app = relay_app(relay, authorize=authorize)
            for action in ACTIONS:
                assert (await act(app, action, run)).status == 404
        assert (await relay.info(run.id)).status == "running"


async def everything(app: App, run: RunInfo) -> list[list[Message]]:
    """Ask for everything that there is to ask of a run."""
    asked = [await act(app, action, run) for action in ACTIONS]
    asked += [await ask(app, path(action, run), method="HEAD") for action in ACTIONS if action != "cancel"]
    for last_id in (f"{run.epoch}:1", f"{run.epoch}:999", "0123456789abcdef:1", "nonsense"):
        asked.append(await ask(app, path("events", run), last_id=last_id))
    for query in ("after=0", "after=999", "dialect=unknown", "dialect=native"):
        asked.append(await ask(app, f"{path('events', run)}?{query}"))
    for method in ("GET", "POST", "DELETE", "OPTIONS"):
        asked += [await ask(app, path(action, run), method=method) for action in ACTIONS]
    return [exchange.messages for exchange in asked]


@on_virtual_time
async def test_what_is_forbidden_looks_like_what_is_not_there() -> None:
    """I12, I13: whatever is asked for, of a run live, ended, expired or unknown: not one byte tells which it is."""
    async with Relay(memory(retention=100)) as relay:
        app = relay_app(relay, authorize=lambda _: False)
        expired = await relay.start(play("a"), key="old")
        await asyncio.sleep(101)
        live = await started(relay, "a", silence(), metadata={"secret": SECRET})
        ended = await relay.start(play(ValueError(SECRET)), key="done")
        await relay.wait(ended.id)
        unknown = RunInfo("unknown", "nothing", "running", live.epoch, 1, None, 0, 0)
        assert (await act(open_to_all(relay), "info", expired)).status == 410
        answers = [await everything(app, run) for run in (live, ended, expired, unknown)]
        assert answers[0] == answers[1] == answers[2] == answers[3]
        statuses = {messages[0]["status"] for messages in answers[0]}
        assert statuses == {204, 404, 405}
        assert (await relay.info(live.id)).status == "running"


@on_virtual_time
async def test_a_no_looks_like_the_same_for_those_who_may() -> None:
    """I12: who may not see a run gets, byte for byte, what who may see all gets for a run that is not there."""
    async with Relay(memory()) as relay:
        run = await started(relay, "a", silence())
        unknown = RunInfo("unknown", "nothing", "running", run.epoch, 1, None, 0, 0)
        refused, allowed = relay_app(relay, authorize=lambda _: False), open_to_all(relay)
        for action in ACTIONS:
            assert (await act(refused, action, run)).messages == (await act(allowed, action, unknown)).messages


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
@on_virtual_time
async def test_an_authorize_that_fails_says_no(
    action: str, asynchronous: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """I12, I13: what it raises is a 500 with an id of the log; nothing is done, and nothing of it is told."""

    def authorize(_: AccessRequest) -> bool | Awaitable[bool]:
        if asynchronous:
            return later()
        raise ValueError(SECRET)

    async def later() -> bool:
        raise ValueError(SECRET)

    async with Relay(memory()) as relay:
        run = await started(relay, "a", silence())
        exchange = await act(relay_app(relay, authorize=authorize), action, run)
        assert exchange.status == 500
        assert exchange.json["code"] == "internal_error"
        assert exchange.json["error_id"] in caplog.text
        assert SECRET in caplog.text
        assert SECRET.encode() not in repr(exchange.messages).encode()
        assert run.id.encode() not in repr(exchange.messages).encode()
        assert (await relay.info(run.id)).status == "running"


@on_virtual_time
async def test_an_authorize_may_say_with_which_status() -> None:
    """The catalog has the words for what `authorize` raises: a backend that is down is no 404."""

    class BackendDownError(Exception):
        """Nobody can be asked."""

    def authorize(_: AccessRequest) -> bool:
        raise BackendDownError(SECRET)

    errors = ErrorCatalog()
    errors.register(BackendDownError, "sign_in_down", "Signing in does not work just now.", status=503)
    async with Relay(memory()) as relay:
        run = await started(relay, "a")
        exchange = await act(relay_app(relay, authorize=authorize, errors=errors), "info", run)
        assert exchange.status == 503
        assert exchange.headers["retry-after"] == "1"
        assert exchange.json["code"] == "sign_in_down"


@on_virtual_time
async def test_no_byte_of_a_run_is_the_applications_own() -> None:
    """I13: no route, header or frame tells metadata, or a word of an exception, to those who may see the run either."""
    async with Relay(memory()) as relay:
        app = open_to_all(relay, dialects=(Native(), Totals()), end_status=200)
        run = await started(relay, "1", 2.0, ValueError(SECRET), metadata={"secret": SECRET})
        live = await everything(app, run)
        run = await started(relay, "1", ValueError(SECRET), metadata={"secret": SECRET})
        answers = live + await everything(app, run)
        answers.append((await ask(app, f"{path('events', run)}?dialect=totals")).messages)
        assert SECRET.encode() not in repr(answers).encode()
        assert len(answers) > 60


# Dialects


@on_virtual_time
async def test_a_client_chooses_its_dialect() -> None:
    """``?dialect=``: one that the application offers; the first is the default; any other is 400."""
    async with Relay(memory()) as relay:
        app = open_to_all(relay, dialects=[Totals(), Native(), TwoParts()])
        run = await started(relay, "1")
        events = path("events", run)
        assert [event.event for event in (await ask(app, events)).events] == ["run", None, "total", "sum", "over"]
        assert [event.event for event in (await ask(app, f"{events}?dialect=native")).events] == [None, "end"]
        exchange = await ask(app, f"{events}?dialect=two_parts")
        assert exchange.headers["x-two-parts"] == "v1"
        assert exchange.names == ["1", "why", "[DONE]"]
        for name in ("unknown", "", "Native", "%00"):
            exchange = await ask(app, f"{events}?dialect={name}")
            assert exchange.status == 400
            assert exchange.json["code"] == "unknown_dialect"


# Paths and methods


@pytest.mark.parametrize(
    "path",
    [
        "/", "", "/runs", "/runs/", "/runs//", "/runs//events", "/runs/RUN//", "/runs/RUN/events//", "/runs/RUN/other",
        "/runs/RUN/events/more", "/RUNS/RUN", "//runs/RUN", "/x/runs/RUN", "/keys", "/keys/", "/keys/active",
        "/keys/chat", "/keys/chat/", "/keys/chat/other", "/keys/chat/active//", "runs/RUN",
    ],
)  # fmt: skip
@on_virtual_time
async def test_there_is_nothing_else(path: str) -> None:
    """Any other path is a 404, by any method, and asks nobody."""

    def authorize(request: AccessRequest) -> bool:
        return request.run is not None or request.action in {"active", "latest"}

    async with Relay(memory()) as relay:
        run = await started(relay, "a", silence())
        for method in ("GET", "POST", "HEAD"):
            exchange = await ask(relay_app(relay, authorize=authorize), path.replace("RUN", run.id), method=method)
            assert exchange.status in ({404} if method == "GET" else {404, 405})
            assert method == "HEAD" or exchange.json["code"] in {"not_found", "run_not_found", "method_not_allowed"}


@pytest.mark.parametrize("action", [*ACTIONS, "list"])
@on_virtual_time
async def test_a_slash_at_the_end_leads_to_the_same(action: str) -> None:
    """A mount of Litestar adds one to every path: each route answers with it as without it."""
    async with Relay(memory()) as relay:
        run = await started(relay, "a")
        await relay.wait(run.id)
        app = open_to_all(relay, listing=True)
        method = "POST" if action == "cancel" else "GET"
        wanted = "/runs" if action == "list" else path(action, run)
        if action == "active":
            await started(relay, silence())
        plain, slashed = [await ask(app, each, method=method) for each in (wanted, f"{wanted}/")]
        assert (slashed.status, slashed.body) == (plain.status, plain.body)
        assert slashed.status == 200


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE", "get", "QUERY"])
@on_virtual_time
async def test_a_method_that_a_route_does_not_take_is_refused(action: str, method: str) -> None:
    """405 with the methods that it takes; cancel is never a GET."""
    allowed = {"POST"} if action == "cancel" else {"GET", "HEAD"}
    async with Relay(memory()) as relay:
        run = await started(relay, "a", 20.0)
        exchange = await ask(open_to_all(relay), path(action, run), method=method)
        if method in allowed:
            assert exchange.status == 200
            return
        assert exchange.status == 405
        assert set(exchange.headers["allow"].split(", ")) == allowed | {"OPTIONS"}
        assert method == "HEAD" or exchange.json["code"] == "method_not_allowed"
        assert (await relay.info(run.id)).status == "running"


@pytest.mark.parametrize("action", ACTIONS)
@on_virtual_time
async def test_options_asks_nobody(action: str) -> None:
    """I12: OPTIONS tells what a path takes, of any run and of none, and asks nobody; CORS is the framework's."""

    def authorize(request: AccessRequest) -> bool:
        raise AssertionError(request)

    async with Relay(memory()) as relay:
        run = await started(relay, "a", silence())
        app = relay_app(relay, authorize=authorize)
        for asked in (path(action, run), path(action, run).replace(run.id, "unknown")):
            exchange = await ask(app, asked, method="OPTIONS")
            assert exchange.status == 204
            assert exchange.headers == {"allow": "POST, OPTIONS" if action == "cancel" else "GET, HEAD, OPTIONS"}
            assert exchange.complete
        assert (await ask(app, "/nothing", method="OPTIONS")).status == 404


# The listing


@on_virtual_time
async def test_a_listing_shows_what_a_client_may_see() -> None:
    """I12: the newest first, of those that the application says yes to; each state as its own route tells it."""

    def authorize(request: AccessRequest) -> bool:
        return request.action == "info" or request.run is None or request.run.metadata == {"owner": "ann"}

    async with Relay(memory()) as relay:
        app = relay_app(relay, authorize=authorize, listing=True)
        owners = ["ann", "bob", "ann"]
        runs = []
        for owner in owners:
            runs.append(await relay.start(play("a", silence()), metadata={"owner": owner}))
            await asyncio.sleep(1)
        await relay.cancel(runs[2].id)
        exchange = await ask(app, "/runs")
        assert [run["id"] for run in exchange.json["runs"]] == [runs[2].id, runs[0].id]
        assert exchange.json["runs"][1] == (await ask(app, f"/runs/{runs[0].id}")).json
        for status, ids in (("running", [runs[0].id]), ("cancelled", [runs[2].id]), ("lost", [])):
            exchange = await ask(app, f"/runs?status={status}")
            assert [run["id"] for run in exchange.json["runs"]] == ids
        for status in ("other", "", "RUNNING", "%00"):
            exchange = await ask(app, f"/runs?status={status}")
            assert (exchange.status, exchange.json["code"]) == (400, "unknown_status")
        assert (await ask(app, "/runs", method="HEAD")).body == b""
        assert (await ask(app, "/runs", method="POST")).headers["allow"] == "GET, HEAD, OPTIONS"


@on_virtual_time
async def test_a_listing_is_bounded() -> None:
    """L6: a hundred runs are shown, and a thousand are looked at, however many there are."""
    looked = 0

    def authorize(request: AccessRequest) -> bool:
        nonlocal looked
        looked += request.run is not None
        return request.run is None or request.run.key == "shown"

    async with Relay(memory()) as relay:
        for _ in range(150):
            await relay.wait((await relay.start(play("a"), key="shown")).id)
        app = relay_app(relay, authorize=authorize, listing=True)
        assert len((await ask(app, "/runs")).json["runs"]) == looked == 100
        for _ in range(1000):
            await relay.start(play(), key=None)
        await asyncio.sleep(1)
        looked = 0
        assert (await ask(app, "/runs")).json == {"runs": []}
        assert looked == 1000


@pytest.mark.parametrize("options", [{}, {"listing": False}, {"listing": True, "authorize": lambda _: False}])
@on_virtual_time
async def test_there_is_no_listing_unless_both_say_so(options: dict[str, Any]) -> None:
    """I12: without the option there is no such path; without the application's yes it looks so."""
    async with Relay(memory()) as relay:
        await started(relay, "a", silence())
        chosen: dict[str, Any] = {"authorize": lambda _: True, **options}
        exchange = await ask(relay_app(relay, **chosen), "/runs")
        assert exchange.status == 404


@pytest.mark.parametrize("action", ["info", "active", "latest"])
@on_virtual_time
async def test_head_has_the_headers_of_a_state(action: str) -> None:
    """HEAD: the status and the headers of the GET, its length too, and no body; of a 404 as well."""
    async with Relay(memory()) as relay:
        app = open_to_all(relay)
        run = await started(relay, "a", silence())
        unknown = RunInfo("unknown", "nothing", "running", run.epoch, 1, None, 0, 0)
        for of in (run, unknown):
            exchange, head = await act(app, action, of), await ask(app, path(action, of), method="HEAD")
            assert head.messages[0] == exchange.messages[0]
            assert head.body == b""
            assert head.complete


def under_starlette(app: App) -> App:
    return Starlette(routes=[Mount("/relay", app)])


def under_nested_starlette(app: App) -> App:
    return Starlette(routes=[Mount("/a", routes=[Mount("/relay", app)])])


def under_fastapi(app: App) -> App:
    outer = FastAPI()
    outer.mount("/relay", app)
    return outer


def at(root_path: str, app: App) -> App:
    async def serve(scope: Any, receive: Any, send: Any) -> None:
        await app({**scope, "root_path": root_path}, receive, send)

    return serve


def behind_a_proxy(app: App) -> App:
    return at("/api", under_fastapi(app))


def by_a_server(app: App) -> App:
    return at("/relay", app)


def at_the_root(app: App) -> App:
    return Starlette(routes=[Mount("/", app)])


@pytest.mark.parametrize(
    ("mount", "prefix"),
    [
        (under_starlette, "/relay"),
        (under_nested_starlette, "/a/relay"),
        (under_fastapi, "/relay"),
        (behind_a_proxy, "/api/relay"),
        (by_a_server, "/relay"),
        (by_a_server, ""),
        (at_the_root, ""),
    ],
)
@on_virtual_time
async def test_the_routes_may_be_mounted(mount: Callable[[App], App], prefix: str) -> None:
    """The routes answer below a path, under Starlette and FastAPI, a server's root path, and behind a proxy."""
    async with Relay(memory()) as relay:
        app = mount(open_to_all(relay))
        run = await relay.start(play("a", 2.0, "b"), key="runs/relay")
        await asyncio.sleep(1)
        assert (await ask(app, f"{prefix}/runs/{run.id}")).json["id"] == run.id
        assert (await ask(app, f"{prefix}/keys/runs%2Frelay/active")).json["id"] == run.id
        exchange = await ask(app, f"{prefix}/runs/{run.id}/events", last_id=f"{run.epoch}:1")
        assert exchange.names == ["b", "end"]
        assert exchange.times[:2] == [0, 0]  # nothing on the way holds the first byte back
        exchange = await ask(app, f"{prefix}/runs/{run.id}/cancel", method="POST")
        assert exchange.json["status"] == "completed"
        assert (await ask(app, f"{prefix}/runs/unknown")).json["code"] == "run_not_found"


@pytest.mark.parametrize("kind", ["lifespan", "websocket"])
@on_virtual_time
async def test_only_http_is_answered(kind: str) -> None:
    """Another scope is a clear error."""
    exchange = Exchange()
    with pytest.raises(RuntimeError, match=f"answer http requests, not {kind}"):
        await open_to_all(Relay(memory()))({"type": kind}, exchange.receive, exchange.send)
    assert not exchange.messages


# What fails


@pytest.mark.parametrize("action", ACTIONS)
@on_virtual_time
async def test_a_store_that_does_not_answer_is_a_503(action: str) -> None:
    """I12: an outage is told before anybody is asked, alike for every run; with when to come back."""
    store = FaultyStore(memory())

    def authorize(_: AccessRequest) -> bool:
        raise AssertionError("nobody is asked about what cannot be known")

    async with Relay(store) as relay:
        run = await started(relay, "a", silence())
        unknown = RunInfo("unknown", "nothing", "running", run.epoch, 1, None, 0, 0)
        with store.outage():
            answers = [await act(relay_app(relay, authorize=authorize), action, of) for of in (run, unknown)]
        for exchange in answers:
            assert exchange.status == 503
            assert exchange.headers["retry-after"] == "1"
            assert exchange.json["code"] == "store_unavailable"
        assert answers[0].json["detail"] == answers[1].json["detail"]


@pytest.mark.parametrize(
    ("options", "error", "problem"),
    [
        ({"authorize": None}, TypeError, "authorize must be a function"),
        ({"authorize": True}, TypeError, "authorize must be a function"),
        ({"dialects": ()}, ValueError, "one or more"),
        ({"dialects": (Native(), Native())}, ValueError, "a name of its own"),
        ({"dialects": (Totals(), Totals("totals"))}, ValueError, "a name of its own"),
        ({"dialects": (Native,)}, TypeError, "dialect must be a Dialect"),
        ({"dialects": ("native",)}, TypeError, "dialect must be a Dialect"),
        ({"keepalive": 0}, ValueError, "keepalive"),
        ({"send_timeout": "5"}, TypeError, "send_timeout"),
        ({"end_status": 404}, ValueError, "end_status"),
        ({"headers": {"x-a": "1\r\nx-b: 2"}}, ValueError, "invalid header"),
        ({"unknown": 1}, TypeError, "unknown"),
        ({"cancel_grace": 0}, ValueError, "cancel_grace"),
        ({"cancel_grace": "5"}, TypeError, "cancel_grace"),
    ],
    ids=named,
)
@on_virtual_time
async def test_bad_options_are_refused(options: dict[str, Any], error: type[Exception], problem: str) -> None:
    """An option that makes no sense is refused when the routes are made, and not at the first request."""
    with pytest.raises(error, match=problem):
        relay_app(Relay(memory()), **{"authorize": lambda _: True, **options})


def test_there_is_no_default_for_who_may() -> None:
    """I12: routes without `authorize` cannot be made."""
    routes: Any = relay_app
    with pytest.raises(TypeError, match="authorize"):
        routes(Relay())
