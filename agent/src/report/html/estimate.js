'use strict';
// The errors of sums, see agent/src/profile/estimate.rs: the samples of a thread and metric with a counted total are
// calibrated to it, so that a sum of all of them is exact.

// The number of samples from which their variances alone tell the error of a place.
const FEW = 8;

class Estimate {
  // `isPlace`: whether the rows are selected by stack, not only by thread or metric. A part of the time is a place too.
  constructor(profile, isPlace = false) {
    this.profile = profile;
    this.isPlace = isPlace;
    this.value = 0;
    this.samples = 0;
    this.independent = 0;
    this.parts = new Map();
  }

  // Adds rows of a group: { g, value, estimated, variance, samples, isPart }.
  add(sum) {
    this.isPlace ||= sum.isPart;
    this.value += sum.value;
    this.samples += sum.samples;
    if (!sum.variance && !sum.estimated) return this;
    const total = this.profile.group.total[sum.g];
    if (total < 0) {
      this.independent += sum.variance;
      return this;
    }
    const part = this.parts.get(total);
    if (part) {
      part.estimated += sum.estimated;
      part.variance += sum.variance;
    } else {
      this.parts.set(total, { estimated: sum.estimated, variance: sum.variance });
    }
    return this;
  }

  // The standard error; 0 if the sum is exact.
  get error() {
    let variance = this.independent;
    for (const [total, part] of this.parts) {
      const whole = this.profile.totals[total];
      const share = whole.estimated > 0 ? part.estimated / whole.estimated : 0;
      const own = (1 - 2 * share) * part.variance + share ** 2 * whole.variance;
      // What rounding leaves of a whole.
      const within = own > whole.variance * 1e-9 ? own : 0;
      variance += this.isPlace ? Math.max(within, ofPlace(share, whole)) : within;
    }
    return Math.sqrt(variance);
  }
}

// The least variance of a place with this share: what it was given of a missed interval, and what a few samples tell.
function ofPlace(share, { estimated, samples, unexplained }) {
  const given = share ** 2 * unexplained;
  if (samples >= FEW || !(share > 0)) return given;
  const likely = (samples * share + 2) / (samples + 4);
  return Math.max(given, estimated ** 2 * likely * (1 - likely) / (samples + 4));
}

// Gives each group of rows the number of its total, or -1, and each total what all its samples have, here and elsewhere.
function addTotals(profile) {
  const { group, row, threads } = profile;
  const known = new Map();
  profile.totals = [];
  const totalOf = (thread, metric) => {
    const [pid, tid] = threads[thread];
    const key = `${pid}:${tid}:${metric}`;
    if (!known.has(key)) known.set(key, profile.totals.push({ estimated: 0, variance: 0, unexplained: 0, samples: 0 }) - 1);
    return known.get(key);
  };
  group.total = new Int32Array(group.length);
  let at = 0;
  for (let g = 0; g < group.length; g++) {
    group.total[g] = group.calibrated[g] ? totalOf(group.thread[g], group.metric[g]) : -1;
    for (; at < group.end[g]; at++) {
      if (group.total[g] < 0) continue;
      profile.totals[group.total[g]].estimated += row.estimated[at];
      profile.totals[group.total[g]].variance += row.variance[at];
    }
  }
  for (const [thread, metric, samples, unexplained, estimated, variance] of profile.calibrated) {
    const total = profile.totals[totalOf(thread, metric)];
    Object.assign(total, { samples, unexplained });
    total.estimated += estimated;
    total.variance += variance;
  }
}
