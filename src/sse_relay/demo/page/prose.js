/** Text as it comes, set in paragraphs; nothing of it is ever read as markup. */

export class Prose {
  #tail = ""; // line breaks that may turn out to end the paragraph
  #node = null;
  #waiting = "";
  #due = false;
  #following = true;
  #top = 0;

  constructor(pane, caret) {
    this.pane = pane;
    this.caret = caret;
    pane.addEventListener("scroll", () => {
      if (pane.scrollTop + pane.clientHeight >= pane.scrollHeight - 48) this.#following = true;
      else if (pane.scrollTop < this.#top) this.#following = false;
      this.#top = pane.scrollTop;
    });
  }

  clear() {
    this.#tail = "";
    this.#node = null;
    this.#waiting = "";
    this.#following = true;
    this.#top = 0;
    this.pane.replaceChildren();
  }

  /** Add text; what comes within one frame is set at once. */
  add(text) {
    this.#waiting += text;
    if (this.#due) return;
    this.#due = true;
    requestAnimationFrame(() => {
      this.#due = false;
      this.flush();
    });
  }

  /** Set what waits; with `last`, also what might still have become a heading. */
  flush({ last = false } = {}) {
    const text = this.#tail + this.#waiting;
    this.#waiting = "";
    const cut = /\n*$/.exec(text).index;
    this.#tail = text.slice(cut);
    const blocks = text.slice(0, cut).split(/\n{2,}/);
    for (const [number, block] of blocks.entries()) {
      if (number > 0) this.#node = null;
      const undecided = !last && this.#node === null && number === blocks.length - 1 && /^#{1,3} ?$/.test(block);
      if (undecided) this.#tail = block + this.#tail; // a heading's mark, or a word that starts so
      else if (block !== "") this.#write(block);
    }
    this.follow();
  }

  /** Put an element after everything. */
  append(element) {
    this.flush();
    this.pane.append(element);
    this.follow();
  }

  follow() {
    if (this.#following) this.pane.scrollTop = this.pane.scrollHeight;
  }

  #write(text) {
    if (this.#node) {
      this.#node.appendData(text);
      return;
    }
    const heading = /^#{1,3} /.exec(text);
    const block = document.createElement(heading ? "h2" : "p");
    this.#node = document.createTextNode(heading ? text.slice(heading[0].length) : text);
    block.append(this.#node, this.caret);
    this.pane.append(block);
  }
}
