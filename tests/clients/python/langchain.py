"""langchain-openai: `ChatOpenAI.astream`."""

# mypy: disable-error-code="import-not-found"
# pyright: reportMissingImports=false, reportMissingModuleSource=false

from langchain_openai import ChatOpenAI

from tests.clients.python.seen import URL, Seen, main, patience, stop


async def watch(play: str, seen: Seen) -> None:
    """Ask for a completion."""
    run_id = ""
    model = ChatOpenAI(
        model=play,
        base_url=f"{URL}/v1",
        api_key="none",
        timeout=patience(play),
        stream_usage="usage" in play,
        include_response_headers=True,
    )
    async for chunk in model.astream("Go on."):
        if chunk.content:
            seen.pieces.append(chunk.content)
        for part in chunk.tool_call_chunks:
            seen.call(part["index"], part["id"], part["name"], part["args"])
        if chunk.usage_metadata:
            seen.usage = [chunk.usage_metadata["input_tokens"], chunk.usage_metadata["output_tokens"]]
        if reason := chunk.response_metadata.get("finish_reason"):
            seen.finish.append(reason)
        run_id = chunk.response_metadata.get("headers", {}).get("x-run-id", run_id)
        if play == "endless" and len(seen.pieces) == 3:
            await stop(run_id)


if __name__ == "__main__":
    main(watch)
