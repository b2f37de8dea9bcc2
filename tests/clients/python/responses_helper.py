"""openai-python, its helper that gathers a response: `client.responses.stream`."""

from openai import AsyncOpenAI
from openai.types.responses import ResponseFailedEvent, ResponseIncompleteEvent

from tests.clients.python.responses import tell
from tests.clients.python.seen import URL, Seen, main, patience

client = AsyncOpenAI(base_url=f"{URL}/v1", api_key="none")


async def watch(play: str, seen: Seen) -> None:
    """Ask for a response."""
    response_id = ""
    async with client.responses.stream(model=play, input="Go on.", timeout=patience(play)) as stream:
        async for event in stream:
            if event.type == "response.created":
                response_id = event.response.id
            elif event.type == "response.output_text.delta":
                seen.pieces.append(event.delta)
                assert event.snapshot == "".join(seen.pieces)
                if play == "endless" and len(seen.pieces) == 3:
                    await client.responses.cancel(response_id)
            elif isinstance(event, (ResponseIncompleteEvent, ResponseFailedEvent)):
                tell(event.response, seen)
                return
        tell(await stream.get_final_response(), seen)


if __name__ == "__main__":
    main(watch)
