import { Prose } from "./prose.js";
import { Score } from "./score.js";
import { EventStreamParser } from "./sse.js";
import { Timeline } from "./timeline.js";

const element = (id) => document.getElementById(id);
const form = element("form");
const prompt = element("prompt");
const startButton = element("start");
const stopButton = element("stop");
const pill = element("status");
const answer = element("answer");

const caret = document.createElement("span");
caret.className = "caret";
caret.setAttribute("aria-hidden", "true");

const prose = new Prose(answer, caret);
const score = new Score(element("score"));
const timeline = new Timeline(element("rows"), { inspector: element("inspector"), hint: element("inspector-hint") });

const WORDS = { timed_out: "timed out", stopping: "stopping…", connecting: "connecting…" };
const ENDS = {
  completed: "The source has said all that it had to say.",
  cancelled: "Somebody asked it to stop.",
  timed_out: "Nothing came for too long.",
  failed: "Something went wrong on the other side.",
  lost: "The process that made this stream is gone.",
  disconnected: "The connection ended before the stream did: the end is unknown.",
};

/** What the server says about itself, until it has said it. */
let about = { source: "text", model: null, idle_seconds: 8, grace: 2 };
/** The stream that is being read, or null. */
let current = null;

class Stream {
  id = null;
  status = "connecting";
  stopping = false;
  ended = false;
  events = 0;
  bytes = 0;
  tokens = 0;
  firstToken = null;
  lastToken = null;
  connection = new AbortController();
  started = performance.now();

  get elapsed() {
    return (performance.now() - this.started) / 1000;
  }
}

function show(status) {
  pill.textContent = WORDS[status] ?? status;
  pill.dataset.status = status;
  answer.dataset.status = status;
}

function quantity(number) {
  return number.toLocaleString("en-GB");
}

function size(bytes) {
  return bytes < 10_000 ? quantity(bytes) : `${(bytes / 1000).toFixed(1)} k`;
}

function showFigures(stream) {
  const span = stream.lastToken - stream.firstToken;
  element("ttft").textContent = stream.firstToken === null ? "–" : `${quantity(Math.round(stream.firstToken * 1000))} ms`;
  element("speed").textContent = stream.tokens > 1 && span > 0 ? ((stream.tokens - 1) / span).toFixed(1) : "–";
  element("events").textContent = quantity(stream.events);
  element("bytes").textContent = size(stream.bytes);
}

function take(stream, entry) {
  const time = stream.elapsed;
  const row = { time, kind: "event", label: entry.name, bytes: entry.bytes, payload: entry.data, raw: entry.raw };
  if (entry.kind === "comment") {
    timeline.add({ ...row, kind: "comment", label: "heartbeat", payload: `: ${entry.data}` });
    score.add(time, "comment");
    return;
  }
  stream.events += 1;
  if (entry.name === "text") {
    const { text } = JSON.parse(entry.data);
    stream.tokens += 1;
    stream.firstToken ??= time;
    stream.lastToken = time;
    if (stream.status === "connecting" && !stream.stopping) show("streaming");
    stream.status = "streaming";
    prose.add(text);
    timeline.add({ ...row, kind: "text" });
    score.add(time, "text", text.length);
  } else if (entry.name === "end") {
    const outcome = JSON.parse(entry.data);
    timeline.add({ ...row, kind: "end", status: outcome.status });
    end(stream, outcome);
  } else {
    timeline.add(row);
    score.add(time, "text");
  }
}

/** The last word on a stream, once: its own terminal, the server's refusal, or that the line was cut. */
function end(stream, { status, reason = null, error = null, http = null }) {
  if (stream.ended) return;
  const time = stream.elapsed;
  stream.ended = true;
  stream.status = status;
  prose.flush({ last: true });
  caret.remove();
  score.end(time, status);
  answer.append(closing({ time, status, reason, error, http }));
  prose.follow();
  timeline.selectLast();
  show(status);
}

function closing({ time, status, reason, error, http }) {
  const note = document.createElement("footer");
  note.className = "closing";
  note.dataset.status = status;
  const bar = document.createElement("span");
  bar.className = "barline";
  bar.setAttribute("aria-hidden", "true");
  const title = document.createElement("strong");
  title.textContent = WORDS[status] ?? status;
  const sentence = document.createElement("span");
  sentence.textContent = error?.message ?? ENDS[status] ?? "";
  note.append(bar, title, sentence);
  const facts = { after: time < 1 ? `${Math.round(time * 1000)} ms` : `${time.toFixed(1)} s`, HTTP: http, reason, code: error?.code, "error id": error?.error_id };
  const list = document.createElement("dl");
  for (const [name, value] of Object.entries(facts)) {
    if (value === null || value === undefined) continue;
    const term = document.createElement("dt");
    term.textContent = name;
    const fact = document.createElement("dd");
    fact.textContent = String(value);
    list.append(term, fact);
  }
  if (list.childElementCount > 0) note.append(list);
  return note;
}

