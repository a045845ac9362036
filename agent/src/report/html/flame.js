'use strict';
// A flame graph on a canvas. Only what is wide enough to be seen is drawn, so its cost does not grow with the tree.

const ROW = 18;
const NARROWEST = 0.5;
// The narrowest match, in pixels, that is shown without a zoom.
const SMALLEST_MATCH = 4;

function themeColor(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

// Two neighbouring functions differ in lightness, so that they can be told apart without a line between them.
function shade(name) {
  let hash = 0;
  for (let i = 0; i < name.length; i++) hash = (hash * 31 + name.charCodeAt(i)) | 0;
  return (hash >>> 0) % 5;
}

class FlameGraph {
  // options: title, unit, upward, zoom: a path, onZoom(path), onStep(path): a zoom that a step through the matches made,
  // onSandwich(frame), selfInWords(node, self): what a node has itself
  constructor(profile, tree, options) {
    this.profile = profile;
    this.tree = tree;
    this.options = options;
    this.zoomed = tree.walk(options.zoom ?? []);
    this.focused = this.zoomed;
    this.match = null;
    this.matches = [];
    this.place = -1;
    this.crumbs = element('nav', { className: 'crumbs', 'aria-label': 'Zoomed into' });
    this.canvas = element('canvas', {
      tabIndex: 0,
      role: 'application',
      'aria-label': `${options.title}. Arrow keys move between frames, enter zooms, escape resets, c copies the name.`,
    });
    this.detail = element('p', { className: 'detail', 'aria-live': 'polite' });
    this.scroller = element('div', { className: 'scroller' }, this.canvas);
    this.foot = element('div', { className: 'foot' }, this.detail);
    this.node = element('div', { className: 'flame' }, this.crumbs, this.scroller, this.foot);
    this.listen();
    this.resizing = new ResizeObserver(() => this.draw());
    this.resizing.observe(this.scroller);
    this.show();
  }

  listen() {
    const at = (event) => this.hit(event.offsetX, event.offsetY);
    this.canvas.addEventListener('mousemove', (event) => this.hover(at(event), event));
    this.canvas.addEventListener('mouseleave', () => this.hover(-1));
    this.canvas.addEventListener('click', (event) => {
      const node = at(event);
      if (node >= 0) this.zoom(node);
    });
    this.canvas.addEventListener('keydown', (event) => this.key(event));
    this.canvas.addEventListener('focus', () => this.draw());
    this.canvas.addEventListener('blur', () => this.draw());
  }

  name(node) {
    const frame = this.tree.frame[node];
    return frame >= 0 ? this.profile.names[frame] : 'all';
  }

  zoom(node) {
    this.zoomed = this.focused = node;
    this.options.onZoom?.(this.tree.path(node));
    this.show();
  }

  // Whether there was something to undo.
  reset() {
    if (this.zoomed === 0) return false;
    this.zoom(0);
    return true;
  }

  // Marks what matches; nothing moves.
  search(match) {
    this.match = match;
    this.matches = match ? this.matching(match) : [];
    this.place = -1;
    this.draw();
  }

  // The nodes that match, from left to right.
  matching(match) {
    const { frame, start, depth } = this.tree;
    const found = [];
    for (let node = 1; node < frame.length; node++) if (match[frame[node]]) found.push(node);
    return found.sort((a, b) => start[a] - start[b] || depth[a] - depth[b]);
  }

  // Goes to the next match, or with -1 to the one before.
  step(direction) {
    const most = this.matches.length;
    if (!most) return;
    this.place = this.place < 0 && direction < 0 ? most - 1 : (this.place + direction + most) % most;
    const node = this.matches[this.place];
    this.focused = node;
    if (!this.inZoom(node) || this.span(node)[1] < SMALLEST_MATCH) {
      this.zoomed = this.roomFor(node);
      this.options.onStep?.(this.tree.path(this.zoomed));
    }
    this.show();
    this.scrollTo(node);
  }

  // The outermost ancestor in which a node is wide enough to be seen; the zoomed one if it is.
  roomFor(node) {
    const { value } = this.tree;
    let widest = node;
    for (let at = node; at >= 0; at = this.tree.parent[at]) {
      if (value[node] / value[at] * this.width >= SMALLEST_MATCH) widest = at;
    }
    return widest;
  }

  placeInWords() {
    if (!this.matches.length) return 'no match';
    return this.place < 0 ? counted(this.matches.length, 'match', 'matches') : `${count(this.place + 1)} of ${count(this.matches.length)}`;
  }

  show() {
    const parts = [];
    for (let at = this.zoomed; at > 0; at = this.tree.parent[at]) parts.unshift(at);
    const crumb = (node) => element('button', { textContent: shorten(this.name(node), 36), title: this.name(node), onclick: () => this.zoom(node) });
    const hidden = Math.max(0, parts.length - 6);
    const shown = [crumb(0), hidden ? `${counted(hidden, 'frame')} …` : '', ...parts.slice(hidden).map(crumb)];
    this.crumbs.replaceChildren(...parts.length ? shown : []);
    this.crumbs.hidden = parts.length === 0;
    this.describe(this.focused);
    this.draw();
  }

  describe(node) {
    const { tree, profile } = this;
    if (!(tree.value[0] > 0)) return this.detail.replaceChildren();
    const frame = tree.frame[node];
    const facts = [
      element('b', { title: this.name(node) }, shorten(this.name(node), 80)),
      frame >= 0 && profile.moduleOf[frame] ? ` ${profile.moduleOf[frame]} ` : ' ',
      `${estimate(tree.sum(node), this.options.unit)}, ${percent(tree.value[node], tree.value[0])} of ${amount(tree.value[0], this.options.unit)}, `,
      `${this.selfInWords(node)}, ${counted(tree.samples[node], 'sample')} `,
    ];
    if (frame >= 0) {
      facts.push(element('button', { textContent: 'Copy name', onclick: () => this.copy(node) }), ' ');
      if (this.options.onSandwich && node > 0 && profile.kinds[frame] !== LABEL) {
        facts.push(element('button', { textContent: 'Callers and callees', onclick: () => this.options.onSandwich(frame) }));
      }
    }
    this.detail.replaceChildren(...facts);
  }

  selfInWords(node) {
    const self = amount(this.tree.self[node], this.options.unit);
    return this.options.selfInWords?.(node, self) ?? `self ${self}`;
  }

  copy(node) {
    // The clipboard interface needs a secure origin, which a local file is not everywhere.
    const field = element('textarea', { value: this.name(node) });
    document.body.append(field);
    field.select();
    document.execCommand('copy');
    field.remove();
    this.canvas.focus({ preventScroll: true });
  }

  key(event) {
    const { tree } = this;
    const siblings = this.focused > 0 ? tree.childrenOf(tree.parent[this.focused]) : [];
    const place = siblings.indexOf(this.focused);
    const [inward, outward] = this.options.upward ? ['ArrowUp', 'ArrowDown'] : ['ArrowDown', 'ArrowUp'];
    let next = -1;
    if (event.key === inward) next = tree.childrenOf(this.focused)[0] ?? -1;
    else if (event.key === outward) next = tree.parent[this.focused];
    else if (event.key === 'ArrowLeft') next = siblings[place - 1] ?? -1;
    else if (event.key === 'ArrowRight') next = siblings[place + 1] ?? -1;
    else if (event.key === 'Enter') this.zoom(this.focused);
    else if (event.key === 'c' && !event.ctrlKey && !event.metaKey) this.copy(this.focused);
    else return;
    event.preventDefault();
    if (next < 0) return;
    this.focused = next;
    if (!this.inZoom(next)) this.zoom(next);
    this.describe(next);
    this.draw();
    this.scrollTo(next);
  }

  scrollTo(node) {
    const top = this.row(this.tree.depth[node]) - this.scroller.clientHeight / 2;
    if (Math.abs(top - this.scroller.scrollTop) > this.scroller.clientHeight / 2 - ROW) this.scroller.scrollTop = top;
  }

  // Whether a node is drawn, if it is wide enough: within the zoomed one, or on the way to it.
  inZoom(node) {
    const { parent, depth } = this.tree;
    let [inner, outer] = depth[node] < depth[this.zoomed] ? [this.zoomed, node] : [node, this.zoomed];
    while (depth[inner] > depth[outer]) inner = parent[inner];
    return inner === outer;
  }

  row(depth) {
    return this.options.upward ? this.height - (depth + 1) * ROW : depth * ROW;
  }

  // The pixels of a node; ancestors of the zoomed one fill the width.
  span(node) {
    const { start, value, depth } = this.tree;
    if (depth[node] <= depth[this.zoomed]) return [0, this.width];
    const scale = this.width / value[this.zoomed];
    return [(start[node] - start[this.zoomed]) * scale, value[node] * scale];
  }

  hit(x, y) {
    const { tree } = this;
    if (!(tree.value[0] > 0)) return -1;
    const depth = Math.floor((this.options.upward ? this.height - y : y) / ROW);
    let node = this.zoomed;
    while (tree.depth[node] > depth) node = tree.parent[node];
    while (node >= 0 && tree.depth[node] < depth) {
      node = tree.childrenOf(node).find((child) => {
        const [left, width] = this.span(child);
        return x >= left && x < left + width;
      }) ?? -1;
    }
    return node;
  }

  hover(node, event) {
    this.canvas.style.cursor = node >= 0 ? 'pointer' : 'default';
    if (node < 0) return tooltip.hide();
    const { tree, profile } = this;
    const frame = tree.frame[node];
    const sum = tree.sum(node);
    tooltip.show(event, [
      element('b', {}, this.name(node)),
      frame >= 0 && profile.kinds[frame] !== LABEL ? element('div', {}, `${profile.moduleOf[frame]} (${profile.kinds[frame] === KERNEL ? 'kernel' : 'user'})`) : null,
      element('div', {}, `${estimate(sum, this.options.unit)}, ${percent(sum.value, tree.value[0])}`),
      this.zoomed > 0 ? element('div', {}, `${percent(sum.value, tree.value[this.zoomed])} of ${shorten(this.name(this.zoomed), 80)}`) : null,
      element('div', {}, `${this.selfInWords(node)}, ${counted(sum.samples, 'sample')}`),
    ]);
  }

  // What is to be seen, from the root outward: calls visit(node, left, width).
  visible(visit) {
    const { tree } = this;
    const above = [];
    for (let at = this.zoomed; at >= 0; at = tree.parent[at]) above.unshift(at);
    for (const node of above) visit(node, 0, this.width);
    const open = [this.zoomed];
    while (open.length) {
      for (const child of tree.childrenOf(open.pop())) {
        const [left, width] = this.span(child);
        if (width < NARROWEST) continue;
        visit(child, left, width);
        open.push(child);
      }
    }
  }

  draw() {
    const { tree, canvas, profile } = this;
    this.width = this.scroller.clientWidth;
    if (!this.width || !(tree.value[0] > 0)) return;
    let deepest = 0;
    this.visible((node) => { deepest = Math.max(deepest, tree.depth[node]); });
    const before = this.height;
    this.height = (deepest + 1) * ROW;
    // Browsers draw nothing on a canvas of more than 16384 pixels.
    const ratio = Math.min(devicePixelRatio || 1, 16000 / this.height);
    canvas.style.height = `${this.height}px`;
    canvas.width = Math.round(this.width * ratio);
    canvas.height = Math.round(this.height * ratio);
    if (this.options.upward && before !== this.height) this.scroller.scrollTop = this.height;
    const pen = canvas.getContext('2d');
    pen.scale(ratio, ratio);
    pen.font = `12px ${themeColor('--mono')}`;
    pen.textBaseline = 'middle';
    const letter = pen.measureText('m').width;
    const palette = ['kernel', 'user', 'label'].map((kind) => [0, 1, 2, 3, 4].map((i) => themeColor(`--${kind}-${i}`)));
    const [ink, found, foundInk] = ['--frame-ink', '--found', '--found-ink'].map(themeColor);
    this.shades ??= new Map();
    this.visible((node, left, width) => {
      const top = this.row(tree.depth[node]);
      const frame = tree.frame[node];
      const name = this.name(node);
      const kind = frame >= 0 ? profile.kinds[frame] : LABEL;
      if (!this.shades.has(name)) this.shades.set(name, shade(name));
      const hit = this.match && frame >= 0 && this.match[frame];
      const above = tree.depth[node] < tree.depth[this.zoomed] ? 0.55 : 1;
      pen.globalAlpha = this.match && !hit ? 0.35 * above : above;
      pen.fillStyle = hit ? found : palette[kind][this.shades.get(name)];
      pen.fillRect(left, top, Math.max(width - (width > 2 ? 1 : 0), NARROWEST), ROW - 1);
      const room = Math.floor((width - 7) / letter);
      pen.globalAlpha = above;
      if (room >= 3) {
        pen.fillStyle = hit ? foundInk : ink;
        pen.fillText(shorten(name, room), left + 4, top + ROW / 2);
      }
      if (node === this.focused && (document.activeElement === canvas || node === this.matches[this.place])) {
        pen.globalAlpha = 1;
        pen.strokeStyle = themeColor('--ink');
        pen.lineWidth = 2;
        pen.strokeRect(left + 1, top + 1, Math.max(width - 3, 1), ROW - 3);
      }
    });
  }
}

const tooltip = {
  show(event, content) {
    this.node ??= document.body.appendChild(element('div', { id: 'tooltip' }));
    this.node.replaceChildren(...content.filter((part) => part));
    this.node.hidden = false;
    const { offsetWidth, offsetHeight } = this.node;
    this.node.style.left = `${Math.max(4, Math.min(event.clientX + 14, innerWidth - offsetWidth - 8))}px`;
    this.node.style.top = `${event.clientY + 18 + offsetHeight > innerHeight ? event.clientY - offsetHeight - 10 : event.clientY + 18}px`;
  },
  hide() {
    if (this.node) this.node.hidden = true;
  },
};
