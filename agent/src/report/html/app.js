'use strict';
// Puts the page together: state in the address, one view at a time, everything recomputed for what is selected.

const by = (id) => document.getElementById(id);

function problem(text) {
  by('problems').hidden = false;
  by('problems').textContent += `This page failed: ${text}\n`;
}
addEventListener('error', (event) => problem(event.message));
addEventListener('unhandledrejection', (event) => problem(String(event.reason?.stack ?? event.reason)));

// The facts of the capture that every reader needs, in three lines; the rest behind `About this capture`.
function showCapture(profile) {
  const { meta } = profile;
  const { host, cost, governing } = meta;
  const [kind, what] = typeof meta.target === 'string' ? [meta.target, null] : Object.entries(meta.target)[0];
  const target = { all: 'all threads', processes: `processes ${what}`, cgroup: `cgroup ${what}`, command: kind === 'command' ? what.join(' ') : '' }[kind];
  const start = new Date(meta.start_realtime / 1e6).toISOString().replace('T', ' ').replace(/\.\d+Z/, ' UTC');
  document.title = `${host.hostname}, ${target}, ${start} - quell`;
  by('capture').replaceChildren(...[host.hostname, `Linux ${host.kernel} ${host.arch}`, target, start, nanos(meta.duration), `CPUs ${meta.cpus || 'none'}`]
    .map((fact, place) => element(place ? 'span' : 'b', {}, fact)));

  const perEvent = cost.probes.map((probe) => `${probe.probe} ${counted(probe.events, 'event')}${probe.nanos_per_event === null ? '' : ` at ${nanos(probe.nanos_per_event)}`}`);
  by('cost').textContent = `Cost: ${percent(cost.cpu_share, 1)} of one CPU; ${perEvent.length ? `${perEvent.join(', ')}; ` : ''}memory ${bytes(cost.map_memory)} in the kernel, ${bytes(cost.agent_memory)} in the agent.${governing.over_budget ? ' The budget could not be kept.' : ''}${governing.changes.length ? ` Sampling rates were changed ${counted(governing.changes.length, 'time')}.` : ''}`;

  const lost = profile.losses.filter(([, number]) => number > 0);
  const unnamed = Object.entries(meta.symbols.unnamed);
  by('losses').className = lost.length ? 'lost' : '';
  by('losses').textContent = lost.length ? `Lost: ${lost.map(([name, number]) => `${count(number)} ${name}`).join('; ')}.` : 'Nothing lost.';
  if (unnamed.length) by('losses').textContent += ` Frames without a name: ${unnamed.map(([why, number]) => `${count(number)} (${why})`).join(', ')}.`;
  if (meta.remarks.length) by('losses').append(...meta.remarks.map((remark) => element('span', { className: 'remark' }, ` Remark: ${remark}`)));

  const facts = [
    ['Command line', meta.command_line.join(' ')],
    ['quell', `${meta.quell}, recording format ${meta.schema}`],
    ['Host CPUs', host.cpus],
    ['CPU sampling', meta.frequency ? `${meta.frequency} Hz` : 'not recorded'],
    ['Off-CPU sampling', meta.every_event ? 'every sleep' : 'by expected length, weighted (Horvitz-Thompson)'],
    ['Exit code', meta.exit_code ?? 'no command was started, or it still ran'],
    ['Agent CPU time', nanos(cost.agent_cpu)],
    ...cost.probes.map((probe) => [`Probe ${probe.probe}`, `${probe.mechanism}: ${counted(probe.events, 'event')}, ${probe.nanos_per_event === null ? 'time per event not measured' : `mean ${nanos(probe.nanos_per_event)} per event`}`]),
    ['Budget', governing.budget === null ? 'none' : `${percent(governing.budget, 1)} of one CPU${governing.over_budget ? ', not kept even at the lowest rates' : ', kept'}`],
    ...governing.changes.map((change) => [`Rates from ${seconds(change.time, 1e-3)}`, `cost was ${percent(change.measured, 1)}; since then one CPU sample each ${nanos(change.cpu_interval)}, one off-CPU sample for each ${nanos(change.offcpu_interval)} asleep`]),
    ['Idle CPUs', Object.entries(meta.idle).map(([cpu, share]) => `CPU ${cpu} ${percent(share, 1)}`).join(', ') || 'not measured'],
    ['Named frames', `${count(meta.symbols.named)} named${unnamed.map(([why, number]) => `, ${count(number)} not: ${why}`).join('')}`],
    ...profile.losses.map(([name, number]) => [`Lost: ${name}`, count(number)]),
  ];
  by('facts').replaceChildren(element('dl', {}, facts.flatMap(([name, value]) => [element('dt', {}, name), element('dd', {}, String(value))])));
}

