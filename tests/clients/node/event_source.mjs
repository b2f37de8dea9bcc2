// eventsource, the one for Node: it comes back by itself, and ends where the server answers 204.

import { EventSource } from "eventsource";
import { call, main, url } from "./seen.mjs";

await main(async (play, seen) => {
  const [name, cut] = play.split(".cut");
  const { id: run } = await (await fetch(`${url}/native/${name}`, { method: "POST" })).json();
  const source = new EventSource(`${url}/runs/${run}/events${cut ? `?cut=${cut}` : ""}`);
  const on = (kind, take) => source.addEventListener(kind, (event) => take(JSON.parse(event.data)));
  on("text", ({ text }) => {
    seen.pieces.push(text);
    if (play === "endless" && seen.pieces.length === 3) fetch(`${url}/runs/${run}/cancel`, { method: "POST" });
  });
  on("tool_call", (said) => call(seen, said.index, said.id, said.name, said.arguments));
  on("usage", (said) => (seen.usage = [said.input_tokens, said.output_tokens]));
  on("end", ({ status, reason, error }) => {
    if (status === "completed") seen.finish.push(reason);
    else seen.error = { kind: status, code: error?.code ?? null };
  });
  source.addEventListener("message", (event) => (seen.unnamed = event.data));
  await new Promise((resolve) =>
    source.addEventListener("error", (event) => {
      if (seen.finish.length === 0 && seen.error === null) seen.cut = "error";
      if (source.readyState === EventSource.CLOSED) resolve((seen.closed = event.code));
    }),
  );
});
