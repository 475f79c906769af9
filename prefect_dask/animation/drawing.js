// Draws a timeline into Bokeh's sources: the graph, and below it the lines of the workers.

// The colours of a state on this page: `fill` of what is drawn, `ink` of what is written on it.
class Palette {
  constructor(states) {
    this.states = states;
    this.dark = matchMedia("(prefers-color-scheme: dark)");
  }

  fill(state) {
    const { name, color } = this.states[state];
    return name === "Pending" && this.dark.matches ? "#454b55" : color;
  }

  ink(state) {
    const { name, ink } = this.states[state];
    return name === "Pending" && this.dark.matches ? "#ffffff" : ink;
  }

  get(name) {
    return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  }
}

// ---- the graph

const SLOTS = 10; // states that a histogram shows apart
const LEAST = 3; // pixels of each of these
const LARGEST = 1.25; // pixels a unit of the scene: boxes of small flows do not fill the page
const MARGIN = 16; // pixels around it
const SMALLEST = 0.7; // below, nobody can read it: the picture then follows what runs

class Picture {
  constructor(models, scene, timeline, palette) {
    Object.assign(this, { models, scene, timeline, palette });
    this.many = scene.boxes.flatMap((box, number) => (box.isMany ? [number] : []));
    this.mode = "follow"; // or "whole", or "hand" where the person moved it
    this.build();
  }

  build() {
    const { segments } = this.models;
    const slots = this.many.length * SLOTS;
    const [left, right, top, bottom] = [0, 1, 2, 3].map(() => new Float64Array(slots));
    segments.data = { left, right, top, bottom, fill: Array(slots).fill("#000000") };
  }

  // Brings the boxes up to date that changed since the last time.
  draw(changed) {
    if (changed.size === 0) return;
    const { boxes, segments } = this.models;
    for (const number of changed) {
      const box = this.scene.boxes[number];
      if (box.isMany) this.drawMany(number, box);
      else this.drawOne(number, this.timeline.counts[number].findIndex((count) => count > 0));
    }
    changed.clear();
    boxes.change.emit();
    segments.change.emit();
  }

  drawOne(number, state) {
    const { data } = this.models.boxes;
    const own = this.ownState(number);
    const shown = state >= 0 ? state : own;
    const isPending = shown === this.timeline.PENDING;
    data.fill[number] = this.palette.fill(shown);
    data.line[number] = isPending ? this.palette.get("line") : this.palette.fill(shown);
    data.ink[number] = this.palette.ink(shown);
  }

  ownState(number) {
    const run = this.timeline.runNumber.get(keyOf(this.scene.boxes[number].tasks[0], -1));
    return this.timeline.stateOf[run];
  }

  drawMany(number, box) {
    const { data } = this.models.boxes;
    const counts = this.timeline.counts[number];
    const shown = inOrder(this.timeline, counts);
    const total = shown.reduce((sum, state) => sum + counts[state], 0);
    const done = shown.reduce((sum, state) => sum + (this.isDone(state) ? counts[state] : 0), 0);
    const worst = shown.find((state) => this.isFailed(state)) ?? shown.find((state) => state === this.timeline.RUNNING);
    const isOver = total > 0 && done === total;
    const line = worst ?? (isOver ? shown[0] : undefined);
    data.fill[number] = this.palette.get("card");
    data.line[number] = line === undefined ? this.palette.get("line") : this.palette.fill(line);
    data.ink[number] = this.palette.get("ink");
    const isMapped = this.ownState(number) === this.timeline.MAPPED || box.tasks.length > 1;
    const whole = this.timeline.stateName(this.ownState(number));
    data.told[number] = isMapped || total > 1 ? `${done.toLocaleString("en")} / ${total.toLocaleString("en")}` : whole;
    this.drawHistogram(this.many.indexOf(number) * SLOTS, box, counts, shown.slice(0, SLOTS), total);
  }

  drawHistogram(first, box, counts, shown, total) {
    const { left, right, top, bottom, fill } = this.models.segments.data;
    const { bar } = this.scene;
    const width = box.width - 2 * bar.inset;
    // None is too narrow to be seen: one that failed of thousands is what one looks for.
    const free = width - LEAST * shown.length;
    const exact = shown.map((state) => Math.max(0, (width * counts[state]) / total - LEAST));
    const scale = free / Math.max(1e-9, exact.reduce((sum, each) => sum + each, 0));
    let x = box.x - width / 2;
    for (let slot = 0; slot < SLOTS; slot++) {
      const state = shown[slot];
      const isDrawn = state !== undefined && state !== this.timeline.PENDING;
      const wide = isDrawn ? LEAST + exact[slot] * scale : 0;
      left[first + slot] = x;
      right[first + slot] = x + wide;
      top[first + slot] = isDrawn ? -box.y + bar.top : -box.y;
      bottom[first + slot] = isDrawn ? -box.y + bar.bottom : -box.y;
      if (isDrawn) fill[first + slot] = this.palette.fill(state);
      x += wide;
    }
  }

  isDone(state) {
    return this.timeline.plan.states[state].isDone;
  }

