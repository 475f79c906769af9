// A flow run through time: its changes of state in order, and what every task run and box is at, at one moment.
// Knows nothing of the page. Columns come as `timeline.py` writes them; a text is told by its number.

const NONE = 255; // the state of a child before its map is wide enough for it

class Timeline {
  // plan: {states: [{name, color}], tasks: [{name, inputs: [[upstream, key, isMapped]]}], boxOf: [box of each task],
  //        boxCount}
  constructor(plan) {
    this.plan = plan;
    this.PENDING = plan.states.findIndex((state) => state.name === "Pending");
    this.MAPPED = plan.states.findIndex((state) => state.name === "Mapped");
    this.RUNNING = plan.states.findIndex((state) => state.name === "Running");
    this.texts = [];
    this.runs = { task: [], index: [] };
    this.events = { at: [], run: [], state: [], attempt: [], worker: [], message: [], value: [] };
    this.widths = new Map();
    this.items = new Map();
    this.cluster = { at: [], kind: [], worker: [], details: [] };
    this.facts = { state: "", message: "", now: 0, is_alive: false, is_over: true };
    this.children = new Map();
    this.runNumber = new Map();
    this.changed = new Set();
    this.time = new Float64Array(0);
    this.position = 0;
    this.end = 0;
  }

  // ---- taking in what is told

  // news: columns by table, each an array; keeps what was there and plays from where it was.
  take(news) {
    for (const text of news.texts) this.texts.push(text);
    for (let i = 0; i < news.runs.task.length; i++) this.addRun(news.runs.task[i], news.runs.index[i]);
    for (const name of Object.keys(this.events)) append(this.events[name], news.events[name]);
    for (let i = 0; i < news.widths.task.length; i++) this.widths.set(news.widths.task[i], news.widths.width[i]);
    for (let i = 0; i < news.items.task.length; i++) {
      const task = news.items.task[i];
      if (!this.items.has(task)) this.items.set(task, []);
      this.items.get(task).push(news.items.value[i]);
    }
    for (const name of Object.keys(this.cluster)) append(this.cluster[name], news.cluster[name]);
    this.facts = news.facts;
    if (news.events.at.length > 0 || this.stateOf === undefined) this.rebuild();
    this.end = Math.max(this.facts.now, this.time.length > 0 ? this.time[this.time.length - 1] : 0);
  }

  addRun(task, index) {
    const run = this.runs.task.length;
    this.runs.task.push(task);
    this.runs.index.push(index);
    this.runNumber.set(keyOf(task, index), run);
    if (index >= 0) {
      if (!this.children.has(task)) this.children.set(task, []);
      this.children.get(task).push(run);
    }
  }

  // Puts the changes in the order of their times. Those of one task run keep theirs, whatever the clocks of two
  // machines say.
  rebuild() {
    const { at, run, state } = this.events;
    const count = at.length;
    const latest = new Float64Array(this.runs.task.length).fill(-Infinity);
    const effective = new Float64Array(count);
    for (let i = 0; i < count; i++) {
      effective[i] = latest[run[i]] = Math.max(at[i], latest[run[i]]);
    }
    this.effective = effective;
    this.order = Int32Array.from(at.keys()).sort((a, b) => effective[a] - effective[b] || a - b);
    this.time = Float64Array.from(this.order, (i) => effective[i]);
    this.before = new Uint8Array(count);
    this.reset();
    const now = this.stateOf.slice();
    for (let k = 0; k < count; k++) {
      const i = this.order[k];
      this.before[k] = now[run[i]];
      now[run[i]] = state[i];
    }
    this.finalOf = now;
    this.valueOf = new Map();
    for (let i = 0; i < count; i++) if (this.events.value[i] >= 0) this.valueOf.set(run[i], this.events.value[i]);
    this.eventsOf = new Map();
    for (let i = 0; i < count; i++) {
      if (!this.eventsOf.has(run[i])) this.eventsOf.set(run[i], []);
      this.eventsOf.get(run[i]).push(i);
    }
  }

  // Back to the moment before the first change.
  reset() {
    const { task, index } = this.runs;
    this.position = 0;
    this.stateOf = Uint8Array.from(index, (each) => (each < 0 ? this.PENDING : NONE));
    this.counts = Array.from({ length: this.plan.boxCount }, () => new Int32Array(this.plan.states.length));
    this.totals = new Int32Array(this.plan.states.length);
    this.begun = new Map();
    for (let run = 0; run < task.length; run++) {
      if (task[run] >= 0 && index[run] < 0) this.count(task[run], this.PENDING, 1);
    }
    for (let box = 0; box < this.plan.boxCount; box++) this.changed.add(box);
  }

  // ---- moving through time

  // How many changes have happened at a time, in seconds since the run began.
  positionAt(seconds) {
    let low = 0;
    let high = this.time.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.time[middle] <= seconds) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  // As if so many changes had happened; `changed` has the boxes that look different then.
  moveTo(position) {
    while (this.position < position) {
      const i = this.order[this.position];
      this.change(this.events.run[i], this.before[this.position], this.events.state[i]);
      this.position++;
    }
    while (this.position > position) {
      this.position--;
      const i = this.order[this.position];
      this.change(this.events.run[i], this.events.state[i], this.before[this.position]);
    }
  }