function showResponse(stream, response, body) {
  const type = response.headers.get("content-type") ?? "";
  const head = [`HTTP ${response.status} ${response.statusText}`.trim(), `content-type: ${type}`];
  if (response.ok) head.push(`x-stream-id: ${stream.id}`);
  timeline.add({
    time: stream.elapsed,
    kind: "http",
    label: `HTTP ${response.status}`,
    bytes: body === null ? null : new TextEncoder().encode(body).length,
    payload: body ?? head.slice(1).reverse().join(", "),
    raw: body === null ? head.join("\n") : `${head.join("\n")}\n\n${body}`,
    status: response.ok ? "" : "failed",
  });
}

async function refused(stream, response) {
  const body = await response.text();
  stream.bytes += new TextEncoder().encode(body).length;
  let problem = {};
  try {
    problem = JSON.parse(body);
  } catch {
    // Not from the app, but from something in between: the status must do.
  }
  showResponse(stream, response, body);
  const error = { code: problem.code, message: problem.detail ?? problem.title, error_id: problem.error_id };
  end(stream, { status: "failed", error, http: `${response.status} ${response.statusText}`.trim() });
}

async function read(stream, request) {
  const response = await fetch("streams", {
    method: "POST",
    headers: { "content-type": "application/json", accept: "text/event-stream" },
    body: JSON.stringify(request),
    signal: stream.connection.signal,
  });
  stream.id = response.headers.get("x-stream-id");
  if (!response.ok) {
    await refused(stream, response);
    return;
  }
  showResponse(stream, response, null);
  if (stream.stopping) await sendStop(stream);
  const parser = new EventStreamParser();
  const reader = response.body.getReader();
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    stream.bytes += value.length;
    for (const entry of parser.push(value)) take(stream, entry);
    showFigures(stream);
  }
}

async function run(request) {
  const stream = new Stream();
  current = stream;
  timeline.clear();
  prose.clear();
  score.start();
  showFigures(stream);
  show("connecting");
  swapButtons(true);
  const waiting = document.createElement("p");
  waiting.className = "waiting";
  waiting.append(caret);
  prose.append(waiting);
  try {
    await read(stream, request);
  } catch (error) {
    if (!stream.connection.signal.aborted) console.warn("the stream was cut:", error);
  }
  end(stream, { status: "disconnected" });
  showFigures(stream);
  current = null;
  swapButtons(false);
}

function swapButtons(running) {
  const focused = document.activeElement === (running ? startButton : stopButton);
  startButton.hidden = running;
  stopButton.hidden = !running;
  stopButton.textContent = "Stop";
  if (focused) (running ? stopButton : startButton).focus();
}

async function sendStop(stream) {
  try {
    await fetch(`streams/${encodeURIComponent(stream.id)}/cancel`, { method: "POST" });
  } catch (error) {
    console.warn("the server did not hear Stop; once more leaves without it:", error);
  }
}

/** Ask the server to end the stream; asked twice, leave without waiting for it. */
function stop() {
  const stream = current;
  if (!stream) return;
  if (stream.stopping) {
    stream.connection.abort();
    return;
  }
  stream.stopping = true;
  stopButton.textContent = "Leave";
  show("stopping");
  if (stream.id) sendStop(stream);
}

function notes() {
  return {
    normal: "The source runs to its end: completed.",
    fail: "The source raises in mid-run. You get a code and an error id, the log the detail.",
    silent: `The source says no more. Heartbeats hold the line; after ${about.idle_seconds} s it is timed out.`,
    hang: `The source swallows Stop. After ${about.grace} s of grace the stream ends without it.`,
    vanish: "The upstream hangs up without its terminal: that is no end, but stream_incomplete.",
    refuse: "The source raises before its first token, so it is still a real HTTP error.",
  };
}

function showNotes() {
  element("mode-note").textContent = notes()[new FormData(form).get("mode")];
  element("about").textContent =
    about.source === "text"
      ? "No model is attached: every prompt gets the same short essay, at a model’s pace."
      : `The answer comes from ${about.model}.`;
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  if (current) return;
  const data = new FormData(form);
  run({ prompt: prompt.value, mode: data.get("mode") });
});
form.addEventListener("change", showNotes);
prompt.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    form.requestSubmit();
  }
});
stopButton.addEventListener("click", stop);
addEventListener("keydown", (event) => {
  if (event.key === "Escape") stop();
});

showNotes();
try {
  const response = await fetch("about");
  if (response.ok) about = await response.json();
} catch {
  // The defaults will do.
}
showNotes();
