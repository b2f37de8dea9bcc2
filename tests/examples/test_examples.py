"""Each example runs as its README says, on a real server."""

import asyncio
import json
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest

from sse_relay import EventDecoder, ServerSentEvent
from tests.combinators import recorded
from tests.examples.serving import EXAMPLES, running, served


def events(body: bytes) -> list[ServerSentEvent]:
    return EventDecoder().feed(body)


def outcome(event: ServerSentEvent) -> Any:
    assert event.event == "end"
    return json.loads(event.data or "")


class Upstream:
    """
    A model's server: it streams what it has, an event at a time, and then for ever what it is asked to repeat.

    Attributes:
        asked: The path and authorization of each request.
        left: Set when a client has gone before the end.
    """

    def __init__(self) -> None:
        self.asked: list[tuple[str, bytes]] = []
        self.left = threading.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        said = json.loads((await receive())["body"])
        self.asked.append((scope["path"], dict(scope["headers"])[b"authorization"]))
        kind = b"text/event-stream" if said.get("stream") else b"application/json"
        status = 429 if said["model"] == "busy" else 200
        await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", kind)]})
        if not said.get("stream"):
            await send({"type": "http.response.body", "body": b'{"object":"whole"}'})
            return
        whole = recorded.CHAT if scope["path"].endswith("completions") else recorded.RESPONSE
        for event in whole.split(b"\n\n")[:-1]:
            await asyncio.sleep(0.01)  # the pace of a model
            await send({"type": "http.response.body", "body": event + b"\n\n", "more_body": True})
            if said["model"] == "endless" and b"output_text.delta" in event:
                await receive()
                self.left.set()
                return
        await send({"type": "http.response.body", "body": b""})


def text_of_chat(chunks: Iterable[Any]) -> str:
    return "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)


def test_openai_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """C, H: the openai SDK reads chats and responses through the proxy, drops, resumes, retrieves and cancels them."""
    upstream = Upstream()
    with running(upstream) as behind:
        monkeypatch.setenv("UPSTREAM", behind)
        with served("openai_proxy") as url:
            ada, bob = (openai.OpenAI(base_url=f"{url}/v1", api_key=name, max_retries=0) for name in ("ada", "bob"))
            with ada, bob:
                chat_through(ada, bob)
                respond_through(ada, bob)
                assert upstream.left.wait(5)  # the upstream of what was cancelled is told
                whole = ada.chat.completions.create(model="m", messages=[])
                assert whole.model_dump()["object"] == "whole"
    assert [path for path, _ in upstream.asked] == [
        "/chat/completions", "/chat/completions", "/responses", "/responses", "/chat/completions",
    ]  # fmt: skip
    assert {key for _, key in upstream.asked} == {b"Bearer ada"}


def chat_through(ada: openai.OpenAI, bob: openai.OpenAI) -> None:
    """I1: a chat that was dropped goes on behind what was seen; nobody else's client finds it."""

    def ask(client: openai.OpenAI, after: int = 0, model: str = "m") -> Any:
        return client.chat.completions.create(
            model=model, messages=[], stream=True, stream_options={"include_usage": True},
            extra_headers={"x-stream-id": model}, extra_query={"after": after} if after else {},
        )  # fmt: skip

    seen: list[Any] = []
    with ask(ada) as stream:
        for chunk in stream:
            seen.append(chunk)
            if text_of_chat(seen):
                break
    after = max(chunk.relay["seq"] for chunk in seen if hasattr(chunk, "relay"))
    with pytest.raises(openai.NotFoundError):
        ask(bob, after)
    seen += ask(ada, after)
    assert text_of_chat(seen) == "Let me look — 😀"
    assert {chunk.id for chunk in seen} == {seen[0].id}
    calls = [call for chunk in seen for choice in chunk.choices for call in choice.delta.tool_calls or ()]
    assert "".join(call.function.arguments for call in calls if call.index == 0) == '{"city":"Paris"}'
    assert [choice.finish_reason for choice in seen[-2].choices] == ["tool_calls"]
    assert seen[-1].usage.total_tokens == 16
    with pytest.raises(openai.APIError) as refused:
        list(ask(ada, model="busy"))
    assert refused.value.code == "llm_rate_limit"


