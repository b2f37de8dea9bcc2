"""litellm: `acompletion` of a model that speaks as OpenAI's do."""

# mypy: disable-error-code="import-not-found"
# pyright: reportMissingImports=false, reportMissingModuleSource=false

import litellm

from tests.clients.python.seen import URL, Seen, main, patience, stop


async def watch(play: str, seen: Seen) -> None:
    """Ask for a completion."""
    stream = await litellm.acompletion(
        model=f"openai/{play}",
        messages=[{"role": "user", "content": "Go on."}],
        api_base=f"{URL}/v1",
        api_key="none",
        timeout=patience(play),
        stream=True,
        **({"stream_options": {"include_usage": True}} if "usage" in play else {}),
    )
    async for chunk in stream:
        if usage := getattr(chunk, "usage", None):
            seen.usage = [usage.prompt_tokens, usage.completion_tokens]
        for choice in chunk.choices:
            if choice.delta.content:
                seen.pieces.append(choice.delta.content)
                if play == "endless" and len(seen.pieces) == 3:
                    await stop(chunk.id.removeprefix("chatcmpl-"))
            for part in choice.delta.tool_calls or ():
                seen.call(part.index, part.id, part.function.name, part.function.arguments)
            if choice.finish_reason:
                seen.finish.append(choice.finish_reason)


if __name__ == "__main__":
    main(watch)
