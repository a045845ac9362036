'use strict';
// The time axis: CPUs in use and threads waiting, estimated from samples (see lanes.js); a window can be selected.

class Timeline {
  // onWindow([first bucket, end) or null): a new window; onMove: the same window elsewhere; onZoom(): the axis shall cover only the window
  constructor(profile, canvas, { onWindow, onMove, onZoom }) {
    Object.assign(this, { profile, canvas, onWindow, onMove, onZoom, window: null, axis: [0, profile.buckets], lanes: [], drag: null });
    this.listen();
    new ResizeObserver(() => this.draw()).observe(canvas.parentElement);
  }

  // lanes: [{ name, unit, what: what time is of, values: in each bucket, color }]; axis: the buckets to draw, [first, end)
  show(lanes, window, axis) {
    const rated = lanes.map((lane) => ({ ...lane, rates: ratesOf(this.profile, lane) }));
    Object.assign(this, { lanes: rated, window, axis });
    this.draw();
  }

  bucketAt(event) {
    const place = (event.clientX - this.canvas.getBoundingClientRect().left - this.left) / (this.width - this.left) * this.span;
    return Math.max(this.axis[0], Math.min(this.axis[1], this.axis[0] + place));
  }

  listen() {
    const { canvas } = this;
    canvas.addEventListener('pointerdown', (event) => {
      if (event.button !== 0) return;
      this.drag = { from: this.bucketAt(event), moved: false, before: this.window };
    });
    canvas.addEventListener('pointermove', (event) => {
      if (!this.drag) this.hover(this.bucketAt(event), event);
    });
    // A drag goes on outside of the canvas.
    addEventListener('pointermove', (event) => {
      if (!this.drag) return;
      const at = this.bucketAt(event);
      const [from, to] = [Math.min(at, this.drag.from), Math.max(at, this.drag.from)];
      if (!this.drag.moved && (to - from) * (this.width - this.left) / this.span < 3) return;
      this.drag.moved = true;
      this.window = [Math.floor(from), Math.max(Math.ceil(to), Math.floor(from) + 1)];
      this.draw();
    });
    addEventListener('pointerup', () => {
      if (this.drag?.moved) this.onWindow(this.window);
      this.drag = null;
    });
    addEventListener('pointercancel', () => {
      if (!this.drag) return;
      this.window = this.drag.before;
      this.drag = null;
      this.draw();
    });
    canvas.addEventListener('mouseleave', () => tooltip.hide());
    canvas.addEventListener('dblclick', () => this.onWindow(null));
    canvas.addEventListener('keydown', (event) => this.key(event));
  }

  key(event) {
    if (event.key === 'Escape' && this.window) {
      event.stopPropagation();
      return this.onWindow(null);
    }
    if (event.key === 'z' && this.window) return this.onZoom();
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const [least, most] = this.axis;
    const stride = Math.max(1, Math.round((most - least) / 100)) * step;
    const tenth = Math.ceil((most - least) / 10);
    let [from, to] = this.window ?? (step > 0 ? [least, least + tenth] : [most - tenth, most]);
    if (event.shiftKey) to = Math.max(from + 1, Math.min(most, to + stride));
    else if (this.window) {
      const moved = step < 0 ? Math.min(0, Math.max(least - from, stride)) : Math.max(0, Math.min(most - to, stride));
      [from, to] = [from + moved, to + moved];
    }
    if (this.window) this.onMove([from, to]);
    else this.onWindow([from, to]);
  }

  hover(at, event) {
    const bucket = Math.min(this.axis[1] - 1, Math.floor(at));
    const step = this.profile.bucket_nanos;
    tooltip.show(event, [
      element('b', {}, `${seconds(timeOf(this.profile, bucket), step)} to ${seconds(timeOf(this.profile, bucket + 1), step)}`),
      ...this.lanes.map(({ name, unit, what, values, rates }) => element('div', {}, `${name}: ${amount(values[bucket], unit)}, about ${rate(rates[bucket], unit, what)} (estimated)`)),
      this.rateChanges().some((at) => Math.floor(at) === bucket) ? element('div', {}, 'the sampling rate changed here') : null,
    ]);
  }

  // The changes of the sampling rates, in buckets.
  rateChanges() {
    const { profile, axis: [from, to] } = this;
    const places = profile.meta.governing.changes.map((change) => (change.time - profile.axis_start) / profile.bucket_nanos);
    return places.filter((at) => at >= from && at <= to);
  }

