'use strict';
// Puts the page together: state in the address, one view at a time, everything recomputed for what is selected.

function problem(text) {
  by('problems').hidden = false;
  by('problems').textContent += `This page failed: ${text}\n`;
}
addEventListener('error', (event) => problem(event.message));
addEventListener('unhandledrejection', (event) => problem(String(event.reason?.stack ?? event.reason)));

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

  // The last result under each name: typing a search need not add everything up again.
  const kept = new Map();
  const remembered = (name, inputs, make) => {
    const key = JSON.stringify(inputs, (_, value) => ArrayBuffer.isView(value) ? value.join('') : value);
    if (kept.get(name)?.key !== key) kept.set(name, { key, value: make() });
    return kept.get(name).value;
  };

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
    for (const [id, pressed] of [['reverse', state.reverse], ['shape', state.upward], ['order', state.byName]]) {
      by(id).setAttribute('aria-pressed', String(pressed));
    }
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
    if (weights) {
      const title = 'a sample counts where it began; its time counts where it passed';
      parts.push(element('span', { id: 'sum', title }, `${metric} ${estimate(weights.sum)}, ${counted(weights.sum.samples, 'sample')}`));
    }
    const chip = (text, clear, what) => element('span', { className: 'chip' }, text,
      element('button', { 'aria-label': `Clear ${what}`, onclick: clear }, '×'));
    const [from, to] = window ?? [0, profile.buckets];
    const end = Math.min(to * width, profile.meta.duration);
    const span = `${seconds(from * width, width)} to ${seconds(end, width)}`;
    parts.push(window ? chip(`window ${span} (${nanos(end - from * width)})`, () => select(null), 'the window') : element('span', { className: 'quiet' }, profile.part ? `of the capture ${profile.part}` : 'whole capture'));
    for (const token of state.threads) {
      const text = token.startsWith('comm:') ? `threads ${token.slice(5)}` : `thread ${token.slice(4)}`;
      const rest = state.threads.filter((other) => other !== token);
      parts.push(chip(text, () => change({ threads: rest }), 'the thread filter'));
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
    const weights = state.view === 'threads' ? null : remembered('weights', selection, () => weigh(profile, selection));
    controls(weights, match);
    summary(weights, window);
    const lane = (name, unit, metrics, color) => ({
      name,
      unit,
      color,
      values: remembered(name, { metrics, threads }, () => overTime(profile, metrics, threads)),
    });
    timeline.show([
      lane('On-CPU', 'CPUs', 1, '--user-2'),
      lane('Off-CPU', 'threads', metricOf() === 'off' ? metricsOf() : 14, '--kernel-2'),
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
    const tree = remembered('tree', { weights: kept.get('weights').key, reverse: state.reverse, byName: state.byName }, () =>
      (state.reverse ? reverseTree : callTree)(profile, weights).finish(state.byName ? (frame) => profile.names[frame] : null));
    const graph = new FlameGraph(profile, tree, {
      title: state.reverse ? 'Flame graph, merged from the leaf' : 'Flame graph',
      upward: state.upward,
      zoom: state.zoom,
      onZoom: (zoom) => change({ zoom }, true),
      onSandwich: (frame) => change({ view: 'functions', fn: frameKey(profile, frame) }),
    });
    graph.search(match && matchFrames(profile, state.search));
    const key = Object.entries({ kernel: 'kernel', user: 'user', label: 'thread or label' }).map(([kind, text]) => element('span', { className: `key ${kind}` }, text));
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
