'use strict';
// The table of threads, with estimates and counted totals.

// `page`: see `draw` in app.js.
function threadsView(profile, selection, shownFirst, { state, test: match, change, onSort }) {
  const keyOf = state.byThread
    ? (index) => `${profile.threads[index][0]}:${profile.threads[index][1]}`
    : (index) => profile.threads[index][2];
  const rows = new Map();
  const rowOf = (index) => {
    const key = keyOf(index);
    if (!rows.has(key)) {
      rows.set(key, {
        names: new Set(), tids: new Set(), pids: new Set(),
        sums: profile.metrics.map(() => new Estimate(profile)),
        exact: profile.metrics.map(() => ({ count: 0, sum: 0 })),
      });
    }
    const row = rows.get(key);
    const [pid, tid, comm] = profile.threads[index];
    row.names.add(comm);
    row.tids.add(tid);
    row.pids.add(pid);
    return row;
  };
  // All metrics and all threads: a filter would hide rows that can be selected.
  const metrics = maskOf(profile, profile.metrics);
  eachGroup(profile, { metrics, window: selection.window, threads: null }, (sum) => {
    rowOf(profile.group.thread[sum.g]).sums[profile.group.metric[sum.g]].add(sum);
  });
  const counted = new Uint8Array(profile.metrics.length);
  for (const [metric, index, events, sum] of profile.counters) {
    const exact = rowOf(index).exact[metric];
    exact.count += events;
    exact.sum += sum;
    counted[metric] = 1;
  }
  const there = profile.metrics.filter(({ recorded, index }) => recorded || counted[index]);
  const shown = [...rows.values()].filter((row) => !match || [...row.names].some(match));
  const name = (row) => [...row.names].join(', ');
  const token = (row) => state.byThread ? `tid:${[...row.tids][0]}` : `comm:${[...row.names][0]}`;
  const columns = [
    { name: 'Thread', text: true, key: name, cell: name },
    state.byThread
      ? { name: 'PID / TID', key: (row) => [...row.tids][0], cell: (row) => `${[...row.pids][0]} / ${[...row.tids][0]}` }
      : { name: 'Threads', key: (row) => row.tids.size, cell: (row) => count(row.tids.size) },
    ...there.flatMap((metric) => metricColumns(metric, counted[metric.index])),
  ];
  const table = sortedTable(columns, shown, {
    id: 'threads',
    sort: Math.max(2, columns.findIndex((column) => column.group === shownFirst.name)),
    sorting: state.sorting.threads,
    onSort: onSort('threads'),
    ties: [0, 1],
    what: state.byThread ? 'thread' : 'name',
    caption: [
      'Select a row to show only its threads; select it again to show all.',
      'Counted: in the whole capture; only intervals that ended.',
      'Estimated: the selected window, including intervals that had not ended.',
    ].join(' '),
    groups: [['', 2], ...there.map((metric) => [fullLabel(profile, metric), counted[metric.index] ? 3 : 1])],
    selected: (row) => state.threads.includes(token(row)),
    onRow: (row) => {
      const chosen = token(row);
      change({ threads: state.threads.includes(chosen) ? state.threads.filter((other) => other !== chosen) : [...state.threads, chosen] });
    },
  });
  const choice = element('div', { className: 'choice', role: 'group', 'aria-label': 'Rows' },
    element('button', { textContent: 'One row per name', 'aria-pressed': String(!state.byThread), onclick: () => change({ byThread: false }) }),
    element('button', { textContent: 'One row per thread', 'aria-pressed': String(state.byThread), onclick: () => change({ byThread: true }) }));
  if (!rows.size) return empty('There is no thread in this selection.');
  return element('div', { className: 'threads' }, choice, shown.length ? table : empty('No thread matches the search.'));
}

// The label of a metric with its probe, or only of the probe if that has no other metric.
function fullLabel(profile, metric) {
  const probe = profile.probes.find(({ name }) => name === metric.probe);
  return probe.metrics.length === 1 ? probe.label : `${probe.label}: ${metric.label}`;
}

// The columns of a metric: estimates, and counted totals if there are any.
function metricColumns({ name: group, index, label, unit, kind }, isCounted) {
  const sum = (row) => row.sums[index];
  const exact = (row) => row.exact[index];
  // The error may stand below the value.
  const shown = (row) => sum(row).value > 0 ? estimate(sum(row), unit).split(/ (?=±)/).flatMap((part) => [element('span', { className: 'value' }, part), ' ']) : '';
  if (!isCounted) {
    const name = { nanoseconds: 'Time', bytes: 'Bytes', count: 'Count' }[unit];
    return [{ group, name, doc: label, key: (row) => sum(row).value, cell: shown }];
  }
  const only = kind === 'interval' ? ', only intervals that ended' : '';
  return [
    { group, name: 'Estimated', doc: `${label}: estimated from samples, in the selected window`, key: (row) => sum(row).value, cell: shown },
    {
      group, name: 'Counted', doc: `${label}: counted in the kernel, whole capture${only}`,
      key: (row) => exact(row).sum, cell: (row) => exact(row).count ? amount(exact(row).sum, unit) : '',
    },
    {
      group, name: 'Events', doc: `${label}: number of events, counted in the kernel`,
      key: (row) => exact(row).count, cell: (row) => exact(row).count ? count(exact(row).count) : '',
    },
  ];
}

// A 0 or 1 for each thread; null for all threads.
function chosenThreads(profile, tokens) {
  if (!tokens.length) return null;
  return Uint8Array.from(profile.threads, ([, tid, comm]) => tokens.some((token) => token === `comm:${comm}` || token === `tid:${tid}`));
}
