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


def test_starlette_stop() -> None:
    """A stream whose generator is silent is stopped by another request (defect 4), and forgotten afterwards."""
    with served("starlette_stop") as url, httpx2.Client() as client, client.stream("GET", url) as response:
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
def test_every_example_is_tested(path: Path) -> None:
    """An example without a test rots."""
    assert f"test_{path.stem}" in globals()
