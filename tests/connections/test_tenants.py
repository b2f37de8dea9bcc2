"""
Two tenants over every route: of what is the other's, nothing is to be observed, by status, body, header or cost.

The routes are those that the applications themselves know: one that is added is asked, too, and one whose path has a
parameter that nobody here knows fails. What a request costs is what it asks the store: a clock would tell it as well.
"""

import asyncio
import re
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.applications import Starlette
from starlette.routing import Route

from sse_relay import Relay
from sse_relay.adapters import asgi, fastapi, responses, starlette
from sse_relay.adapters.asgi import AccessRequest, relay_app, responses_app
from sse_relay.adapters.messages import Message, Scope
from sse_relay.adapters.requests import header_of
from sse_relay.adapters.routes import ROUTES
from sse_relay.dialects import Native
from sse_relay.stores.protocol import RunInfo
from sse_relay.testing import FaultyStore
from tests.adapters.relays import Totals, memory
from tests.adapters.servers import App, Exchange, on_virtual_time
from tests.adapters.sources import play, silence

LIVE = "live/a\nb %2F?{key}"  # a key may be any text
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
QUERIES = (
    "", "?after=0", "?after=1", "?after=99", "?after=x", "?dialect=x", "?dialect=totals", "?status=running",
    "?status=x", "?stream=true", "?stream=true&starting_after=0",
    "?stream=true&starting_after=99", "?stream=true&starting_after=x",
)  # fmt: skip
SEEN: tuple[Mapping[str, str], ...] = ({}, {"last-event-id": "0123456789abcdef:1"}, {"last-event-id": "x"})
OPTIONS: dict[str, Any] = {"listing": True, "dialects": (Native(), Totals()), "max_viewers": 1}


def user(scope: Scope) -> str:
    """Tell who asks."""
    return header_of(scope, b"x-user") or ""


def is_owner(request: AccessRequest) -> bool:
    """Say yes to whose run it is, and to the listing, where each run is asked about."""
    if request.action == "list" and request.run is None:
        return True
    return request.run is not None and request.run.metadata == {"owner": user(request.scope)}


def paths_of(routes: Iterable[Any]) -> list[str]:
    """Tell the paths of a framework's routes."""
    return sorted({route.path.replace(":any_text", "") for route in routes if isinstance(route, (Route, APIRoute))})


def bare(relay: Relay) -> tuple[App, list[str]]:
    """Make the routes, for no framework."""
    app = relay_app(relay, authorize=is_owner, principal=user, **OPTIONS)
    return app, [route.path for route in ROUTES.values()]


def as_responses(relay: Relay) -> tuple[App, list[str]]:
    """Make the routes of OpenAI's responses."""
    paths = [route.path for route in responses.ROUTES.values()]
    return responses_app(relay, authorize=is_owner), [*paths, *(f"/v1{path}" for path in paths)]


def under_starlette(relay: Relay) -> tuple[App, list[str]]:
    """Make the routes, for Starlette."""
    routes = starlette.routes(relay, authorize=is_owner, principal=user, **OPTIONS)
    return Starlette(routes=routes), paths_of(routes)


def under_fastapi(relay: Relay) -> tuple[App, list[str]]:
    """Make the routes, for FastAPI."""
    app = FastAPI(openapi_url=None)
    router = fastapi.relay_router(relay, authorize=is_owner, principal=user, **OPTIONS)
    app.include_router(router)
    return app, paths_of(router.routes)


EDGES = [bare, as_responses, under_starlette, under_fastapi]


def requests(paths: Iterable[str], run_id: str, key: str) -> Iterator[tuple[str, str, Mapping[str, str]]]:
    """Tell every request that there is about a run: each path, method, kind of cursor."""
    known = {"run_id": quote(run_id), "key": quote(key, safe=""), "response_id": f"resp_{quote(run_id)}"}
    for path in paths:
        assert set(re.findall(r"{(\w+)}", path)) <= set(known), path
        for method in METHODS:
            for query in QUERIES:
                for headers in SEEN:
                    yield method, path.format(**known) + query, headers


Observed = dict[tuple[str, str, int], tuple[list[Message], Mapping[str, int]]]


