/** What the page says, in one place. */

const WORDS = {
  running: "live",
  timed_out: "timed out",
  stopping: "stopping…",
  connecting: "connecting…",
  waiting: "waiting…",
  cut: "cut off",
  resuming: "resuming…",
};

const ENDS = {
  completed: "The source has said all that it had to say.",
  cancelled: "Somebody asked it to stop.",
  timed_out: "Nothing came for too long.",
  failed: "Something went wrong on the other side.",
  lost: "The process that made this stream is gone.",
  left: "You left before its end. The run is in the list, should you want to come back.",
  disconnected: "The server does not answer. The run may go on without this page: reload to ask again.",
  refused: "The server has refused.",
};

const MODES = {
  normal: "Finish",
  fail: "Fail",
  silent: "Go silent",
  hang: "Ignore Stop",
  vanish: "Vanish",
  refuse: "Refuse",
};

export const word = (status) => WORDS[status] ?? status;
export const ending = (status) => ENDS[status] ?? "";
export const modeName = (mode) => MODES[mode] ?? mode;

export function modeNote(mode, about) {
  return {
    normal: "The source runs to its end: completed.",
    fail: "The source raises in mid-run. You get a code, the log the detail.",
    silent: `Heartbeats hold the line; after ${about.idle_seconds} s of silence it is timed out.`,
    hang: `The source swallows Stop; after ${about.grace} s of grace it ends without it.`,
    vanish: "The upstream hangs up. That is no end, but stream_incomplete.",
    refuse: "It raises before its first token: an end without a word.",
  }[mode];
}

export function source(about) {
  return about.source === "text"
    ? "No model is attached: every prompt gets the same short essay, at a model’s pace."
    : `The answers come from ${about.model}.`;
}

/** The line under the buttons: what just happened, and what the promise is. */
export const notes = {
  live: "The run lives on the server. Reload the page, or open a second viewer: it is all there, and goes on.",
  ended: "The run has ended. Its records are kept for an hour.",
  stopping: "Whoever asks, the end is stored before the server answers. Once more leaves without waiting.",
  cut: (offset) => `Cut off ${place(offset)}. The run does not notice; the page is back in a moment.`,
  dropped: (offset) => `The connection broke ${place(offset)}. Trying again.`,
  resumed: (offset) => `Back ${place(offset)}, by its cursor: nothing is missing, nothing came twice.`,
  unheard: "The server does not answer.",
  crashed: (lease) =>
    `The worker is dead, as by kill -9. Its lease holds ${lease} s at most; then whoever looks ends the run: lost.`,
};

function place(offset) {
  return offset ? `after record ${offset}` : "before the first record";
}

export function quantity(number) {
  return number.toLocaleString("en-GB");
}

export function age(seconds) {
  if (seconds < 1) return "now";
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  return `${Math.floor(seconds / 3600)} h`;
}
