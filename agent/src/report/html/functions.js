'use strict';
// The table of functions, and the callers and callees of one of them.

function functionsView(profile, weights, state, match, change) {
  const whole = weights.sum.value;
  const { unit } = weights;
  const shown = (value) => amount(value, unit);
  const rows = functionsOf(profile, weights).filter((row) => profile.kinds[row.frame] !== LABEL && (!match || match[row.frame]));
  const uncertain = rows.some((row) => row.total.error > 0);
  const error = (group, pick) => ({
    group, name: '±', doc: 'standard error of the estimate', key: (row) => pick(row).error,
    cell: (row) => pick(row).value > 0 ? shown(pick(row).error) : '',
  });
  const sums = (name, pick, doc) => [
    { name, doc, key: (row) => pick(row).value, cell: (row) => pick(row).value > 0 ? shown(pick(row).value) : '' },
    ...uncertain ? [error(name, pick)] : [],
    { name: `${name} %`, doc: 'share of the selection', key: (row) => pick(row).value, cell: (row) => pick(row).value > 0 ? percent(pick(row).value, whole) : '' },
  ];
  const columns = [
    { name: 'Function', text: true, key: (row) => profile.names[row.frame], cell: (row) => profile.names[row.frame] },
    { name: 'Module', text: true, key: (row) => profile.moduleOf[row.frame], cell: (row) => profile.moduleOf[row.frame] },
    ...sums('Self', (row) => row.self, 'in the function itself'),
    ...sums('Total', (row) => row.total, 'in the function and its callees; recursion counts once'),
    { name: 'Samples', key: (row) => row.total.samples, cell: (row) => count(row.total.samples) },
  ];
  const chosen = frameNamed(profile, state.fn);
  const table = sortedTable(columns, rows, {
    id: 'functions',
    sort: 2,
    what: 'function',
    caption: `${counted(rows.length, 'function')}${match ? ' that match' : ''}; shares of ${shown(whole)}`,
    onRow: (row) => change({ fn: frameKey(profile, row.frame) }),
    selected: (row) => row.frame === chosen,
  });
  if (!rows.length) {
    const why = match ? 'No function of this selection matches the search.' : 'No function in this selection: none of its stacks has a frame.';
    return { node: empty(why), graphs: [] };
  }
  const beside = (side, graphs = []) => ({ node: element('div', { className: 'split' }, table, side), graphs });
  if (chosen < 0) {
    return beside(element('div', { className: 'side' }, empty('Select a function to show its callers and callees.')));
  }

  const { callers, callees } = sandwich(profile, weights, chosen);
  const order = state.byName ? (frame) => profile.names[frame] : null;
  callers.finish(order);
  callees.finish(order);
  if (!(callers.value[0] > 0)) {
    return beside(element('div', { className: 'side' }, empty(`${profile.names[chosen]} is not in this selection.`)));
  }
  const goTo = (frame) => change({ fn: frameKey(profile, frame) });
  const graph = (title, tree, upward) => {
    const made = new FlameGraph(profile, tree, { title: `${title} ${profile.names[chosen]}`, unit, upward, onSandwich: goTo });
    made.search(match);
    return made;
  };
  const graphs = [graph('Callers of', callers, true), graph('Callees of', callees, false)];
  const side = element('div', { className: 'side', id: 'sandwich' },
    element('h2', {}, profile.names[chosen]),
    element('p', { id: 'sandwich-sum' }, `total ${estimate(callers.sum(0), unit)}, ${percent(callers.value[0], whole)}; self ${shown(selfOf(callees, chosen))}`),
    element('h3', {}, 'Callers'), graphs[0].node,
    element('h3', {}, 'Callees'), graphs[1].node,
    neighbours(profile, 'Called by', callers, unit, goTo), neighbours(profile, 'Calls', callees, unit, goTo));
  return beside(side, graphs);
}

function selfOf(callees, frame) {
  return callees.self.reduce((sum, self, node) => callees.frame[node] === frame ? sum + self : sum, 0);
}

// The direct callers or callees, by weight.
function neighbours(profile, title, tree, unit, goTo) {
  const rows = [...tree.childrenOf(0)].sort((a, b) => tree.value[b] - tree.value[a]).slice(0, 20);
  return element('div', { className: 'neighbours' }, element('h3', {}, title), rows.length
    ? element('ul', {}, rows.map((node) => element('li', {},
      element('span', { className: 'number' }, amount(tree.value[node], unit)),
      element('span', { className: 'number' }, percent(tree.value[node], tree.value[0])),
      profile.kinds[tree.frame[node]] === LABEL ? profile.names[tree.frame[node]]
        : element('button', { className: 'link', onclick: () => goTo(tree.frame[node]) }, profile.names[tree.frame[node]]))))
    : element('p', { className: 'note' }, 'nothing'));
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
