"""anthropic's Python client, its helper that gathers a message: `client.messages.stream`."""

import json

from anthropic import AsyncAnthropic

from tests.clients.python.seen import URL, Seen, main, patience

client = AsyncAnthropic(base_url=URL, api_key="none")


async def watch(play: str, seen: Seen) -> None:
    """Ask for a message; what is told is what the helper has gathered."""
    question = {"role": "user", "content": "Go on."}
    async with client.messages.stream(model=play, max_tokens=99, messages=[question], timeout=patience(play)) as stream:  # type: ignore[list-item]
        async for text in stream.text_stream:
            seen.pieces.append(text)
            if play == "endless" and len(seen.pieces) == 3:
                run_id = stream.current_message_snapshot.id.removeprefix("msg_")
                await client.post(f"{URL}/runs/{run_id}/cancel", cast_to=object)
        whole = await stream.get_final_message()
    seen.pieces = [block.text for block in whole.content if block.type == "text"]
    calls = [block for block in whole.content if block.type == "tool_use"]
    seen.tools = [[call.id, call.name, json.dumps(call.input, ensure_ascii=False)] for call in calls]
    seen.finish = [whole.stop_reason or ""]
    seen.usage = [whole.usage.input_tokens, whole.usage.output_tokens]


if __name__ == "__main__":
    main(watch)
