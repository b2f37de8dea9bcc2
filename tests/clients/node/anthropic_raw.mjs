// anthropic's TypeScript client: events as they come, and all of them again after a cut.

import Anthropic, { APIError } from "@anthropic-ai/sdk";
import { call, main, url } from "./seen.mjs";

const client = new Anthropic({ baseURL: url, apiKey: "none" });

await main(async (play, seen) => {
  const { data: stream, response } = await client.messages
    .create({ model: play, max_tokens: 99, messages: [{ role: "user", content: "Go on." }], stream: true })
    .withResponse();
  const run = response.headers.get("x-run-id");
  try {
    await read(stream, play, run, seen);
  } catch (error) {
    if (!play.includes("cut") || (error instanceof APIError && error.status)) throw error;
    const first = seen.pieces.splice(0);
    seen.cut = error.constructor.name;
    seen.finish = [];
    await read(await client.get(`${url}/runs/${run}/events?dialect=anthropic`, { stream: true }), play, run, seen);
    if (first.some((piece, place) => piece !== seen.pieces[place])) throw new Error("another text");
  }
});

async function read(stream, play, run, seen) {
  const blocks = [];
  for await (const event of stream) {
    if (event.type === "content_block_start" && event.content_block.type === "tool_use") {
      blocks.push(event.index);
      call(seen, blocks.length - 1, event.content_block.id, event.content_block.name, "");
    } else if (event.type === "content_block_delta" && event.delta.type === "text_delta") {
      seen.pieces.push(event.delta.text);
      if (play === "endless" && seen.pieces.length === 3) await client.post(`${url}/runs/${run}/cancel`);
    } else if (event.type === "content_block_delta" && event.delta.type === "input_json_delta") {
      call(seen, blocks.indexOf(event.index), "", "", event.delta.partial_json);
    } else if (event.type === "message_delta") {
      seen.finish.push(event.delta.stop_reason);
      seen.usage = [event.usage.input_tokens, event.usage.output_tokens];
    }
  }
}
