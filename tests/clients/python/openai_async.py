"""openai-python, its async client: chunks as they come, and those behind the last one after a cut."""

from openai import APIConnectionError, AsyncOpenAI, AsyncStream
from openai.types.chat import ChatCompletionChunk

from tests.clients.python.chunks import MESSAGES, USAGE, Place, note
from tests.clients.python.seen import URL, Seen, main, patience

client = AsyncOpenAI(base_url=f"{URL}/v1", api_key="none")


async def watch(play: str, seen: Seen) -> None:
    """Ask for a completion."""
    stream = await client.chat.completions.create(
        model=play,
        messages=MESSAGES,
        stream=True,
        stream_options=USAGE if "usage" in play else None,
        timeout=patience(play),
    )
    place = Place(stream.response.headers["x-run-id"])
    try:
        await read(stream, play, seen, place)
    except APIConnectionError as error:
        if "cut" not in play:
            raise
        seen.cut = type(error).__name__
        rest = await client.get(**place.rest, stream=True, stream_cls=AsyncStream[ChatCompletionChunk])
        await read(rest, play, seen, place)


async def read(stream: AsyncStream[ChatCompletionChunk], play: str, seen: Seen, place: Place) -> None:
    """Read to the end; stop what has none."""
    async for chunk in stream:
        note(chunk, seen, place)
        if play == "endless" and place.seq == 3:
            await client.post(**place.end)


if __name__ == "__main__":
    main(watch)
