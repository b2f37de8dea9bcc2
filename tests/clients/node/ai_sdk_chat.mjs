// The AI SDK: `Chat`, which asks for the whole stream again after a cut.

import { Chat } from "@ai-sdk/react";
import { DefaultChatTransport } from "ai";
import { main, url } from "./seen.mjs";
import { gather } from "./ui_message.mjs";

await main(async (play, seen) => {
  const id = `${play}-${crypto.randomUUID()}`;
  let ended;
  const chat = new Chat({
    id,
    transport: new DefaultChatTransport({ api: `${url}/api/chat` }),
    onFinish: (how) => (ended = how),
  });
  const sending = chat.sendMessage({ text: "Go on." });
  if (play === "endless") await stop(chat, id);
  await sending;
  if (play.includes("cut")) {
    seen.cut = chat.status === "ready" ? null : chat.status;
    await chat.resumeStream();
  }
  const answers = chat.messages.filter((message) => message.role === "assistant");
  if (answers.length > 1) throw new Error(`${answers.length} answers`);
  if (answers.length === 1) gather(answers[0], seen);
  if (chat.status !== "ready") seen.error = { kind: chat.status, code: null, text: String(chat.error) };
  else if (ended.isAbort) seen.error = { kind: "abort", code: null };
  else seen.finish.push(chat.status);
});

// Press Stop once there is something to see.
async function stop(chat, id) {
  while (!chat.lastMessage?.parts?.some((part) => part.type === "text" && part.text.includes("wörld")))
    await new Promise((resolve) => setTimeout(resolve, 20));
  await chat.stop();
  const told = await (await fetch(`${url}/api/chat/${id}/stop`, { method: "POST" })).json();
  if (Object.values(told).join() !== "cancelled") throw new Error(JSON.stringify(told));
}
