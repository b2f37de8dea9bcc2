// openai-node, its helper that gathers a completion: `client.chat.completions.stream`.

import OpenAI from "openai";
import { main, url } from "./seen.mjs";

const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: "none" });

await main(async (play, seen) => {
  const runner = client.chat.completions.stream({
    model: play,
    messages: [{ role: "user", content: "Go on." }],
    ...(play.includes("usage") ? { stream_options: { include_usage: true } } : {}),
  });
  runner.on("content", (delta) => {
    if (!delta) return;
    seen.pieces.push(delta);
    if (play === "endless" && seen.pieces.length === 3) {
      const run = runner.currentChatCompletionSnapshot.id.replace("chatcmpl-", "");
      client.post(`${url}/runs/${run}/cancel`).catch((error) => (seen.cancel = String(error)));
    }
  });
  const whole = await runner.finalChatCompletion();
  const { message, finish_reason } = whole.choices[0];
  seen.pieces = [message.content];
  seen.tools = (message.tool_calls ?? []).map((said) => [said.id, said.function.name, said.function.arguments]);
  seen.usage = whole.usage ? [whole.usage.prompt_tokens, whole.usage.completion_tokens] : null;
  seen.finish = [finish_reason];
});
