// openai-node and its Responses: what is behind event N after a cut, and its own way to cancel.

import OpenAI, { APIError } from "openai";
import { main, url } from "./seen.mjs";

const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: "none" });

await main(async (play, seen) => {
  const { data: stream, response } = await client.responses
    .create({ model: play, input: "Go on.", stream: true })
    .withResponse();
  const place = { id: `resp_${response.headers.get("x-run-id")}`, number: -1 };
  try {
    await read(stream, play, seen, place);
    if (play === "text") await lookAgain(place);
  } catch (error) {
    if (!play.includes("cut") || (error instanceof APIError && error.code)) throw error;
    seen.cut = error.constructor.name;
    const after = place.number < 0 ? {} : { starting_after: place.number };
    await read(await client.responses.retrieve(place.id, { stream: true, ...after }), play, seen, place);
  }
});

// Who has seen the last event gets it again: an answer without a body would be an error.
async function lookAgain(place) {
  const again = [];
  for await (const event of await client.responses.retrieve(place.id, { stream: true, starting_after: place.number }))
    again.push(event.sequence_number);
  if (again.join() !== String(place.number)) throw new Error(`${again} again, after ${place.number}`);
}

async function read(stream, play, seen, place) {
  for await (const event of stream) {
    if (event.sequence_number !== place.number + 1) throw new Error(`${event.sequence_number} after ${place.number}`);
    place.number = event.sequence_number;
    if (event.type === "response.output_text.delta") {
      seen.pieces.push(event.delta);
      if (play === "endless" && seen.pieces.length === 3) await client.responses.cancel(place.id);
    } else if (["response.completed", "response.incomplete", "response.failed"].includes(event.type)) {
      const { status, output, usage, error } = event.response;
      seen.tools = output.filter((item) => item.type === "function_call");
      seen.tools = seen.tools.map((item) => [item.call_id, item.name, item.arguments]);
      seen.usage = usage && [usage.input_tokens, usage.output_tokens];
      if (status === "completed") seen.finish.push(status);
      else seen.error = { kind: status, code: error?.code ?? null };
    }
  }
}
