"""Each example runs as its README says, on a real server."""

import importlib.util
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
import uvicorn

from sse_relay import EventDecoder, ServerSentEvent

EXAMPLES = Path(__file__).parent.parent.parent / "examples"


@contextmanager
def served(name: str) -> Iterator[str]:
    """Serve an example on a free port of this machine."""
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    server = uvicorn.Server(uvicorn.Config(module.app, host="127.0.0.1", port=0, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


def events(body: bytes) -> list[ServerSentEvent]:
    return EventDecoder().feed(body)


def outcome(event: ServerSentEvent) -> Any:
    assert event.event == "end"
    return json.loads(event.data or "")


def test_readme_names_every_example() -> None:
    """The table of examples is complete."""
    page = (EXAMPLES / "README.md").read_text()
    assert all(f"({path.name})" in page and f"uvicorn {path.stem}:app" in page for path in EXAMPLES.glob("*.py"))


def test_wrap_a_generator() -> None:
    """A generator streams under Starlette, and ends."""
    with served("wrap_a_generator") as url:
        *said, end = events(httpx2.get(url, params={"q": "42?"}).content)
    assert "".join(event.data or "" for event in said) == "Why do you ask: 42? "
    assert outcome(end)["status"] == "completed"


def test_relay_and_resume() -> None:
    """C, G: an answer is started, cut and resumed, joined, found by its chat, and stopped, by its owner alone."""
    prompt = {"prompt": "Hello. " * 20}
    ada, bob = {"cookie": "user=ada"}, {"cookie": "user=bob"}
    with served("relay_and_resume") as url, httpx2.Client(base_url=url) as client:
        started = client.post("/chats/1", json=prompt, headers=ada)
        assert started.status_code == 202
        urls = started.json()

        seen: list[ServerSentEvent] = []
        decoder = EventDecoder()
        with client.stream("GET", urls["events"], headers=ada) as response:
            for chunk in response.iter_raw():
                seen += decoder.feed(chunk)
                if len(seen) >= 2:
                    break
        assert client.post("/chats/1", json=prompt, headers=ada).json() == urls  # joined: it is being written
        assert client.get("/relay/keys/ada%2F1/active", headers=ada).json()["status"] == "running"
        for path in (urls["run"], urls["events"], "/relay/keys/ada%2F1/active", "/relay/keys/bob%2F1/latest"):
            assert client.get(path, headers=bob).status_code == 404
        assert client.post(urls["cancel"], headers=bob).status_code == 404

        rest = client.get(urls["events"], headers={**ada, "last-event-id": seen[-1].id or ""})
        *said, end = [*seen, *events(rest.content)]
        assert (
            "".join(event.data or "" for event in said)
            == f"You said: {'Hello. ' * 20}Let me think about that for a while. "
        )
        assert outcome(end)["status"] == "completed"
        assert client.get(urls["events"], headers={**ada, "last-event-id": end.id or ""}).status_code == 204
        assert client.get("/relay/keys/ada%2F1/latest", headers=ada).json()["status"] == "completed"

        urls = client.post("/chats/1", json=prompt, headers=ada).json()
        assert client.post(urls["cancel"], headers=ada).json()["status"] == "cancelled"
        assert outcome(events(client.get(urls["events"], headers=ada).content)[-1])["reason"] == "user"


def test_bare_asgi() -> None:
    """A generator streams and ends under a bare ASGI server."""
    with served("bare_asgi") as url:
        *counted, end = events(httpx2.get(url).content)
    assert [json.loads(event.data or "")["count"] for event in counted] == [5, 4, 3, 2, 1]
    assert outcome(end)["status"] == "completed"


def test_callbacks() -> None:
    """What a thread pushes is streamed in order, to its end."""
    with served("callbacks") as url:
        *said, end = events(httpx2.get(url).content)
    assert "".join(event.data or "" for event in said) == "From another thread."
    assert outcome(end)["status"] == "completed"


def test_cancel_from_another_task() -> None:
    """A stream whose generator is silent is stopped by another request (defect 4), and forgotten afterwards."""
    with served("cancel_from_another_task") as url, httpx2.Client() as client, client.stream("GET", url) as response:
        stop = f"{url}/{response.headers['x-stream-id']}/stop"
        body = b""
        for chunk in response.iter_bytes():
            body += chunk
            if body == b"data: Hmm.\n\n":
                assert httpx2.post(stop).status_code == 202
        said, end = events(body)
        assert said.data == "Hmm."
        assert outcome(end) == {"status": "cancelled", "reason": "user", "error": None}
        assert httpx2.post(stop).status_code == 404


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.stem)
def test_every_example_fits_on_a_screen(path: Path) -> None:
    """An example is short enough to be copied, and says in its first line how it is run."""
    lines = path.read_text().splitlines()
    assert len(lines) <= 50
    assert lines[0].endswith(f'uvicorn {path.stem}:app."""')


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.stem)
def test_every_example_is_tested(path: Path) -> None:
    """An example without a test rots."""
    assert f"test_{path.stem}" in globals()
