'use strict';
// The threads, with estimates beside what was counted exactly.

function threadsView(profile, selection, state, change) {
  const keyOf = state.byThread
    ? (index) => `${profile.threads[index][0]}:${profile.threads[index][1]}`
    : (index) => profile.threads[index][2];
  const rows = new Map();
  const rowOf = (index) => {
    const key = keyOf(index);
    if (!rows.has(key)) {
      rows.set(key, {
        names: new Set(), tids: new Set(), pids: new Set(), exact: null,
        sums: [0, 1, 2, 3].map(() => ({ value: 0, variance: 0, samples: 0 })),
      });
    }
    const row = rows.get(key);
    const [pid, tid, comm] = profile.threads[index];
    row.names.add(comm);
    row.tids.add(tid);
    row.pids.add(pid);
    return row;
  };
  // All metrics and all threads: a filter here would hide what could be chosen.
  eachGroup(profile, { metrics: 15, window: selection.window, threads: null }, (g, value, variance, samples) => {
    const sum = rowOf(profile.group.thread[g]).sums[profile.group.metric[g]];
    sum.value += value;
    sum.variance += variance;
    sum.samples += samples;
  });
  for (const [index, counts, times] of profile.totals) {
    const row = rowOf(index);
    row.exact ??= [0, 0, 0].map(() => ({ count: 0, time: 0 }));
    row.exact.forEach((exact, reason) => {
      exact.count += counts[reason];
      exact.time += times[reason];
    });
  }
  const match = state.search ? nameTest(state.search) : null;
  const shown = [...rows.values()].filter((row) => !match || [...row.names].some(match));
  const name = (row) => [...row.names].join(', ');
  const token = (row) => state.byThread ? `tid:${[...row.tids][0]}` : `comm:${[...row.names][0]}`;
  const columns = [
    { name: 'Thread', text: true, key: name, cell: name },
    state.byThread
      ? { name: 'PID / TID', key: (row) => [...row.tids][0], cell: (row) => `${[...row.pids][0]} / ${[...row.tids][0]}` }
      : { name: 'Threads', key: (row) => row.tids.size, cell: (row) => count(row.tids.size) },
    { name: 'Time', doc: 'on-CPU time', key: (row) => row.sums[0].value, cell: (row) => row.sums[0].value > 0 ? nanos(row.sums[0].value) : '' },
    ...REASONS.flatMap((reason, place) => [
      { name: 'Estimate', doc: `${reason}: estimated from samples, in the selected window`, key: (row) => row.sums[place + 1].value, cell: (row) => row.sums[place + 1].value > 0 ? estimate(row.sums[place + 1]) : '' },
      { name: 'Exact', doc: `${reason}: counted by the kernel programs, whole capture, ended sleeps only`, key: (row) => row.exact?.[place].time ?? -1, cell: (row) => row.exact?.[place].count ? `${nanos(row.exact[place].time)}` : '' },
      { name: 'Sleeps', doc: `${reason}: how many, exactly`, key: (row) => row.exact?.[place].count ?? -1, cell: (row) => row.exact?.[place].count ? count(row.exact[place].count) : '' },
    ]),
  ];
  const table = sortedTable(columns, shown, {
    sort: state.metric === 'on' ? 2 : 3,
    what: state.byThread ? 'thread' : 'name',
    caption: 'Choose a row to see only its threads; choose it again to see all. Exact columns are of the whole capture and of ended sleeps only; estimates are of the selected window and include sleeps that still went on.',
    groups: [['', 2], ['On-CPU', 1], ...REASONS.map((reason) => [reason === 'preempted' ? 'Off-CPU: preempted' : `Off-CPU: ${reason}`, 3])],
    selected: (row) => state.threads.includes(token(row)),
    onRow: (row) => {
      const chosen = token(row);
      change({ threads: state.threads.includes(chosen) ? state.threads.filter((other) => other !== chosen) : [...state.threads, chosen] });
    },
  });
  const choice = element('div', { className: 'choice', role: 'group', 'aria-label': 'Rows' },
    element('button', { textContent: 'By name', 'aria-pressed': String(!state.byThread), onclick: () => change({ byThread: false }) }),
    element('button', { textContent: 'By thread', 'aria-pressed': String(state.byThread), onclick: () => change({ byThread: true }) }));
  if (!rows.size) return empty('No thread in this selection.');
  return element('div', { className: 'threads' }, choice, shown.length ? table : empty('No thread matches the search.'));
}

function nameTest(text) {
  try {
    const expression = new RegExp(text, 'i');
    return (name) => expression.test(name);
  } catch {
    return (name) => name.toLowerCase().includes(text.toLowerCase());
  }
}

// A 0 or 1 for each thread; null where all are meant.
function chosenThreads(profile, tokens) {
  if (!tokens.length) return null;
  return Uint8Array.from(profile.threads, ([, tid, comm]) => tokens.some((token) => token === `comm:${comm}` || token === `tid:${tid}`));
}
