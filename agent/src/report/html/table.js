'use strict';
// A table that sorts by any of its columns.

const MOST_ROWS = 500;
// Where the reader was in each table.
const places = {};

function columnKey({ group, name }) {
  return group ? `${group}/${name}` : name;
}

function compareBy({ key, text }, down) {
  const sign = down ? -1 : 1;
  return text ? (a, b) => sign * key(a).localeCompare(key(b)) : (a, b) => sign * (key(a) - key(b));
}

// columns: [{ group, name, cell(row) -> text or node, key(row) -> number or text, text: whether it is text, doc,
//   fit: whether the text is shortened to the width of its column, title(row), className }]
// options: id, caption, sort (column index), sorting: { column, down } or undefined, onSort(sorting), ties: [column indices] that order
//   equal rows, onRow(row), selected(row), groups: [[heading, columns]], what: 'functions'
function sortedTable(columns, rows, options) {
  const place = places[options.id] ??= { scroll: 0, focus: false };
  const given = columns.findIndex((column) => columnKey(column) === options.sorting?.column);
  let by = given >= 0 ? given : options.sort;
  let down = given >= 0 ? options.sorting.down : !columns[by].text;
  const head = element('tr');
  const body = element('tbody');
  const more = element('p', { className: 'note' });
  const choose = (row) => {
    place.focus = true;
    options.onRow(row);
  };
  const sortBy = (index) => {
    down = index === by ? !down : !columns[index].text;
    by = index;
    options.onSort({ column: columnKey(columns[by]), down });
    show();
  };
  const heading = (column, index) => element('th', {
    scope: 'col',
    className: [column.text ? 'text' : '', column.className ?? ''].join(' ').trim(),
    'aria-sort': index === by ? (down ? 'descending' : 'ascending') : 'none',
  }, element('button', { title: column.doc ?? '', onclick: () => sortBy(index) },
    column.name, index === by ? element('span', { className: 'arrow', 'aria-hidden': 'true' }, down ? ' ▾' : ' ▴') : null));

  let fitted = [];
  const lineOf = (row) => {
    const line = element('tr', { 'aria-selected': String(Boolean(options.selected?.(row))) }, columns.map((column, index) => {
      const content = column.cell(row);
      const pick = (event) => {
        event.stopPropagation();
        choose(row);
      };
      const shown = index === 0 && options.onRow ? element('button', { className: 'link', onclick: pick }, content) : content;
      const title = column.title?.(row) ?? (column.text && typeof content === 'string' ? content : '');
      const cell = element('td', { className: [column.text ? 'text' : '', column.className ?? ''].join(' ').trim(), title }, shown);
      if (column.fit) fitted.push({ index, node: shown instanceof Node ? shown : cell, content });
      return cell;
    }));
    if (options.onRow) line.addEventListener('click', () => choose(row));
    return line;
  };
  const show = () => {
    const orders = [compareBy(columns[by], down), ...(options.ties ?? []).map((index) => compareBy(columns[index], !columns[index].text))];
    const sorted = rows.slice().sort((a, b) => orders.reduce((order, compare) => order || compare(a, b), 0));
    head.replaceChildren(...columns.map(heading));
    fitted = [];
    body.replaceChildren(...sorted.slice(0, MOST_ROWS).map(lineOf));
    more.textContent = rows.length > MOST_ROWS ? `The first ${count(MOST_ROWS)} of ${counted(rows.length, options.what)}. Search to narrow.` : '';
    fit();
  };
  // The width of these columns does not depend on their text.
  const fit = () => {
    for (const index of new Set(fitted.map((one) => one.index))) {
      const width = head.children[index]?.clientWidth ?? 0;
      if (!width) continue;
      const cells = fitted.filter((one) => one.index === index);
      const forms = distinctForms(cells.map(({ content }) => content), Math.max(8, Math.floor((width - 22) / letterWidth())));
      cells.forEach(({ node }, row) => { node.textContent = forms[row]; });
    }
  };
  show();
  const groupHeading = ([text, span]) => element('th', { colSpan: span, scope: 'colgroup', className: 'group' }, text);
  const above = options.groups && element('tr', {}, options.groups.map(groupHeading));
  const box = element('div', { className: 'tablebox', onscroll: () => { place.scroll = box.scrollTop; } },
    element('table', {}, options.caption ? element('caption', {}, options.caption) : null, element('thead', {}, above, head), body), more);
  new ResizeObserver(fit).observe(box);
  // A choice draws the page anew; the reader stays where they were. Once the caller has put the table in its place:
  queueMicrotask(() => {
    fit();
    box.scrollTop = place.scroll;
    if (place.focus) body.querySelector('[aria-selected="true"] button')?.focus({ preventScroll: true });
    place.focus = false;
  });
  return box;
}

// The mean width of a letter of a table, in pixels.
function letterWidth() {
  if (!letterWidth.known) {
    const pen = element('canvas').getContext('2d');
    pen.font = `13px ${themeColor('--sans')}`;
    const letters = 'abcdefghijklmnopqrstuvwxyz_::<>MT';
    letterWidth.known = pen.measureText(letters).width / letters.length;
  }
  return letterWidth.known;
}
