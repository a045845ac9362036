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
    visit(profile.group.thread[g], stack, chain === LIGHT_CHAINS ? null : hops, [sum]);
  });
  return sums;
}

// Threads of a pool are one, unless the reader has set them apart.
function chainName(profile, { apart, byThread }) {
  return apart || byThread ? (thread) => profile.threads[thread][2] : (thread) => profile.pools[profile.threads[thread][POOL]];
}

// A tree whose nodes are whole stacks: name, where it slept, then each waker. `units` says what a node's frame is.
function chainTree(profile, selection, hit, state) {
  const nameOf = chainName(profile, state);
  // For each name, and for each waker by its name and its stack, the first number that has it.
  const firsts = new Map();
  const first = (key, number) => { if (!firsts.has(key)) firsts.set(key, number); };
  profile.threads.forEach((_, thread) => first(`n${nameOf(thread)}`, thread));
  profile.hops.forEach(({ waker, stack }, hop) => first(waker < 0 ? `i${stack}` : `${stack} ${nameOf(waker)}`, hop));
  const tree = new Tree(profile);
  const units = [];
  const known = new Map();
  const unit = (key, made) => {
    if (!known.has(key)) known.set(key, units.push({ key, ...made }) - 1);
    return known.get(key);
  };
  const sums = eachChain(profile, selection, hit, (thread, stack, hops, parts) => {
    const name = nameOf(thread);
    let node = tree.child(0, unit(`n${firsts.get(`n${name}`)}`, { kind: 'name', name }));
    node = tree.child(node, unit(`s${stack}`, { kind: 'sleep', stack }));
    if (!hops) node = tree.child(node, unit('rare', { kind: 'end', text: 'rarer chains, combined' }));
    for (const hop of hops ?? []) {
      if (hop < FIRST_HOP) {
        node = tree.child(node, unit(`e${hop}`, { kind: 'end', text: CHAIN_ENDS[hop] }));
      } else {
        const { waker, stack: code } = profile.hops[hop - FIRST_HOP];
        const made = waker < 0 ? { kind: 'interrupt', stack: code } : { kind: 'waker', name: nameOf(waker), stack: code };
        const same = firsts.get(waker < 0 ? `i${code}` : `${code} ${nameOf(waker)}`);
        node = tree.child(node, unit(`h${same + FIRST_HOP}`, made));
      }
    }
    tree.add(node, parts);
  });
  return { tree: tree.finish(), units, sums };
}

// The same as a flame graph: the stack of the sleeping thread, then that of each waker.
function chainFlame(profile, selection, state) {
  const nameOf = chainName(profile, state);
  const tree = new Tree(profile);
  const climb = (from, stack) => stackOf(profile, stack).reverse().reduce((node, frame) => tree.child(node, frame), from);
  const label = (from, text) => tree.child(from, addLabel(profile, text));
  const sums = eachChain(profile, selection, null, (thread, stack, hops, parts) => {
    let node = stack < 0 ? label(label(0, nameOf(thread)), '[no stack]') : climb(0, stack);
    if (!hops) node = label(node, 'rarer chains, combined');
    for (const hop of hops ?? []) {
      if (hop < FIRST_HOP) {
        node = label(node, CHAIN_ENDS[hop]);
        continue;
      }
      const { waker, stack: code } = profile.hops[hop - FIRST_HOP];
      node = label(node, waker < 0 ? 'woken by an interrupt' : `woken by ${nameOf(waker)}`);
      if (code >= 0) node = climb(node, code);
    }
    tree.add(node, parts);
  });
  return { tree: tree.finish(state.byName ? (frame) => profile.names[frame] : null), sums };
}

// The maximum number of the program's own functions in the short form of a stack, from the leaf.
const MOST_OWN = 3;
const CODE_ROOM = 44;

// Modules that only lead from a program to the kernel: the C and C++ libraries, the loader and the vDSO.
const LIBRARIES = /^(lib(c|m|pthread|stdc\+\+|c\+\+|gcc_s|rt)|ld(-linux|-musl)?)[-.\d]|^\[vdso\]$/;
// And the parts of standard libraries that are compiled into the program.
const STANDARD = /^<?(std|core|alloc|__gnu_cxx)::|^_start$|^__libc_/;

