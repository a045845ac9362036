'use strict';
// What is shown, as the part of the address after `#`: a link restores it.

const VIEWS = ['flame', 'functions', 'threads', 'processes', 'wakes', 'histograms'];

const FLAGS = ['reverse', 'upward', 'byName', 'byThread', 'apart', 'byProcess', 'idle'];

const DEFAULTS = {
  view: 'flame',
  probe: null,
  // Names of metrics; null for those that a probe shows by default.
  metrics: null,
  search: '',
  reverse: false,
  upward: false,
  byName: false,
  from: null,
  to: null,
  threads: [],
  byThread: false,
  // Whether threads of a pool are rows of their own, and whether processes are a level of the flame graph.
  apart: false,
  byProcess: false,
  // Whether threads that have nothing to do are shown.
  idle: false,
  wakes: 'tree',
  fn: null,
  // The metric and the scope of the histogram; null for the first.
  histogram: null,
  scope: null,
  zoom: [],
};

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
  for (const name of FLAGS) if (given.has(name)) state[name] = given.get(name) === '1';
  if (given.has('from') && given.has('to')) {
    const [from, to] = [Number(given.get('from')), Number(given.get('to'))];
    if (to > from && from >= 0) [state.from, state.to] = [from, to];
  }
  // `comm:NAME` for all threads of a name, `pool:NAME` for those of a pool, `pid:N` for those of a process, `tid:N` for one.
  state.threads = given.getAll('thread').filter((token) => /^(comm:|pool:|[tp]id:\d+$)/.test(token));
  if (given.has('fn')) state.fn = given.get('fn');
  if (given.has('zoom')) state.zoom = given.get('zoom').split('.').map(Number).filter(Number.isInteger);
  return state;
}

function writeState(state, defaults) {
  const out = new URLSearchParams();
  for (const name of ['view', 'probe', 'search', 'wakes', 'fn', 'histogram', 'scope']) {
    if (state[name] !== defaults[name] && state[name] !== null) out.set(name, state[name]);
  }
  if (state.metrics) out.set('metrics', state.metrics.join(','));
  for (const name of FLAGS) if (state[name] !== defaults[name]) out.set(name, state[name] ? '1' : '0');
  if (state.from !== null) {
    out.set('from', state.from.toFixed(6).replace(/\.?0+$/, ''));
    out.set('to', state.to.toFixed(6).replace(/\.?0+$/, ''));
  }
  for (const token of state.threads) out.append('thread', token);
  if (state.zoom.length) out.set('zoom', state.zoom.join('.'));
  return out.toString();
}
