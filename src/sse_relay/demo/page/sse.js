/**
 * Bytes → what a server said, by the WHATWG's rules for event streams, with one addition: comments are reported, too,
 * since heartbeats are comments.
 *
 * An entry is {kind: "event" | "comment", name, data, id, raw, bytes}.
 */

const MAX_EVENT = 1 << 20;
const encoder = new TextEncoder();

export class EventStreamParser {
  #decoder = new TextDecoder(); // drops one byte order mark, replaces invalid UTF-8
  #line = "";
  #raw = "";
  #name = "";
  #data = [];
  #id = null;
  #skipLineFeed = false; // a CR ended the line already, and its LF may be in the next chunk

  /** Take a chunk, split anywhere, and return the entries that it completes. */
  push(chunk) {
    const entries = [];
    let text = this.#decoder.decode(chunk, { stream: true });
    if (this.#skipLineFeed && text !== "") {
      this.#skipLineFeed = false;
      if (text.startsWith("\n")) text = text.slice(1);
    }
    const ends = /\r\n|\r|\n/g;
    let start = 0;
    for (let match = ends.exec(text); match; match = ends.exec(text)) {
      this.#take(this.#line + text.slice(start, match.index), entries);
      this.#line = "";
      start = ends.lastIndex;
    }
    if (text.endsWith("\r")) this.#skipLineFeed = true;
    this.#line += text.slice(start);
    if (this.#line.length + this.#raw.length > MAX_EVENT) throw new Error("An event exceeds 1 MiB.");
    return entries;
  }

  #take(line, entries) {
    if (line === "") {
      this.#dispatch(entries);
      return;
    }
    if (line.startsWith(":")) {
      const raw = `${line}\n`;
      entries.push({ kind: "comment", name: "", data: line.slice(1).trimStart(), id: null, raw, bytes: size(raw) });
      return;
    }
    this.#raw += `${line}\n`;
    const colon = line.indexOf(":");
    const field = colon < 0 ? line : line.slice(0, colon);
    let value = colon < 0 ? "" : line.slice(colon + 1);
    if (value.startsWith(" ")) value = value.slice(1);
    if (field === "event") this.#name = value;
    else if (field === "data") this.#data.push(value);
    else if (field === "id" && !value.includes("\0")) this.#id = value;
  }

  #dispatch(entries) {
    const raw = this.#raw;
    if (this.#data.length > 0) {
      entries.push({
        kind: "event",
        name: this.#name || "message",
        data: this.#data.join("\n"),
        id: this.#id,
        raw,
        bytes: size(raw) + 1, // the blank line
      });
    }
    this.#raw = "";
    this.#name = "";
    this.#data = [];
  }
}

function size(text) {
  return encoder.encode(text).length;
}
