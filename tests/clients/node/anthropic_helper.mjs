// anthropic's TypeScript client, its helper that gathers a message: `client.messages.stream`.

import Anthropic from "@anthropic-ai/sdk";
import { main, url } from "./seen.mjs";

const client = new Anthropic({ baseURL: url, apiKey: "none" });

await main(async (play, seen) => {
  const question = { role: "user", content: "Go on." };
  const stream = client.messages.stream({ model: play, max_tokens: 99, messages: [question] });
  stream.on("text", (text) => {
    seen.pieces.push(text);
    if (play === "endless" && seen.pieces.length === 3) {
      const run = stream.currentMessage.id.replace("msg_", "");
      client.post(`${url}/runs/${run}/cancel`).catch((error) => (seen.cancel = String(error)));
    }
  });
  const whole = await stream.finalMessage();
  seen.pieces = whole.content.filter((block) => block.type === "text").map((block) => block.text);
  seen.tools = whole.content.filter((block) => block.type === "tool_use");
  seen.tools = seen.tools.map((block) => [block.id, block.name, JSON.stringify(block.input)]);
  seen.finish = [whole.stop_reason];
  seen.usage = [whole.usage.input_tokens, whole.usage.output_tokens];
});
