"""httpx-sse: events as they come, and those behind the last id after a cut."""

import json
from typing import Any

import httpx
from httpx_sse import aconnect_sse

from tests.clients.python.seen import URL, Seen, main, patience

client = httpx.AsyncClient(base_url=URL)


async def watch(play: str, seen: Seen) -> None:
    """Start a run, and read it to its end."""
    name, _, cut = play.partition(".cut")
    run_id = (await client.post(f"/native/{name}")).json()["id"]
    path = f"/runs/{run_id}/events" + (f"?cut={cut}" if cut else "")
    last_id = ""
    while not (seen.finish or seen.error):
        headers = {"last-event-id": last_id} if last_id else {}
        try:
            async with aconnect_sse(client, "GET", path, headers=headers, timeout=patience(play)) as source:
                async for event in source.aiter_sse():
                    last_id = event.id
                    note(event.event, json.loads(event.data), seen)
                    if play == "endless" and len(seen.pieces) == 3:
                        await client.post(f"/runs/{run_id}/cancel")
        except httpx.RemoteProtocolError as error:
            seen.cut = type(error).__name__


def note(name: str, said: dict[str, Any], seen: Seen) -> None:
    """Take one event."""
    if name == "text":
        seen.pieces.append(said["text"])
    elif name == "tool_call":
        seen.call(said["index"], said.get("id"), said.get("name"), said.get("arguments"))
    elif name == "usage":
        seen.usage = [said["input_tokens"], said["output_tokens"]]
    elif name == "end" and said["status"] == "completed":
        seen.finish.append(said["reason"])
    elif name == "end":
        seen.error = {"kind": said["status"], "code": said["error"] and said["error"]["code"]}


if __name__ == "__main__":
    main(watch)
