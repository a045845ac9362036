'use strict';
// The table of processes: what they are, and their times.

const PROCESS = 3;
const POOL = 4;

// The number and the name of a process, as a heading.
function processLabel(profile, thread) {
  const { pid, name } = profile.processes[profile.threads[thread][PROCESS]];
  return `${name} (${pid})`;
}

// `page`: see `draw` in app.js.
function processesView(profile, selection, { state, test: match, change, onSort }) {
  const probes = profile.sampled.filter(({ recorded }) => recorded);
  const columnOf = new Map(probes.flatMap((probe, column) => defaultMetrics(probe).map(({ index }) => [index, column])));
  const rows = new Map();
  const rowOf = (index) => {
    if (!rows.has(index)) {
      rows.set(index, { ...profile.processes[index], threads: new Set(), sums: probes.map(() => new Estimate(profile)) });
    }
    return rows.get(index);
  };
  for (const [, tid, , process] of profile.threads) rowOf(process).threads.add(tid);
  const metrics = maskOf(profile, probes.flatMap(defaultMetrics));
  // All threads: a filter would hide rows that can be selected.
  eachGroup(profile, { ...selection, metrics, threads: null }, (sum) => {
    const thread = profile.group.thread[sum.g];
    rowOf(profile.threads[thread][PROCESS]).sums[columnOf.get(profile.group.metric[sum.g])].add(sum);
  });
  const texts = (row) => [row.name, row.command, row.executable, row.cgroup, row.container, row.user];
  const shown = [...rows.values()].filter((row) => !match || texts(row).some(match));
  const text = (name, of, more) => ({ name, text: true, key: of, cell: of, ...more });
  const columns = [
    text('Process', ({ name }) => name),
    { name: 'PID', key: ({ pid }) => pid, cell: ({ pid }) => String(pid) },
    text('User', ({ user, uid }) => user || (uid === null ? '' : String(uid))),
    text('Container', ({ container }) => container.slice(0, 12), { doc: 'the first digits of the container ID' }),
    ...probes.map((probe, column) => ({
      name: probe.label,
      doc: `${probe.label} in the selected window, estimated`,
      key: ({ sums }) => sums[column].value,
      cell: ({ sums }) => estimateCell(sums[column], defaultMetrics(probe)[0].unit),
    })),
    { name: 'Threads', key: ({ threads }) => threads.size, cell: ({ threads }) => count(threads.size) },
    text('Command line', ({ command }) => command),
    text('Executable', ({ executable }) => executable, { className: 'path' }),
    text('Cgroup', ({ cgroup }) => cgroup, { className: 'path' }),
  ].filter(({ text: isText, key }) => !isText || [...rows.values()].some(key));
  const token = ({ pid }) => `pid:${pid}`;
  const table = sortedTable(columns, shown, {
    id: 'processes',
    sort: Math.max(0, columns.findIndex(({ name }) => name === probes[0]?.label)),
    sorting: state.sorting.processes,
    onSort: onSort('processes'),
    ties: [0, 1],
    what: 'row',
    caption: 'Select a row to show only its threads; select it again to show all.',
    selected: (row) => state.threads.includes(token(row)),
    onRow: (row) => {
      const chosen = token(row);
      change({ threads: state.threads.includes(chosen) ? state.threads.filter((other) => other !== chosen) : [...state.threads, chosen] });
    },
  });
  if (!rows.size) return empty('This capture has no processes.');
  return element('div', { className: 'threads' }, shown.length ? table : empty('No process matches the search.'));
}
