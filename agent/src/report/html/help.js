'use strict';
// The help: keys, and what can be clicked.

const HELP = [
  ['Keys', [
    ['?', 'show this help; Esc closes it'],
    ['/', 'search for a name or a regular expression'],
    ['Enter, Shift+Enter', 'in the search field: next and previous match'],
    ['n, N', 'next and previous match'],
    ['Esc', 'reset search, zoom, time axis, window and threads, one at a time'],
    ['Browser Back', 'undo the last step'],
  ]],
  ['Time axis', [
    ['Drag', 'select a window; all views show only this window'],
    ['Zoom in', 'beside the selected window, or z: the axis covers only the window'],
    ['Double click', 'clear the window'],
    ['← →', 'move the window; with Shift, move only its end'],
  ]],
  ['Flame graph', [
    ['Click', 'zoom into a frame; the path above the graph leads back'],
    ['Arrow keys, Enter', 'move between frames, zoom into one'],
    ['c', 'copy the name'],
    ['Callers and callees', 'below the graph: show them for the selected frame'],
  ]],
  ['Other views', [
    ['Column heading', 'sort by this column; again: in reverse order'],
    ['Functions: row', 'show the callers and callees of the function'],
    ['Threads: row', 'show only these threads in all views; again: show all'],
    ['Timeline: name', 'show only this thread in all views; again: show all'],
    ['Wake chains: row', 'show the complete stacks of this chain'],
    ['On-CPU, Off-CPU', 'choose the probe, and beside it the metrics that are added up'],
    ['×', 'clear this part of the selection'],
  ]],
];

const help = {
  get isOpen() {
    return Boolean(this.node?.open);
  },
  show() {
    this.node ??= document.body.appendChild(this.make());
    if (!this.isOpen) this.node.showModal();
  },
  hide() {
    this.node?.close();
  },
  make() {
    const sections = HELP.map(([title, entries]) => element('section', {}, element('h3', {}, title),
      element('dl', {}, entries.flatMap(([what, text]) => [element('dt', {}, what), element('dd', {}, text)]))));
    const dialog = element('dialog', { id: 'help', 'aria-label': 'Help' },
      element('button', { className: 'close', onclick: () => this.hide() }, 'Close'), element('h2', {}, 'Help'), element('div', { className: 'columns' }, sections));
    // A click beside the text is a click on the dialog itself.
    dialog.addEventListener('click', ({ target }) => { if (target === dialog) this.hide(); });
    return dialog;
  },
};
