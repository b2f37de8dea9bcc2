// The AI SDK: its transport, and `readUIMessageStream`.

import { DefaultChatTransport, readUIMessageStream } from "ai";
import { main, url } from "./seen.mjs";
import { gather } from "./ui_message.mjs";

await main(async (play, seen) => {
  const chatId = `${play}-${crypto.randomUUID()}`;
  const transport = new DefaultChatTransport({ api: `${url}/api/chat` });
  const question = { id: "question", role: "user", parts: [{ type: "text", text: "Go on." }] };
  const stream = await transport.sendMessages({ chatId, messages: [question], trigger: "submit-message" });
  const [first, second] = stream.tee();
  const parts = listen(first, play, chatId);
  for await (const message of readUIMessageStream({ stream: second, terminateOnError: true })) gather(message, seen);
  const last = await parts;
  if (last.type === "finish") seen.finish.push(last.finishReason);
  else seen.error = { kind: last.type, code: null };
});

// Tell the last part; stop what has no end.
async function listen(stream, play, chatId) {
  let last;
  let deltas = 0;
  for await (const part of stream) {
    last = part;
    deltas += part.type === "text-delta";
    if (play === "endless" && deltas === 3) await fetch(`${url}/api/chat/${chatId}/stop`, { method: "POST" });
  }
  return last;
}
