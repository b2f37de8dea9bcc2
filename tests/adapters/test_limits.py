"""The limits of streams: how many, for how long, and for as long as they are allowed."""

import asyncio
import re
from typing import Any

import pytest

from sse_relay import Cursor, MemoryStore, Relay
from sse_relay.adapters.asgi import AccessRequest, relay_app
from sse_relay.adapters.limits import Limits
from sse_relay.adapters.messages import Scope
from sse_relay.adapters.requests import header_of
from sse_relay.dialects import Native
from sse_relay.stores.paging import PAGE_BYTES
from sse_relay.stores.protocol import Page, StreamStore
from sse_relay.testing.handle import StoreHandle
from tests.adapters.relays import Totals, ask, memory, open_to_all
from tests.adapters.servers import Exchange, on_virtual_time
from tests.adapters.sources import hang, play, silence
from tests.naming import named


def user(scope: Scope) -> str:
    """Tell whose a request is."""
    return header_of(scope, b"x-user") or ""


def view(app: Any, run_id: str, who: str, **options: Any) -> tuple[Exchange, "asyncio.Task[Exchange]"]:
    """Begin to view a run."""
    exchange = Exchange(path=f"/runs/{run_id}/events", headers={"x-user": who}, **options)
    return exchange, asyncio.Task(exchange.view(app))


@on_virtual_time
async def test_a_principal_has_so_many_viewers() -> None:
    """L6: one more is 429 with a problem body and Retry-After; others are not counted with them; a place comes back."""
    async with Relay(memory()) as relay:
        app = open_to_all(relay, principal=user, max_viewers=2)
        run = await relay.start(play("a", silence()))
        views = [view(app, run.id, who) for who in ("ann", "ann", "bob")]
        await asyncio.sleep(1)
        assert [exchange.status for exchange, _ in views] == [200] * 3
        refused, asked = view(app, run.id, "ann")
        await asked
        assert refused.status == 429
        assert refused.json["code"] == "too_many_viewers"
        assert 1 <= int(refused.headers["retry-after"]) <= 5
        assert (await ask(app, f"/runs/{run.id}")).status == 200  # streams are counted, and nothing else
        head = Exchange("HEAD", path=f"/runs/{run.id}/events", headers={"x-user": "ann"})
        assert (await head.view(app)).status == 200
        views[0][0].gone.set()
        await views[0][1]
        later, task = view(app, run.id, "ann")
        await asyncio.sleep(1)
        assert later.status == 200
        for exchange, _ in [*views, (later, task)]:
            exchange.gone.set()
        await asyncio.gather(task, *[task for _, task in views])


@pytest.mark.parametrize("ending", ["end", "cancelled", "refused", "unread"])
@on_virtual_time
async def test_a_place_comes_back_however_a_stream_ends(ending: str) -> None:
    """L6, I9: the end of a run, a cancelled request, a cursor that is refused, a client that does not read."""
    async with Relay(memory()) as relay:
        app = open_to_all(relay, principal=user, max_viewers=1)
        run = await relay.start(play("a", 20.0, "b", 20.0))
        exchange, task = view(app, run.id, "ann", **({"on_send": hang} if ending == "unread" else {}))
        if ending == "refused":
            exchange.scope["headers"].append((b"last-event-id", b"abcdefgh:1"))
        await asyncio.sleep(1)
        if ending == "cancelled":
            task.cancel()
        await asyncio.wait([task])
        assert exchange.status == (409 if ending == "refused" else 200)
        again, task = view(app, run.id, "ann")
        await task
        assert again.status == 200


@on_virtual_time
async def test_a_principal_is_asked_for_after_the_application_said_yes() -> None:
    """I12, I13: what is forbidden is 404 whoever is full; a `principal` that raises is a 500 without its words."""

    def broken(scope: Scope) -> str:
        raise ValueError(f"password={user(scope)}")

    async with Relay(memory()) as relay:
        run = await relay.start(play("a", silence()))
        closed = relay_app(relay, authorize=lambda _: False, principal=broken, max_viewers=1)
        exchange, task = view(closed, run.id, "ann")
        await task
        assert exchange.status == 404
        exchange, task = view(open_to_all(relay, principal=broken, max_viewers=1), run.id, "ann")
        await task
        assert exchange.status == 500
        assert b"ann" not in exchange.body


