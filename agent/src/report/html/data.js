'use strict';
// Decodes the data of the page (see encode.rs), and sums up the selection.

const KERNEL = 0;
const USER = 1;
const LABEL = 2;
const NO_CHAIN = 0;
const LIGHT_CHAINS = 1;
const FIRST_HOP = 5;
const CHAIN_ENDS = [
  '',
  'end of chain: the sleep of the waker was not sampled',
  'end of chain: unknown waker',
  'end of chain: the thread was preempted, not woken',
  'end of chain: maximum length',
];

class Reader {
  constructor(bytes) {
    this.bytes = bytes;
    this.at = 0;
  }

  number() {
    let value = 0;
    let unit = 1;
    for (;;) {
      const byte = this.bytes[this.at++];
      value += (byte & 0x7f) * unit;
      if (byte < 0x80) return value;
      unit *= 128;
    }
  }

  text(length) {
    this.at += length;
    return new TextDecoder().decode(this.bytes.subarray(this.at - length, this.at));
  }
}

async function inflate(base64) {
  const text = atob(base64);
  const packed = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) packed[i] = text.charCodeAt(i);
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream('deflate'));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

function readStacks(reader, parents, frames) {
  const base = parents.length;
  const rows = reader.number();
  for (let row = 0; row < rows; row++) {
    const back = reader.number();
    parents.push(back ? base + row - back : -1);
    frames.push(reader.number());
  }
}

// The time of a row is [start, end), in nanoseconds from the start of the capture: a whole bucket, or that of an interval in several.
// Both are 0 if it is unknown.
function readRows(reader, axis) {
  const rows = reader.number();
  const groups = reader.number();
  const group = {
    length: groups,
    thread: new Uint32Array(groups),
    metric: new Uint16Array(groups),
    calibrated: new Uint8Array(groups),
    idle: new Uint8Array(groups),
    stack: new Int32Array(groups),
    chain: new Uint32Array(groups),
    end: new Uint32Array(groups),
  };
  const row = {
    start: new Float64Array(rows),
    end: new Float64Array(rows),
    value: new Float64Array(rows),
    estimated: new Float64Array(rows),
    variance: new Float64Array(rows),
    samples: new Uint32Array(rows),
  };
  let thread = 0;
  let at = 0;
  for (let g = 0; g < groups; g++) {
    group.thread[g] = thread += reader.number();
    const metric = reader.number();
    group.calibrated[g] = metric & 1;
    group.idle[g] = (metric >> 1) & 1;
    group.metric[g] = metric >> 2;
    group.stack[g] = reader.number() - 1;
    group.chain[g] = reader.number();
    group.end[g] = at + reader.number();
    let first = 0;
    for (; at < group.end[g]; at++) {
      first += reader.number();
      const length = reader.number();
      if (length) {
        row.start[at] = timeOf(axis, first) + (length > 1 ? reader.number() : 0);
        row.end[at] = timeOf(axis, first + length) - (length > 1 ? reader.number() : 0);
      }
      row.value[at] = reader.number();
      row.estimated[at] = reader.number();
      row.variance[at] = reader.number() ** 2;
      row.samples[at] = reader.number();
    }
  }
  return { group, row };
}

async function readProfile(base64) {
  const reader = new Reader(await inflate(base64));
  const head = JSON.parse(reader.text(reader.number()));
  const profile = { ...head, names: head.frames, kinds: [], moduleOf: [] };
  for (let i = 0; i < profile.names.length; i++) {
    const packed = reader.number();
    profile.kinds.push(packed % 3);
    profile.moduleOf.push(head.modules[(packed - packed % 3) / 3]);
  }
  const [parents, frames] = [[], []];
  readStacks(reader, parents, frames);
  profile.ownStacks = parents.length;
  readStacks(reader, parents, frames);
  profile.parents = Int32Array.from(parents);
  profile.stackFrames = Int32Array.from(frames);
  profile.hops = Array.from({ length: reader.number() }, () => {
    const waker = reader.number() - 1;
    return { waker, stack: reader.number() - 1 };
  });
  profile.chains = Array.from({ length: reader.number() }, () => Array.from({ length: reader.number() }, () => reader.number()));
  Object.assign(profile, readRows(reader, profile));
  addTotals(profile);
  describeMetrics(profile);
  return profile;
}

// The metrics with their numbers, and the probes with their metrics. `recorded`: whether there is a sample of it; `chained`: whether a
// waker of one was seen. A probe that only made histograms has nothing to draw but these.
function describeMetrics(profile) {
  const { group, meta } = profile;
  profile.metrics = meta.metrics.map((metric, index) => ({ ...metric, index, recorded: false, chained: false }));
  for (let g = 0; g < group.length; g++) {
    const metric = profile.metrics[group.metric[g]];
    metric.recorded = true;
    metric.chained ||= group.chain[g] !== NO_CHAIN;
  }
  profile.probes = meta.probes.map((probe) => {
    const metrics = profile.metrics.filter((metric) => metric.probe === probe.name);
    const some = (what) => metrics.some((metric) => metric[what]);
    return { ...probe, metrics, recorded: some('recorded'), chained: some('chained') };
  });
  const hasHistogram = ({ metrics }) => profile.histograms.some(({ metric }) => metrics.some(({ index }) => index === metric));
  profile.sampled = profile.probes.filter((probe) => probe.metrics.length && (probe.recorded || !hasHistogram(probe)));
}

// The metrics of a probe that are shown if nothing else is chosen: values of different units do not add up.
function defaultMetrics(probe) {
  const first = probe.metrics.find((metric) => metric.recorded) ?? probe.metrics[0];
  return probe.metrics.filter((metric) => metric.unit === first.unit);
}

