// fetch-event-source: it comes back after an error, with the last id.

import { fetchEventSource } from "@microsoft/fetch-event-source";
import { call, main, url } from "./seen.mjs";

// It was made for browsers.
globalThis.window = globalThis;
globalThis.document = { addEventListener() {}, removeEventListener() {} };

await main(async (play, seen) => {
  const [name, cut] = play.split(".cut");
  const { id: run } = await (await fetch(`${url}/native/${name}`, { method: "POST" })).json();
  await fetchEventSource(`${url}/runs/${run}/events${cut ? `?cut=${cut}` : ""}`, {
    openWhenHidden: true,
    onmessage({ event, data }) {
      const said = JSON.parse(data);
      if (event === "text") {
        seen.pieces.push(said.text);
        if (play === "endless" && seen.pieces.length === 3) fetch(`${url}/runs/${run}/cancel`, { method: "POST" });
      } else if (event === "tool_call") call(seen, said.index, said.id, said.name, said.arguments);
      else if (event === "usage") seen.usage = [said.input_tokens, said.output_tokens];
      else if (event === "end" && said.status === "completed") seen.finish.push(said.reason);
      else if (event === "end") seen.error = { kind: said.status, code: said.error?.code ?? null };
    },
    onerror(error) {
      seen.cut = error.constructor.name;
      return 50;
    },
  });
});
