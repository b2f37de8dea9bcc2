// What a client saw of each play, as JSON on the standard output.

export const [url, plays] = process.argv.slice(2);

export async function main(watch) {
  setInterval(() => {}, 1000); // a client that waits to come back keeps no process alive
  const saw = await Promise.all(plays.split(",").map(async (play) => [play, await look(watch, play)]));
  process.stdout.write(JSON.stringify(Object.fromEntries(saw)), () => process.exit());
}

async function look(watch, play) {
  const seen = { pieces: [], tools: [], usage: null, finish: [], cut: null, error: null };
  try {
    await watch(play, seen);
  } catch (error) {
    const code = error.code ?? error.error?.error?.code ?? error.error?.code ?? null;
    seen.error = { kind: error.constructor.name, code, text: String(error.stack) };
  }
  return seen;
}

// Take a part of a call.
export function call(seen, index, id, name, args) {
  const told = (seen.tools[index] ??= ["", "", ""]);
  [id, name, args].forEach((part, place) => (told[place] += part ?? ""));
}
