// openai-node, its helper that gathers a response: `client.responses.stream`, also from where another one was cut.

import OpenAI from "openai";
import { main, url } from "./seen.mjs";

const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: "none" });

await main(async (play, seen) => {
  let id;
  const stream = client.responses.stream({ model: play, input: "Go on." });
  stream.on("response.created", (event) => (id = event.response.id));
  stream.on("response.output_text.delta", (event) => {
    seen.pieces.push(event.delta);
    if (event.snapshot !== seen.pieces.join("")) seen.snapshot = event.snapshot;
    if (play === "endless" && seen.pieces.length === 3)
      client.responses.cancel(id).catch((error) => (seen.cancel = String(error)));
  });
  const { status, output, usage, error } = await stream.finalResponse();
  seen.tools = output.filter((item) => item.type === "function_call");
  seen.tools = seen.tools.map((item) => [item.call_id, item.name, item.arguments]);
  seen.usage = usage && [usage.input_tokens, usage.output_tokens];
  if (status === "completed") seen.finish.push(status);
  else seen.error = { kind: status, code: error?.code ?? null };
});
