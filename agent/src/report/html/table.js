'use strict';
// A table that sorts by any of its columns.

const MOST_ROWS = 500;
const tables = {};

// columns: [{ group, name, cell(row) -> text or node, key(row) -> number or text, text: whether it is text, doc }]
// options: id, under which the reader's sorting is kept; caption, sort (column index), onRow(row), selected(row), groups: [[heading, columns]], what: 'functions'
function sortedTable(columns, rows, options) {
  const kept = tables[options.id] ??= { scroll: 0 };
  const known = columns.findIndex((column) => `${column.group ?? ''}${column.name}` === kept.name);
  let by = known >= 0 ? known : options.sort;
  let down = known >= 0 ? kept.down : !columns[by].text;
  const head = element('tr');
  const body = element('tbody');
  const more = element('p', { className: 'note' });
  const choose = (row) => {
    kept.focus = true;
    options.onRow(row);
  };

  const show = () => {
    const { key, text } = columns[by];
    const sign = down ? -1 : 1;
    const sorted = rows.slice().sort((a, b) => sign * (text ? key(a).localeCompare(key(b)) : key(a) - key(b)));
    head.replaceChildren(...columns.map((column, index) => element('th', {
      scope: 'col',
      className: column.text ? 'text' : '',
      'aria-sort': index === by ? (down ? 'descending' : 'ascending') : 'none',
    }, element('button', {
      title: column.doc ?? '',
      onclick: () => {
        down = index === by ? !down : !column.text;
        by = index;
        Object.assign(kept, { name: `${column.group ?? ''}${column.name}`, down });
        show();
      },
    }, column.name, index === by ? element('span', { className: 'arrow', 'aria-hidden': 'true' }, down ? ' ▾' : ' ▴') : null))));
    body.replaceChildren(...sorted.slice(0, MOST_ROWS).map((row) => {
      const line = element('tr', { 'aria-selected': String(Boolean(options.selected?.(row))) }, columns.map((column, index) => {
        const content = column.cell(row);
        const pick = (event) => {
          event.stopPropagation();
          choose(row);
        };
        const shown = index === 0 && options.onRow ? element('button', { className: 'link', onclick: pick }, content) : content;
        return element('td', { className: column.text ? 'text' : '', title: column.text && typeof content === 'string' ? content : '' }, shown);
      }));
      if (options.onRow) line.addEventListener('click', () => choose(row));
      return line;
    }));
    more.textContent = rows.length > MOST_ROWS ? `The first ${count(MOST_ROWS)} of ${counted(rows.length, options.what)}. Search to narrow.` : '';
  };
  show();
  const heading = ([text, span]) => element('th', { colSpan: span, scope: 'colgroup', className: 'group' }, text);
  const above = options.groups && element('tr', {}, options.groups.map(heading));
  const box = element('div', { className: 'tablebox', onscroll: () => { kept.scroll = box.scrollTop; } },
    element('table', {}, options.caption ? element('caption', {}, options.caption) : null, element('thead', {}, above, head), body), more);
  // A choice draws the page anew; the reader stays where they were. Once the caller has put the table in its place:
  queueMicrotask(() => {
    box.scrollTop = kept.scroll;
    if (kept.focus) body.querySelector('[aria-selected="true"] button')?.focus({ preventScroll: true });
    kept.focus = false;
  });
  return box;
}
