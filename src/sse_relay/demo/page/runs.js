/** The list of runs, newest first, looked at again while one of them lives. */

import { age, modeName, quantity, word } from "./words.js";

const OFTEN = 1000;
const SELDOM = 5000;

export class Runs {
  #list;
  #items = new Map();
  #known = new Map();
  #timer = null;
  #asked = 0;
  #current = null;
  #changed;

  /** `changed()` is called when something new is known. */
  constructor(list, changed) {
    this.#list = list;
    this.#changed = changed;
    document.addEventListener("visibilitychange", () => this.refresh());
  }

  /** What is known of a run: as the server lists it, or null. */
  find(id) {
    return this.#known.get(id) ?? null;
  }

  /** Mark the run that is viewed. */
  mark(id) {
    this.#current = id;
    for (const [each, item] of this.#items) item.mark(each === id);
  }

  /** Ask now, and then from time to time, for as long as somebody looks. */
  async refresh() {
    clearTimeout(this.#timer);
    if (document.hidden) return;
    const asked = (this.#asked += 1);
    let lives = false;
    try {
      const response = await fetch("runs", { cache: "no-store" });
      if (response.ok && asked === this.#asked) lives = this.#show(await response.json());
    } catch {
      // The view says whether the server is there.
    }
    if (asked === this.#asked) this.#timer = setTimeout(() => this.refresh(), lives ? OFTEN : SELDOM);
  }

  #show({ now, runs }) {
    this.#known = new Map(runs.map((run) => [run.id, run]));
    for (const [id, item] of this.#items) {
      if (!this.#known.has(id)) {
        item.element.remove();
        this.#items.delete(id);
      }
    }
    let next = this.#list.firstElementChild;
    for (const run of runs) {
      let item = this.#items.get(run.id);
      if (!item) {
        item = new Item(run);
        this.#items.set(run.id, item);
        this.#list.insertBefore(item.element, next);
        item.mark(run.id === this.#current);
      } else {
        next = item.element.nextElementSibling;
      }
      item.show(run, now);
    }
    this.#changed();
    return runs.some((run) => run.status === "running");
  }
}

class Item {
  #link = document.createElement("a");
  #cells = {};

  constructor(run) {
    this.element = document.createElement("li");
    this.element.append(this.#link);
    this.#link.href = `#${run.id}`;
    for (const name of ["mark", "prompt", "age", "outcome", "mode", "records"]) {
      const cell = document.createElement("span");
      cell.className = name;
      this.#cells[name] = cell;
      this.#link.append(cell, " ");
    }
    this.#cells.mark.setAttribute("aria-hidden", "true");
    this.#cells.prompt.textContent = run.prompt;
    this.#cells.prompt.title = run.prompt;
    this.#cells.mode.textContent = modeName(run.mode);
  }

  show(run, now) {
    this.#link.dataset.status = run.status;
    this.#set("outcome", word(run.status));
    this.#set("records", run.last_offset === 1 ? "1 record" : `${quantity(run.last_offset)} records`);
    this.#set("age", age(Math.max(0, now - run.created_at)));
  }

  mark(current) {
    if (current) this.#link.setAttribute("aria-current", "true");
    else this.#link.removeAttribute("aria-current");
  }

  #set(name, text) {
    if (this.#cells[name].textContent !== text) this.#cells[name].textContent = text;
  }
}
