/**
 * Read one run to its end, over as many connections as it takes: after each break the next one asks for what comes
 * after the last event that was seen.
 *
 * It ends with the run's own end, with an answer that will not change (204, 4xx), or when the server stays away.
 */

import { EventStreamParser } from "./sse.js";

const BACKOFF = [400, 800, 1600, 3200, 6400, 6400]; // milliseconds

export class Follower {
  /** The id of the last event. */
  cursor = null;
  #id;
  #hear;
  #patience;
  #away;
  #connection = null;
  #wake = null;
  #left = false;

  /**
   * `hear` is told of everything: `head(response, after, body)`, `chunk(bytes)`, `entry(entry)`,
   * `broken({asked, why, after, pause})`, `retry()`, and once `over(how)`: end, refused, left or away.
   * `patience` is how long a connection may be silent, which heartbeats hold, and `away` how long the reader stays away
   * after a cut of its own; in seconds.
   */
  constructor(id, { hear, patience, away }) {
    this.#id = id;
    this.#hear = hear;
    this.#patience = patience * 1000;
    this.#away = away * 1000;
  }

  get connected() {
    return this.#connection !== null;
  }

  /** Break the connection, as a network would; the run does not notice. */
  cut() {
    this.#connection?.abort("cut");
  }

  /** Read no more, for good. */
  leave() {
    this.#left = true;
    this.#connection?.abort("left");
    this.#wake?.();
  }

  async read() {
    let failures = 0;
    while (!this.#left) {
      const after = this.cursor;
      const { over, asked, why } = await this.#connect();
      if (over) {
        this.#hear.over(over);
        return;
      }
      if (this.#left) break;
      failures = asked || this.cursor !== after ? 0 : failures + 1;
      if (failures > BACKOFF.length) {
        this.#hear.over("away");
        return;
      }
      const pause = asked ? this.#away : BACKOFF[Math.max(0, failures - 1)];
      this.#hear.broken({ asked, why, after: this.cursor, pause });
      await this.#sleep(pause);
      if (!this.#left) this.#hear.retry();
    }
    this.#hear.over("left");
  }

  async #connect() {
    const connection = new AbortController();
    this.#connection = connection;
    let silence = setTimeout(() => connection.abort("it was silent"), this.#patience);
    try {
      const headers = { accept: "text/event-stream" };
      const after = this.cursor;
      if (after !== null) headers["last-event-id"] = after;
      const path = `runs/${encodeURIComponent(this.#id)}/events`;
      const response = await fetch(path, { headers, cache: "no-store", signal: connection.signal });
      if (response.status !== 200) {
        const body = await response.text();
        if (this.#left) return {};
        this.#hear.head(response, after, body);
        return response.status < 500 ? { over: "refused" } : { why: `HTTP ${response.status}` };
      }
      if (this.#left) return {};
      this.#hear.head(response, after, null);
      const parser = new EventStreamParser();
      const reader = response.body.getReader();
      for (;;) {
        const { value, done } = await reader.read();
        if (this.#left) return {};
        if (done) return { why: "it was closed" };
        clearTimeout(silence);
        silence = setTimeout(() => connection.abort("it was silent"), this.#patience);
        this.#hear.chunk(value.length);
        for (const entry of parser.push(value)) {
          this.cursor = entry.id ?? this.cursor;
          this.#hear.entry(entry);
          if (entry.name === "end") return { over: "end" };
        }
      }
    } catch (error) {
      const reason = connection.signal.reason;
      return { asked: reason === "cut", why: reason ?? error.message };
    } finally {
      clearTimeout(silence);
      this.#connection = null;
      connection.abort();
    }
  }

  #sleep(milliseconds) {
    return new Promise((resolve) => {
      this.#wake = resolve;
      setTimeout(resolve, milliseconds);
    });
  }
}