// A stack in one line, innermost first: the last kernel function, the functions of the program that waited, and where it began.
// What is between them is left out.
function code(profile, stack) {
  if (stack < 0) return '(no stack)';
  const frames = stackOf(profile, stack).filter((frame) => profile.kinds[frame] !== LABEL);
  const kernel = frames.filter((frame) => profile.kinds[frame] === KERNEL);
  const user = frames.filter((frame) => profile.kinds[frame] === USER);
  const telling = kernel.filter((frame) => !PLUMBING.has(profile.names[frame]));
  const last = telling.length || user.length ? telling : kernel;
  const line = [...last, ...user];
  const ends = (places, most) => places.length <= most + 1 ? places : [...places.slice(0, most), places.at(-1)];
  const kept = new Set(user.length ? [0] : ends([...line.keys()], 1));
  const outside = [...line.keys()].filter((place) => place >= last.length && !LIBRARIES.test(profile.moduleOf[line[place]]));
  const own = outside.filter((place) => !STANDARD.test(profile.names[line[place]]));
  for (const place of ends(own.length ? own : outside, MOST_OWN)) kept.add(place);
  // Without a function of the program, the call of the library is all that is known.
  if (!own.length && user.length) kept.add(last.length);
  const shown = [];
  line.forEach((frame, place) => {
    if (kept.has(place)) shown.push(shorten(profile.names[frame], CODE_ROOM));
    else if (shown.at(-1) !== '…') shown.push('…');
  });
  if (shown.at(-1) === '…') shown.pop();
  return shown.join(' ← ') || '(no frames)';
}

// `page`: see `draw` in app.js.
function wakesView(profile, selection, { state, test, match, change, remember, adjust }) {
  const choice = element('div', { className: 'choice', role: 'group', 'aria-label': 'Drawn as' },
    ...['tree', 'flame'].map((form) => element('button', {
      textContent: form === 'tree' ? 'Tree' : 'Flame graph',
      'aria-pressed': String(state.wakes === form),
      onclick: () => change({ wakes: form, zoom: [] }),
    })));
  const flame = state.wakes === 'flame';
  // The search selects chains of the tree, and marks frames of the flame graph.
  const hit = match && !flame ? matchStacks(profile, match) : null;
  const { tree, units, sums } = flame ? chainFlame(profile, selection, state) : chainTree(profile, selection, hit, state);
  const about = element('p', { className: 'note', id: 'chain-sums' }, [
    `${nanos(sums.chains)} in chains${hit ? ' that match the search' : ''}`,
    sums.unseen > 0 ? `${nanos(sums.unseen)} with an unknown waker` : '',
    ...[...sums.unwoken].map(([label, value]) => `${nanos(value)} ${label}, without a wakeup`),
    sums.light > 0 ? `${nanos(sums.light)} in rarer chains that are combined (${count(profile.light_chains)} in the whole capture)` : '',
  ].filter(Boolean).join('; '), '. A chain ends at a wakeup from an interrupt: the interrupted thread is not part of it.');
  if (!(tree.value[0] > 0)) {
    const why = hit ? 'No wake chain of this selection matches the search.' : 'No wake chain in this selection: no waker is known.';
    return { node: element('div', {}, choice, about, empty(why)), graphs: [] };
  }
  if (flame) {
    const graph = new FlameGraph(profile, tree, {
      title: 'Wake chains',
      unit: 'nanoseconds',
      upward: state.upward,
      zoom: state.zoom,
      onZoom: (zoom) => remember({ zoom }),
      onStep: (zoom) => adjust({ zoom }),
    });
    graph.search(matchFrames(profile, test));
    return { node: element('div', { className: 'wakes' }, choice, about, graph.node), graphs: [graph] };
  }
  return { node: element('div', { className: 'wakes' }, choice, about, chainList(profile, tree, units, state.chain, (chain) => remember({ chain }))), graphs: [] };
}

// `chosen`: the keys of the units on the way to the line to select; onChoice(keys) when the reader selects another one.
function chainList(profile, tree, units, chosen, onChoice) {
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
  const pathOf = (node) => {
    const keys = [];
    for (let at = node; at > 0; at = tree.parent[at]) keys.unshift(units[tree.frame[at]].key);
    return keys;
  };
  // The nodes on the way that the keys name, as far as it exists.
  const way = [];
  for (const key of chosen) {
    const next = tree.childrenOf(way.at(-1) ?? 0).find((node) => units[tree.frame[node]].key === key);
    if (next === undefined) break;
    way.push(next);
  }
  const lines = new Map();
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
      element('button', { className: 'link told', onclick: () => {
        choose(line, node);
        onChoice(pathOf(node));
      } }, told(units[tree.frame[node]])));
    lines.set(node, line);
    line.style.setProperty('--depth', depth);
    unfold((open || way.slice(0, -1).includes(node)) && children.length > 0);
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
  const [node, line] = lines.has(way.at(-1)) ? [way.at(-1), lines.get(way.at(-1))]
    : [...lines].find(([, one]) => one === first.firstElementChild);
  choose(line, node);
  return element('div', { className: 'split' }, list, side);
}
