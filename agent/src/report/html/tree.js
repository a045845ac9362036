'use strict';
// Call trees: weighted stacks merged from the root, from the leaf, or around one function.

class Tree {
  // The root stands for `frame`, or for everything.
  constructor(profile, frame = -1) {
    this.profile = profile;
    // Nodes up to this depth are all of something, not places: everything, and all of a process or thread in a call tree.
    this.wholeDepth = 0;
    this.frame = [frame];
    this.parent = [-1];
    this.depth = [0];
    this.value = [0];
    this.samples = [0];
    this.self = [0];
    this.parts = [[]];
    this.index = new Map();
  }

  get length() {
    return this.frame.length;
  }

  find(parent, frame) {
    return this.index.get(parent * 0x2000000 + frame);
  }

  child(parent, frame) {
    const key = parent * 0x2000000 + frame;
    let node = this.index.get(key);
    if (node === undefined) {
      node = this.frame.push(frame) - 1;
      this.parent.push(parent);
      this.depth.push(this.depth[parent] + 1);
      this.value.push(0);
      this.samples.push(0);
      this.self.push(0);
      this.parts.push([]);
      this.index.set(key, node);
    }
    return node;
  }

  // Adds sums of groups.
  add(node, parts) {
    for (const sum of parts) {
      this.value[node] += sum.value;
      this.samples[node] += sum.samples;
      this.self[node] += sum.value;
      this.parts[node].push(sum);
    }
  }

  // Sums up from the leaves, orders siblings (by `name` of a frame, or else by weight) and gives each node its place:
  // `start` in the unit of the values.
  finish(name) {
    const nodes = this.length;
    for (let node = nodes - 1; node > 0; node--) {
      const parent = this.parent[node];
      this.value[parent] += this.value[node];
      this.samples[parent] += this.samples[node];
    }
    const end = new Uint32Array(nodes + 1);
    for (let node = 1; node < nodes; node++) end[this.parent[node] + 1]++;
    for (let node = 0; node < nodes; node++) end[node + 1] += end[node];
    this.first = end.slice();
    const next = end.slice();
    this.children = new Uint32Array(nodes);
    for (let node = 1; node < nodes; node++) this.children[next[this.parent[node]]++] = node;
    const compare = name
      ? (a, b) => name(this.frame[a]).localeCompare(name(this.frame[b])) || this.frame[a] - this.frame[b]
      : (a, b) => this.value[b] - this.value[a] || this.frame[a] - this.frame[b];
    this.start = new Float64Array(nodes);
    for (let node = 0; node < nodes; node++) {
      const [from, to] = [this.first[node], this.first[node + 1]];
      if (to - from > 1) this.children.subarray(from, to).sort(compare);
      let start = this.start[node];
      for (let i = from; i < to; i++) {
        this.start[this.children[i]] = start;
        start += this.value[this.children[i]];
      }
    }
    return this;
  }

  childrenOf(node) {
    return this.children.subarray(this.first[node], this.first[node + 1]);
  }

  // The estimate of a node and all below it.
  sum(node) {
    const sum = new Estimate(this.profile, this.depth[node] > this.wholeDepth || this.frame[0] >= 0);
    const open = [node];
    while (open.length) {
      const at = open.pop();
      for (const part of this.parts[at]) sum.add(part);
      for (const child of this.childrenOf(at)) open.push(child);
    }
    return sum;
  }

  // The frames from below the root to `node`.
  path(node) {
    const frames = [];
    for (let at = node; at > 0; at = this.parent[at]) frames.unshift(this.frame[at]);
    return frames;
  }

  // The node at the end of a path, or as far as it exists.
  walk(path) {
    let node = 0;
    for (const frame of path) {
      const next = this.find(node, frame);
      if (next === undefined) break;
      node = next;
    }
    return node;
  }

  // The value below `top` of the nodes that match, each counted once.
  matched(match, top = 0) {
    let value = 0;
    const open = [top];
    while (open.length) {
      const node = open.pop();
      if (node > 0 && match[this.frame[node]]) value += this.value[node];
      else for (const child of this.childrenOf(node)) open.push(child);
    }
    return value;
  }
}

// Calls visit(stack or -1, parts) for each stack that weighs something.
function eachWeight(profile, weights, visit) {
  for (let stack = 0; stack <= profile.ownStacks; stack++) {
    if (weights.value[stack] > 0) {
      visit(stack < profile.ownStacks ? stack : -1, weights.parts[stack]);
    }
  }
}

