'use strict';
// What is shown, as the part of the address after `#`: a link restores it.

const VIEWS = ['flame', 'functions', 'threads', 'timeline', 'wakes', 'histograms'];

const DEFAULTS = {
  view: 'flame',
  probe: null,
  // Names of metrics; null for those that a probe shows by default.
  metrics: null,
  search: '',
  reverse: false,
  upward: false,
  byName: false,
  // The selected window, and the part of the time axis that is drawn, in seconds from the start of the capture; null for all.
  from: null,
  to: null,
  axisFrom: null,
  axisTo: null,
  threads: [],
  byThread: false,
  wakes: 'tree',
  // The keys of the units on the way to the selected line of the wake tree; empty for the first.
  chain: [],
  fn: null,
  // The metric and the scope of the histogram; null for the first.
  histogram: null,
  scope: null,
  zoom: [],
  // For each table that the reader has sorted: { column, down: whether the largest comes first }.
  sorting: {},
};

// Two times in seconds, such as `1.5-2`.
function parseSpan(text) {
  const [from, to] = (text ?? '').split('-').map((part) => part === '' ? NaN : Number(part));
  return to > from && from >= 0 ? [from, to] : null;
}

function writeSeconds(time) {
  return time.toFixed(9).replace(/\.?0+$/, '');
}

function parseState(fragment, defaults) {
  const state = { ...defaults };
  const given = new URLSearchParams(fragment.replace(/^#/, ''));
  const one = (name, allowed) => {
    if (allowed.includes(given.get(name))) state[name] = given.get(name);
  };
  one('view', VIEWS);
  one('wakes', ['tree', 'flame']);
  if (given.has('metrics')) state.metrics = given.get('metrics').split(',');
  for (const name of ['probe', 'histogram', 'scope']) if (given.has(name)) state[name] = given.get(name);
  if (given.has('search')) state.search = given.get('search');
  for (const name of ['reverse', 'upward', 'byName', 'byThread']) if (given.has(name)) state[name] = given.get(name) === '1';
  const window = parseSpan(`${given.get('from') ?? ''}-${given.get('to') ?? ''}`);
  if (window) [state.from, state.to] = window;
  const axis = parseSpan(given.get('axis'));
  if (axis) [state.axisFrom, state.axisTo] = axis;
  // `comm:NAME` for all threads of a name, `tid:N` for one.
  state.threads = given.getAll('thread').filter((token) => /^(comm:|tid:\d+$)/.test(token));
  if (given.has('fn')) state.fn = given.get('fn');
  if (given.has('zoom')) state.zoom = given.get('zoom').split('.').map(Number).filter(Number.isInteger);
  if (given.has('chain')) state.chain = given.get('chain').split('.');
  // `TABLE:down:COLUMN` or `TABLE:up:COLUMN`.
  const sorting = given.getAll('sort').map((text) => /^(\w+):(up|down):(.*)$/s.exec(text)).filter(Boolean);
  state.sorting = Object.fromEntries(sorting.map(([, table, order, column]) => [table, { column, down: order === 'down' }]));
  return state;
}

function writeState(state, defaults) {
  const out = new URLSearchParams();
  for (const name of ['view', 'probe', 'search', 'wakes', 'fn', 'histogram', 'scope']) {
    if (state[name] !== defaults[name] && state[name] !== null) out.set(name, state[name]);
  }
  if (state.metrics) out.set('metrics', state.metrics.join(','));
  for (const name of ['reverse', 'upward', 'byName', 'byThread']) if (state[name] !== defaults[name]) out.set(name, state[name] ? '1' : '0');
  if (state.from !== null) {
    out.set('from', writeSeconds(state.from));
    out.set('to', writeSeconds(state.to));
  }
  if (state.axisFrom !== null) out.set('axis', `${writeSeconds(state.axisFrom)}-${writeSeconds(state.axisTo)}`);
  for (const token of state.threads) out.append('thread', token);
  if (state.zoom.length) out.set('zoom', state.zoom.join('.'));
  if (state.chain.length) out.set('chain', state.chain.join('.'));
  for (const [table, { column, down }] of Object.entries(state.sorting)) out.append('sort', `${table}:${down ? 'down' : 'up'}:${column}`);
  return out.toString();
}
