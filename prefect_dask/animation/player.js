// Plays a timeline: the clock, the controls of the page, and what is told when something is pointed at.

const LIVE_STEP_SECONDS = 1; // behind the clock of a live run by no more than this: words of it come in batches

const FOLLOW_SECONDS = 0.15; // in which the picture makes most of its way to what runs

class Player {
  // models: Bokeh's, by name; plan: what does not change, as `page.py` writes it.
  constructor(models, plan) {
    this.models = models;
    this.plan = plan;
    this.timeline = new Timeline(plan);
    this.palette = new Palette(plan.states);
    this.taken = {};
    this.seconds = 0;
    this.isPlaying = false;
    this.passed = 0; // seconds since the last frame
    this.controls = controlsOf(document);
    this.timeline.take(this.news());
    this.picture = new Picture(models, plan.scene, this.timeline, this.palette);
    this.gantt = new Gantt(models, this.timeline, this.palette);
    this.isFollowing = this.isLive;
    this.speed = this.isFollowing ? 1 : fittingSpeed(this.timeline.end);
    this.listen();
    this.gantt.draw();
    this.paint();
    this.picture.fit();
    this.seek(this.isFollowing ? this.timeline.end : 0, { keepsFollowing: true });
    this.wake();
  }

  // ---- what is told

  // What the sources have that was not taken yet.
  news() {
    const news = {};
    for (const table of ["texts", "runs", "events", "widths", "items", "cluster"]) {
      const { data } = this.models[table];
      const names = Object.keys(data);
      const from = this.taken[table] ?? 0;
      news[table] = Object.fromEntries(names.map((name) => [name, Array.from(data[name].slice(from))]));
      this.taken[table] = names.length > 0 ? data[names[0]].length : 0;
    }
    news.texts = news.texts.text;
    news.facts = Object.fromEntries(Object.entries(this.models.facts.data).map(([name, column]) => [name, column[0]]));
    return news;
  }

  // A live run went on.
  takeNews() {
    const news = this.news();
    const hasEvents = news.events.at.length > 0 || news.cluster.at.length > 0;
    this.timeline.take(news);
    this.toldAt = performance.now();
    if (hasEvents || this.timeline.facts.is_alive) this.gantt.draw();
    if (!this.isLive && this.isFollowing) {
      this.isFollowing = false;
      this.seconds = this.timeline.end;
    }
    this.show();
    this.wake();
  }

  // ---- the clock

  // Whether there will be news: a file has none, whatever the run did when it was written.
  get isLive() {
    return this.plan.isServed && !this.timeline.facts.is_over;
  }

  play() {
    if (this.seconds >= this.timeline.end) this.seconds = 0;
    this.isPlaying = true;
    this.isFollowing = false;
    this.show();
    this.wake();
  }

  pause() {
    this.isPlaying = false;
    this.isFollowing = false;
    this.show();
  }

  followLive() {
    this.isFollowing = this.isLive;
    this.isPlaying = false;
    this.seconds = this.timeline.end;
    this.show();
    this.wake();
  }

  // To a time, in seconds since the run began.
  seek(seconds, { keepsFollowing = false } = {}) {
    if (!keepsFollowing) this.isFollowing = false;
    this.seconds = Math.min(Math.max(0, seconds), this.timeline.end);
    this.show();
  }

  // To the next change of state, or the one before: so many changes have happened then.
  step(by) {
    this.isPlaying = this.isFollowing = false;
    const position = Math.min(Math.max(0, this.timeline.position + by), this.timeline.time.length);
    this.seconds = position > 0 ? this.timeline.time[position - 1] : 0;
    this.show(position);
  }

  wake() {
    if (this.frame !== undefined || !(this.isPlaying || this.isFollowing)) return;
    this.lastFrame = undefined;
    this.frame = requestAnimationFrame((now) => this.tick(now));
  }

  tick(now) {
    this.frame = undefined;
    this.passed = this.lastFrame === undefined ? 0 : (now - this.lastFrame) / 1000;
    if (this.isFollowing) {
      const since = this.timeline.facts.is_alive && this.toldAt ? (performance.now() - this.toldAt) / 1000 : 0;
      this.seconds = this.timeline.end + Math.min(since, LIVE_STEP_SECONDS);
    } else if (this.isPlaying) {
      this.seconds += this.passed * this.speed;
      if (this.seconds >= this.timeline.end) {
        this.seconds = this.timeline.end;
        this.isPlaying = false;
        this.isFollowing = this.isLive;
      }
    }
    this.show();
    if (!(this.isPlaying || this.isFollowing)) return;
    this.lastFrame = now;
    this.frame = requestAnimationFrame((next) => this.tick(next));
  }