@on_virtual_time
async def test_a_viewing_ends_when_it_is_old() -> None:
    """I1: it ends as it should between two events, tells when to come back, and goes on there without loss."""
    async with Relay(memory()) as relay:
        app = open_to_all(relay, max_age=60, retry=4)
        run = await relay.start(play("a", 50.0, "b", 50.0, "c"))
        exchange, task = view(app, run.id, "")
        await task
        assert exchange.names == ["a", "b"]
        assert exchange.times[-1] == 60
        assert exchange.complete
        advice = re.search(rb"\n\nretry: (\d+)\n$", exchange.body)
        assert advice is not None
        assert 2000 <= int(advice[1]) <= 6000
        resumed = await ask(app, f"/runs/{run.id}/events", last_id=exchange.events[-1].id)
        assert resumed.names == ["c", "end"]
        assert b"retry:" not in resumed.body


@on_virtual_time
async def test_each_client_is_told_its_own_time() -> None:
    """L8: a fleet whose viewings end together does not come back together."""
    async with Relay(memory()) as relay:
        app = open_to_all(relay, max_age=5)
        run = await relay.start(play("a", silence()))
        views = [view(app, run.id, "") for _ in range(20)]
        await asyncio.gather(*[task for _, task in views])
        waits = {exchange.body.rpartition(b"retry: ")[2] for exchange, _ in views}
        assert len(waits) > 10


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        ("too old", "viewing_expired"),
        ("no", "access_revoked"),
        ("raises", "access_unconfirmed"),
        ("hangs", "access_unconfirmed"),
        ("drains", "draining"),
    ],
)
@on_virtual_time
async def test_a_dialect_without_resumption_gets_a_typed_error(reason: str, code: str) -> None:
    """I2, I13: a client that cannot come back to where it was would take a mere end for success: it learns why."""
    asked = 0

    def authorize(_: AccessRequest) -> Any:
        nonlocal asked
        asked += 1
        if asked == 1:
            return True
        if reason == "raises":
            raise OSError("password=hunter2")
        return asyncio.sleep(1e6) if reason == "hangs" else reason != "no"

    async with Relay(store := memory()) as elsewhere, Relay(store) as relay:
        dialect = Totals(has_ids=False, resume="from_start")
        run = await elsewhere.start(play("1", silence()))
        options: dict[str, Any] = {"max_age": 5} if reason == "too old" else {"reauthorize": 5}
        exchange, task = view(relay_app(relay, authorize=authorize, dialects=[dialect], **options), run.id, "")
        if reason == "drains":
            await asyncio.sleep(1)
            await relay.drain(1)
        await task
        assert exchange.events[-1].data == f"failed {code}"
        assert exchange.complete
        assert b"retry:" not in exchange.body
        assert b"hunter2" not in exchange.body
        assert (await elsewhere.info(run.id)).status == "running"


@pytest.mark.parametrize("answer", ["no", "raises", "hangs", "truthy"])
@on_virtual_time
async def test_a_viewer_is_asked_about_again(answer: str, caplog: pytest.LogCaptureFixture) -> None:
    """I12: whoever may not see a run any more is cut off within two periods, and finds nothing there."""
    allowed = True

    async def hanging() -> bool:
        await asyncio.sleep(1e6)
        return True

    def authorize(request: AccessRequest) -> Any:
        assert request.action == "events"
        if allowed:
            return True
        if answer == "raises":
            raise OSError("password=hunter2")
        return hanging() if answer == "hangs" else {"no": False, "truthy": 1}[answer]

    def no_more() -> None:
        nonlocal allowed
        allowed = False

    async with Relay(memory()) as relay:
        app = relay_app(relay, authorize=authorize, reauthorize=10)
        run = await relay.start(play("a", *[5.0, "b"] * 20, silence()))
        asyncio.get_running_loop().call_later(35, no_more)
        exchange, task = view(app, run.id, "")
        await task
        assert exchange.times[-1] == (50 if answer == "hangs" else 40)
        assert exchange.complete
        assert "end" not in exchange.names
        assert b"hunter2" not in exchange.body
        if answer == "raises":
            assert "authorize failed" in caplog.text
        if answer == "no":
            assert (await ask(app, f"/runs/{run.id}/events", last_id=exchange.events[-1].id)).status == 404


