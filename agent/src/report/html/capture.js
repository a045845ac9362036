'use strict';
// What the capture says of itself: who, when, at what cost, and what is missing.

const by = (id) => document.getElementById(id);

// Whether the budget was kept over the whole capture, as `kept` of the summary says it.
function budgetKept({ cost, governing, duration }) {
  const measured = cost.probes.filter((probe) => probe.nanos_per_event !== null);
  const exceeded = governing.over_budget ? '; counting alone exceeded it' : '';
  if (!measured.length) return exceeded;
  const share = measured.reduce((sum, probe) => sum + probe.nanos_per_event * probe.events, 0) / duration;
  const hundredths = (part) => Math.round(part * 1e4);
  const kept = hundredths(share) > hundredths(governing.budget) ? 'not kept' : 'kept';
  return `${kept}: they cost ${percent(share, 1)}${exceeded}`;
}

// The facts of the capture that every reader needs, in three lines; the rest behind `About this capture`.
function showCapture(profile) {
  const { meta } = profile;
  const { host, cost, governing } = meta;
  const [kind, what] = typeof meta.target === 'string' ? [meta.target, null] : Object.entries(meta.target)[0];
  const target = {
    all: 'all threads',
    processes: `processes ${what}`,
    cgroup: `cgroup ${what}`,
    command: kind === 'command' ? what.join(' ') : '',
  }[kind];
  const start = new Date(meta.start_realtime / 1e6).toISOString().replace('T', ' ').replace(/\.\d+Z/, ' UTC');
  document.title = `${host.hostname}, ${target}, ${start} - quell`;
  const who = [host.hostname, `Linux ${host.kernel} ${host.arch}`, target, start, nanos(meta.duration), `CPUs ${meta.cpus || 'none'}`];
  by('capture').replaceChildren(...who
    .map((fact, place) => element(place ? 'span' : 'b', {}, fact)));

  const kept = governing.budget === null ? '' : budgetKept(meta);
  const each = (probe) => probe.nanos_per_event === null ? 'time not measured' : `${nanos(probe.nanos_per_event)} each`;
  // A probe may have several programs: the event of each stands at the end of its mechanism.
  const named = ({ probe, mechanism }) => mechanism.includes(': ') ? `${probe} (${mechanism.split(': ').pop()})` : probe;
  const spent = [
    `${percent(cost.cpu_share, 1)} of one CPU`,
    ...cost.probes.map((probe) => `${named(probe)} ${counted(probe.events, 'event')}, ${each(probe)}`),
    `memory ${bytes(cost.map_memory)} in the kernel, ${bytes(cost.agent_memory)} in the agent`,
  ];
  const idle = Object.values(meta.idle);
  const mean = idle.reduce((sum, share) => sum + share, 0) / idle.length;
  by('cost').textContent = [
    `Cost: ${spent.join('; ')}.`,
    kept.startsWith('not kept') ? `The probes' budget of ${percent(governing.budget, 1)} was ${kept}.` : '',
    governing.changes.length ? `The rate of sampling changed ${counted(governing.changes.length, 'time')}.` : '',
    idle.length ? `CPUs were idle ${percent(mean, 1)} of the time (${percent(Math.min(...idle), 1)} to ${percent(Math.max(...idle), 1)}).` : '',
  ].filter(Boolean).join(' ');

  const lost = profile.losses.filter(([, number]) => number > 0);
  const unnamed = Object.entries(meta.symbols.unnamed);
  by('losses').className = lost.length ? 'lost' : '';
  by('losses').textContent = lost.length ? `Lost: ${lost.map(([, number, name]) => `${count(number)} ${name}`).join('; ')}.` : 'Nothing lost.';
  if (unnamed.length) by('losses').textContent += ` Frames without a name: ${unnamed.map(([why, number]) => `${count(number)} (${why})`).join(', ')}.`;
  if (meta.remarks.length) by('losses').append(...meta.remarks.map((remark) => element('span', { className: 'remark' }, `Remark: ${remark}`)));

  const facts = [
    ['Command line', meta.command_line.join(' ')],
    ['quell', `${meta.quell}, recording format ${meta.schema}`],
    ['Host CPUs', host.cpus],
    ['CPU sampling', meta.frequency ? `${meta.frequency} Hz` : 'not recorded'],
    ['Off-CPU sampling', meta.every_event ? 'every sleep' : 'by expected length, weighted (Horvitz-Thompson)'],
    ...kind === 'command' ? [['Exit code', meta.exit_code ?? 'the command still ran']] : [],
    ['Agent CPU time', nanos(cost.agent_cpu)],
    ...cost.probes.map((probe) => [`Probe ${named(probe)}`, `${probe.mechanism}: ${counted(probe.events, 'event')}, ${each(probe)}`]),
    ['Budget', governing.budget === null ? 'none' : [`${percent(governing.budget, 1)} of one CPU for the probes`, kept].filter(Boolean).join(', ')],
    ...governing.changes.map((change) => [`Sampling from ${seconds(change.time, 1e6)}`,
      `${change.probe}: ${change.scale > 0.99 ? 'the full rate' : `1/${count(Math.round(1 / Math.max(change.scale, 1e-9)))} of the full rate`}`]),
    ['Idle CPUs', Object.entries(meta.idle).map(([cpu, share]) => `CPU ${cpu} ${percent(share, 1)}`).join(', ') || 'not measured'],
    ['Named frames', `${count(meta.symbols.named)} named${unnamed.map(([why, number]) => `, ${count(number)} not: ${why}`).join('')}`],
    ...profile.losses.map(([name, number]) => [`Lost: ${name}`, count(number)]),
  ];
  facts.push(['Keys', [
    '/ searches',
    'Esc takes back search, zoom, window and threads, one at a time',
    'on the flame graph arrows move, Enter zooms, c copies the name',
    'on the time axis arrows move the window, with Shift its end',
  ].join('; ')]);
  const listed = facts.flatMap(([name, value]) => [element('dt', {}, name), element('dd', {}, String(value))]);
  by('facts').replaceChildren(element('dl', {}, listed));
}
