'use strict';
// The table of functions, and the callers and callees of one of them.

// `page`: see `draw` in app.js.
function functionsView(profile, weights, isWait, { state, match, change, onSort }) {
  const whole = weights.sum.value;
  const { unit } = weights;
  const shown = (value) => amount(value, unit);
  const rows = functionsOf(profile, weights).filter((row) => profile.kinds[row.frame] !== LABEL && (!match || match[row.frame]));
  const uncertain = rows.some((row) => row.total.error > 0);
  const error = (group, pick) => ({
    group, name: '±', className: 'error', doc: 'standard error of the estimate', key: (row) => pick(row).error,
    cell: (row) => pick(row).error > 0 ? shown(pick(row).error) : '',
  });
  const sums = (name, pick, doc) => [
    { name, doc, key: (row) => pick(row).value, cell: (row) => pick(row).value > 0 ? shown(pick(row).value) : '' },
    ...uncertain ? [error(name, pick)] : [],
    { name: `${name} %`, className: 'share', doc: 'share of the selection', key: (row) => pick(row).value, cell: (row) => pick(row).value > 0 ? percent(pick(row).value, whole) : '' },
  ];
  const columns = [
    {
      name: 'Function', text: true, fit: true, key: (row) => profile.names[row.frame], cell: (row) => profile.names[row.frame],
      title: (row) => `${profile.names[row.frame]}\n${profile.moduleOf[row.frame]} (${profile.kinds[row.frame] === KERNEL ? 'kernel' : 'user'})`,
    },
    { name: 'Module', text: true, className: 'module', key: (row) => profile.moduleOf[row.frame], cell: (row) => profile.moduleOf[row.frame] },
    ...sums('Self', (row) => row.self, 'in the function itself'),
    ...sums('Total', (row) => row.total, 'in the function and its callees; recursion counts once'),
    { name: 'Samples', className: 'samples', key: (row) => row.total.samples, cell: (row) => count(row.total.samples) },
  ];
  const chosen = frameNamed(profile, state.fn);
  const total = columns.findIndex(({ name }) => name === 'Total');
  const table = sortedTable(columns, rows, {
    id: 'functions',
    // A wait is in the kernel itself: what waited for it is told by the total.
    sort: isWait ? total : 2,
    sorting: state.sorting.functions,
    onSort: onSort('functions'),
    ties: [total, 0, 1],
    what: 'function',
    caption: `${counted(rows.length, 'function')}${match ? ' that match' : ''}; shares of ${shown(whole)}. Select one to show its callers and callees.`,
    onRow: (row) => change({ fn: frameKey(profile, row.frame) }),
    selected: (row) => row.frame === chosen,
  });
  if (!rows.length) {
    const why = match ? 'No function of this selection matches the search.' : 'No function in this selection: none of its stacks has a frame.';
    return { node: empty(why), graphs: [] };
  }
  const beside = (side, graphs = []) => ({ node: element('div', { className: 'split' }, table, side), graphs });
  // All of the width is for names.
  if (chosen < 0) return { node: element('div', { className: 'alone' }, table), graphs: [] };

  const { callers, callees } = sandwich(profile, weights, chosen);
  const order = state.byName ? (frame) => profile.names[frame] : null;
  callers.finish(order);
  callees.finish(order);
  if (!(callers.value[0] > 0)) {
    return beside(element('div', { className: 'side' }, empty(`${profile.names[chosen]} is not in this selection.`)));
  }
  const goTo = (frame) => change({ fn: frameKey(profile, frame) });
  const graph = (title, tree, options) => {
    const made = new FlameGraph(profile, tree, { title: `${title} ${profile.names[chosen]}`, unit, onSandwich: goTo, ...options });
    made.search(match);
    return made;
  };
  // A caller has no time of its own in this graph: all of it is time of the function.
  const name = shorten(profile.names[chosen], 40);
  const called = (node) => node === 0 ? 'with all callers' : `of ${name} through this caller`;
  const within = (node, self) => node === 0 ? `in the function itself ${self}` : `self ${self}`;
  const graphs = [graph('Callers of', callers, { upward: true, selfInWords: called }), graph('Callees of', callees, { upward: false, selfInWords: within })];
  const side = element('div', { className: 'side', id: 'sandwich' },
    element('h2', { title: profile.names[chosen] }, shorten(profile.names[chosen], 200)),
    element('p', { id: 'sandwich-sum' }, `total ${estimate(callers.sum(0), unit)}, ${percent(callers.value[0], whole)}; self ${shown(selfOf(callees, chosen))}`),
    element('h3', {}, 'Callers'), graphs[0].node,
    element('h3', {}, 'Callees'), graphs[1].node,
    neighbours(profile, 'Called by', callers, unit, goTo, 'no caller known'), neighbours(profile, 'Calls', callees, unit, goTo, 'in the function itself'));
  return beside(side, graphs);
}

function selfOf(callees, frame) {
  return callees.self.reduce((sum, self, node) => callees.frame[node] === frame ? sum + self : sum, 0);
}

// The direct callers or callees, by weight, and `rest`: the time without any of them. Together they are the total of the function.
function neighbours(profile, title, tree, unit, goTo, rest) {
  const MOST = 20;
  const rows = [...tree.childrenOf(0)].sort((a, b) => tree.value[b] - tree.value[a]);
  const line = (value, what) => element('li', {},
    element('span', { className: 'number' }, amount(value, unit)),
    element('span', { className: 'number' }, percent(value, tree.value[0])), what);
  const named = (frame) => profile.kinds[frame] === LABEL ? profile.names[frame]
    : element('button', { className: 'link', title: profile.names[frame], onclick: () => goTo(frame) }, shorten(profile.names[frame], 100));
  const others = rows.slice(MOST).reduce((sum, node) => sum + tree.value[node], 0);
  return element('div', { className: 'neighbours' }, element('h3', {}, title), element('ul', {},
    rows.slice(0, MOST).map((node) => line(tree.value[node], named(tree.frame[node]))),
    others > 0 ? line(others, `${count(rows.length - MOST)} more`) : null,
    tree.self[0] > 0 ? line(tree.self[0], element('i', {}, rest)) : null));
}

// A function in a link: its name and module, since numbers differ from page to page.
function frameKey(profile, frame) {
  return profile.moduleOf[frame] ? `${profile.names[frame]}@${profile.moduleOf[frame]}` : profile.names[frame];
}

function frameNamed(profile, key) {
  if (key === null) return -1;
  const exact = profile.names.findIndex((_, frame) => frameKey(profile, frame) === key);
  return exact >= 0 ? exact : profile.names.indexOf(key);
}

function empty(text) {
  return element('p', { className: 'empty' }, text);
}