  change(run, from, to) {
    this.stateOf[run] = to;
    const task = this.runs.task[run];
    if (task < 0 || from === to) return;
    this.changed.add(this.plan.boxOf[task]);
    if (this.runs.index[run] < 0) {
      this.countWhole(task, from, -1);
      this.countWhole(task, to, 1);
      return;
    }
    const isMapped = this.stateOf[this.runNumber.get(keyOf(task, -1))] === this.MAPPED;
    const begun = this.begun.get(task) ?? 0;
    if (from === NONE) this.begun.set(task, begun + 1);
    else this.count(task, from, -1);
    if (to === NONE) this.begun.set(task, begun - 1);
    else this.count(task, to, 1);
    // While its map is known a child that has not begun counts as Pending.
    if (isMapped && from === NONE) this.count(task, this.PENDING, -1);
    if (isMapped && to === NONE) this.count(task, this.PENDING, 1);
  }

  // A mapped task counts by its children alone.
  countWhole(task, state, by) {
    if (state !== this.MAPPED) this.count(task, state, by);
    else this.count(task, this.PENDING, by * (this.widthOf(task) - (this.begun.get(task) ?? 0)));
  }

  widthOf(task) {
    return Math.max(this.widths.get(task) ?? 0, this.children.get(task)?.length ?? 0);
  }

  count(task, state, by) {
    this.counts[this.plan.boxOf[task]][state] += by;
    this.totals[state] += by;
  }

  // ---- asking

  text(number) {
    return number >= 0 ? this.texts[number] : "";
  }

  nameOf(run) {
    const task = this.runs.task[run];
    if (task < 0) return this.plan.flow;
    const index = this.runs.index[run];
    return this.plan.tasks[task].name + (index < 0 ? "" : `[${index}]`);
  }

  stateName(state) {
    return state === NONE ? "Pending" : this.plan.states[state].name;
  }

  // The state of a task run now, as tests and consoles ask for it; null before there is such a child.
  stateAt(task, index) {
    const run = this.runNumber.get(keyOf(task, index));
    return run === undefined || this.stateOf[run] === NONE ? null : this.stateName(this.stateOf[run]);
  }

  // The last change of a task run until now; -1 before the first.
  lastEvent(run) {
    const now = this.position > 0 ? this.time[this.position - 1] : -Infinity;
    let last = -1;
    for (const i of this.eventsOf.get(run) ?? []) if (this.effective[i] <= now) last = i;
    return last;
  }

  // What a task run was given: a line for each input.
  inputsOf(run) {
    const task = this.runs.task[run];
    const index = this.runs.index[run];
    if (task < 0) return [];
    return this.plan.tasks[task].inputs.map(([upstream, key, isMapped]) => {
      const name = this.plan.tasks[upstream].name;
      const isChild = isMapped && index >= 0;
      const child = isChild ? this.runNumber.get(keyOf(upstream, index)) : undefined;
      const whole = this.runNumber.get(keyOf(upstream, -1));
      let value = -1;
      if (child !== undefined) value = this.valueOf.get(child) ?? -1;
      else if (isChild) value = this.items.get(upstream)?.[index] ?? -1;
      else value = this.valueOf.get(whole) ?? -1;
      const from = isChild ? `${name}[${index}]` : name;
      if (value >= 0) return `${key} = ${this.text(value)}  (${from})`;
      const width = this.widthOf(upstream);
      return isChild || width === 0 ? `${key} = result of ${from}` : `${key} = ${width.toLocaleString("en")} results of ${name}`;
    });
  }
}

// ---- executions and where they ran

// What lies on the lines of workers: a bar for each execution, on as many lines a worker as it had executions at once.
// Bars: run, attempt, begin, end, state, worker, lane, message; those that go on end at `timeline.end`.
function barsOf(timeline) {
  const { run, state, attempt, worker, message } = timeline.events;
  const bars = [];
  const open = new Map();
  for (let i = 0; i < run.length; i++) {
    if (run[i] === 0) continue;
    const bar = open.get(run[i]);
    if (bar !== undefined) {
      Object.assign(bar, { end: timeline.effective[i], state: state[i], message: message[i] });
      open.delete(run[i]);
    }
    if (state[i] === timeline.RUNNING) {
      const begun = { run: run[i], attempt: attempt[i], begin: timeline.effective[i], end: null, state: state[i] };
      Object.assign(begun, { worker: worker[i], message: message[i], lane: 0 });
      bars.push(begun);
      open.set(run[i], begun);
    }
  }
  return bars;
}

// The workers, each with its first lane and how many it has; sets the lane of each bar.
function lanesOf(timeline, bars) {
  const ofWorker = new Map();
  for (const worker of timeline.cluster.worker) if (worker >= 0) ofWorker.set(worker, []);
  for (const bar of bars) {
    if (!ofWorker.has(bar.worker)) ofWorker.set(bar.worker, []);
    ofWorker.get(bar.worker).push(bar);
  }
  const byName = (a, b) => timeline.text(a).localeCompare(timeline.text(b), "en", { numeric: true });
  const workers = [];
  let first = 0;
  for (const worker of [...ofWorker.keys()].sort(byName)) {
    const ends = [];
    for (const bar of ofWorker.get(worker).sort((a, b) => a.begin - b.begin)) {
      let lane = ends.findIndex((end) => end <= bar.begin);
      if (lane < 0) lane = ends.length;
      ends[lane] = bar.end ?? Infinity;
      bar.lane = first + lane;
    }
    const count = Math.max(1, ends.length);
    workers.push({ worker, first, count });
    first += count;
  }
  return { workers, count: Math.max(1, first) };
}

function append(to, from) {
  for (let i = 0; i < from.length; i++) to.push(from[i]);
}

// One number for a task run: no flow has 2^26 tasks, no map 2^26 children.
function keyOf(task, index) {
  return (task + 1) * 67108864 + index + 1;
}
