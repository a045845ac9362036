'use strict';
// The values of the lanes of the time axis. A sample also represents intervals that were not sampled, at times near its own. If all of
// it counted at its own time, a bucket could have more CPUs or threads than there were. So what a bucket cannot hold is
// moved to the nearest buckets that have room. This changes no sum, and none of a window: only the lanes are drawn from it.

// The value in each bucket of the metrics with a 1 in `metrics`, whatever window is selected.
function overTime(profile, metrics, threads) {
  const shown = profile.metrics.filter(({ index }) => metrics[index]);
  const isTime = shown.every(({ unit }) => unit === 'nanoseconds');
  // Of an interval that was measured, nothing is moved.
  const isMoved = shown.every(({ kind }) => kind !== 'interval');
  const room = roomOf(profile);
  const sum = new Float64Array(profile.buckets);
  for (const one of groupsByThread(profile)) {
    const groups = one.filter((g) => !threads || threads[profile.group.thread[g]]);
    if (!groups.some((g) => metrics[profile.group.metric[g]])) continue;
    const { all, measured, untimed, from, to } = valuesOf(profile, groups, metrics);
    const most = !isTime ? all.map(() => Infinity) : isMoved ? room : room.map((width, bucket) => Math.max(width, measured[bucket]));
    // First to where the thread was seen, since it may not have lived before and after.
    carry(all, most, from, to);
    carry(all, most, 0, all.length);
    if (isTime) pour(all, most, 0, all.length, pour(all, most, from, to, untimed));
    else pour(all, room.map((width, bucket) => all[bucket] + width * untimed / (profile.axis_end - profile.axis_start)), 0, all.length, untimed);
    for (let bucket = 0; bucket < sum.length; bucket++) sum[bucket] += Math.min(all[bucket], most[bucket]);
  }
  if (!isTime || !isMoved) return sum;
  const cpus = countCpus(profile.meta.cpus) || Infinity;
  const most = room.map((width) => width * cpus);
  carry(sum, most, 0, sum.length);
  return sum.map((value, bucket) => Math.min(value, most[bucket]));
}

// The time in each bucket.
function roomOf(profile) {
  return Float64Array.from({ length: profile.buckets }, (_, bucket) => lengthOf(profile, bucket));
}

// The number of CPUs in a list such as `0-3,8`.
function countCpus(list) {
  return String(list).split(',').reduce((sum, part) => {
    const [first, last = first] = part.split('-').map(Number);
    return last >= first ? sum + last - first + 1 : sum;
  }, 0);
}

// The groups of rows of each thread, whatever its names.
function groupsByThread(profile) {
  if (!profile.groupsByThread) {
    const known = new Map();
    for (let g = 0; g < profile.group.length; g++) {
      const [pid, tid] = profile.threads[profile.group.thread[g]];
      const key = pid * 2 ** 22 + tid;
      if (!known.has(key)) known.set(key, []);
      known.get(key).push(g);
    }
    profile.groupsByThread = [...known.values()];
  }
  return profile.groupsByThread;
}

// What a thread has in each bucket, at the times of its samples: all, and the part that was measured; the sum of values without a time;
// and the buckets [from, to) in which it was seen, with any metric.
function valuesOf(profile, groups, metrics) {
  const { group, row, buckets, axis_start: axis, bucket_nanos: width } = profile;
  const [all, measured] = [new Steps(profile), new Steps(profile)];
  let [untimed, from, to] = [0, buckets, 0];
  for (const g of groups) {
    for (let r = g ? group.end[g - 1] : 0; r < group.end[g]; r++) {
      const [start, end] = [row.start[r], row.end[r]];
      if (end > start) {
        from = Math.min(from, Math.floor((start - axis) / width));
        to = Math.max(to, Math.ceil((end - axis) / width));
      }
      if (!metrics[group.metric[g]]) continue;
      if (end > start) {
        all.add(start, end, row.value[r]);
        measured.add(start, end, row.value[r] - row.estimated[r]);
      } else {
        untimed += row.value[r];
      }
    }
  }
  return { all: all.finish(), measured: measured.finish(), untimed, from: Math.min(from, to), to: Math.min(to, buckets) };
}

// Values that are spread evenly over times of the axis, added up in buckets.
class Steps {
  constructor({ buckets, axis_start: axis, bucket_nanos: width }) {
    Object.assign(this, { axis, width });
    this.values = new Float64Array(buckets);
    // By how much the value in each bucket differs from that in the bucket before.
    this.changes = new Float64Array(buckets + 1);
  }

  // `start` and `end` are within the axis, in nanoseconds from the start of the capture.
  add(start, end, value) {
    const { axis, width, values, changes } = this;
    const [from, to] = [start - axis, end - axis];
    const first = Math.floor(from / width);
    const last = Math.min(values.length, Math.ceil(to / width)) - 1;
    if (first >= last) {
      values[last] += value;
      return;
    }
    const each = value / (to - from);
    values[first] += each * ((first + 1) * width - from);
    values[last] += each * (to - last * width);
    changes[first + 1] += each * width;
    changes[last] -= each * width;
  }

  finish() {
    let level = 0;
    for (let bucket = 0; bucket < this.values.length; bucket++) {
      level += this.changes[bucket];
      this.values[bucket] = Math.max(0, this.values[bucket] + level);
    }
    return this.values;
  }
}

// Moves what the buckets [from, to) cannot hold to the nearest of them that have room. What none of them can hold stays where it is.
// The time is almost linear: each step either ends the excess of a bucket or fills one.
function carry(values, most, from, to) {
  const count = to - from;
  if (!values.subarray(from, to).some((value, place) => value > most[from + place])) return;
  // For each bucket itself if it has room, or else a place on the way to the nearest one that has; -1 and `count` for none. The
  // places of `before` are one higher.
  const before = new Int32Array(count + 1);
  for (let place = 0; place <= count; place++) before[place] = place;
  const after = before.slice();
  const find = (next, place) => {
    let at = place;
    while (next[at] !== at) at = next[at] = next[next[at]];
    return at;
  };
  const close = (place) => {
    before[place + 1] = place;
    after[place] = place + 1;
  };
  for (let place = 0; place < count; place++) if (!(values[from + place] < most[from + place])) close(place);
  for (let place = 0; place < count; place++) {
    let excess = values[from + place] - most[from + place];
    while (excess > 0) {
      const [left, right] = [find(before, place + 1) - 1, find(after, place)];
      if (left < 0 && right === count) return;
      const near = left >= 0 && (right === count || place - left <= right - place) ? left : right;
      const free = most[from + near] - values[from + near];
      const moved = Math.min(excess, free);
      values[from + near] += moved;
      if (moved === free) close(near);
      excess -= moved;
      values[from + place] = most[from + place] + excess;
    }
  }
}

// Adds a value whose time is unknown to the buckets [from, to), in proportion to their room; returns what none of them can hold.
function pour(values, most, from, to, value) {
  let free = 0;
  for (let bucket = from; bucket < to; bucket++) free += Math.max(0, most[bucket] - values[bucket]);
  if (!(free > 0) || !(value > 0)) return value;
  const share = Math.min(1, value / free);
  for (let bucket = from; bucket < to; bucket++) values[bucket] += Math.max(0, most[bucket] - values[bucket]) * share;
  return value - free * share;
}
