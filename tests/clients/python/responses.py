"""openai-python and its Responses: what is behind event N after a cut, and its own way to cancel."""

from openai import APIConnectionError, AsyncOpenAI, AsyncStream
from openai.types.responses import (
    Response,
    ResponseCompletedEvent,
    ResponseFailedEvent,
    ResponseIncompleteEvent,
    ResponseStreamEvent,
)

from tests.clients.python.seen import URL, Seen, main, patience

ENDS = (ResponseCompletedEvent, ResponseIncompleteEvent, ResponseFailedEvent)
client = AsyncOpenAI(base_url=f"{URL}/v1", api_key="none")


class Place:
    """Where a client is in a response."""

    def __init__(self, response_id: str) -> None:
        self.id = response_id
        self.number: int | None = None


async def watch(play: str, seen: Seen) -> None:
    """Ask for a response."""
    stream = await client.responses.create(model=play, input="Go on.", stream=True, timeout=patience(play))
    place = Place(f"resp_{stream.response.headers['x-run-id']}")
    try:
        await read(stream, play, seen, place)
    except APIConnectionError as error:
        if "cut" not in play:
            raise
        seen.cut = type(error).__name__
        if place.number is None:
            rest = await client.responses.retrieve(place.id, stream=True)
        else:
            rest = await client.responses.retrieve(place.id, stream=True, starting_after=place.number)
        await read(rest, play, seen, place)


async def read(stream: AsyncStream[ResponseStreamEvent], play: str, seen: Seen, place: Place) -> None:
    """Read to the end; stop what has none."""
    async for event in stream:
        expected = 0 if place.number is None else place.number + 1
        assert event.sequence_number == expected, f"{event.sequence_number} comes for {expected}"
        place.number = event.sequence_number
        if event.type == "response.output_text.delta":
            seen.pieces.append(event.delta)
            if play == "endless" and len(seen.pieces) == 3:
                await client.responses.cancel(place.id)
        elif isinstance(event, ENDS):
            assert event.response.output_text == "".join(seen.pieces)
            tell(event.response, seen)


def tell(response: Response, seen: Seen) -> None:
    """Tell how a response ended."""
    calls = [item for item in response.output if item.type == "function_call"]
    seen.tools = [[call.call_id, call.name, call.arguments] for call in calls]
    if response.usage:
        seen.usage = [response.usage.input_tokens, response.usage.output_tokens]
    if response.status == "completed":
        seen.finish.append(response.status)
    else:
        seen.error = {"kind": response.status, "code": response.error and response.error.code}


if __name__ == "__main__":
    main(watch)