  isFailed(state) {
    return this.timeline.plan.states[state].isFailed;
  }

  // ---- what of it is seen

  // The whole of it; unless told otherwise, where nobody could read that, as much as can be read.
  fit({ isWhole = false } = {}) {
    const { graph } = this.models;
    const { width, height } = this.scene;
    const [across, down] = [graph.inner_width, graph.inner_height];
    if (!(across > 0 && down > 0)) return;
    this.mode = isWhole ? "whole" : "follow";
    const fits = (pixels, size) => (pixels - 2 * MARGIN) / Math.max(1, size);
    const whole = Math.min(fits(across, width), fits(down, height), LARGEST);
    this.isReadable = whole >= SMALLEST;
    const scale = isWhole ? whole : Math.max(whole, SMALLEST);
    const seen = [across / scale, down / scale];
    const left = width <= seen[0] ? (width - seen[0]) / 2 : -MARGIN / scale;
    this.see(left, (height - seen[1]) / 2, scale);
  }

  see(left, top, scale) {
    const { graph } = this.models;
    this.isMovedByUs = true;
    graph.x_range.setv({ start: left, end: left + graph.inner_width / scale });
    graph.y_range.setv({ start: -top - graph.inner_height / scale, end: -top });
    this.isMovedByUs = false;
    this.sizeTexts();
  }

  scale() {
    const { graph } = this.models;
    return graph.inner_width / (graph.x_range.end - graph.x_range.start);
  }

  // Texts grow and shrink with what they stand in; none is drawn that nobody could read.
  sizeTexts() {
    const scale = this.scale();
    if (!Number.isFinite(scale) || scale === this.sized) return;
    this.sized = scale;
    const size = (pixels) => `${(pixels * scale).toFixed(2)}px`;
    for (const [glyph, pixels] of this.models.texts_of_boxes) {
      glyph.text_font_size = { value: size(pixels) };
      glyph.visible = pixels * scale >= 4;
    }
    this.models.head_glyph.size = { value: 7 * scale };
  }

  // The box of the task run whose state changed last.
  lastChanged() {
    const { position, order, events, runs, plan } = this.timeline;
    for (let k = position - 1; k >= 0; k--) {
      const task = runs.task[events.run[order[k]]];
      if (task >= 0) return [this.scene.boxes[plan.boxOf[task]]];
    }
    return [];
  }

  // Moves to what runs now, where the whole cannot be seen and nobody moved it: by a share of the way.
  follow(share) {
    if (this.isReadable || this.mode !== "follow") return;
    const { counts, RUNNING } = this.timeline;
    const running = this.scene.boxes.filter((_, number) => counts[number][RUNNING] > 0);
    const at = running.length > 0 ? running : this.lastChanged();
    if (at.length === 0) return;
    const { x_range, y_range } = this.models.graph;
    const [x, y] = [Math.max(...at.map((box) => box.x)), -at[at.length - 1].y];
    const toward = (range, place) => {
      const span = range.end - range.start;
      const [low, high] = [range.start + 0.25 * span, range.end - 0.25 * span];
      return share * (place > high ? place - high : place < low ? place - low : 0);
    };
    const [dx, dy] = [toward(x_range, x), toward(y_range, y)];
    if (Math.abs(dx) + Math.abs(dy) < 0.5) return;
    this.isMovedByUs = true;
    x_range.setv({ start: x_range.start + dx, end: x_range.end + dx });
    y_range.setv({ start: y_range.start + dy, end: y_range.end + dy });
    this.isMovedByUs = false;
  }
}

// States of which there are some, as they stand in a bar.
function inOrder(timeline, counts) {
  const some = [];
  for (let state = 0; state < counts.length; state++) if (counts[state] > 0) some.push(state);
  const { states } = timeline.plan;
  return some.sort((a, b) => states[a].place - states[b].place);
}

// ---- the workers

// A name for so many letters: where it is cut, what tells it from its like stays; "" where nothing would be told.
function shortened(name, room) {
  if (name.length <= room) return name;
  const own = /(\[\d+\]|-\d+)$/.exec(name)?.[0] ?? "";
  if (own.startsWith("[")) return own.length <= room ? own : "";
  const kept = room - own.length - 1;
  return kept < (own === "" ? 3 : 0) ? "" : `${name.slice(0, kept)}…${own}`;
}

// The middle of a worker's lanes.
function middle({ first, count }) {
  return -(first + count / 2);
}

const MARKS = {
  joined: ["triangle", "#28a745"],
  left: ["inverted_triangle", "#8a929c"],
  died: ["x", "#eb0000"],
  exited: ["x", "#eb0000"],
  "out of memory": ["x", "#7a0019"],
  spilled: ["diamond", "#ffab00"],
};

const LETTER = 6.6; // pixels, in a bar

class Gantt {
  constructor(models, timeline, palette) {
    Object.assign(this, { models, timeline, palette });
    this.bars = [];
    this.isAtHand = false;
  }