function start(profile) {
  const defaults = { ...DEFAULTS, metric: profile.recorded.on || !profile.recorded.off ? 'on' : 'off' };
  let state = parseState(location.hash, defaults);
  let graphs = [];
  const width = profile.bucket_nanos;

  // Only sleeps have wakers.
  const metricOf = () => state.view === 'wakes' ? 'off' : state.metric;
  const metricsOf = () => metricOf() === 'on' ? 1 : state.reasons.reduce((bits, reason) => bits | 2 << REASONS.indexOf(reason), 0);
  const windowOf = () => {
    if (state.from === null) return null;
    const from = Math.max(0, Math.min(profile.buckets - 1, Math.round(state.from * 1e9 / width)));
    return [from, Math.max(from + 1, Math.min(profile.buckets, Math.round(state.to * 1e9 / width)))];
  };

  // A quiet change is already on the screen.
  const change = (part, quiet = false) => {
    state = { ...state, ...part };
    const fragment = writeState(state, defaults);
    history.replaceState(null, '', fragment ? `#${fragment}` : location.pathname + location.search);
    if (!quiet) render();
  };
  const select = (window) => change(window
    ? { from: window[0] * width / 1e9, to: Math.min(window[1] * width, profile.meta.duration) / 1e9 }
    : { from: null, to: null });
  const timeline = new Timeline(profile, by('timeline'), select);

  function whyEmpty(threads, window) {
    const on = metricOf() === 'on';
    const [probe, what, recorded] = on ? ['cpu', 'on-CPU', profile.recorded.on] : ['offcpu', 'off-CPU', profile.recorded.off];
    const attached = profile.meta.cost.probes.some((cost) => cost.probe === probe);
    if (!recorded) return `No ${what} samples in this capture: ${attached ? `the ${probe} probe ran and took none` : `the ${probe} probe was not recorded`}.`;
    const limits = [
      window && 'the selected window',
      threads && 'the chosen threads',
      !on && state.reasons.length < REASONS.length && `the chosen reasons (${state.reasons.join(', ')})`,
    ].filter(Boolean);
    return `No ${what} samples in ${limits.join(', ') || 'this capture'}.`;
  }

  function controls(weights, match) {
    const press = (id, wanted, name) => {
      for (const button of by(id).children) button.setAttribute('aria-pressed', String(wanted(button.dataset[name])));
    };
    press('views', (view) => view === state.view, 'view');
    press('metrics', (metric) => metric === state.metric, 'metric');
    press('reasons', (reason) => state.reasons.includes(reason), 'reason');
    by('metrics').hidden = state.view === 'threads' || state.view === 'wakes';
    by('reasons').hidden = state.view === 'threads' || metricOf() === 'on';
    by('layout').hidden = state.view !== 'flame' && !(state.view === 'wakes' && state.wakes === 'flame');
    by('reverse').hidden = state.view !== 'flame';
    for (const [id, pressed] of [['reverse', state.reverse], ['shape', state.upward], ['order', state.byName]]) by(id).setAttribute('aria-pressed', String(pressed));
    if (document.activeElement !== by('search')) by('search').value = state.search;
    by('matched').textContent = '';
    if (match && weights) {
      const hit = matchStacks(profile, match);
      let value = 0;
      eachWeight(profile, weights, (stack, weight) => { if (stack >= 0 && hit[stack]) value += weight; });
      by('matched').textContent = `${percent(value, weights.sum.value)} matched, ${nanos(value)}`;
    }
  }

  function summary(weights, window) {
    const parts = [];
    const metric = metricOf() === 'on' ? 'On-CPU' : `Off-CPU${state.reasons.length < REASONS.length ? ` (${state.reasons.join(', ')})` : ''}`;
    if (weights) parts.push(element('span', { id: 'sum' }, `${metric} ${estimate(weights.sum)}, ${counted(weights.sum.samples, 'sample')}`));
    const chip = (text, clear, what) => element('span', { className: 'chip' }, text, element('button', { 'aria-label': `Clear ${what}`, onclick: clear }, '×'));
    const [from, to] = window ?? [0, profile.buckets];
    const end = Math.min(to * width, profile.meta.duration);
    const span = `${seconds(from * width, width)} to ${seconds(end, width)}`;
    parts.push(window ? chip(`window ${span} (${nanos(end - from * width)})`, () => select(null), 'the window') : element('span', { className: 'quiet' }, 'whole capture'));
    for (const token of state.threads) {
      parts.push(chip(token.startsWith('comm:') ? `threads ${token.slice(5)}` : `thread ${token.slice(4)}`, () => change({ threads: state.threads.filter((other) => other !== token) }), 'the thread filter'));
    }
    by('selection').replaceChildren(...parts);
  }

  function render() {
    for (const graph of graphs) graph.resizing.disconnect();
    graphs = [];
    tooltip.hide();
    const window = windowOf();
    const threads = chosenThreads(profile, state.threads);
    const selection = { metrics: metricsOf(), window, threads };
    const match = matchFrames(profile, state.search);
    const weights = state.view === 'threads' ? null : weigh(profile, selection);
    controls(weights, match);
    summary(weights, window);
    timeline.show([
      { name: 'On-CPU', unit: 'CPUs', values: overTime(profile, 1, threads), color: '--user-2' },
      { name: 'Off-CPU', unit: 'threads', values: overTime(profile, state.reasons.reduce((bits, reason) => bits | 2 << REASONS.indexOf(reason), 0), threads), color: '--kernel-2' },
    ], window);
    by('view').replaceChildren(draw(selection, weights, match, whyEmpty(threads, window)));
    for (const graph of graphs) graph.draw();
  }

  function draw(selection, weights, match, why) {
    if (state.view === 'threads') return threadsView(profile, selection, state, change);
    if (!(weights.sum.value > 0)) return empty(why);
    const shown = {
      flame: flameView,
      functions: () => functionsView(profile, weights, state, match, change),
      wakes: () => wakesView(profile, selection, state, match, change),
    }[state.view](weights, match);
    graphs = shown.graphs;
    return shown.node;
  }

  function flameView(weights, match) {
    const tree = (state.reverse ? reverseTree : callTree)(profile, weights).finish(state.byName ? (frame) => profile.names[frame] : null);
    const graph = new FlameGraph(profile, tree, {
      title: state.reverse ? 'Flame graph, merged from the leaf' : 'Flame graph',
      upward: state.upward,
      zoom: state.zoom,
      onZoom: (zoom) => change({ zoom }, true),
      onSandwich: (frame) => change({ view: 'functions', fn: frameKey(profile, frame) }),
    });
    graph.search(match && matchFrames(profile, state.search));
    const key = ['kernel', 'user', 'label'].map((kind) => element('span', { className: `key ${kind}` }, kind));
    return { node: element('div', {}, element('p', { className: 'keys' }, key), graph.node), graphs: [graph] };
  }

  for (const [id, name] of [['views', 'view'], ['metrics', 'metric']]) {
    by(id).addEventListener('click', (event) => {
      const chosen = event.target.dataset[name];
      if (chosen) change({ [name]: chosen, zoom: [] });
    });
  }
  by('reasons').addEventListener('click', ({ target: { dataset: { reason } } }) => {
    if (!reason) return;
    const rest = state.reasons.includes(reason) ? state.reasons.filter((other) => other !== reason) : [...state.reasons, reason];
    change({ reasons: rest.length ? REASONS.filter((other) => rest.includes(other)) : REASONS });
  });
  by('reverse').addEventListener('click', () => change({ reverse: !state.reverse, zoom: [] }));
  by('shape').addEventListener('click', () => change({ upward: !state.upward }));
  by('order').addEventListener('click', () => change({ byName: !state.byName }));
  by('search').addEventListener('input', () => change({ search: by('search').value }));
  addEventListener('hashchange', () => {
    state = parseState(location.hash, defaults);
    render();
  });
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', render);
  addEventListener('keydown', (event) => {
    const typing = event.target.matches('input, textarea');
    if (event.key === '/' && !typing && !event.ctrlKey && !event.metaKey) {
      event.preventDefault();
      by('search').select();
    } else if (event.key === 'Escape') {
      // One step back at a time: the nearest first.
      if (state.search) {
        by('search').value = '';
        change({ search: '' });
      } else if (graphs.some((graph) => graph.reset())) {
        return;
      } else if (state.from !== null) {
        select(null);
      } else if (state.threads.length) {
        change({ threads: [] });
      }
    }
  });
  render();
}

readProfile(by('data').textContent).then((profile) => {
  by('data').remove();
  showCapture(profile);
  start(profile);
});
