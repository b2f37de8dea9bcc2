/** How it ended, set under the text like the last bar of a score. */

import { ending, word } from "./words.js";

export function closing({ status, error, facts }) {
  const note = document.createElement("footer");
  note.className = "closing";
  note.dataset.status = status;
  const bar = document.createElement("span");
  bar.className = "barline";
  bar.setAttribute("aria-hidden", "true");
  const title = document.createElement("strong");
  title.textContent = word(status);
  const sentence = document.createElement("span");
  sentence.textContent = error?.message ?? ending(status);
  note.append(bar, title, sentence);
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