  // All bars anew: once, and when a live run went on.
  draw() {
    const { timeline, models } = this;
    this.bars = barsOf(timeline);
    const { workers, count } = lanesOf(timeline, this.bars);
    const height = `${Math.max(24 * count, 36) + 52}px`;
    document.documentElement.style.setProperty("--workers", height);
    models.bars.data = this.columns();
    const { at, kind, worker } = timeline.cluster;
    const laneOf = new Map(workers.map((each) => [each.worker, each]));
    const marks = kind.map((text) => MARKS[timeline.text(text)] ?? ["circle", "#8a929c"]);
    models.marks.data = {
      mark: [...at.keys()],
      x: at.slice(),
      y: worker.map((each) => (laneOf.has(each) ? middle(laneOf.get(each)) : 0)),
      shape: marks.map(([shape]) => shape),
      colour: marks.map(([, colour]) => colour),
    };
    this.workers = workers;
    // Lines that are too thin to be pointed at can be drawn apart; others are always all in sight.
    const isThin = (models.gantt.inner_height || 160) / count < 10;
    for (const tool of models.lane_tools) tool.dimensions = isThin ? "both" : "width";
    if (!this.isAtHand) this.fit(count);
    this.name();
  }

  columns() {
    const { timeline, bars } = this;
    const pixel = this.pixel();
    const ends = bars.map((bar) => bar.end ?? timeline.end);
    const fill = bars.map((bar) => this.fill(bar));
    return {
      bar: bars.map((_, number) => number),
      left: Float64Array.from(bars, (bar) => bar.begin),
      // A little shorter than they were: so those that follow each other are told apart.
      right: Float64Array.from(bars, (bar, i) => ends[i] - Math.min(pixel, 0.15 * (ends[i] - bar.begin))),
      top: Float64Array.from(bars, (bar) => -bar.lane - 0.12),
      bottom: Float64Array.from(bars, (bar) => -bar.lane - 0.88),
      fill,
      // The shortest are a line, or they would not be seen.
      line: fill.map((colour, i) => (ends[i] - bars[i].begin < 2 * pixel ? colour : "#00000000")),
    };
  }

  fill(bar) {
    return this.palette.fill(bar.end === null ? this.timeline.RUNNING : bar.state);
  }

  // Seconds a pixel, with all of the run in sight.
  pixel() {
    return this.timeline.end / (this.models.gantt.inner_width || 1000);
  }

  // Writes the names into those bars in sight that have room for them. The columns keep their length, for Bokeh makes
  // texts some time after it takes colours, and would look for the colours of as many as there were before.
  nameBars(height) {
    const { gantt, names, bars: drawn } = this.models;
    const { start, end } = gantt.x_range;
    const seconds = (end - start) / (gantt.inner_width || 1000);
    const { x, y, name: before, ink } = names.data;
    const told = { x: x.slice(), y: y.slice(), name: before.map(() => ""), ink: ink.slice() };
    const { start: low, end: high } = gantt.y_range;
    let count = 0;
    for (const [i, bar] of height < 16 ? [] : this.bars.entries()) {
      if (-bar.lane < low || -bar.lane - 1 > high) continue;
      const [left, right] = [Math.max(start, bar.begin), Math.min(end, drawn.data.right[i])];
      if (right - left < 40 * seconds || count >= told.name.length) continue;
      const name = shortened(this.timeline.nameOf(bar.run), Math.floor((right - left) / seconds / LETTER) - 1);
      if (name === "") continue;
      told.x[count] = left + 5 * seconds;
      told.y[count] = -bar.lane - 0.5;
      told.name[count] = name;
      told.ink[count] = this.palette.ink(bar.end === null ? this.timeline.RUNNING : bar.state);
      count++;
    }
    names.data = told;
  }

  // Names what is in sight, as far as there is room.
  name() {
    const { gantt } = this.models;
    const height = (gantt.inner_height || 160) / (gantt.y_range.end - gantt.y_range.start);
    this.nameLanes(height);
    this.nameBars(height);
  }

  nameLanes(height) {
    const { lane_axis: axis, separators } = this.models;
    const least = Math.min(...this.workers.map((each) => each.count), Infinity);
    const every = Math.max(1, Math.ceil(13 / (height * least)));
    const told = this.workers.filter((_, number) => number % every === 0);
    axis.ticker.ticks = told.map(middle);
    axis.major_label_overrides = new Map(told.map((each) => [middle(each), this.workerName(each.worker)]));
    separators.data = { y: height * least < 8 ? [] : this.workers.slice(1).map((each) => -each.first) };
  }

  workerName(worker) {
    const name = this.timeline.text(worker).replace(/^[a-z+]+:\/\//, "");
    return name === "" ? "coordinating process" : name;
  }

  fit(count) {
    const { gantt } = this.models;
    this.isMovedByUs = true;
    const margin = 0.01 * Math.max(this.timeline.end, 1e-6);
    gantt.x_range.setv({ start: -margin, end: this.timeline.end + margin });
    gantt.y_range.setv({ start: -count, end: 0, bounds: [-count, 0] });
    this.isMovedByUs = false;
  }

  // The line of now; what comes after it is pale.
  moveTo(seconds) {
    this.models.cursor.location = seconds;
    this.models.future.left = seconds;
  }
}
