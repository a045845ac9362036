'use strict';
// The header of the page: target, host, time, cost and losses of the capture.

// Whether the budget was met over the whole capture, in the words of the summary (`budget_result`).
function budgetResult({ cost, governing, duration }) {
  const measured = cost.probes.filter((probe) => probe.nanos_per_event !== null);
  const exceeded = governing.over_budget ? '; counting alone exceeded it' : '';
  if (!measured.length) return exceeded;
  const share = measured.reduce((sum, probe) => sum + probe.nanos_per_event * probe.events, 0) / duration;
  const hundredths = (part) => Math.round(part * 1e4);
  const result = hundredths(share) > hundredths(governing.budget) ? 'exceeded' : 'met';
  return `${result}: they cost ${percent(share, 1)}${exceeded}`;
}

// What was captured in one line, with its cost and losses in brief; the rest opens.
function showCapture(profile) {
  const { meta } = profile;
  const { host, cost, governing } = meta;
  const [kind, what] = typeof meta.target === 'string' ? [meta.target, null] : Object.entries(meta.target)[0];
  const target = {
    all: 'all threads',
    processes: `process${what?.length === 1 ? '' : 'es'} ${what}`,
    cgroup: `cgroup ${what}`,
    matching: kind === 'matching' ? `processes that match ${what.join(' ')}` : '',
    command: kind === 'command' ? what.join(' ') : '',
  }[kind];
  const start = new Date(meta.start_realtime / 1e6).toISOString().replace('T', ' ').replace(/\.\d+Z/, ' UTC');
  document.title = `${host.hostname}, ${target}, ${start} - quell`;
  const who = [host.hostname, `Linux ${host.kernel} ${host.arch}`, target, start, nanos(meta.duration), `CPUs ${meta.cpus || 'none'}`];
  by('capture').replaceChildren(...who
    .map((fact, place) => element(place ? 'span' : 'b', {}, fact)));

  const budget = governing.budget === null ? '' : budgetResult(meta);
  const each = (probe) => probe.nanos_per_event === null ? 'time not measured' : `${nanos(probe.nanos_per_event)} each`;
  // A probe may have several programs. The event of each is at the end of its mechanism.
  const named = ({ probe, mechanism }) => mechanism.includes(': ') ? `${probe} (${mechanism.split(': ').pop()})` : probe;
  const spent = [
    `${percent(cost.cpu_share, 1)} of one CPU`,
    ...cost.probes.map((probe) => `${named(probe)} ${counted(probe.events, 'event')}, ${each(probe)}`),
    `memory: ${bytes(cost.map_memory)} of BPF maps, ${bytes(cost.agent_memory)} resident in quell`,
  ];
  const idle = Object.values(meta.idle);
  const mean = idle.reduce((sum, share) => sum + share, 0) / idle.length;
  by('cost').textContent = [
    `Cost: ${spent.join('; ')}.`,
    budget.startsWith('exceeded') ? `The budget of the probes, ${percent(governing.budget, 1)} of one CPU, was ${budget}.` : '',
    governing.changes.length ? `The sampling rate changed ${counted(governing.changes.length, 'time')}.` : '',
    profile.steal ? `Steal: ${profile.steal}.` : '',
    idle.length ? `CPUs were idle ${percent(mean, 1)} of the time (${percent(Math.min(...idle), 1)} to ${percent(Math.max(...idle), 1)}).` : '',
  ].filter(Boolean).join(' ');

  const lost = profile.losses.filter(([, number]) => number > 0);
  const brief = [
    element('span', {}, `Cost ${percent(cost.cpu_share, 1)} of one CPU${budget.startsWith('exceeded') ? ', over budget' : ''}`),
    lost.length ? element('span', { className: 'remark' }, `lost: ${count(lost[0][1])} ${lost[0][2]}${lost.length > 1 ? ` and ${count(lost.length - 1)} more` : ''}`) : element('span', {}, 'no losses'),
    meta.remarks.length ? element('span', { className: 'remark' }, counted(meta.remarks.length, 'remark')) : null,
  ];
  by('brief').replaceChildren(...brief.filter(Boolean));
  by('losses').className = lost.length ? 'lost' : '';
  by('losses').textContent = lost.length ? `Lost: ${lost.map(([, number, name]) => `${count(number)} ${name}`).join('; ')}.` : 'No losses.';
  if (profile.unnamed) by('losses').textContent += ` Unnamed: ${profile.unnamed}.`;
  if (meta.remarks.length) by('losses').append(...meta.remarks.map((remark) => element('span', { className: 'remark' }, `Remark: ${remark}`)));

  const facts = [
    ['Command line', meta.command_line.join(' ')],
    ['quell', `${meta.quell}, recording format ${meta.schema}`],
    ['Host CPUs', host.cpus],
    ['CPU sampling', meta.frequency ? `${meta.frequency} Hz` : 'not recorded'],
    ['Off-CPU sampling', meta.every_event ? 'every interval' : 'weighted by expected length (Horvitz-Thompson estimator)'],
    ...kind === 'command' ? [['Exit code', meta.exit_code ?? 'the command was still running']] : [],
    ['CPU time of quell', nanos(cost.agent_cpu)],
    ...cost.probes.map((probe) => [`Probe ${named(probe)}`, `${probe.mechanism}: ${counted(probe.events, 'event')}, ${each(probe)}`]),
    ['Budget', governing.budget === null ? 'none' : [`${percent(governing.budget, 1)} of one CPU for the probes`, budget].filter(Boolean).join(', ')],
    ...governing.changes.map((change) => [`Sampling rate from ${seconds(change.time, 1e6)}`,
      `${change.probe}: ${change.scale > 0.99 ? 'the full rate' : `1/${count(Math.round(1 / Math.max(change.scale, 1e-9)))} of the full rate`}`]),
    ['Idle CPUs', Object.entries(meta.idle).map(([cpu, share]) => `CPU ${cpu} ${percent(share, 1)}`).join(', ') || 'not measured'],
    ...profile.steal ? [['Steal', profile.steal]] : [],
    ...profile.unnamed ? [['Unnamed', profile.unnamed]] : [],
    ...profile.losses.map(([name, number]) => [`Lost: ${name}`, count(number)]),
  ];
  const listed = facts.flatMap(([name, value]) => [element('dt', {}, name), element('dd', {}, String(value))]);
  by('facts').replaceChildren(element('dl', {}, listed));
}
