'use strict';
// Counted totals of a window, see agent/src/profile/exact.rs: slices that its edges cut are divided in proportion to time, with a bound
// of the error.

// Calls visit({ metric, thread, count, sum, uncertainty }) for each counted total of a thread that has something in a window:
// [first bucket, end), or null for all. A total without times is that of the whole capture.
function eachCounted(profile, window, visit) {
  const [from, to] = window ? window.map((bucket) => timeOf(profile, bucket)) : [0, Infinity];
  for (const [metric, thread, count, sum, uncertainty, begin, end] of profile.counters) {
    const length = Math.max(1, end - begin);
    const [first, last] = [Math.max(from - begin, 0), Math.min(to - begin, length)];
    const part = last - first;
    if (!window || begin === null || part >= length) {
      visit({ metric, thread, count, sum, uncertainty });
    } else if (part > 0) {
      // A thread is either off a CPU or not.
      const isTime = profile.metrics[metric].kind === 'interval';
      const least = isTime ? Math.max(0, sum - (length - part)) : 0;
      const most = isTime ? Math.max(least, Math.min(sum, part)) : sum;
      const divided = (total) => Math.floor(total * last / length) - Math.floor(total * first / length);
      const inPart = Math.min(most, Math.max(least, divided(sum)));
      visit({ metric, thread, count: divided(count), sum: inPart, uncertainty: uncertainty + Math.max(inPart - least, most - inPart) });
    }
  }
}

// What the counted totals are of.
function countedPart(profile, window) {
  if (!window && !profile.part) return 'in the whole capture';
  const areTimed = profile.counters.every(([, , , , , begin]) => begin !== null);
  return areTimed ? 'in the selected window' : 'in the whole capture, not only in the selected window';
}

// A counted total in a cell: an error that its digits show stands below the value. As `is_visible` in summary/exact.rs.
function countedCell({ count: events, sum, uncertainty }, unit) {
  if (!events && !sum) return '';
  if (uncertainty <= sum / 200) return amount(sum, unit);
  return [element('span', { className: 'value' }, amount(sum, unit)), ' ', `to within ${amount(uncertainty, unit)}`];
}
