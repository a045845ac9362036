'use strict';
// Wake chains: a thread that slept, the thread that woke it, the thread that had woken that one, and so on.

const MOST_CHILDREN = 40;

// Functions that are in every sleep and every wakeup. They are left out of the short form of a stack; the complete stack is
// shown beside.
const PLUMBING = new Set([
  '__schedule', 'schedule', 'schedule_timeout', 'io_schedule', 'io_schedule_timeout', 'schedule_hrtimeout_range',
  'schedule_hrtimeout_range_clock', 'schedule_preempt_disabled', 'try_to_wake_up', 'ttwu_do_activate', 'wake_up_process',
  'wake_up_q', 'default_wake_function', 'autoremove_wake_function', '__wake_up_common', '__wake_up_common_lock', '__wake_up',
  '__wake_up_sync_key', 'pollwake', 'ep_autoremove_wake_function',
]);

// The chains of the selection, and the time in no chain: { value of the chains, with unknown wakers, of rarer chains, and for each
// metric without wakeups, such as preempted }.
function eachChain(profile, selection, hit, visit) {
  const sums = { chains: 0, unseen: 0, light: 0, unwoken: new Map() };
  eachGroup(profile, selection, (sum) => {
    const { g, value, isEnded } = sum;
    const chain = isEnded ? profile.group.chain[g] : NO_CHAIN;
    const metric = profile.metrics[profile.group.metric[g]];
    if (chain === NO_CHAIN) {
      if (metric.chained) sums.unseen += value;
      else sums.unwoken.set(metric.label, (sums.unwoken.get(metric.label) ?? 0) + value);
      return;
    }
    const hops = chain === LIGHT_CHAINS ? [] : profile.chains[chain - 2];
    const stack = profile.group.stack[g];
    if (hit) {
      const stacks = [stack, ...hops.filter((hop) => hop >= FIRST_HOP).map((hop) => profile.hops[hop - FIRST_HOP].stack)];
      if (!stacks.some((one) => one >= 0 && hit[one])) return;
    }
    sums.chains += value;
    if (chain === LIGHT_CHAINS) sums.light += value;
    visit(profile.threads[profile.group.thread[g]][2], stack, chain === LIGHT_CHAINS ? null : hops, [sum]);
  });
  return sums;
}

// A tree whose nodes are whole stacks: name, where it slept, then each waker. `units` says what a node's frame is.
function chainTree(profile, selection, hit) {
  const tree = new Tree(profile);
  const units = [];
  const known = new Map();
  const unit = (key, made) => {
    if (!known.has(key)) known.set(key, units.push(made) - 1);
    return known.get(key);
  };
  const sums = eachChain(profile, selection, hit, (name, stack, hops, parts) => {
    let node = tree.child(0, unit(`name ${name}`, { kind: 'name', name }));
    node = tree.child(node, unit(`stack ${stack}`, { kind: 'sleep', stack }));
    if (!hops) node = tree.child(node, unit('light', { kind: 'end', text: 'rarer chains, combined' }));
    for (const hop of hops ?? []) {
      if (hop < FIRST_HOP) {
        node = tree.child(node, unit(`end ${hop}`, { kind: 'end', text: CHAIN_ENDS[hop] }));
      } else {
        const { waker, stack: code } = profile.hops[hop - FIRST_HOP];
        const made = waker < 0 ? { kind: 'interrupt', stack: code } : { kind: 'waker', name: profile.threads[waker][2], stack: code };
        node = tree.child(node, unit(`hop ${hop}`, made));
      }
    }
    tree.add(node, parts);
  });
  return { tree: tree.finish(), units, sums };
}