// A 0 or 1 for each metric of the profile.
function maskOf(profile, metrics) {
  const mask = new Uint8Array(profile.metrics.length);
  for (const metric of metrics) mask[metric.index] = 1;
  return mask;
}

// A frame that is not in the recording: a heading in a picture.
function addLabel(profile, name) {
  profile.labels ??= new Map();
  if (!profile.labels.has(name)) {
    profile.labels.set(name, profile.names.length);
    profile.names.push(name);
    profile.kinds.push(LABEL);
    profile.moduleOf.push('');
  }
  return profile.labels.get(name);
}

// Calls visit({ g, value, estimated, variance, samples, isPart, isEnded }) for each group of rows that has something in the selection:
// { metrics: a 0 or 1 for each metric, window: [first bucket, end) or null, threads: a 0 or 1 for each thread, or null,
// idle: which sleeps of threads that have nothing to do: 'all', 'none' or 'only' these }.
// A window has the part of each interval that lies within it, as in agent/src/profile/span.rs, and nothing whose time is unknown.
// The intervals of a group that end after the window are a sum of their own, since the wakeup is not in the window.
function eachGroup(profile, { metrics, window, threads, idle }, visit) {
  const { group, row } = profile;
  const [from, to] = window ? window.map((bucket) => timeOf(profile, bucket)) : [0, Infinity];
  const isPart = Boolean(window || profile.part);
  let at = 0;
  for (let g = 0; g < group.length; g++) {
    const begin = at;
    at = group.end[g];
    if (!metrics[group.metric[g]] || (threads && !threads[group.thread[g]]) || !takesIdle(idle, group.idle[g])) continue;
    const [ended, open] = [true, false].map((isEnded) => ({ g, value: 0, estimated: 0, variance: 0, samples: 0, isPart, isEnded }));
    for (let r = begin; r < at; r++) {
      const [start, end] = [row.start[r], row.end[r]];
      const part = end > start ? (Math.min(to, end) - Math.max(from, start)) / (end - start) : window ? 0 : 1;
      if (part <= 0) continue;
      const sum = end > to ? open : ended;
      sum.value += row.value[r] * part;
      sum.estimated += row.estimated[r] * part;
      sum.variance += row.variance[r] * part ** 2;
      sum.samples += row.samples[r];
    }
    if (ended.value > 0) visit(ended);
    if (open.value > 0) visit(open);
  }
}

function takesIdle(idle, isIdle) {
  return idle === 'all' || isIdle === (idle === 'only' ? 1 : 0);
}

// The threads that have nothing to do: their number and time in the selection.
function idleThreads(profile, selection) {
  const threads = new Set();
  const sum = new Estimate(profile);
  eachGroup(profile, { ...selection, idle: 'only' }, (part) => {
    threads.add(threadKey(profile, profile.group.thread[part.g]));
    sum.add(part);
  });
  return { count: threads.size, sum };
}

// The value of the selected metrics and threads whose time is unknown: it is in no window.
function untimedValue(profile, { metrics, threads, idle }) {
  const { group, row } = profile;
  let [value, at] = [0, 0];
  for (let g = 0; g < group.length; g++) {
    const isSelected = metrics[group.metric[g]] && !(threads && !threads[group.thread[g]]) && takesIdle(idle, group.idle[g]);
    for (; at < group.end[g]; at++) if (isSelected && row.end[at] === row.start[at]) value += row.value[at];
  }
  return value;
}

// A thread regardless of its names: its process, since PIDs are used again, its TID, and how many threads of the process had it before.
function threadKey(profile, thread) {
  const [, tid, , process, , incarnation] = profile.threads[thread];
  return (incarnation % 512) * 2 ** 44 + process * 2 ** 22 + tid;
}

// The weight of each stack in the selection, and their sum. `parts` has the sums of its groups.
function weigh(profile, selection) {
  const stacks = profile.ownStacks + 1;
  const weights = {
    value: new Float64Array(stacks),
    samples: new Float64Array(stacks),
    parts: new Array(stacks),
    sum: new Estimate(profile),
  };
  eachGroup(profile, selection, (sum) => {
    // The last place is for samples without a stack.
    const stack = profile.group.stack[sum.g] < 0 ? profile.ownStacks : profile.group.stack[sum.g];
    weights.value[stack] += sum.value;
    weights.samples[stack] += sum.samples;
    (weights.parts[stack] ??= []).push(sum);
    weights.sum.add(sum);
  });
  return weights;
}

// The time at the start of a bucket, in nanoseconds from the start of the capture; the end of the axis for the number after the last.
function timeOf({ axis_start: start, axis_end: end, bucket_nanos: width }, bucket) {
  return Math.min(start + bucket * width, end);
}

// The length of a bucket in nanoseconds: the last one is shorter if the axis ends within it.
function lengthOf(profile, bucket) {
  return timeOf(profile, bucket + 1) - timeOf(profile, bucket);
}

// The number of the bucket whose start is nearest to a time in nanoseconds, from 0 to the number of buckets.
function edgeNear(profile, time) {
  const bucket = Math.floor((time - profile.axis_start) / profile.bucket_nanos);
  if (bucket < 0) return 0;
  if (bucket >= profile.buckets) return profile.buckets;
  return time - timeOf(profile, bucket) < timeOf(profile, bucket + 1) - time ? bucket : bucket + 1;
}

// The frames of a stack, innermost first.
function stackOf(profile, stack) {
  const frames = [];
  for (let at = stack; at >= 0; at = profile.parents[at]) frames.push(profile.stackFrames[at]);
  return frames;
}