@on_virtual_time
async def test_a_viewer_that_may_stay_stays() -> None:
    """L4: being asked about again costs a viewer nothing: it sees the run to its end, by a slow application, too."""

    async def slowly(request: AccessRequest) -> bool:
        await asyncio.sleep(5)
        return request.run is not None

    async with Relay(memory()) as relay:
        run = await relay.start(play("a", 100.0, "b"))
        exchange, task = view(relay_app(relay, authorize=slowly, reauthorize=10), run.id, "")
        await task
        assert exchange.names == ["a", "b", "end"]


@on_virtual_time
async def test_limits_end_with_their_response() -> None:
    """L7: a client that leaves takes the watch with it, at once, also while the application is asked."""
    asked = asyncio.Event()

    async def authorize(request: AccessRequest) -> bool:
        if asked.is_set():
            await asyncio.sleep(8)
        asked.set()
        return request.run is not None

    async with Relay(memory()) as relay:
        run = await relay.start(play("a", silence()))
        app = relay_app(relay, authorize=authorize, reauthorize=10, max_age=1000)
        before = len(asyncio.all_tasks())
        exchange, task = view(app, run.id, "")
        await asyncio.sleep(12)
        exchange.gone.set()
        await task
        await asyncio.sleep(0)
        assert len(asyncio.all_tasks()) == before


class Measured(StoreHandle):
    """A store whose pages are weighed."""

    def __init__(self, store: StreamStore) -> None:
        super().__init__(store)
        self.pages: list[tuple[int, int]] = []

    async def read(
        self, run_id: str, after: Cursor | int | None = None, *, limit: int = 500, max_bytes: int = PAGE_BYTES
    ) -> Page:
        page = await super().read(run_id, after, limit=limit, max_bytes=max_bytes)
        self.pages.append((len(page.frames), sum(map(len, page.frames))))
        return page


@pytest.mark.parametrize("page_bytes", [1, 100_000, None])
@pytest.mark.parametrize("dialect", ["native", "totals"])
@on_virtual_time
async def test_a_page_has_so_many_bytes(page_bytes: int | None, dialect: str) -> None:
    """L6, I3: however large the records of a run, a viewer, joining or resuming, reads so many bytes at once."""
    store = Measured(memory())
    async with Relay(store) as relay:
        options = {} if page_bytes is None else {"page_bytes": page_bytes}
        app = open_to_all(relay, dialects=[Native(), Totals()], **options)
        most = page_bytes or PAGE_BYTES
        run = await relay.start(play(*["7".rjust(30_000), "1"] * 100))
        await relay.wait(run.id)
        for after in (0, 20, 199):
            store.pages.clear()
            exchange = await ask(app, f"/runs/{run.id}/events?dialect={dialect}&after={after}")
            assert all(count <= 1 or size <= most for count, size in store.pages)
            assert len(store.pages) >= (3_000_000 - 15_000 * after) // (most + 30_000)
            assert len(exchange.events) == (201 - after if dialect == "native" else 2 * (201 - after) + 1)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"max_viewers": 2}, ValueError),
        ({"max_viewers": 0, "principal": user}, ValueError),
        ({"max_viewers": True, "principal": user}, TypeError),
        ({"max_viewers": "2", "principal": user}, TypeError),
        ({"max_age": 0}, ValueError),
        ({"max_age": "60"}, TypeError),
        ({"reauthorize": -1}, ValueError),
        ({"retry": 0}, ValueError),
        ({"page_bytes": 0}, ValueError),
    ],
    ids=named,
)
def test_limits_are_checked_at_once(options: dict[str, Any], error: type[Exception]) -> None:
    """L6: a limit that limits nothing is refused when the application is made."""
    with pytest.raises(error):
        open_to_all(Relay(MemoryStore()), **options)


def test_a_principal_without_viewers_takes_no_memory() -> None:
    """L6: what is counted is as large as who is there, not as who ever was."""
    limits = Limits(user, 1, None, None)
    scopes: list[Scope] = [{"headers": [(b"x-user", str(number).encode())]} for number in range(100)]
    places = [limits.take(scope) for scope in scopes]
    assert all(places)
    assert limits.take(scopes[0]) is None
    for give_back in places:
        assert give_back is not None
        give_back()
    assert not limits._open
