// openai-node: chunks as they come, and those behind the last one after a cut.

import OpenAI, { APIError } from "openai";
import { call, main, url } from "./seen.mjs";

const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: "none" });

await main(async (play, seen) => {
  const { data: stream, response } = await client.chat.completions
    .create({
      model: play,
      messages: [{ role: "user", content: "Go on." }],
      stream: true,
      ...(play.includes("usage") ? { stream_options: { include_usage: true } } : {}),
    })
    .withResponse();
  const place = { run: response.headers.get("x-run-id"), seq: 0 };
  try {
    await read(stream, play, seen, place);
  } catch (error) {
    if (!play.includes("cut") || (error instanceof APIError && error.code)) throw error;
    seen.cut = error.constructor.name;
    const query = { dialect: "openai-chat", after: place.seq };
    await read(await client.get(`${url}/runs/${place.run}/events`, { query, stream: true }), play, seen, place);
  }
});

async function read(stream, play, seen, place) {
  for await (const chunk of stream) {
    place.seq = chunk.relay?.seq ?? place.seq;
    if (chunk.usage) seen.usage = [chunk.usage.prompt_tokens, chunk.usage.completion_tokens];
    for (const choice of chunk.choices) {
      if (choice.delta.content) seen.pieces.push(choice.delta.content);
      for (const part of choice.delta.tool_calls ?? [])
        call(seen, part.index, part.id, part.function.name, part.function.arguments);
      if (choice.finish_reason) seen.finish.push(choice.finish_reason);
    }
    if (play === "endless" && place.seq === 3) await client.post(`${url}/runs/${place.run}/cancel`);
  }
}