def respond_through(ada: openai.OpenAI, bob: openai.OpenAI) -> None:
    """I1, L3: a response that was dropped is resumed, retrieved and, while it is silent, cancelled, by its owner."""
    seen: list[Any] = []
    with ada.responses.create(model="m", input="Hi", stream=True) as stream:
        for event in stream:
            seen.append(event)
            if event.type == "response.output_text.delta":
                break
    found = seen[0].response.id
    with pytest.raises(openai.NotFoundError):
        bob.responses.retrieve(found)
    seen += ada.responses.retrieve(found, stream=True, starting_after=seen[-1].sequence_number)
    assert [event.sequence_number for event in seen] == list(range(len(seen)))
    assert seen[-1].type == "response.completed"
    assert seen[-1].response.output_text == "Let me look — 😀"
    assert ada.responses.retrieve(found).output_text == "Let me look — 😀"

    with ada.responses.create(model="endless", input="Hi", stream=True) as stream:
        told = iter(stream)
        found = next(told).response.id  # type: ignore[union-attr]
        assert any(event.type == "response.output_text.delta" for event in told)  # so the upstream was asked
    with pytest.raises(openai.NotFoundError):
        bob.responses.cancel(found)
    assert ada.responses.cancel(found).status == "cancelled"


def parts(body: str) -> list[Any]:
    """Read a stream of unnamed JSON events, but for its heartbeats."""
    *said, done = [event.data or "" for event in events(body.encode())]
    assert done == "[DONE]"
    return [json.loads(data) for data in said if '"ping"' not in data]


def test_ai_sdk_chat() -> None:
    """C, E: a chat's answer is read, replayed whole under the same message id, found by its user alone, and stopped."""
    asked = {"id": "1", "messages": [{"role": "user", "parts": [{"type": "text", "text": "Hello. " * 30}]}]}
    ada = {"cookie": "user=ada"}
    with served("ai_sdk_chat") as url, httpx2.Client(base_url=url, headers=ada) as client:
        assert client.get("/api/chat/1/stream").status_code == 204
        with client.stream("POST", "/api/chat", json=asked) as response:
            assert response.headers["x-vercel-ai-ui-message-stream"] == "v1"
            for line in response.iter_lines():
                if "text-delta" in line:
                    break
        assert client.get("/api/chat/1/stream", headers={"cookie": "user=bob"}).status_code == 204
        whole = parts(client.get("/api/chat/1/stream").text)
        assert whole[0]["type"] == "start"
        assert whole[-1]["type"] == "finish"
        text = "".join(part["delta"] for part in whole if part["type"] == "text-delta")
        assert text == f"You said: {'Hello. ' * 30}"
        assert client.get("/api/chat/1/stream").status_code == 204

        with client.stream("POST", "/api/chat", json=asked) as response:
            lines = response.iter_lines()
            begun = json.loads(next(line for line in lines if "messageId" in line).removeprefix("data: "))
            assert begun["messageId"] != whole[0]["messageId"]
            with client.stream("GET", "/api/chat/1/stream") as replay:
                same = next(line for line in replay.iter_lines() if "messageId" in line)
                assert json.loads(same.removeprefix("data: ")) == begun
            assert client.post("/api/chat/1/stop").status_code == 204
            assert any('"abort"' in line for line in lines)
        assert client.get("/api/chat/1/stream").status_code == 204


