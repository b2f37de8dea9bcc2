import { Prose } from "./prose.js";
import { Runs } from "./runs.js";
import { Score } from "./score.js";
import { Timeline } from "./timeline.js";
import { View } from "./view.js";
import { modeNote, notes, quantity, source, word } from "./words.js";

const element = (id) => document.getElementById(id);
const form = element("form");
const prompt = element("prompt");
const answer = element("answer");

const caret = document.createElement("span");
caret.className = "caret";
caret.setAttribute("aria-hidden", "true");

const panes = {
  caret,
  prose: new Prose(answer, caret),
  score: new Score(element("score")),
  timeline: new Timeline(element("rows"), { inspector: element("inspector"), hint: element("inspector-hint") }),
  changed(view, note) {
    if (view === current) show(view, note);
  },
};
const runs = new Runs(element("runs"), () => current && showTitle(current));

/** What the server says about itself, until it has said it. */
let about = {
  source: "text",
  model: null,
  idle_seconds: 8,
  heartbeat_seconds: 2,
  lease_seconds: 3,
  away_seconds: 1.2,
  grace: 2,
};
/** The run that is viewed, or null. */
let current = null;
let starting = false;

// What is seen of a run

function show(view, note) {
  const live = !view.ended;
  showStatus(view.status);
  showFigures(view);
  enable("stop", live);
  enable("cut", live && view.connected);
  enable("crash", live);
  write("stop", live && view.stopping ? "Leave" : "Stop");
  if (note !== undefined) write("run-note", note);
  if (!live) runs.refresh();
}

function showStatus(status) {
  write("status", word(status));
  element("status").dataset.status = status;
  answer.dataset.status = status;
}

function showTitle(view) {
  write("run-title", runs.find(view.id)?.prompt ?? "A run");
}

function showFigures({ firstToken = null, pace = null, events = 0, bytes = 0 }) {
  write("ttft", firstToken === null ? "–" : `${quantity(Math.round(firstToken * 1000))} ms`);
  write("speed", pace === null ? "–" : pace.toFixed(1));
  write("events", quantity(events));
  write("bytes", bytes < 10_000 ? quantity(bytes) : `${(bytes / 1000).toFixed(1)} k`);
}

/** What is there already is not written again: assistive technology would take it for news. */
function write(id, text) {
  if (element(id).textContent !== text) element(id).textContent = text;
}

/** A button that is of no use now stays where it is, and keeps the focus. */
function enable(id, useful) {
  const disabled = String(!useful);
  if (element(id).getAttribute("aria-disabled") !== disabled) element(id).setAttribute("aria-disabled", disabled);
}

// Which run is viewed: the address says it, so that a reload and another tab find it

function viewed() {
  try {
    return decodeURIComponent(location.hash.slice(1));
  } catch {
    return location.hash.slice(1); // not one of ours, as the server will say
  }
}

function view({ again = false } = {}) {
  const id = viewed();
  if (current?.id === id && !again) return;
  current?.drop();
  current = null;
  runs.mark(id);
  element("run").hidden = id === "";
  if (id === "") {
    panes.timeline.clear();
    panes.prose.clear();
    panes.score.clear();
    showFigures({});
    showStatus("idle");
    return;
  }
  const short = id.length > 12 ? `${id.slice(0, 12)}…` : id;
  write("run-id", `run ${short}`);
  element("second").href = `#${id}`;
  const patience = Math.max(10, 5 * about.heartbeat_seconds);
  current = new View(id, panes, { patience, away: about.away_seconds });
  showTitle(current);
  current.read();
}

// What its reader does

async function start(question) {
  if (starting) return;
  starting = true;
  write("refusal", "");
  try {
    const response = await post("runs", question);
    if (!response.ok) throw new Error(await problem(response));
    location.hash = (await response.json()).id;
    runs.refresh();
  } catch (error) {
    write("refusal", error instanceof TypeError ? notes.unheard : error.message);
  } finally {
    starting = false;
  }
}

/** Ask the server to end the run; asked twice, leave without waiting for it. */
function stop() {
  if (!current || current.ended) return;
  if (current.stopping) {
    current.leave();
    return;
  }
  current.stop();
  ask(current, "stop", `runs/${encodeURIComponent(current.id)}/cancel`, notes.stopping);
}

function crash() {
  ask(current, "crash", "workers/crash", notes.crashed(about.lease_seconds));
}

/** Ask for something on behalf of a viewer; what comes of it, the stream itself will say. */
async function ask(view, label, path, note) {
  view.act(label, `POST /${path}`, note);
  try {
    const response = await post(path, {});
    if (!response.ok) panes.changed(view, await problem(response));
  } catch {
    panes.changed(view, notes.unheard);
  }
}

function post(path, body) {
  return fetch(path, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
}

async function problem(response) {
  try {
    return (await response.json()).detail;
  } catch {
    return `HTTP ${response.status}`; // not the app's answer, but that of something in between
  }
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  start({ prompt: prompt.value, mode: new FormData(form).get("mode") });
});
form.addEventListener("change", showNotes);
prompt.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    form.requestSubmit();
  }
});
for (const [id, act] of Object.entries({ stop, cut: () => current.cut(), crash })) {
  element(id).addEventListener("click", (event) => {
    if (event.currentTarget.getAttribute("aria-disabled") === "false") act();
  });
}
addEventListener("keydown", (event) => {
  if (event.key === "Escape") stop();
});
addEventListener("hashchange", () => view());
element("runs").addEventListener("click", (event) => {
  // The address stays the same then, and says nothing.
  const link = event.target.closest("a");
  if (link?.hash === location.hash && current?.ended) view({ again: true });
});

function showNotes() {
  write("mode-note", modeNote(new FormData(form).get("mode"), about));
  write("about", source(about));
}

showNotes();
try {
  const response = await fetch("about");
  if (response.ok) about = await response.json();
} catch {
  // The defaults will do.
}
showNotes();
runs.refresh();
view();
