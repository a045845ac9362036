'use strict';
// Distributions that were counted, not sampled: of a metric, over everything and by CPU, cgroup or thread.

const BAR_CHART = { height: 240, left: 64, bottom: 22, top: 12 };

// The lowest value of a bar: four for each power of two (see histograms.rs).
function barLow(number) {
  return number === 0 ? 0 : 2 ** Math.floor((number - 1) / 4) * (1 + (number - 1) % 4 / 4);
}

// Where a value lies among the bars.
function barPlace(value) {
  if (value < 1) return value;
  const power = Math.floor(Math.log2(value));
  return 1 + 4 * power + 4 * (value / 2 ** power - 1);
}

// `page`: see `draw` in app.js.
function histogramsView(profile, { state, test: match, change, onSort }) {
  const { histograms } = profile;
  if (!histograms.length) return { node: empty('No histogram in this selection.'), graphs: [] };
  const metricOf = (histogram) => profile.metrics[histogram.metric];
  const shown = histograms.find((histogram) => metricOf(histogram).name === state.histogram) ?? histograms[0];
  const { unit } = metricOf(shown);
  const all = { ...shown.total, isAll: true };
  const rows = [all, ...shown.scopes];
  const chosen = shown.scopes.find(({ name }) => name === state.scope) ?? all;
  const choice = element('div', { className: 'choice', role: 'group', 'aria-label': 'Metric' }, histograms.map((histogram) => element('button', {
    textContent: fullLabel(profile, metricOf(histogram)),
    'aria-pressed': String(histogram === shown),
    onclick: () => change({ histogram: metricOf(histogram).name, scope: null }),
  })));
  const quantile = (name, index) => ({ name, key: (row) => row.quantiles[index], cell: (row) => amount(row.quantiles[index], unit) });
  const columns = [
    { name: 'Scope', text: true, key: ({ name }) => name, cell: ({ name }) => name },
    { name: 'Events', doc: 'number of events in the whole capture, counted in the kernel', key: (row) => row.count, cell: (row) => count(row.count) },
    quantile('p50', 0), quantile('p90', 1), quantile('p99', 2), quantile('p99.9', 3),
    { name: 'Max', key: (row) => row.max, cell: (row) => amount(row.max, unit) },
  ];
  const table = sortedTable(columns, rows.filter((row) => row.isAll || !match || match(row.name)), {
    id: 'histograms',
    sort: 4,
    sorting: state.sorting.histograms,
    onSort: onSort('histograms'),
    ties: [1, 0],
    what: 'scope',
    caption: [
      'Counted in the kernel over the whole capture, regardless of the selected window.',
      shown.left_out ? `${counted(shown.left_out, 'scope')} with a lower p99 ${shown.left_out === 1 ? 'is' : 'are'} not listed.` : '',
    ].filter(Boolean).join(' '),
    selected: (row) => row === chosen,
    onRow: (row) => change({ histogram: metricOf(shown).name, scope: row.isAll ? null : row.name }),
  });
  const chart = new BarChart(chosen, shown.total, unit);
  const title = `${fullLabel(profile, metricOf(shown))}: ${chosen.isAll ? 'all' : chosen.name}, ${counted(chosen.count, 'event')}`;
  const node = element('div', { className: 'histograms' }, choice, element('h2', { id: 'histogram' }, title), chart.node, table);
  return { node, graphs: [chart] };
}

// Values on a logarithmic axis, and on another how many events had each.
class BarChart {
  // `whole` is drawn behind, so that scopes can be compared.
  constructor(shown, whole, unit) {
    Object.assign(this, { shown, whole, unit });
    const told = `median ${amount(shown.quantiles[0], unit)}, 99th percentile ${amount(shown.quantiles[2], unit)}, largest ${amount(shown.max, unit)}`;
    this.canvas = element('canvas', { role: 'img', 'aria-label': `Distribution: ${told}` });
    this.node = element('div', { className: 'bars' }, this.canvas);
    this.first = Math.max(0, Math.min(...whole.bars.map(([number]) => number)) - 1);
    this.end = Math.max(...whole.bars.map(([number]) => number)) + 2;
    this.most = Math.max(...whole.bars.map(([, events]) => events));
    this.canvas.addEventListener('mousemove', (event) => this.hover(event));
    this.canvas.addEventListener('mouseleave', () => tooltip.hide());
    this.resizing = new ResizeObserver(() => this.draw());
    this.resizing.observe(this.node);
  }