// The root first. `heading(thread)` is a frame above the stacks of a thread, if there is to be one.
function callTree(profile, weights, heading = null) {
  const tree = new Tree(profile);
  tree.wholeDepth = (profile.roots === 'processes' ? 2 : 1) + (heading ? 1 : 0);
  const nodes = new Map();
  // The node of a stack below the node `top`.
  const nodeOf = (top, stack) => {
    if (stack < 0) return tree.child(top, addLabel(profile, '[no stack]'));
    const key = (at) => top * profile.ownStacks + at;
    const missing = [];
    let at = stack;
    while (at >= 0 && !nodes.has(key(at))) {
      missing.push(at);
      at = profile.parents[at];
    }
    let node = at < 0 ? top : nodes.get(key(at));
    while (missing.length) {
      const one = missing.pop();
      node = tree.child(node, profile.stackFrames[one]);
      nodes.set(key(one), node);
    }
    return node;
  };
  eachWeight(profile, weights, (stack, parts) => {
    if (!heading) tree.add(nodeOf(0, stack), parts);
    else for (const part of parts) tree.add(nodeOf(tree.child(0, heading(profile.group.thread[part.g])), stack), [part]);
  });
  return tree;
}

// The leaf first: what a function's time was spent for.
function reverseTree(profile, weights) {
  const tree = new Tree(profile);
  eachWeight(profile, weights, (stack, parts) => {
    let node = 0;
    if (stack < 0) node = tree.child(0, addLabel(profile, '[no stack]'));
    for (let at = stack; at >= 0; at = profile.parents[at]) node = tree.child(node, profile.stackFrames[at]);
    tree.add(node, parts);
  });
  return tree;
}

// Who called `frame`, and what it called: both trees have it as their root. A recursive function is taken where it was
// first entered, so that its time counts once.
function sandwich(profile, weights, frame) {
  const callers = new Tree(profile, frame);
  const callees = new Tree(profile, frame);
  eachWeight(profile, weights, (stack, parts) => {
    const frames = stackOf(profile, stack);
    const entry = frames.lastIndexOf(frame);
    if (entry < 0) return;
    let node = 0;
    for (let i = entry + 1; i < frames.length; i++) node = callers.child(node, frames[i]);
    callers.add(node, parts);
    node = 0;
    for (let i = entry - 1; i >= 0; i--) node = callees.child(node, frames[i]);
    callees.add(node, parts);
  });
  return { callers, callees };
}

// Self and total of each function, recursion counted once.
function functionsOf(profile, weights) {
  const { parents, stackFrames, ownStacks } = profile;
  if (!profile.recursive) {
    // Whether a caller of this frame is the same function. Such a row adds nothing to the function's total.
    profile.recursive = new Uint8Array(ownStacks);
    for (let stack = 0; stack < ownStacks; stack++) {
      for (let at = parents[stack]; at >= 0; at = parents[at]) {
        if (stackFrames[at] === stackFrames[stack]) {
          profile.recursive[stack] = 1;
          break;
        }
      }
    }
  }
  const total = { value: weights.value.slice(), samples: weights.samples.slice() };
  const found = new Map();
  for (let stack = ownStacks - 1; stack >= 0; stack--) {
    if (!(total.value[stack] > 0)) continue;
    const parent = parents[stack];
    if (parent >= 0) for (const column of Object.values(total)) column[parent] += column[stack];
    const frame = stackFrames[stack];
    let row = found.get(frame);
    if (!row) {
      row = { frame, self: { value: 0, samples: 0, error: 0 }, total: { value: 0, samples: 0, error: 0 } };
      found.set(frame, row);
    }
    for (const column of ['value', 'samples']) {
      row.self[column] += weights[column][stack];
      if (!profile.recursive[stack]) row.total[column] += total[column][stack];
    }
  }
  addErrors(profile, weights, found);
  return [...found.values()];
}

// Gives each function the errors of its sums.
function addErrors(profile, weights, found) {
  const { parents, stackFrames, ownStacks, recursive } = profile;
  const [self, total] = [new Map(), new Map()];
  const add = (estimates, frame, parts) => {
    if (!estimates.has(frame)) estimates.set(frame, new Estimate(profile, true));
    for (const part of parts) estimates.get(frame).add(part);
  };
  for (let stack = 0; stack < ownStacks; stack++) {
    const parts = weights.parts[stack]?.filter((part) => part.variance > 0 || part.estimated > 0);
    if (!parts?.length) continue;
    add(self, stackFrames[stack], parts);
    for (let at = stack; at >= 0; at = parents[at]) if (!recursive[at]) add(total, stackFrames[at], parts);
  }
  for (const [frame, row] of found) {
    row.self.error = self.get(frame)?.error ?? 0;
    row.total.error = total.get(frame)?.error ?? 0;
  }
}
