"""pydantic-ai: a request to a model, streamed, without an agent."""

# mypy: disable-error-code="import-not-found"
# pyright: reportMissingImports=false, reportMissingModuleSource=false

from openai import AsyncOpenAI
from pydantic_ai.direct import model_request_stream
from pydantic_ai.messages import ModelRequest, TextPart, ToolCallPart
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

from tests.clients.python.seen import URL, Seen, main, patience, stop


async def watch(play: str, seen: Seen) -> None:
    """Ask for a completion."""
    client = AsyncOpenAI(base_url=f"{URL}/v1", api_key="none", timeout=patience(play))
    model = OpenAIChatModel(play, provider=OpenAIProvider(openai_client=client))
    async with model_request_stream(model, [ModelRequest.user_text_prompt("Go on.")]) as stream:
        async for _ in stream:
            parts = stream.get().parts
            seen.pieces = [part.content for part in parts if isinstance(part, TextPart)]
            if play == "endless" and "wörld" in "".join(seen.pieces):
                await stop((stream.provider_response_id or "").removeprefix("chatcmpl-"))
        whole = stream.get()
    calls = [part for part in whole.parts if isinstance(part, ToolCallPart)]
    seen.tools = [[call.tool_call_id, call.tool_name, call.args_as_json_str()] for call in calls]
    seen.usage = [whole.usage.input_tokens, whole.usage.output_tokens] if whole.usage.has_values() else None
    seen.finish = [whole.finish_reason or ""]


if __name__ == "__main__":
    main(watch)
