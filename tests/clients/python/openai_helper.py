"""openai-python, its helper that gathers a completion: `client.chat.completions.stream`."""

from openai import AsyncOpenAI

from tests.clients.python.chunks import MESSAGES, USAGE, Place
from tests.clients.python.seen import URL, Seen, main, patience

client = AsyncOpenAI(base_url=f"{URL}/v1", api_key="none")


async def watch(play: str, seen: Seen) -> None:
    """Ask for a completion; what is told is what the helper has gathered."""
    options = USAGE if "usage" in play else None
    async with client.chat.completions.stream(
        model=play, messages=MESSAGES, stream_options=options, timeout=patience(play)
    ) as stream:
        async for event in stream:
            if event.type == "content.delta" and event.delta:
                seen.pieces.append(event.delta)
                if play == "endless" and len(seen.pieces) == 3:
                    so_far = stream.current_completion_snapshot
                    await client.post(**Place(so_far.id.removeprefix("chatcmpl-")).end)
        whole = await stream.get_final_completion()
    answer = whole.choices[0]
    seen.pieces = [answer.message.content or ""]
    seen.tools = [[call.id, call.function.name, call.function.arguments] for call in answer.message.tool_calls or ()]
    seen.finish = [answer.finish_reason]
    if whole.usage:
        seen.usage = [whole.usage.prompt_tokens, whole.usage.completion_tokens]


if __name__ == "__main__":
    main(watch)