def test_letta_agent() -> None:
    """C4, G1: an agent calls its tool, answers, is resumed at any seq_id by its user alone, and is busy meanwhile."""
    asked = {"messages": [{"role": "user", "content": "How much is 20 and 22?"}]}
    ada, bob = {"authorization": "Bearer ada"}, {"authorization": "Bearer bob"}
    path = "/v1/agents/1/messages/stream"
    with served("letta_agent") as url, httpx2.Client(base_url=url, headers=ada) as client:
        with client.stream("POST", path, json=asked) as response:
            run = f"/v1/runs/{response.headers['x-run-id']}/stream"
            assert client.post(path, json=asked).status_code == 409
        whole = parts(client.post(run, json={"starting_after": 0}).text)
        kinds = [message["message_type"] for message in whole]
        assert kinds == [*["tool_call_message"] * 3, "tool_return_message", *["assistant_message"] * 9, "stop_reason"]
        arguments = "".join(message["tool_call"]["arguments"] for message in whole[:3])
        assert json.loads(arguments) == {"a": 20, "b": 22}
        assert "".join(message.get("content", "") for message in whole) == "How much is 20 and 22? That makes 42. "
        assert whole[-1]["stop_reason"] == "end_turn"
        assert [message["seq_id"] for message in whole] == [*range(1, len(whole)), whole[-1]["seq_id"]]
        for seen, message in enumerate(whole[:-1], 1):
            assert parts(client.post(run, json={"starting_after": message["seq_id"]}).text) == whole[seen:]
        assert client.post(run, json={}, headers=bob).status_code == 404
        assert client.post(run, json={"starting_after": "x"}).status_code == 400
        assert client.post("/v1/runs/nobody/stream", json={}).status_code == 404


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


def test_chat() -> None:
    """C, G: an answer is asked for, cut, resumed, joined and stopped, by its user alone."""
    prompt = {"prompt": "Hello. " * 20}
    ada, bob = {"cookie": "user=ada"}, {"cookie": "user=bob"}
    with served("chat") as url, httpx2.Client(base_url=url) as client:
        seen: list[ServerSentEvent] = []
        decoder = EventDecoder()
        with client.stream("POST", "/chats/7", json=prompt, headers=ada) as response:
            assert response.status_code == 200
            run = response.headers["x-run-id"]
            for chunk in response.iter_raw():
                seen += decoder.feed(chunk)
                if len(seen) >= 2:
                    break
        joined = client.post("/chats/7", json={"prompt": "Another."}, headers=ada)
        assert joined.headers["x-run-id"] == run
        whole = events(joined.content)
        rest = client.get("/chats/7", headers={**ada, "last-event-id": seen[-1].id or ""})
        assert [*seen, *events(rest.content)] == whole
        assert "".join(event.data or "" for event in whole[:-1]).startswith("You said: Hello. Hello. ")
        assert outcome(whole[-1])["status"] == "completed"
        assert client.get("/chats/7", headers={**ada, "last-event-id": whole[-1].id or ""}).status_code == 204
        assert client.get("/chats/7", headers=bob).json()["code"] == "run_not_found"
        assert client.get("/chats/7", headers={**ada, "last-event-id": "nonsense"}).json()["code"] == "invalid_cursor"

        with client.stream("POST", "/chats/7", json=prompt, headers=ada) as response:
            assert httpx2.post(f"{url}/chats/7/stop", headers=bob).status_code == 404
            assert httpx2.post(f"{url}/chats/7/stop", headers=ada).status_code == 204
            assert outcome(events(response.read())[-1])["status"] == "cancelled"
        assert httpx2.post(f"{url}/chats/7/stop", headers=ada).status_code == 404


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
def test_every_example_is_short(path: Path) -> None:
    """An example is short enough to be read at once, and says in its first line how it is run."""
    lines = path.read_text().splitlines()
    assert len(lines) <= 90
    assert lines[0].endswith(f'uvicorn {path.stem}:app."""')


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.stem)
def test_every_example_is_tested(path: Path) -> None:
    """An example without a test rots."""
    assert f"test_{path.stem}" in globals()
