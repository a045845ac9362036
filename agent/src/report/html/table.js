'use strict';
// A table that sorts by any of its columns.

const MOST_ROWS = 500;

// columns: [{ name, cell(row) -> text or node, key(row) -> number or text, text: whether it is text, doc }]
// options: caption, sort (column index), onRow(row), selected(row), groups: [[heading, columns]], what: 'functions'
function sortedTable(columns, rows, options) {
  let by = options.sort;
  let down = !columns[by].text;
  const head = element('tr');
  const body = element('tbody');
  const more = element('p', { className: 'note' });
  const choose = (row) => options.onRow?.(row);

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
        show();
      },
    }, column.name, element('span', { className: 'arrow', 'aria-hidden': 'true' }, index === by ? (down ? '▾' : '▴') : '')))));
    body.replaceChildren(...sorted.slice(0, MOST_ROWS).map((row) => {
      const line = element('tr', { 'aria-selected': String(Boolean(options.selected?.(row))) }, columns.map((column, index) => {
        const content = column.cell(row);
        const shown = index === 0 && options.onRow ? element('button', { className: 'link', onclick: (event) => { event.stopPropagation(); choose(row); } }, content) : content;
        return element('td', { className: column.text ? 'text' : '', title: column.text && typeof content === 'string' ? content : '' }, shown);
      }));
      if (options.onRow) line.addEventListener('click', () => choose(row));
      return line;
    }));
    more.textContent = rows.length > MOST_ROWS ? `The first ${count(MOST_ROWS)} of ${counted(rows.length, options.what)}. Search to narrow.` : '';
  };
  show();
  const above = options.groups && element('tr', {}, options.groups.map(([heading, span]) => element('th', { colSpan: span, scope: 'colgroup', className: 'group' }, heading)));
  return element('div', { className: 'tablebox' },
    element('table', {}, options.caption ? element('caption', {}, options.caption) : null, element('thead', {}, above, head), body), more);
}