@dataclass
class Scene:
    """Ann's runs, one of each kind, and what Bob may ask."""

    relay: Relay
    store: FaultyStore
    app: App
    paths: list[str]
    runs: dict[str, RunInfo]

    async def observe(self, run_id: str, key: str) -> Observed:
        """Let Bob ask everything about a run; tell what was answered, and what was asked of the store for it."""
        observed: Observed = {}
        plain = requests(self.paths, "ID", "KEY")
        for number, ((method, path, headers), (_, name, _)) in enumerate(
            zip(requests(self.paths, run_id, key), plain, strict=True)
        ):
            before = Counter(self.store.calls)
            exchange = Exchange(method, path=path, headers={"x-user": "bob", **headers})
            await exchange.view(self.app)
            observed[method, name, number] = exchange.messages, Counter(self.store.calls) - before
        return observed


@asynccontextmanager
async def scene(edge: Callable[[Relay], tuple[App, list[str]]]) -> AsyncGenerator[Scene]:
    """Have Ann start runs, and view one."""
    store = FaultyStore(memory(retention=100))
    async with Relay(store, lease=1000) as relay:  # whose sweep asks the store in a rhythm of its own
        app, paths = edge(relay)
        owner: dict[str, Any] = {"metadata": {"owner": "ann"}}
        runs = {"expired": await relay.start(play("a"), key="expired", **owner)}
        await asyncio.sleep(101)
        runs["live"] = await relay.start(play("a", silence()), key=LIVE, **owner)
        runs["ended"] = await relay.start(play("a", ValueError("a")), key="ended", **owner)
        await relay.wait(runs["ended"].id)
        yield Scene(relay, store, app, paths, runs)


@pytest.mark.parametrize("edge", EDGES)
@on_virtual_time
async def test_another_tenant_observes_nothing(edge: Callable[[Relay], tuple[App, list[str]]]) -> None:
    """I12: by no route, method or cursor does a run, live, ended or expired, differ from none, in words or in cost."""
    async with scene(edge) as there:
        nothing = await there.observe("0" * 32, "nothing")
        for kind, run in there.runs.items():
            assert run.key is not None
            found = await there.observe(run.id, run.key)
            for asked, (messages, cost) in nothing.items():
                assert (kind, asked, found[asked][0]) == (kind, asked, messages)
                assert (kind, asked, found[asked][1]) == (kind, asked, cost)
        bodies = {messages[1]["body"] for messages, _ in nothing.values() if messages[0]["status"] == 200}
        assert bodies <= {b'{"runs":[]}', b""}
        assert {messages[0]["status"] for messages, _ in nothing.values()} <= {200, 204, 400, 404, 405}
        live = there.runs["live"]
        assert (await there.relay.info(live.id)).status == "running"  # nor did he do anything to it
        assert len(nothing) == len(there.paths) * len(METHODS) * len(QUERIES) * len(SEEN)


@on_virtual_time
async def test_a_tenant_sees_what_is_his() -> None:
    """The question of the test above is the right one: for Ann each path answers with what is hers."""
    for edge in EDGES:
        async with scene(edge) as there:
            live = there.runs["live"]
            for path in sorted(there.paths, key=lambda path: "cancel" not in path):  # then none is active
                method = "POST" if path.endswith("cancel") else "GET"
                known = {"run_id": live.id, "key": quote(LIVE, safe=""), "response_id": f"resp_{live.id}"}
                exchange = Exchange(method, path=path.format(**known), headers={"x-user": "ann"})
                asyncio.get_running_loop().call_later(1, exchange.gone.set)
                await exchange.view(there.app)
                assert exchange.status == (404 if path.endswith("active") else 200), path
            assert (await there.relay.info(live.id)).status == "cancelled"


@on_virtual_time
async def test_another_tenants_viewers_fill_nobodys_share() -> None:
    """L6, I12: that Ann has all the streams that she may have changes nothing for Bob."""
    async with scene(bare) as there:
        run = there.runs["live"]
        viewer = Exchange(path=f"/runs/{run.id}/events", headers={"x-user": "ann"})
        viewing = asyncio.Task(viewer.view(there.app))
        await asyncio.sleep(1)
        for who, status in (("ann", 429), ("bob", 404)):
            exchange = Exchange(path=f"/runs/{run.id}/events", headers={"x-user": who})
            assert (await exchange.view(there.app)).status == status
        assert viewer.names == ["a"]
        viewer.gone.set()
        await viewing


def test_every_application_has_tenants() -> None:
    """I12: an application that serves runs, and that the tests above do not know, is not there."""
    made = {name for name in asgi.__all__ if name.endswith("_app")} - {"drained_app"}  # which wraps the others
    assert made == {"relay_app", "responses_app"}
    assert {name for name in starlette.__all__ if "route" in name} == {"routes"}
    assert {name for name in fastapi.__all__ if "route" in name} == {"relay_router"}
