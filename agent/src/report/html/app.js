'use strict';
// Puts the page together: state in the address, one view at a time, everything recomputed for what is selected.

function problem(text) {
  by('problems').hidden = false;
  by('problems').textContent += `Error in this page: ${text}\n`;
}
addEventListener('error', (event) => problem(event.message));
addEventListener('unhandledrejection', (event) => problem(String(event.reason?.stack ?? event.reason)));

// The names of the chosen metrics after one more click; null for those of the default. A metric of another unit is chosen alone.
function toggled(probe, chosen, name) {
  const clicked = probe.metrics.find((metric) => metric.name === name);
  const rest = chosen.filter((metric) => metric !== clicked && metric.unit === clicked.unit);
  const next = chosen.includes(clicked) ? rest : [...rest, clicked];
  const isDefault = !next.length || (next.length === defaultMetrics(probe).length && defaultMetrics(probe).every((metric) => next.includes(metric)));
  return isDefault ? null : probe.metrics.filter((metric) => next.includes(metric)).map((metric) => metric.name);
}

function start(profile) {
  const firstProbe = profile.sampled.find((probe) => probe.recorded) ?? profile.sampled[0];
  const defaults = { ...DEFAULTS, idle: profile.lists_idle, probe: firstProbe?.name ?? null };
  let state = parseState(location.hash, defaults);
  let graphs = [];
  const width = profile.bucket_nanos;

  // Only what waits has wakers.
  const probeOf = () => {
    const probe = profile.sampled.find(({ name }) => name === state.probe) ?? firstProbe;
    return state.view === 'wakes' && !probe?.chained ? profile.sampled.find(({ chained }) => chained) ?? probe : probe;
  };
  // Those that the reader has chosen, of one unit.
  const metricsOf = (probe) => {
    const asked = probe.metrics.filter(({ name }) => state.metrics?.includes(name));
    return asked.length ? asked.filter(({ unit }) => unit === asked[0].unit) : defaultMetrics(probe);
  };
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

  // The last result under each name: typing a search need not add everything up again.
  const kept = new Map();
  const remembered = (name, inputs, make) => {
    const key = JSON.stringify(inputs, (_, value) => ArrayBuffer.isView(value) ? value.join('') : value);
    if (kept.get(name)?.key !== key) kept.set(name, { key, value: make() });
    return kept.get(name).value;
  };

  function whyEmpty(probe, metrics, selection, window) {
    if (!probe.recorded) return `No ${probe.label} samples in this capture: the ${probe.name} probe took none.`;
    const limits = [
      window && 'the selected window',
      selection.threads && 'the selected threads',
      metrics.length < probe.metrics.length && `the selected metrics (${metrics.map(({ label }) => label).join(', ')})`,
    ].filter(Boolean);
    const hidden = !state.idle && idleThreads(profile, selection).count ? ' Idle threads are not shown.' : '';
    return `No ${probe.label} samples in ${limits.join(', ') || 'this capture'}.${hidden}`;
  }

  // Those that are there already stay, and keep the focus.
  function buttons(id, all, isPressed) {
    const box = by(id);
    if ([...box.children].map((button) => button.dataset.name).join() !== all.map(({ name }) => name).join()) {
      box.replaceChildren(...all.map(({ name, label }) => element('button', { 'data-name': name }, label)));
    }
    all.forEach((one, place) => box.children[place].setAttribute('aria-pressed', String(isPressed(one))));
    box.hidden = all.length < 2;
  }

  function controls(probe, metrics, weights, match) {
    for (const button of by('views').children) {
      button.setAttribute('aria-pressed', String(button.dataset.view === state.view));
      if (button.dataset.view === 'histograms') button.hidden = !profile.histograms.length;
      if (button.dataset.view === 'wakes') button.hidden = !profile.sampled.some(({ chained }) => chained);
    }
    const shown = ['threads', 'processes', 'histograms'].includes(state.view) ? [] : state.view === 'wakes' ? profile.sampled.filter(({ chained }) => chained) : profile.sampled;
    buttons('probes', shown, (one) => one === probe);
    buttons('metrics', shown.length ? probe.metrics : [], (one) => metrics.includes(one));
    by('layout').hidden = state.view !== 'flame' && !(state.view === 'wakes' && state.wakes === 'flame');
    by('reverse').hidden = state.view !== 'flame';
    by('processes').hidden = state.view !== 'flame' || state.reverse;
    by('idle').hidden = !profile.group.idle.includes(1) || state.view === 'histograms';
    by('show-idle').checked = state.idle;
    for (const [id, pressed] of [['reverse', state.reverse], ['shape', state.upward], ['order', state.byName], ['processes', state.byProcess]]) {
      by(id).setAttribute('aria-pressed', String(pressed));
    }
    if (document.activeElement !== by('search')) by('search').value = state.search;
    by('matched').textContent = '';
    if (match && weights) {
      const hit = matchStacks(profile, match);
      let value = 0;
      eachWeight(profile, weights, (stack) => { if (stack >= 0 && hit[stack]) value += weights.value[stack]; });
      by('matched').textContent = `${percent(value, weights.sum.value)} matched, ${amount(value, weights.unit)}`;
    }
  }

  function chosenText(token) {
    const [kind, name] = [token.slice(0, token.indexOf(':')), token.slice(token.indexOf(':') + 1)];
    const process = kind === 'pid' && profile.processes.find(({ pid }) => String(pid) === name);
    return process ? `process ${process.name} (${name})` : `${{ comm: 'threads', pool: 'threads', pid: 'process', tid: 'thread' }[kind]} ${name}`;
  }

  function summary(probe, metrics, weights, window, selection) {
    const parts = [];
    if (weights) {
      const title = 'the part within the window; the number includes samples that are only partly in it';
      const some = metrics.length < probe.metrics.length ? ` (${metrics.map(({ label }) => label).join(', ')})` : '';
      parts.push(element('span', { id: 'sum', title }, `${probe.label}${some} ${estimate(weights.sum, weights.unit)}, ${counted(weights.sum.samples, 'sample')}`));
    }
    const untimed = probe && window ? untimedValue(profile, selection) : 0;
    if (untimed > 0) parts.push(element('span', { className: 'quiet', title: 'counted in the kernel, but not sampled, so that the time is unknown' }, `without ${amount(untimed, metrics[0].unit)} that is only counted`));
    const chip = (text, clear, what) => element('span', { className: 'chip' }, text,
      element('button', { 'aria-label': `Clear ${what}`, onclick: clear }, '×'));
    const [from, to] = window ?? [0, profile.buckets];
    const end = Math.min(to * width, profile.meta.duration);
    const span = `${seconds(from * width, width)} to ${seconds(end, width)}`;
    parts.push(window ? chip(`window ${span} (${nanos(end - from * width)})`, () => select(null), 'the window') : element('span', { className: 'quiet' }, profile.part ? `of the capture ${profile.part}` : 'whole capture'));
    for (const token of state.threads) {
      const text = chosenText(token);
      const rest = state.threads.filter((other) => other !== token);
      parts.push(chip(text, () => change({ threads: rest }), 'the thread filter'));
    }
    if (weights && !state.idle) {
      const idle = idleThreads(profile, selection);
      if (idle.count) parts.push(element('span', { className: 'quiet', id: 'idle-sum' }, `without ${counted(idle.count, 'idle thread')}: ${amount(idle.sum.value, weights.unit)}`));
    }
    by('selection').replaceChildren(...parts);
  }

  function render() {
    for (const graph of graphs) graph.resizing.disconnect();
    graphs = [];
    tooltip.hide();
    const window = windowOf();
    const threads = chosenThreads(profile, state.threads);
    const probe = probeOf();
    const metrics = probe ? metricsOf(probe) : [];
    const selection = { metrics: maskOf(profile, metrics), window, threads, idle: state.idle ? 'all' : 'none' };
    const match = matchFrames(profile, state.search);
    const isWeighed = probe && !['threads', 'processes', 'histograms'].includes(state.view);
    const weights = isWeighed ? { ...remembered('weights', selection, () => weigh(profile, selection)), unit: metrics[0].unit } : null;
    controls(probe, metrics, weights, match);
    summary(probe, metrics, weights, window, selection);
    timeline.show(profile.sampled.map((one, index) => lane(one, index, one === probe ? metrics : defaultMetrics(one), selection)), window);
    by('view').replaceChildren(draw(probe, metrics, selection, weights, match, window));
    for (const graph of graphs) graph.draw();
  }

  function lane({ name, label }, index, metrics, { threads, idle }) {
    const part = { metrics: maskOf(profile, metrics), threads, idle };
    return {
      name: label,
      unit: metrics[0].unit,
      // Time that passes is of threads that wait, or else of CPUs that work.
      what: metrics[0].kind === 'interval' ? 'threads' : 'CPUs',
      color: `--lane-${index % 4}`,
      values: remembered(`lane ${name}`, part, () => overTime(profile, part.metrics, threads, idle)),
    };
  }

  function draw(probe, metrics, selection, weights, match, window) {
    if (state.view === 'histograms') {
      const { node, graphs: charts } = histogramsView(profile, state, change);
      graphs = charts;
      return node;
    }
    if (!probe) return empty('This capture has no samples.');
    if (state.view === 'processes') return processesView(profile, selection, state, change);
    if (state.view === 'threads') return threadsView(profile, selection, metrics[0], state, change);
    if (weights && !(weights.sum.value > 0)) return empty(whyEmpty(probe, metrics, selection, window));
    const shown = {
      flame: flameView,
      functions: () => functionsView(profile, weights, state, match, change),
      wakes: () => wakesView(profile, selection, state, match, change),
    }[state.view](weights, match);
    graphs = shown.graphs;
    return shown.node;
  }

  function flameView(weights, match) {
    const heading = state.byProcess ? (thread) => addLabel(profile, processLabel(profile, thread)) : null;
    const make = () => state.reverse ? reverseTree(profile, weights) : callTree(profile, weights, heading);
    const tree = remembered('tree', { weights: kept.get('weights').key, reverse: state.reverse, byName: state.byName, byProcess: state.byProcess }, () =>
      make().finish(state.byName ? (frame) => profile.names[frame] : null));
    const graph = new FlameGraph(profile, tree, {
      title: state.reverse ? 'Flame graph, merged from the leaf' : 'Flame graph',
      unit: weights.unit,
      upward: state.upward,
      zoom: state.zoom,
      onZoom: (zoom) => change({ zoom }, true),
      onSandwich: (frame) => change({ view: 'functions', fn: frameKey(profile, frame) }),
    });
    graph.search(match && matchFrames(profile, state.search));
    const key = Object.entries({ kernel: 'kernel', user: 'user', label: 'thread, process or label' }).map(([kind, text]) => element('span', { className: `key ${kind}` }, text));
    return { node: element('div', {}, element('p', { className: 'keys' }, key), graph.node), graphs: [graph] };
  }

  by('views').addEventListener('click', ({ target: { dataset: { view } } }) => {
    if (view) change({ view, zoom: [] });
  });
  by('probes').addEventListener('click', ({ target: { dataset: { name } } }) => {
    if (name) change({ probe: name, metrics: null, zoom: [] });
  });
  by('metrics').addEventListener('click', ({ target: { dataset: { name } } }) => {
    if (name) change({ probe: probeOf().name, metrics: toggled(probeOf(), metricsOf(probeOf()), name) });
  });
  by('reverse').addEventListener('click', () => change({ reverse: !state.reverse, zoom: [] }));
  by('shape').addEventListener('click', () => change({ upward: !state.upward }));
  by('order').addEventListener('click', () => change({ byName: !state.byName }));
  by('processes').addEventListener('click', () => change({ byProcess: !state.byProcess, zoom: [] }));
  by('show-idle').addEventListener('change', () => change({ idle: by('show-idle').checked, zoom: [] }));
  by('search').addEventListener('input', () => change({ search: by('search').value }));
  addEventListener('hashchange', () => {
    state = parseState(location.hash, defaults);
    render();
  });
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', render);
  addEventListener('keydown', (event) => {
    const typing = event.target.matches?.('input, textarea');
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