  draw() {
    const { canvas, profile } = this;
    const width = this.width = canvas.clientWidth;
    if (!width) return;
    const lane = Math.max(16, Math.min(34, Math.round(120 / Math.max(this.lanes.length, 1))));
    const axis = 16;
    const height = this.lanes.length * (lane + 4) + axis;
    this.left = axisLeft(width);
    const ratio = devicePixelRatio || 1;
    canvas.style.height = `${height}px`;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    const pen = canvas.getContext('2d');
    pen.scale(ratio, ratio);
    pen.font = `11px ${themeColor('--sans')}`;
    const [ink, quiet, line, chosen] = ['--ink', '--quiet', '--line', '--chosen'].map(themeColor);
    const [first, end] = this.axis;
    // In buckets; the last one may reach past the end of the capture.
    this.span = Math.max((timeOf(profile, end) - timeOf(profile, first)) / profile.bucket_nanos, 1e-9);
    const x = (bucket) => this.left + Math.max(0, Math.min(1, (bucket - first) / this.span)) * (width - this.left);
    this.lanes.forEach(({ name, unit, what, rates, color }, index) => {
      const base = (index + 1) * (lane + 4) - 2;
      // Of what is shown.
      const peak = rates.slice(first, end).reduce((most, value) => Math.max(most, value), 0);
      pen.fillStyle = ink;
      pen.fillText(name, 0, base - lane + 11);
      pen.fillStyle = quiet;
      if (lane >= 28) pen.fillText(peak > 0 ? `max ~${rate(peak, unit, what)}` : 'none', 0, base - lane + 26);
      pen.fillStyle = themeColor(color);
      for (let bucket = first; bucket < end && peak > 0; bucket++) {
        const tall = rates[bucket] / peak * lane;
        pen.globalAlpha = this.window && (bucket < this.window[0] || bucket >= this.window[1]) ? 0.35 : 1;
        pen.fillRect(x(bucket), base - tall, x(bucket + 1) - x(bucket) + 0.3, tall);
      }
      pen.globalAlpha = 1;
      pen.fillStyle = line;
      pen.fillRect(this.left, base, width - this.left, 1);
    });
    this.ticks(pen, x, height, quiet, line);
    pen.fillStyle = quiet;
    for (const at of this.rateChanges()) for (let y = 0; y < height - axis; y += 4) pen.fillRect(x(at), y, 1, 2);
    if (this.window) {
      const [from, to] = this.window.map(x);
      pen.fillStyle = chosen;
      pen.globalAlpha = 0.12;
      pen.fillRect(from, 0, to - from, height - axis);
      pen.globalAlpha = 1;
      pen.fillRect(from, 0, 1.5, height - axis);
      pen.fillRect(to - 1.5, 0, 1.5, height - axis);
    }
  }

  ticks(pen, x, height, quiet, line) {
    const { profile, axis: [first, end] } = this;
    const [from, to] = [timeOf(profile, first), timeOf(profile, end)];
    const room = Math.max(2, Math.floor((this.width - this.left) / 90));
    const rough = Math.max(to - from, 1) / 1e9 / room;
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((factor) => factor * power).find((candidate) => candidate >= rough * (1 - 1e-9));
    for (let tick = Math.ceil(from / step / 1e9 - 1e-9); tick * step * 1e9 <= to * (1 + 1e-9); tick++) {
      const at = x((tick * step * 1e9 - profile.axis_start) / profile.bucket_nanos);
      const label = seconds(tick * step * 1e9, step * 1e9);
      pen.fillStyle = line;
      pen.fillRect(at, 0, 1, height - 12);
      pen.fillStyle = quiet;
      pen.fillText(label, Math.min(at + 3, this.width - pen.measureText(label).width), height - 3);
    }
  }
}

// The values of a lane for each nanosecond of their bucket. A short last bucket has no room for more time than there was, but a single
// value of another unit would be a peak there, so these are as if it were as long as the others.
function ratesOf(profile, { unit, values }) {
  return values.map((value, bucket) => value / (unit === 'nanoseconds' ? lengthOf(profile, bucket) : profile.bucket_nanos));
}

// Where an axis begins that is as wide as this, in pixels: before it are the names. On a wide screen these are the longest names
// of threads with their TIDs. As the columns of `.tracks` in style.css.
function axisLeft(width) {
  return width < 600 ? 74 : width < 1000 ? 128 : 176;
}
