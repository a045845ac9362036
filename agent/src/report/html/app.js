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
  const asReported = { idle: profile.lists_idle, apart: profile.roots === 'names', byThread: profile.roots === 'threads' };
  // Probes that only count have nothing but histograms.
  const isCounted = !profile.sampled.length && profile.histograms.length > 0;
  const defaults = { ...DEFAULTS, ...asReported, probe: firstProbe?.name ?? null, ...isCounted && { view: 'histograms' } };
  let state = parseState(location.hash, defaults);
  // What the address says that is on the screen.
  let address = location.hash;
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
  // Whether the view is of one probe, and not of all or none.
  const isOfProbe = () => !['threads', 'processes', 'timeline', 'histograms'].includes(state.view);
  // The buckets that are nearest to two times in seconds.
  const bucketsOf = (since, until) => {
    const from = Math.min(profile.buckets - 1, edgeNear(profile, since * 1e9));
    return [from, Math.max(from + 1, edgeNear(profile, until * 1e9))];
  };
  const windowOf = () => state.from === null ? null : bucketsOf(state.from, state.to);
  const axisOf = () => state.axisFrom === null ? [0, profile.buckets] : bucketsOf(state.axisFrom, state.axisTo);
  const secondsOf = (buckets) => buckets.map((bucket) => timeOf(profile, bucket) / 1e9);

  const write = (part, into) => {
    state = { ...state, ...part };
    const fragment = writeState(state, defaults);
    if (fragment === address.replace(/^#/, '')) return;
    into.call(history, null, '', fragment ? `#${fragment}` : location.pathname + location.search);
    address = location.hash;
  };
  // A step that Back undoes; what it changes is already on the screen.
  const remember = (part) => write(part, history.pushState);
  const change = (part) => {
    remember(part);
    render();
  };
  // The same step once more, which Back does not undo alone; what it changes is already on the screen.
  const adjust = (part) => write(part, history.replaceState);
  const windowed = (window) => {
    const [from, to] = window ? secondsOf(window) : [null, null];
    return { from, to };
  };
  const select = (window) => change(windowed(window));
  const zoomAxis = (window) => {
    const [axisFrom, axisTo] = window ? secondsOf(window) : [null, null];
    change({ axisFrom, axisTo });
  };
  const timeline = new Timeline(profile, by('timeline'), {
    onWindow: select,
    onMove: (window) => {
      adjust(windowed(window));
      render();
    },
    onZoom: () => zoomAxis(windowOf()),
  });

  // The last result under each name: typing a search need not add everything up again.
  const kept = new Map();
  const remembered = (name, inputs, make) => {
    const key = JSON.stringify(inputs, (_, value) => ArrayBuffer.isView(value) ? value.join('') : value);
    if (kept.get(name)?.key !== key) kept.set(name, { key, value: make() });
    return kept.get(name).value;
  };

  function whyEmpty(probe, metrics, selection) {
    if (!probe.recorded) return `No ${probe.label} samples in this capture: the ${probe.name} probe took none.`;
    const limits = [
      selection.window && 'the selected window',
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

  function controls(probe, metrics) {
    for (const button of by('views').children) {
      button.setAttribute('aria-pressed', String(button.dataset.view === state.view));
      if (button.dataset.view === 'histograms') button.hidden = !profile.histograms.length;
      else button.hidden = isCounted;
      if (button.dataset.view === 'wakes') button.hidden = !profile.sampled.some(({ chained }) => chained);
    }
    const shown = !isOfProbe() ? [] : state.view === 'wakes' ? profile.sampled.filter(({ chained }) => chained) : profile.sampled;
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
    if (document.activeElement !== by('search')) {
      by('search').value = state.search;
      showInvalid(compileSearch(state.search).invalid);
    }
  }

  function showInvalid(why) {
    by('invalid').hidden = !why;
    by('invalid').textContent = why;
    by('search').setAttribute('aria-invalid', String(Boolean(why)));
  }

  // How much matches, and the place among the matches of a graph.
  function showMatches(weights, match) {
    by('matched').textContent = '';
    if (match && weights) {
      const hit = matchStacks(profile, match);
      let value = 0;
      eachWeight(profile, weights, (stack) => { if (stack >= 0 && hit[stack]) value += weights.value[stack]; });
      by('matched').textContent = `${percent(value, weights.sum.value)} matched, ${amount(value, weights.unit)}`;
    }
    showPlace();
  }

  function chosenText(token) {
    const [kind, name] = [token.slice(0, token.indexOf(':')), token.slice(token.indexOf(':') + 1)];
    const process = kind === 'pid' && profile.processes.find(({ pid }) => String(pid) === name);
    return process ? `process ${process.name} (${name})` : `${{ comm: 'threads', pool: 'threads', pid: 'process', tid: 'thread' }[kind]} ${name}`;
  }

  // The graph whose matches the reader can step through.
  const searched = () => ['flame', 'wakes'].includes(state.view) && compileSearch(state.search).test ? graphs[0] : undefined;

  function showPlace() {
    const graph = searched();
    by('steps').hidden = !graph;
    by('place').textContent = graph?.placeInWords() ?? '';
  }

  function step(direction) {
    searched()?.step(direction);
    showPlace();
  }

  function summary(probe, metrics, weights, selection, axis) {
    const { window } = selection;
    const parts = [];
    if (weights) {
      const title = 'the part within the window; the number includes samples that are only partly in it';
      const some = metrics.length < probe.metrics.length ? ` (${metrics.map(({ label }) => label).join(', ')})` : '';
      parts.push(element('span', { id: 'sum', title }, `${probe.label}${some} ${estimate(weights.sum, weights.unit)}, ${counted(weights.sum.samples, 'sample')}`));
    }
    // What was only counted is in no window, and so not in the sum.
    const untimed = weights && window ? untimedValue(profile, selection) : 0;
    if (untimed > 0) {
      const title = 'counted in the kernel, but not sampled, so that the time is unknown';
      parts.push(element('span', { className: 'quiet', title }, `without ${amount(untimed, metrics[0].unit)} that is only counted`));
    }
    const clearing = (clear, what) => element('button', { 'aria-label': `Clear ${what}`, title: `Clear ${what}`, onclick: clear }, '×');
    const chip = (text, ...actions) => element('span', { className: 'chip' }, text, actions);
    const span = ([from, to]) => `${seconds(timeOf(profile, from), width)} to ${seconds(timeOf(profile, to), width)}`;
    const isAxis = window && window[0] === axis[0] && window[1] === axis[1];
    if (window) {
      const length = timeOf(profile, window[1]) - timeOf(profile, window[0]);
      parts.push(chip(`window ${span(window)} (${nanos(length)})`,
        isAxis ? null : element('button', { id: 'zoom-axis', title: 'The time axis covers only the window ( z )', onclick: () => zoomAxis(window) }, 'Zoom in'),
        clearing(() => select(null), 'the window')));
    } else {
      parts.push(element('span', { className: 'quiet' }, profile.part ? `of the capture ${profile.part}` : 'whole capture'));
    }
    if (state.axisFrom !== null) parts.push(chip(`time axis ${span(axis)}`, element('button', { id: 'whole-axis', onclick: () => zoomAxis(null) }, 'Zoom out')));
    for (const token of state.threads) {
      const text = chosenText(token);
      const rest = state.threads.filter((other) => other !== token);
      parts.push(chip(text, clearing(() => change({ threads: rest }), 'the thread filter')));
    }
    if (weights && !state.idle) {
      const idle = idleThreads(profile, selection);
      if (idle.count) parts.push(element('span', { className: 'quiet', id: 'idle-sum' }, `without ${counted(idle.count, 'idle thread')}: ${amount(idle.sum.value, weights.unit)}`));
    }
    by('selection').replaceChildren(...parts);
  }

  // Everything that is selected, and its sums.
  function selected() {
    const window = windowOf();
    const threads = chosenThreads(profile, state.threads);
    const probe = probeOf();
    const metrics = probe ? metricsOf(probe) : [];
    const selection = { metrics: maskOf(profile, metrics), window, threads, idle: state.idle ? 'all' : 'none' };
    const isWeighed = probe && isOfProbe();
    const weights = isWeighed ? { ...remembered('weights', selection, () => weigh(profile, selection)), unit: metrics[0].unit } : null;
    const { test } = compileSearch(state.search);
    return { probe, metrics, selection, weights, test, match: matchFrames(profile, test) };
  }

  function render() {
    for (const graph of graphs) graph.resizing.disconnect();
    graphs = [];
    tooltip.hide();
    const shown = selected();
    const { probe, metrics, selection, weights, match } = shown;
    const axis = axisOf();
    controls(probe, metrics);
    summary(probe, metrics, weights, selection, axis);
    timeline.show(profile.sampled.map((one, index) => lane(one, index, one === probe ? metrics : defaultMetrics(one), selection)), selection.window, axis);
    by('view').replaceChildren(draw(shown, axis));
    for (const graph of graphs) graph.draw();
    showMatches(weights, match);
  }

  // After a change of the search. A graph stays where it is.
  function search() {
    if (!graphs.length || !graphs.every((graph) => graph.search) || state.view === 'functions') return render();
    const { weights, match, test } = selected();
    for (const graph of graphs) graph.search(matchFrames(profile, test));
    showMatches(weights, match);
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

  // The view. Each is given a `page`: { state, test: of a name for the search, or null, match: for each frame whether it matches, or
  // null, change(part of the state): draws the page anew, remember and adjust(part): the view shows it already, onSort(table) }.
  function draw({ probe, metrics, selection, weights, test, match }, axis) {
    const onSort = (table) => (sorting) => remember({ sorting: { ...state.sorting, [table]: sorting } });
    const page = { state, test, match, change, remember, adjust, onSort };
    if (state.view === 'histograms') return keep(histogramsView(profile, page));
    if (!probe) return empty('This capture has no samples.');
    if (state.view === 'processes') return processesView(profile, selection, page);
    if (state.view === 'threads') return threadsView(profile, selection, metrics[0], page);
    if (state.view === 'timeline') return keep(tracksView(profile, selection, probe, axis, page));
    if (weights && !(weights.sum.value > 0)) return empty(whyEmpty(probe, metrics, selection));
    if (state.view === 'functions') return keep(functionsView(profile, weights, metrics[0].kind === 'interval', page));
    return keep(state.view === 'wakes' ? wakesView(profile, selection, page) : flameView(weights, test));
  }

  function keep(shown) {
    graphs = shown.graphs;
    return shown.node;
  }

  function flameView(weights, test) {
    const heading = state.byProcess ? (thread) => addLabel(profile, processLabel(profile, thread)) : null;
    const make = () => state.reverse ? reverseTree(profile, weights) : callTree(profile, weights, heading);
    const tree = remembered('tree', { weights: kept.get('weights').key, reverse: state.reverse, byName: state.byName, byProcess: state.byProcess }, () =>
      make().finish(state.byName ? (frame) => profile.names[frame] : null));
    const graph = new FlameGraph(profile, tree, {
      title: state.reverse ? 'Flame graph, merged from the leaf' : 'Flame graph',
      unit: weights.unit,
      upward: state.upward,
      zoom: state.zoom,
      onZoom: (zoom) => remember({ zoom }),
      onStep: (zoom) => adjust({ zoom }),
      onSandwich: (frame) => change({ view: 'functions', fn: frameKey(profile, frame) }),
    });
    graph.search(matchFrames(profile, test));
    const key = Object.entries({ kernel: 'kernel', user: 'user', label: 'thread, process or label' }).map(([kind, text]) => element('span', { className: `key ${kind}` }, text));
    graph.foot.append(element('p', { className: 'keys' }, key));
    return { node: element('div', {}, graph.node), graphs: [graph] };
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
  by('ask').addEventListener('click', () => help.show());
  by('before').addEventListener('click', () => step(-1));
  by('after').addEventListener('click', () => step(1));
  // All that is typed in one go is one step.
  let isTyping = false;
  by('search').addEventListener('blur', () => { isTyping = false; });
  by('search').addEventListener('input', () => {
    const { invalid } = compileSearch(by('search').value);
    showInvalid(invalid);
    // What was found before stays until the expression is whole.
    if (invalid) return;
    (isTyping ? adjust : remember)({ search: by('search').value });
    isTyping = true;
    search();
  });
  by('search').addEventListener('keydown', (event) => {
    if (event.key !== 'Enter') return;
    event.preventDefault();
    step(event.shiftKey ? -1 : 1);
  });
  // Back and forward, and an address that was typed.
  for (const moved of ['popstate', 'hashchange']) {
    addEventListener(moved, () => {
      if (location.hash === address) return;
      address = location.hash;
      state = parseState(address, defaults);
      isTyping = false;
      by('search').value = state.search;
      showInvalid(compileSearch(state.search).invalid);
      render();
    });
  }
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', render);

  // One step back at a time: the nearest first.
  function escape() {
    if (state.search || by('search').value) {
      by('search').value = '';
      isTyping = false;
      showInvalid('');
      change({ search: '' });
    } else if (graphs.some((graph) => graph.reset())) {
      return;
    } else if (state.axisFrom !== null) {
      zoomAxis(null);
    } else if (state.from !== null) {
      select(null);
    } else if (state.threads.length) {
      change({ threads: [] });
    }
  }
  addEventListener('keydown', (event) => {
    const typing = event.target.matches?.('input, textarea');
    const plain = !typing && !event.ctrlKey && !event.metaKey && !event.altKey;
    if (help.isOpen) {
      if (event.key === 'Escape') help.hide();
    } else if (event.key === 'Escape') {
      escape();
    } else if (!plain) {
      return;
    } else if (event.key === '/') {
      event.preventDefault();
      by('search').select();
    } else if (event.key === '?') {
      help.show();
    } else if (event.key === 'n' || event.key === 'N') {
      step(event.key === 'n' ? 1 : -1);
    }
  });
  render();
}

// Once the page shows that it is loading. A page in the background draws nothing, and does not wait for it.
const drawn = new Promise((done) => {
  requestAnimationFrame(() => setTimeout(done));
  setTimeout(done, 200);
});
drawn.then(() => readProfile(by('data').textContent)).then((profile) => {
  by('data').remove();
  document.body.removeAttribute('aria-busy');
  showCapture(profile);
  start(profile);
}).catch((error) => {
  by('loading')?.replaceChildren('The data of this page cannot be read: it may be incomplete.');
  problem(String(error?.stack ?? error));
});
