/** The list of raw events: only the rows in view exist, so that it stays fast whatever comes. */

const ROW = 26; // as --row in style.css
const SPARE = 6;
const KEPT = 20000;

export class Timeline {
  #items = [];
  #dropped = 0;
  #rows = new Map();
  #selected = -1;
  #following = true;
  #top = 0;
  #due = false;

  constructor(list, { inspector, hint }) {
    this.list = list;
    this.inspector = inspector;
    this.hint = hint;
    this.space = document.createElement("div");
    this.space.className = "rows-space";
    this.space.setAttribute("role", "presentation");
    list.append(this.space);
    list.addEventListener("scroll", () => {
      this.#notice();
      this.#render();
    });
    list.addEventListener("click", (event) => {
      const row = event.target.closest("[data-index]");
      if (row) this.select(Number(row.dataset.index));
    });
    list.addEventListener("keydown", (event) => this.#onKey(event));
    new ResizeObserver(() => this.#schedule()).observe(list);
  }

  get items() {
    return this.#items;
  }

  clear() {
    this.#items = [];
    this.#dropped = 0;
    this.#following = true;
    this.#top = 0;
    for (const row of this.#rows.values()) row.remove();
    this.#rows.clear();
    this.select(-1);
    this.#schedule();
  }

  /** Add {time, kind, label, payload, raw, offset, bytes, status}; kinds: http, act, cut, text, event, comment, end. */
  add(item) {
    this.#items.push(item);
    if (this.#items.length > KEPT) {
      this.#items.splice(0, KEPT / 10);
      this.#dropped += KEPT / 10;
      for (const row of this.#rows.values()) row.remove();
      this.#rows.clear();
      this.select(-1);
    }
    this.#schedule();
  }

  selectLast() {
    this.select(this.#items.length - 1, { reveal: this.#following });
  }

  select(index, { reveal = true } = {}) {
    this.#rows.get(this.#selected)?.setAttribute("aria-selected", "false");
    this.#selected = index;
    const item = this.#items[index];
    this.inspector.hidden = !item;
    this.hint.hidden = Boolean(item);
    this.inspector.textContent = item ? item.raw : "";
    if (!item) {
      this.list.removeAttribute("aria-activedescendant");
      return;
    }
    this.list.setAttribute("aria-activedescendant", `row-${index}`);
    this.#grow();
    if (reveal) {
      const top = index * ROW;
      const { scrollTop, clientHeight } = this.list;
      if (top < scrollTop) this.list.scrollTop = top;
      else if (top + ROW > scrollTop + clientHeight) this.list.scrollTop = top + ROW - clientHeight;
    }
    this.#render();
    this.#rows.get(index)?.setAttribute("aria-selected", "true");
  }

  /** Follow from the bottom on, until somebody scrolls up: that the list has grown says nothing. */
  #notice() {
    const { scrollTop, clientHeight, scrollHeight } = this.list;
    if (scrollTop + clientHeight >= scrollHeight - ROW) this.#following = true;
    else if (scrollTop < this.#top) this.#following = false;
    this.#top = scrollTop;
  }

  #onKey(event) {
    const last = this.#items.length - 1;
    const page = Math.max(1, Math.floor(this.list.clientHeight / ROW) - 1);
    const current = this.#selected;
    const goals = {
      ArrowDown: current + 1,
      ArrowUp: current < 0 ? last : current - 1,
      PageDown: current + page,
      PageUp: current - page,
      Home: 0,
      End: last,
    };
    if (!(event.key in goals) || last < 0) return;
    event.preventDefault();
    this.select(Math.min(last, Math.max(0, goals[event.key])));
  }

  #schedule() {
    if (this.#due) return;
    this.#due = true;
    requestAnimationFrame(() => {
      this.#due = false;
      this.#grow();
      if (this.#following) this.list.scrollTop = this.list.scrollHeight;
      this.#render();
    });
  }

  #grow() {
    this.space.style.height = `${this.#items.length * ROW}px`;
  }

  #render() {
    const first = Math.max(0, Math.floor(this.list.scrollTop / ROW) - SPARE);
    const end = Math.min(this.#items.length, Math.ceil((this.list.scrollTop + this.list.clientHeight) / ROW) + SPARE);
    for (const [index, row] of this.#rows) {
      if (index < first || index >= end) {
        row.remove();
        this.#rows.delete(index);
      }
    }
    for (let index = first; index < end; index += 1) {
      if (!this.#rows.has(index)) {
        const row = this.#draw(index);
        this.#rows.set(index, row);
        this.space.append(row);
      }
    }
  }

  #draw(index) {
    const item = this.#items[index];
    const row = document.createElement("div");
    row.className = `row ${item.kind}`;
    row.id = `row-${index}`;
    row.dataset.index = String(index);
    if (item.status) row.dataset.status = item.status;
    row.setAttribute("role", "option");
    row.setAttribute("aria-selected", String(index === this.#selected));
    row.setAttribute("aria-posinset", String(index + 1 + this.#dropped));
    row.setAttribute("aria-setsize", "-1"); // it still grows
    row.style.transform = `translateY(${index * ROW}px)`;
    for (const [name, text] of [
      ["time", item.time.toFixed(3)],
      ["offset", String(item.offset ?? "")],
      ["name", item.label],
      ["bytes", String(item.bytes ?? "")],
      ["payload", item.payload],
    ]) {
      const cell = document.createElement("span");
      cell.className = name;
      cell.textContent = text;
      row.append(cell);
    }
    return row;
  }
}