  // Nothing to take back, as in a flame graph.
  reset() {
    return false;
  }

  x(place) {
    return BAR_CHART.left + (place - this.first) / (this.end - this.first) * (this.width - BAR_CHART.left);
  }

  // One event is a little above the axis.
  y(events) {
    const { height, bottom, top } = BAR_CHART;
    const share = events > 0 ? (Math.log10(events) + 0.3) / (Math.log10(Math.max(this.most, 1)) + 0.3) : 0;
    return height - bottom - share * (height - bottom - top);
  }

  hover(event) {
    const place = this.first + (event.offsetX - BAR_CHART.left) / (this.width - BAR_CHART.left) * (this.end - this.first);
    const number = Math.floor(place);
    if (place < this.first) return tooltip.hide();
    const of = (bars) => bars.find(([bar]) => bar === number)?.[1] ?? 0;
    const below = this.shown.bars.reduce((sum, [bar, events]) => bar <= number ? sum + events : sum, 0);
    tooltip.show(event, [
      element('b', {}, `${amount(barLow(number), this.unit)} to ${amount(barLow(number + 1), this.unit)}`),
      element('div', {}, `${counted(of(this.shown.bars), 'event')}, ${percent(of(this.shown.bars), this.shown.count)}`),
      element('div', {}, `${percent(below, this.shown.count)} up to here`),
    ]);
  }

  draw() {
    this.width = this.node.clientWidth;
    if (!this.width) return;
    const { height, left, bottom, top } = BAR_CHART;
    const ratio = devicePixelRatio || 1;
    this.canvas.style.height = `${height}px`;
    this.canvas.width = Math.round(this.width * ratio);
    this.canvas.height = Math.round(height * ratio);
    const pen = this.canvas.getContext('2d');
    pen.scale(ratio, ratio);
    pen.font = `11px ${themeColor('--sans')}`;
    const [ink, quiet, line] = ['--ink', '--quiet', '--line'].map(themeColor);
    this.axes(pen, quiet, line);
    for (const [bars, color] of [[this.whole.bars, '--label-2'], [this.shown.bars, '--lane-1']]) {
      pen.fillStyle = themeColor(color);
      for (const [number, events] of bars) {
        pen.fillRect(this.x(number), this.y(events), Math.max(1, this.x(number + 1) - this.x(number) - 1), height - bottom - this.y(events));
      }
    }
    // Those that lie close together are told in one place.
    let last = -Infinity;
    for (const [index, name] of [[0, 'p50'], [1, 'p90'], [2, 'p99'], [3, 'p99.9']]) {
      const at = this.x(barPlace(this.shown.quantiles[index]));
      pen.fillStyle = ink;
      pen.fillRect(at, top, 1, height - bottom - top);
      if (at - last > 34) pen.fillText(name, Math.min(at + 3, this.width - 32), top + 8);
      last = at;
    }
    pen.fillStyle = line;
    pen.fillRect(left, height - bottom, this.width - left, 1);
  }

  // Powers of ten on both.
  axes(pen, quiet, line) {
    const { height, left, bottom, top } = BAR_CHART;
    for (let events = 1; events <= this.most; events *= 10) {
      pen.fillStyle = line;
      pen.fillRect(left, this.y(events), this.width - left, 1);
      pen.fillStyle = quiet;
      const label = events < 1e6 ? count(events) : `${events / 1e6} M`;
      pen.fillText(label, left - 6 - pen.measureText(label).width, this.y(events) + 4);
    }
    for (let value = 1; barPlace(value) < this.end; value *= 10) {
      const at = this.x(barPlace(value));
      if (at < left) continue;
      pen.fillStyle = line;
      pen.fillRect(at, top, 1, height - bottom - top);
      pen.fillStyle = quiet;
      const label = amount(value, this.unit);
      pen.fillText(label, Math.min(at + 3, this.width - pen.measureText(label).width), height - 6);
    }
  }
}
