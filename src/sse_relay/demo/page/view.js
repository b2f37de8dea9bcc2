/** One look at one run: what came over the wire, put where it is seen. */

import { closing } from "./closing.js";
import { Follower } from "./follow.js";
import { notes } from "./words.js";

const RECENT = 100;

/** Of how the reading ended, what is shown of it; an `end` shows what it says. */
const OVER = { left: "left", away: "disconnected" };

export class View {
  status = "connecting";
  ended = false;
  stopping = false;
  events = 0;
  bytes = 0;
  firstToken = null;
  #times = []; // of the newest tokens
  #started = performance.now();
  #offset = 0;
  #resumed = false;
  #follower;

  /** `panes` is where it is shown: prose, score, timeline, caret, and `changed(view, note)`. */
  constructor(id, panes, { patience, away }) {
    this.id = id;
    this.panes = panes;
    this.#follower = new Follower(id, {
      patience,
      away,
      hear: {
        head: (response, after, body) => this.#head(response, after, body),
        chunk: (bytes) => this.#count(bytes),
        entry: (entry) => this.#take(entry),
        broken: (how) => this.#broken(how),
        retry: () => this.#show("resuming"),
        over: (how) => this.#over(how),
      },
    });
  }

  get elapsed() {
    return (performance.now() - this.#started) / 1000;
  }

  /** Tokens a second, of late; null: they came at once, as what was stored does. */
  get pace() {
    const span = this.#times.at(-1) - this.#times[0];
    return span > 0.1 ? (this.#times.length - 1) / span : null;
  }

  get connected() {
    return this.#follower.connected;
  }

  /** Read the run to its end. */
  read() {
    const { timeline, prose, score, caret } = this.panes;
    timeline.clear();
    prose.clear();
    score.start();
    const waiting = document.createElement("p");
    waiting.className = "waiting";
    waiting.append(caret);
    prose.append(waiting);
    this.#show("connecting", notes.live);
    this.#follower.read();
  }

  cut() {
    this.#follower.cut();
  }

  /** Look no longer, and say so. */
  leave() {
    this.#follower.leave();
  }

  /** Look no longer, and touch nothing any more: another one is looked at. */
  drop() {
    this.ended = true;
    this.#follower.leave();
  }

  /** The reader asks for something: note it among the events. */
  act(label, request, note) {
    this.panes.timeline.add({ time: this.elapsed, kind: "act", label, payload: request, raw: request });
    this.#show(this.status, note);
  }

  stop() {
    this.stopping = true;
  }

  #show(status, note) {
    if (!this.stopping || this.ended) this.status = status;
    else this.status = "stopping";
    this.panes.changed(this, note);
  }

  #count(bytes) {
    this.bytes += bytes;
    this.panes.changed(this);
  }

  #head(response, after, body) {
    const request = [`GET /runs/${this.id}/events`, ...(after === null ? [] : [`Last-Event-ID: ${after}`])];
    const head = [`HTTP ${response.status} ${response.statusText}`.trim()];
    for (const name of ["content-type", "x-run-id"]) {
      const value = response.headers.get(name);
      if (value) head.push(`${name}: ${value}`);
    }
    this.panes.timeline.add({
      time: this.elapsed,
      kind: "http",
      label: `HTTP ${response.status}`,
      bytes: body === null ? undefined : new TextEncoder().encode(body).length,
      payload: body ?? (after === null ? "from the first record" : `Last-Event-ID: ${after}`),
      raw: [...request, "", ...head, ...(body ? ["", body] : [])].join("\n"),
      status: response.ok ? "" : "failed",
    });
    if (body !== null) {
      this.bytes += new TextEncoder().encode(body).length;
      if (response.status < 500) this.#refused(response, body);
      return;
    }
    this.panes.score.mend(this.elapsed);
    this.#resumed = after !== null;
    this.#show("waiting");
  }

  #refused(response, body) {
    let problem = {};
    try {
      problem = JSON.parse(body);
    } catch {
      // Not from the app, but from something in between: the status must do.
    }
    const error = { code: problem.code, message: problem.detail ?? problem.title, error_id: problem.error_id };
    this.#end({ status: "refused", error, http: `${response.status} ${response.statusText}`.trim() });
  }

  #take(entry) {
    const time = this.elapsed;
    const { timeline, score, prose } = this.panes;
    const row = { time, kind: "event", label: entry.name, bytes: entry.bytes, payload: entry.data, raw: entry.raw };
    if (entry.kind === "comment") {
      timeline.add({ ...row, kind: "comment", label: "heartbeat", payload: `: ${entry.data}` });
      score.add(time, "comment");
      if (this.status === "streaming") this.#show("waiting");
      return;
    }
    this.events += 1;
    row.offset = this.#place(entry.id);
    if (this.#resumed) {
      this.#resumed = false;
      this.panes.changed(this, notes.resumed(row.offset - 1));
    }
    if (entry.name === "text") {
      const { text } = JSON.parse(entry.data);
      this.firstToken ??= time;
      if (this.#times.push(time) > RECENT) this.#times.shift();
      prose.add(text);
      timeline.add({ ...row, kind: "text" });
      score.add(time, "text", text.length);
      if (this.status !== "streaming") this.#show("streaming");
    } else if (entry.name === "end") {
      const outcome = JSON.parse(entry.data);
      timeline.add({ ...row, kind: "end", status: outcome.status });
      this.#end(outcome, notes.ended);
    } else {
      timeline.add(row);
      score.add(time, "text");
    }
  }

  /** Offsets are dense, over any number of connections: the page does not take the server's word for it. */
  #place(id) {
    const offset = Number(id?.split(":")[1]);
    if (offset !== this.#offset + 1) console.error(`record ${offset} came after record ${this.#offset}`);
    this.#offset = offset;
    return offset;
  }

  #broken({ asked, why, after, pause }) {
    const time = this.elapsed;
    const where = after === null ? "before the first record" : `after ${after}`;
    const what = asked ? "The page cut its connection" : `The connection broke (${why})`;
    const raw = `${what} ${where}.\nThe next try is in ${pause} ms.`;
    this.panes.timeline.add({ time, kind: "cut", label: asked ? "cut" : "broken", payload: where, raw });
    this.panes.score.tear(time);
    this.#show("cut", asked ? notes.cut(this.#offset) : notes.dropped(this.#offset));
  }

  #over(how) {
    if (how in OVER) this.#end({ status: OVER[how] });
  }

  /** The last word, once: the run's own, the server's refusal, or that nobody is left to ask. */
  #end({ status, reason = null, error = null, http = null }, note = "") {
    if (this.ended) return;
    const { prose, score, timeline, caret } = this.panes;
    const time = this.elapsed;
    this.ended = true;
    prose.flush({ last: true });
    caret.remove();
    score.end(time, status);
    const { code, error_id } = error ?? {};
    const facts = { records: this.#offset || null, HTTP: http, reason, code, "error id": error_id };
    prose.append(closing({ status, error, facts }));
    timeline.selectLast();
    this.#show(status, note);
  }
}