  // ---- showing

  // All that stands on the page, as of `seconds`; with `position`, as of so many changes.
  show(position = this.timeline.positionAt(this.seconds)) {
    this.timeline.moveTo(position);
    this.picture.draw(this.timeline.changed);
    this.picture.follow(this.isPlaying || this.isFollowing ? 1 - Math.exp(-this.passed / FOLLOW_SECONDS) : 1);
    this.gantt.moveTo(this.seconds);
    this.showControls();
    this.showLegend();
    this.showLast();
  }

  showControls() {
    const { play, slider, time, live, speed, whole } = this.controls;
    setText(play, this.isPlaying ? "Pause" : "Play");
    setAttribute(play, "data-is", this.isPlaying ? "playing" : "paused");
    const end = Math.max(this.timeline.end, this.seconds);
    const share = end > 0 ? this.seconds / end : 0;
    slider.value = Math.round(share * 10000);
    slider.style.setProperty("--share", `${(100 * share).toFixed(2)}%`);
    setAttribute(slider, "aria-valuetext", told(this.seconds, end));
    setText(time, `${told(this.seconds, end)} / ${told(end, end)}`);
    setAttribute(live, "aria-pressed", String(this.isFollowing));
    live.hidden = !this.isLive;
    const { mode, isReadable } = this.picture;
    setText(whole, mode === "whole" ? "Follow what runs" : "Whole graph");
    whole.hidden = isReadable && mode !== "hand";
    if (speed.value !== String(this.speed)) speed.value = String(this.speed);
    const state = this.timeline.stateOf[0];
    setText(this.controls.state, this.timeline.stateName(state));
    this.controls.state.style.background = this.palette.fill(state);
    this.controls.state.style.color = this.palette.ink(state);
  }

  showLegend() {
    const { totals } = this.timeline;
    const known = (this.chips ??= new Map());
    for (let state = 0; state < totals.length; state++) {
      if (totals[state] === 0 && !known.has(state)) continue;
      if (!known.has(state)) {
        known.set(state, chip(this.palette, this.timeline, state));
        const { states } = this.timeline.plan;
        const order = [...known.keys()].sort((a, b) => states[a].place - states[b].place);
        this.controls.legend.replaceChildren(...order.map((each) => known.get(each).element));
      }
      setText(known.get(state).count, totals[state].toLocaleString("en"));
      setAttribute(known.get(state).element, "data-none", String(totals[state] === 0));
    }
  }

  // The change that happened last.
  showLast() {
    const { position, order, events } = this.timeline;
    const i = position > 0 ? order[position - 1] : -1;
    if (i === this.shownLast) return;
    this.shownLast = i;
    const what = i < 0 ? "" : `${this.timeline.nameOf(events.run[i])}  ${this.timeline.stateName(events.state[i])}`;
    const message = i < 0 ? "" : this.timeline.text(events.message[i]);
    setText(this.controls.last, message ? `${what}: ${message}` : what);
  }

  // The picture, or the lines of the workers, as at the beginning.
  showAll(part) {
    if (part === "picture") {
      this.picture.fit();
      this.showControls();
    } else {
      this.gantt.isAtHand = false;
      this.gantt.draw();
    }
  }

  // ---- what is told when something is pointed at, as plain text

  aboutBox(number) {
    const box = this.plan.scene.boxes[number];
    const { timeline } = this;
    if (!box.isMany) return this.aboutRun(timeline.runNumber.get(keyOf(box.tasks[0], -1)));
    const counts = timeline.counts[number];
    const lines = [box.name];
    for (const state of inOrder(timeline, counts)) {
      lines.push(`${counts[state].toLocaleString("en")} ${timeline.stateName(state)}`);
    }
    const failed = [];
    for (const task of box.tasks) {
      for (const run of [timeline.runNumber.get(keyOf(task, -1)), ...(timeline.children.get(task) ?? [])]) {
        const state = timeline.stateOf[run];
        if (state !== NONE && timeline.plan.states[state].isFailed) failed.push(run);
      }
    }
    for (const run of failed.slice(0, 3)) {
      const last = timeline.lastEvent(run);
      lines.push(`${timeline.nameOf(run)}: ${timeline.text(timeline.events.message[last])}`);
    }
    if (failed.length > 3) lines.push(`and ${(failed.length - 3).toLocaleString("en")} more failed`);
    if (box.tasks.length === 1) lines.push(...timeline.inputsOf(timeline.runNumber.get(keyOf(box.tasks[0], -1))));
    return lines.join("\n");
  }

