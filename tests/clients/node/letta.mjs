// Letta's client: its messages, and those behind the last one after a cut.

import Letta, { APIError } from "@letta-ai/letta-client";
import { call, main, url } from "./seen.mjs";

const client = new Letta({ baseURL: url, apiKey: "none" });

await main(async (play, seen) => {
  const { data: stream, response } = await client.agents.messages
    .stream(play, { messages: [{ role: "user", content: "Go on." }], include_pings: true, background: true })
    .withResponse();
  const place = { run: response.headers.get("x-run-id"), seq: 0 };
  try {
    await read(stream, play, seen, place);
  } catch (error) {
    if (!play.includes("cut") || (error instanceof APIError && error.status)) throw error;
    seen.cut = error.constructor.name;
    await read(await client.runs.messages.stream(place.run, { starting_after: place.seq }), play, seen, place);
  }
});

async function read(stream, play, seen, place) {
  const ids = [];
  for await (const message of stream) {
    if (message.run_id !== place.run) throw new Error(`a message of ${message.run_id}`);
    place.seq = message.seq_id ?? place.seq;
    if (message.message_type === "assistant_message") {
      seen.pieces.push(message.content);
      if (play === "endless" && seen.pieces.length === 3)
        await client.agents.messages.cancel(play, { run_ids: [place.run] });
    } else if (message.message_type === "tool_call_message") {
      const { tool_call_id, name, arguments: args } = message.tool_call;
      const index = ids.indexOf(tool_call_id);
      if (index < 0) call(seen, ids.push(tool_call_id) - 1, tool_call_id, name, args);
      else call(seen, index, "", name, args);
    } else if (message.message_type === "usage_statistics") {
      seen.usage = [message.prompt_tokens, message.completion_tokens];
    } else if (message.message_type === "stop_reason") {
      if (message.stop_reason === "end_turn") seen.finish.push(message.stop_reason);
      else seen.error = { kind: message.stop_reason, code: null };
    } else if (message.message_type === "error_message") {
      seen.error.code = message.error_type;
    }
  }
}
