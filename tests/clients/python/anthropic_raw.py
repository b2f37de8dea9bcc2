"""anthropic's Python client: events as they come, and all of them again after a cut."""

import httpx2
from anthropic import AsyncAnthropic, AsyncStream
from anthropic.types import RawMessageStreamEvent

from tests.clients.python.seen import URL, Seen, main, patience

client = AsyncAnthropic(base_url=URL, api_key="none")


async def watch(play: str, seen: Seen) -> None:
    """Ask for a message."""
    stream = await client.messages.create(
        model=play, max_tokens=99, messages=[{"role": "user", "content": "Go on."}], stream=True, timeout=patience(play)
    )
    run_id = stream.response.headers["x-run-id"]
    try:
        await read(stream, play, run_id, seen)
    except httpx2.TransportError as error:
        if "cut" not in play:
            raise
        first, again = seen.pieces, Seen(cut=type(error).__name__)
        rest = await client.get(
            f"{URL}/runs/{run_id}/events?dialect=anthropic", cast_to=object, stream=True,
            stream_cls=AsyncStream[RawMessageStreamEvent],
        )  # fmt: skip
        await read(rest, play, run_id, again)
        assert again.pieces[: len(first)] == first
        seen.__dict__ = again.__dict__


async def read(stream: AsyncStream[RawMessageStreamEvent], play: str, run_id: str, seen: Seen) -> None:
    """Read to the end; stop what has none."""
    blocks: dict[int, int] = {}
    async for event in stream:
        if event.type == "content_block_start" and event.content_block.type == "tool_use":
            blocks[event.index] = len(blocks)
            seen.call(blocks[event.index], event.content_block.id, event.content_block.name, "")
        elif event.type == "content_block_delta" and event.delta.type == "text_delta":
            seen.pieces.append(event.delta.text)
            if play == "endless" and len(seen.pieces) == 3:
                await client.post(f"{URL}/runs/{run_id}/cancel", cast_to=object)
        elif event.type == "content_block_delta" and event.delta.type == "input_json_delta":
            seen.call(blocks[event.index], "", "", event.delta.partial_json)
        elif event.type == "message_delta":
            seen.finish.append(event.delta.stop_reason or "")
            seen.usage = [event.usage.input_tokens or 0, event.usage.output_tokens]


if __name__ == "__main__":
    main(watch)
