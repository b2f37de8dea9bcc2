/**
 * The stream at a glance, drawn as one line of music: a stroke an event, a ring a heartbeat, a final barline.
 * Where the connection was cut, the line is broken.
 */

const LEAST = 8; // seconds that the line shows from the start
const FRAME = 50; // milliseconds
const PITCH = 3; // pixels from stroke to stroke

export class Score {
  #times = []; // [seconds, kind, weight]
  #breaks = []; // [from, to] in seconds; `to` is null until the line is mended
  #end = null; // {time, status}
  #started = null;
  #drawn = 0;
  #looping = false;

  constructor(canvas) {
    this.canvas = canvas;
    new ResizeObserver(() => this.draw()).observe(canvas);
    addEventListener("themechange", () => this.draw());
  }

  clear() {
    this.#times = [];
    this.#breaks = [];
    this.#end = null;
    this.#started = null;
    this.draw();
  }

  start() {
    this.clear();
    this.#started = performance.now();
    if (!this.#looping) {
      this.#looping = true;
      requestAnimationFrame((now) => this.#loop(now));
    }
  }

  /** `weight` is how tall the stroke becomes: the length of the text. */
  add(time, kind, weight = 1) {
    this.#times.push([time, kind, weight]);
  }

  /** The connection broke. */
  tear(time) {
    this.#breaks.push([time, null]);
  }

  /** There is a connection again. */
  mend(time) {
    const last = this.#breaks.at(-1);
    if (last && last[1] === null) last[1] = time;
  }

  end(time, status) {
    this.mend(time);
    this.#end = { time, status };
    this.draw();
  }

  #loop(now) {
    if (this.#end || this.#started === null) {
      this.#looping = false;
      return;
    }
    if (now - this.#drawn >= FRAME) {
      this.#drawn = now;
      this.draw();
    }
    requestAnimationFrame((next) => this.#loop(next));
  }

  draw() {
    const { canvas } = this;
    const { clientWidth: width, clientHeight: height } = canvas;
    if (width === 0) return;
    const ratio = devicePixelRatio || 1;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    const pen = canvas.getContext("2d");
    pen.scale(ratio, ratio);
    const style = getComputedStyle(canvas);
    const colour = (name) => style.getPropertyValue(name).trim();
    const line = Math.round((height - 22) / 2) + 0.5;
    const now = this.#end?.time ?? (this.#started === null ? 0 : (performance.now() - this.#started) / 1000);
    const shown = Math.max(LEAST, this.#end ? now * 1.015 : now * 1.12);
    const scale = (width - 20) / shown;
    const x = (time) => 5 + time * scale;

    this.#axis(pen, { shown, x, height, line, width, colour, font: style.fontFamily });

    const columns = new Map();
    for (const [time, kind, weight] of this.#times) {
      if (kind !== "text") continue;
      const column = Math.round(x(time) / PITCH) * PITCH;
      const { sum, count } = columns.get(column) ?? { sum: 0, count: 0 };
      columns.set(column, { sum: sum + weight, count: count + 1 });
    }
    pen.fillStyle = colour("--accent");
    for (const [column, { sum, count }] of columns) {
      const half = Math.min(line - 6, 1.5 + (4 * sum) / count + 3 * Math.log2(count));
      pen.fillRect(column, line - half, 1.5, 2 * half);
    }
    for (const [from, to] of this.#breaks) this.#break(pen, { from: x(from), to: x(to ?? now), line, colour });
    pen.lineWidth = 1.5;
    pen.strokeStyle = colour("--beat");
    pen.fillStyle = colour("--surface");
    for (const [time, kind] of this.#times) {
      if (kind !== "comment") continue;
      pen.beginPath();
      pen.arc(x(time), line, 3.5, 0, 2 * Math.PI);
      pen.fill();
      pen.stroke();
    }
    const tone = this.#end && colour(`--${this.#end.status}`); // without one it was no end, but the page's leaving
    if (tone) {
      const at = Math.round(x(this.#end.time)) + 3;
      pen.fillStyle = tone;
      pen.fillRect(at, 3, 1.5, 2 * (line - 3));
      pen.fillRect(at + 4.5, 3, 4, 2 * (line - 3));
    } else if (!this.#end && this.#started !== null) {
      pen.fillStyle = colour("--accent");
      pen.fillRect(x(now), line - 8, 1.5, 16);
    }
  }

  #break(pen, { from, to, line, colour }) {
    pen.fillStyle = colour("--surface");
    pen.fillRect(from, line - 1, Math.max(0, to - from), 2);
    pen.strokeStyle = colour("--cut");
    pen.lineWidth = 1.5;
    for (const at of [from + 5, Math.max(from + 5, to - 7)]) {
      pen.beginPath();
      pen.moveTo(at - 3, line + 7);
      pen.lineTo(at + 3, line - 7);
      pen.stroke();
    }
  }

  #axis(pen, { shown, x, height, line, width, colour, font }) {
    pen.fillStyle = colour("--line");
    pen.fillRect(0, line - 0.5, width, 1);
    const step = [1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600].find((each) => shown / each <= 9) ?? 7200;
    pen.font = `10.5px ${font}`;
    pen.textBaseline = "bottom";
    for (let second = 0; second < shown - step * 0.15; second += step) {
      pen.fillStyle = colour("--line");
      pen.fillRect(Math.round(x(second)), height - 17, 1, 4);
      pen.fillStyle = colour("--muted");
      pen.textAlign = second === 0 ? "left" : "center";
      pen.fillText(second === 0 ? "0 s" : String(second), second === 0 ? 2 : x(second), height);
    }
  }
}