// The same as a flame graph: the stack of the sleeping thread, then that of each waker.
function chainFlame(profile, selection, hit, state) {
  const tree = new Tree(profile);
  const climb = (from, stack) => stackOf(profile, stack).reverse().reduce((node, frame) => tree.child(node, frame), from);
  const label = (from, text) => tree.child(from, addLabel(profile, text));
  const sums = eachChain(profile, selection, hit, (name, stack, hops, parts) => {
    let node = stack < 0 ? label(label(0, name), '[no stack]') : climb(0, stack);
    if (!hops) node = label(node, 'rarer chains, combined');
    for (const hop of hops ?? []) {
      if (hop < FIRST_HOP) {
        node = label(node, CHAIN_ENDS[hop]);
        continue;
      }
      const { waker, stack: code } = profile.hops[hop - FIRST_HOP];
      node = label(node, waker < 0 ? 'woken by an interrupt' : `woken by ${profile.threads[waker][2]}`);
      if (code >= 0) node = climb(node, code);
    }
    tree.add(node, parts);
  });
  return { tree: tree.finish(state.byName ? (frame) => profile.names[frame] : null), sums };
}

// A stack in one line, innermost first: the last kernel functions, then the user functions.
function code(profile, stack) {
  if (stack < 0) return '(no stack)';
  const frames = stackOf(profile, stack).filter((frame) => profile.kinds[frame] !== LABEL);
  const names = (kind) => frames.filter((frame) => profile.kinds[frame] === kind).map((frame) => profile.names[frame]);
  const [kernel, user] = [names(KERNEL), names(USER).slice(0, 8)];
  const telling = kernel.filter((name) => !PLUMBING.has(name));
  const last = telling.length || user.length ? telling : kernel;
  const short = last.length <= 3 ? last : user.length ? [...last.slice(0, 2), '…'] : [...last.slice(0, 3), '…', last.at(-1)];
  return [...short, ...user].join(' ← ') || '(no frames)';
}

function wakesView(profile, selection, state, match, change) {
  const hit = match && matchStacks(profile, match);
  const choice = element('div', { className: 'choice', role: 'group', 'aria-label': 'Drawn as' },
    ...['tree', 'flame'].map((form) => element('button', {
      textContent: form === 'tree' ? 'Tree' : 'Flame graph',
      'aria-pressed': String(state.wakes === form),
      onclick: () => change({ wakes: form, zoom: [] }),
    })));
  const flame = state.wakes === 'flame';
  const { tree, units, sums } = flame ? chainFlame(profile, selection, hit, state) : chainTree(profile, selection, hit);
  const about = element('p', { className: 'note', id: 'chain-sums' }, [
    `${nanos(sums.chains)} in chains${match ? ' that match the search' : ''}`,
    sums.unseen > 0 ? `${nanos(sums.unseen)} with an unknown waker` : '',
    ...[...sums.unwoken].map(([label, value]) => `${nanos(value)} ${label}, without a wakeup`),
    sums.light > 0 ? `${nanos(sums.light)} in rarer chains that are combined (${count(profile.light_chains)} in the whole capture)` : '',
  ].filter(Boolean).join('; '), '. A chain ends at a wakeup from an interrupt: the interrupted thread is not part of it.');
  if (!(tree.value[0] > 0)) {
    const why = match ? 'No wake chain of this selection matches the search.' : 'No wake chain in this selection: no waker is known.';
    return { node: element('div', {}, choice, about, empty(why)), graphs: [] };
  }
  if (flame) {
    const graph = new FlameGraph(profile, tree, { title: 'Wake chains', unit: 'nanoseconds', upward: state.upward, zoom: state.zoom, onZoom: (zoom) => change({ zoom }, true) });
    graph.search(match && matchFrames(profile, state.search));
    return { node: element('div', { className: 'wakes' }, choice, about, graph.node), graphs: [graph] };
  }
  return { node: element('div', { className: 'wakes' }, choice, about, chainList(profile, tree, units)), graphs: [] };
}