  aboutRun(run) {
    const { timeline } = this;
    const last = timeline.lastEvent(run);
    const lines = [`${timeline.nameOf(run)}  ${timeline.stateName(timeline.stateOf[run])}`];
    if (last >= 0) lines.push(timeline.text(timeline.events.message[last]));
    lines.push(...timeline.inputsOf(run));
    lines.push(...this.attemptsOf(run, last < 0 ? -Infinity : timeline.effective[last]));
    return lines.filter((line) => line !== "").join("\n");
  }

  aboutBar(number) {
    const bar = this.gantt.bars[number];
    const { timeline } = this;
    const state = timeline.stateName(bar.end === null ? timeline.RUNNING : bar.state);
    const lines = [`${timeline.nameOf(bar.run)}  ${state}`, timeline.text(bar.message), ...timeline.inputsOf(bar.run)];
    return [...lines, ...this.attemptsOf(bar.run)].filter((line) => line !== "").join("\n");
  }

  aboutMark(number) {
    const { cluster } = this.timeline;
    const what = `${this.gantt.workerName(cluster.worker[number])} ${this.timeline.text(cluster.kind[number])}`;
    return [what, told(cluster.at[number], this.timeline.end), this.timeline.text(cluster.details[number])]
      .filter((line) => line !== "")
      .join("\n");
  }

  // A line for each execution, as of a time. Only a worker that died brings a task run back to Pending; its word that
  // it had begun may be lost with it.
  attemptsOf(run, until = Infinity) {
    const { timeline } = this;
    const { state, attempt, worker, message } = timeline.events;
    const lines = [];
    let running = -1;
    for (const i of timeline.eventsOf.get(run) ?? []) {
      if (timeline.effective[i] > until) break;
      const died = ["Pending", "Crashed"].includes(timeline.stateName(state[i]));
      if (running >= 0 || died) {
        const began = running >= 0 ? running : i;
        const took = running >= 0 ? [duration(timeline.effective[i] - timeline.effective[running])] : [];
        const from = running >= 0 ? [`from ${told(timeline.effective[running], timeline.end)}`] : [];
        const where = timeline.text(worker[began]) === "" ? [] : [this.gantt.workerName(worker[began])];
        const end = died ? timeline.text(message[i]) : timeline.stateName(state[i]);
        lines.push(`attempt ${attempt[began]}: ${[end, ...took, ...from, ...where].join(", ")}`);
      }
      running = state[i] === timeline.RUNNING ? i : -1;
    }
    if (running >= 0) {
      const where = timeline.text(worker[running]) === "" ? "" : `, ${this.gantt.workerName(worker[running])}`;
      const from = told(timeline.effective[running], timeline.end);
      lines.push(`attempt ${attempt[running]}: Running, from ${from}${where}`);
    }
    return lines;
  }

  // ---- the page

  listen() {
    const { play, back, forward, begin, slider, speed, live, whole } = this.controls;
    play.addEventListener("click", () => (this.isPlaying ? this.pause() : this.play()));
    back.addEventListener("click", () => this.step(-1));
    forward.addEventListener("click", () => this.step(1));
    begin.addEventListener("click", () => this.seek(0));
    slider.addEventListener("input", () => this.seek((slider.valueAsNumber / 10000) * this.timeline.end));
    speed.addEventListener("change", () => (this.speed = Number(speed.value)));
    live.addEventListener("click", () => (this.isFollowing ? this.pause() : this.followLive()));
    whole.addEventListener("click", () => {
      this.picture.fit({ isWhole: this.picture.mode !== "whole" });
      this.showControls();
    });
    document.addEventListener("keydown", (event) => this.onKey(event));
    this.palette.dark.addEventListener("change", () => this.paint());
    const { graph, gantt } = this.models;
    const refit = () => {
      if (this.picture.mode !== "hand") this.picture.fit({ isWhole: this.picture.mode === "whole" });
      this.showControls();
    };
    graph.properties.inner_width.change.connect(refit);
    graph.properties.inner_height.change.connect(refit);
    for (const name of ["inner_width", "inner_height"]) gantt.properties[name].change.connect(() => this.gantt.draw());
    for (const range of [graph.x_range, graph.y_range]) {
      range.change.connect(() => {
        if (this.picture.isMovedByUs) return;
        this.picture.mode = "hand";
        this.picture.sizeTexts();
        this.showControls();
      });
    }
    for (const range of [gantt.x_range, gantt.y_range]) {
      range.change.connect(() => {
        if (!this.gantt.isMovedByUs) this.gantt.isAtHand = true;
        this.naming ??= requestAnimationFrame(() => {
          this.naming = undefined;
          this.gantt.name();
        });
      });
    }
  }

