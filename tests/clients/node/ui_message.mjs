// What the AI SDK has made of a message.

export function gather(message, seen) {
  const texts = message.parts.filter((part) => part.type === "text");
  seen.pieces = texts.map((part) => part.text);
  const calls = message.parts.filter((part) => part.type.startsWith("tool-"));
  seen.tools = calls.map((part) => [part.toolCallId, part.type.slice(5), JSON.stringify(part.input)]);
}