function chainList(profile, tree, units) {
  const side = element('div', { className: 'side', id: 'chain-stack', 'aria-live': 'polite' });
  const told = (unit) => ({
    name: () => [element('b', {}, unit.name), ' slept'],
    sleep: () => ['in ', element('span', { className: 'code' }, code(profile, unit.stack))],
    waker: () => ['woken by ', element('b', {}, unit.name), ' in ', element('span', { className: 'code' }, code(profile, unit.stack))],
    interrupt: () => [
      'woken by an ', element('b', { className: 'interrupt' }, 'interrupt'),
      ' in ', element('span', { className: 'code' }, code(profile, unit.stack)),
    ],
    end: () => [element('i', {}, unit.text)],
  })[unit.kind]();

  const framed = (frame) => element('li', { className: ['kernel', 'user', 'label'][profile.kinds[frame]] }, profile.names[frame]);
  const choose = (line, node) => {
    for (const other of list.querySelectorAll('[aria-current]')) other.removeAttribute('aria-current');
    line.setAttribute('aria-current', 'true');
    const hops = [];
    for (let at = node; at > 0; at = tree.parent[at]) hops.unshift(units[tree.frame[at]]);
    side.replaceChildren(
      element('p', {}, `${estimate(tree.sum(node), 'nanoseconds')}, ${percent(tree.value[node], tree.value[0])} of the chains, ${counted(tree.samples[node], 'sample')}`),
      ...hops.filter((unit) => unit.kind !== 'name').map((unit) => element('section', {},
        element('h3', {}, { sleep: `${hops[0].name} slept in`, waker: `woken by ${unit.name} in`, interrupt: 'woken by an interrupt in', end: unit.text }[unit.kind]),
        unit.kind === 'end' ? '' : unit.stack < 0 ? 'no stack'
          : element('ol', {}, stackOf(profile, unit.stack).map(framed)))));
  };

  const item = (node, open) => {
    const children = [...tree.childrenOf(node)];
    const below = element('ul', { role: 'group', hidden: true });
    const fold = element('button', { className: 'fold', disabled: !children.length });
    const unfold = (wanted) => {
      if (wanted && !below.hasChildNodes()) below.append(...items(children, open));
      below.hidden = !wanted;
      fold.textContent = children.length ? (wanted ? '▾' : '▸') : '';
      fold.setAttribute('aria-expanded', String(wanted));
      fold.setAttribute('aria-label', wanted ? 'fold' : 'unfold');
    };
    fold.onclick = () => unfold(below.hidden);
    const { error } = tree.sum(node);
    const depth = tree.depth[node] - 1;
    const line = element('div', { className: 'line' },
      element('span', { className: 'number' }, nanos(tree.value[node])),
      element('span', { className: 'number quiet' }, error > 0 ? `± ${nanos(error)}` : ''),
      element('span', { className: 'number' }, percent(tree.value[node], tree.value[0])),
      element('span', { className: 'indent' }), fold,
      element('button', { className: 'link told', onclick: () => choose(line, node) }, told(units[tree.frame[node]])));
    line.style.setProperty('--depth', depth);
    unfold(open && children.length > 0);
    return element('li', {}, line, below);
  };
  // Along the heaviest way everything is open, so that the chain that matters most is there to be read.
  const items = (nodes, open) => {
    const made = nodes.slice(0, MOST_CHILDREN).map((node, place) => item(node, open && place === 0));
    const rest = nodes.slice(MOST_CHILDREN);
    if (rest.length) {
      const all = element('button', { textContent: `${count(rest.length)} more, ${nanos(rest.reduce((sum, node) => sum + tree.value[node], 0))}` });
      all.onclick = () => all.parentElement.replaceWith(...items(rest, false));
      made.push(element('li', {}, all));
    }
    return made;
  };
  const roots = [...tree.childrenOf(0)];
  const list = element('ul', { className: 'chains' }, roots.length > MOST_CHILDREN ? items(roots, true) : roots.map((node, place) => item(node, place < 3)));
  let first = list.firstElementChild;
  while (first.lastElementChild.firstElementChild && !first.lastElementChild.hidden) first = first.lastElementChild.firstElementChild;
  first.querySelector('.told').click();
  return element('div', { className: 'split' }, list, side);
}