  onKey(event) {
    if (event.altKey || event.ctrlKey || event.metaKey || event.target instanceof HTMLSelectElement) return;
    const isOnSlider = event.target === this.controls.slider;
    const isOnButton = event.target instanceof HTMLButtonElement;
    if (event.key === " " && !isOnButton) this.isPlaying ? this.pause() : this.play();
    else if (event.key === "ArrowRight" && !isOnSlider) this.step(1);
    else if (event.key === "ArrowLeft" && !isOnSlider) this.step(-1);
    else if (event.key === "Home") this.seek(0);
    else if (event.key === "End") this.seek(this.timeline.end);
    else return;
    event.preventDefault();
  }

  // The colours of the page, light or dark, on what Bokeh draws.
  paint() {
    const { models, palette } = this;
    const [ink, faint, line, page] = ["ink", "faint", "line", "page"].map((name) => palette.get(name));
    for (const axis of [models.lane_axis, models.time_axis]) {
      axis.setv({ major_label_text_color: faint, axis_line_color: line, major_tick_line_color: line });
      axis.minor_tick_line_color = null;
    }
    for (const grid of models.gantt.center.filter((each) => each.type === "Grid")) grid.grid_line_color = line;
    models.gantt.outline_line_color = line;
    models.cursor.line_color = ink;
    models.future.fill_color = page;
    models.edge_glyph.line_color = { value: palette.get("edge") };
    models.head_glyph.setv({ fill_color: { value: palette.get("edge") }, line_color: { value: palette.get("edge") } });
    models.track_glyph.fill_color = { value: palette.fill(this.timeline.PENDING) };
    models.separator_glyph.line_color = { value: line };
    for (let box = 0; box < this.plan.scene.boxes.length; box++) this.timeline.changed.add(box);
    this.chips = undefined;
    this.gantt.draw();
    this.show(this.timeline.position);
  }
}

// ---- small things

function controlsOf(page) {
  const names = "play back forward begin slider speed time live whole legend last state";
  return Object.fromEntries(names.split(" ").map((name) => [name, page.getElementById(name)]));
}

function chip(palette, timeline, state) {
  const element = document.createElement("span");
  const colour = document.createElement("i");
  const count = document.createElement("b");
  colour.style.background = palette.fill(state);
  element.append(colour, timeline.stateName(state), " ", count);
  element.dataset.state = timeline.stateName(state);
  return { element, count };
}

// The speed at which a run takes some ten seconds, as near as can be.
function fittingSpeed(seconds) {
  const speeds = [...document.querySelectorAll("#speed option")].map((option) => Number(option.value));
  return speeds.filter((speed) => seconds / speed >= 6).pop() ?? speeds[0];
}

// A time in the run, as exact as its length asks for.
function told(seconds, end) {
  return clockText(seconds, end, end < 0.1 ? 5 : end < 10 ? 3 : end < 600 ? 1 : 0);
}

// A time on the axis, with the digits that tell it from its neighbours.
function tickText(seconds, ticks) {
  const apart = ticks.length > 1 ? ticks[1] - ticks[0] : 1;
  const digits = Math.min(6, Math.max(0, Math.ceil(-Math.log10(apart) - 1e-9)));
  return clockText(seconds, Math.max(...ticks), digits);
}

function clockText(seconds, end, digits) {
  if (end < 60) return `${seconds.toFixed(digits)} s`;
  const [minutes, rest] = [Math.floor(seconds / 60), seconds % 60];
  const tail = rest.toFixed(digits).padStart(digits > 0 ? 3 + digits : 2, "0");
  if (end < 3600) return `${minutes}:${tail}`;
  return `${Math.floor(minutes / 60)}:${String(minutes % 60).padStart(2, "0")}:${tail}`;
}

function duration(seconds) {
  if (seconds < 0.001) return `${(1e6 * seconds).toFixed(0)} µs`;
  if (seconds < 1) return `${(1e3 * seconds).toPrecision(3)} ms`;
  return seconds < 60 ? `${seconds.toPrecision(3)} s` : told(seconds, seconds);
}

function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function setAttribute(element, name, value) {
  if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}
