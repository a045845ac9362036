'use strict';
// The table of threads, with estimates and counted totals.

// `page`: see `draw` in app.js.
function threadsView(profile, selection, shownFirst, { state, test: match, change, onSort }) {
  const keyOf = state.byThread
    ? (index) => threadKey(profile, index)
    : state.apart ? (index) => profile.threads[index][2] : (index) => profile.pools[profile.threads[index][POOL]];
  const rows = new Map();
  const rowOf = (index) => {
    const key = keyOf(index);
    if (!rows.has(key)) {
      rows.set(key, {
        name: state.byThread ? profile.threads[index][2] : key, names: new Set(), tids: new Set(), pids: new Set(),
        sums: profile.metrics.map(() => new Estimate(profile)),
        exact: profile.metrics.map(() => ({ count: 0, sum: 0, uncertainty: 0 })),
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
  eachGroup(profile, { ...selection, metrics, threads: null }, (sum) => {
    rowOf(profile.group.thread[sum.g]).sums[profile.group.metric[sum.g]].add(sum);
  });
  const counted = new Uint8Array(profile.metrics.length);
  for (const [metric] of profile.counters) counted[metric] = 1;
  eachCounted(profile, selection.window, ({ metric, thread, count: events, sum, uncertainty }) => {
    const exact = rowOf(thread).exact[metric];
    exact.count += events;
    exact.sum += sum;
    exact.uncertainty += uncertainty;
  });
  const ofPart = countedPart(profile, selection.window);
  const there = profile.metrics.filter(({ recorded, index }) => recorded || counted[index]);
  const shown = [...rows.values()].filter((row) => !match || match(row.name) || [...row.names].some(match));
  const name = (row) => state.byThread ? [...row.names].join(', ') : row.name;
  const isPool = (row) => !row.names.has(row.name);
  const token = (row) => state.byThread ? `tid:${[...row.tids][0]}` : `${isPool(row) ? 'pool' : 'comm'}:${row.name}`;
  const columns = [
    { name: 'Thread', text: true, key: name, cell: name },
    state.byThread
      ? { name: 'PID / TID', key: (row) => [...row.tids][0], cell: (row) => `${[...row.pids][0]} / ${[...row.tids][0]}` }
      : { name: 'Threads', key: (row) => row.tids.size, cell: (row) => count(row.tids.size) },
    ...there.flatMap((metric) => metricColumns(metric, counted[metric.index] && ofPart)),
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
      `Counted: ${ofPart}; only intervals that ended.`,
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
    element('button', { textContent: 'One row per pool', title: 'Threads whose names differ only in a number are one row', 'aria-pressed': String(!state.byThread && !state.apart), onclick: () => change({ byThread: false, apart: false }) }),
    element('button', { textContent: 'One row per name', 'aria-pressed': String(!state.byThread && state.apart), onclick: () => change({ byThread: false, apart: true }) }),
    element('button', { textContent: 'One row per thread', 'aria-pressed': String(state.byThread), onclick: () => change({ byThread: true }) }));
  if (!rows.size) return empty('There is no thread in this selection.');
  return element('div', { className: 'threads' }, choice, shown.length ? table : empty('No thread matches the search.'));
}

// The label of a metric with its probe, or only of the probe if that has no other metric.
function fullLabel(profile, metric) {
  const probe = profile.probes.find(({ name }) => name === metric.probe);
  return probe.metrics.length === 1 ? probe.label : `${probe.label}: ${metric.label}`;
}

// An estimate in a cell: the error may stand below the value.
function estimateCell(sum, unit) {
  return sum.value > 0 ? estimate(sum, unit).split(/ (?=±)/).flatMap((part) => [element('span', { className: 'value' }, part), ' ']) : '';
}

// The columns of a metric: estimates, and counted totals if there are any. `ofPart`: what these are of.
function metricColumns({ name: group, index, label, unit, kind }, ofPart) {
  const sum = (row) => row.sums[index];
  const exact = (row) => row.exact[index];
  const shown = (row) => estimateCell(sum(row), unit);
  if (!ofPart) {
    const name = { nanoseconds: 'Time', bytes: 'Bytes', count: 'Count' }[unit];
    return [{ group, name, doc: label, key: (row) => sum(row).value, cell: shown }];
  }
  const only = kind === 'interval' ? ', only intervals that ended' : '';
  return [
    { group, name: 'Estimated', doc: `${label}: estimated from samples, in the selected window`, key: (row) => sum(row).value, cell: shown },
    {
      group, name: 'Counted', doc: `${label}: counted in the kernel, ${ofPart}${only}`,
      key: (row) => exact(row).sum, cell: (row) => countedCell(exact(row), unit),
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
  const chosen = new Set(tokens);
  return Uint8Array.from(profile.threads, ([pid, tid, comm, , pool]) =>
    [`comm:${comm}`, `tid:${tid}`, `pid:${pid}`, `pool:${profile.pools[pool]}`].some((token) => chosen.has(token)));
}
