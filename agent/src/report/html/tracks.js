'use strict';
// A track for each thread: when it ran, when it waited and for what, and when nothing is known of it. Only time that samples
// measured is drawn: an estimate has no place on the axis.

const MOST_TRACKS = 40;
const TRACK_HEIGHT = 16;

// The metrics of a track: running, and the waits of one probe, since those of several could overlap.
function trackMetrics(profile, probe) {
  const times = (one) => one.metrics.filter(({ unit, kind }) => unit === 'nanoseconds' && kind === 'interval');
  const runs = profile.metrics.filter(({ unit, kind }) => unit === 'nanoseconds' && kind === 'instant');
  const waiting = times(probe).length ? probe : profile.sampled.find((one) => times(one).length);
  return { runs, waits: waiting ? times(waiting) : [] };
}

// The threads of the selection, the busiest first: { pid, tid, name, key, run and wait: measured time }.
function rankTracks(profile, selection, { runs, waits }, test) {
  const tracks = new Map();
  const isRun = maskOf(profile, runs);
  const metrics = maskOf(profile, [...runs, ...waits]);
  // What was only counted is in no window, not even in that of the whole axis.
  const window = selection.window ?? [0, profile.buckets];
  eachGroup(profile, { ...selection, metrics, window }, (sum) => {
    const thread = profile.group.thread[sum.g];
    const [pid, tid, name] = profile.threads[thread];
    if (test && !test(name)) return;
    const key = threadKey(profile, thread);
    if (!tracks.has(key)) tracks.set(key, { pid, tid, name, run: 0, wait: 0, key });
    const track = tracks.get(key);
    track[isRun[profile.group.metric[sum.g]] ? 'run' : 'wait'] += sum.value - sum.estimated;
  });
  return [...tracks.values()].sort((a, b) => b.run - a.run || b.wait - a.wait || a.name.localeCompare(b.name) || a.tid - b.tid);
}

// Gives each track its `levels`: for each metric of `runs`, added up, and then for each of `waits`, the measured time in each bucket.
function measureTracks(profile, tracks, { runs, waits }) {
  const { group, row } = profile;
  const trackOf = new Map(tracks.map((track) => [track.key, track]));
  const ofThread = profile.threads.map((_, thread) => trackOf.get(threadKey(profile, thread)));
  const place = new Map([...runs.map(({ index }) => [index, 0]), ...waits.map(({ index }, at) => [index, at + 1])]);
  for (const track of tracks) track.steps = Array.from({ length: waits.length + 1 }, () => new Steps(profile));
  let at = 0;
  for (let g = 0; g < group.length; g++) {
    const begin = at;
    at = group.end[g];
    const steps = ofThread[group.thread[g]]?.steps[place.get(group.metric[g])];
    if (!steps) continue;
    for (let r = begin; r < at; r++) {
      const [start, end] = [row.start[r], row.end[r]];
      if (end > start) steps.add(start, end, Math.max(0, row.value[r] - row.estimated[r]));
    }
  }
  for (const track of tracks) {
    track.levels = track.steps.map((steps) => steps.finish());
    delete track.steps;
    fitTrack(profile, track.levels);
  }
}

// A thread does one thing at a time. A sample of running stands for the time before it, so what does not fit beside the waits of its
// bucket is of the bucket before.
function fitTrack(profile, [run, ...waits]) {
  let before = 0;
  for (let bucket = profile.buckets - 1; bucket >= 0; bucket--) {
    const length = lengthOf(profile, bucket);
    const waited = waits.reduce((sum, levels) => sum + levels[bucket], 0);
    if (waited > length) for (const levels of waits) levels[bucket] *= length / waited;
    const room = Math.max(0, length - waited);
    const ran = run[bucket] + before;
    run[bucket] = Math.min(room, ran);
    before = ran - run[bucket];
  }
}

// `page`: see `draw` in app.js; `axis`: the drawn part of the time axis, [first bucket, end).
function tracksView(profile, selection, probe, axis, { state, test, change }) {
  const metrics = trackMetrics(profile, probe);
  const tracks = rankTracks(profile, selection, metrics, test);
  if (!tracks.length) return { node: empty(test ? 'No thread of this selection matches the search.' : 'No thread in this selection was sampled.'), graphs: [] };
  const parts = [{ label: 'on CPU', color: '--run' }, ...metrics.waits.map(({ label }, at) => ({ label, color: `--wait-${at % 5}` }))]
    .slice(metrics.runs.length ? 0 : 1);
  const swatch = (color, text) => {
    const key = element('span', { className: 'key' }, text);
    key.style.setProperty('--swatch', `var(${color})`);
    return key;
  };
  const legend = element('p', { className: 'keys', id: 'tracks-key' }, parts.map(({ label, color }) => swatch(color, label)),
    element('span', { className: 'key unobserved' }, 'not observed: no sample covers this time, the thread may have run or waited'));
  const drawn = [];
  const list = element('ul', { className: 'tracks' });
  const append = () => {
    const next = tracks.slice(drawn.length, drawn.length + MOST_TRACKS);
    measureTracks(profile, next, metrics);
    const made = next.map((track) => new Track(profile, track, parts, metrics, axis, selection.window, state, change));
    drawn.push(...made);
    const rest = tracks.length - drawn.length;
    const more = element('li', {}, element('button', { id: 'more-tracks', onclick: () => {
      more.remove();
      append();
      for (const track of drawn) track.draw();
    } }, rest > MOST_TRACKS ? `${MOST_TRACKS} more of ${counted(rest, 'thread')}` : `${counted(rest, 'more thread')}`));
    list.append(...made.map(({ node }) => node), ...rest > 0 ? [more] : []);
  };
  append();
  const resizing = new ResizeObserver(() => drawn.forEach((track) => track.draw()));
  resizing.observe(list);
  // For the page, all tracks are one graph.
  const graph = { resizing, draw: () => drawn.forEach((track) => track.draw()), reset: () => false };
  return { node: element('div', { className: 'tracksbox' }, legend, list), graphs: [graph] };
}

class Track {
  constructor(profile, track, parts, { runs }, axis, window, state, change) {
    // Without a metric of running, its empty level is not drawn.
    Object.assign(this, { profile, track, parts, axis, window, levels: runs.length ? track.levels : track.levels.slice(1) });
    const token = `tid:${track.tid}`;
    const isChosen = state.threads.length === 1 && state.threads[0] === token;
    this.canvas = element('canvas', { role: 'img', 'aria-label': this.inWords() });
    this.node = element('li', {}, element('button', {
      className: 'link',
      title: `${track.name}, PID ${track.pid}, TID ${track.tid}: ${this.inWords()}`,
      'aria-pressed': String(isChosen),
      onclick: () => change({ threads: isChosen ? [] : [token] }),
    }, `${track.name} `, element('span', { className: 'quiet' }, String(track.tid))), this.canvas);
    this.canvas.addEventListener('mousemove', (event) => this.hover(event));
    this.canvas.addEventListener('mouseleave', () => tooltip.hide());
  }

  // What is known of the buckets [from, to), and of how much time nothing is.
  sums(from, to) {
    const of = (levels) => levels.subarray(from, to).reduce((sum, value) => sum + value, 0);
    const known = this.levels.map(of);
    const whole = timeOf(this.profile, to) - timeOf(this.profile, from);
    return { known, unobserved: Math.max(0, whole - known.reduce((sum, value) => sum + value, 0)) };
  }

  inWords(from = this.axis[0], to = this.axis[1]) {
    const { known, unobserved } = this.sums(from, to);
    return [...this.parts.map(({ label }, index) => `${label} ${nanos(known[index])}`), `not observed ${nanos(unobserved)}`].join(', ');
  }

  hover(event) {
    const [from, to] = this.axis;
    const bucket = Math.min(to - 1, from + Math.floor(event.offsetX / this.canvas.clientWidth * this.span()));
    const width = this.profile.bucket_nanos;
    tooltip.show(event, [
      element('b', {}, `${this.track.name} ${this.track.tid}`),
      element('div', {}, `${seconds(timeOf(this.profile, bucket), width)} to ${seconds(timeOf(this.profile, bucket + 1), width)}`),
      element('div', {}, this.inWords(bucket, bucket + 1)),
    ]);
  }

  // The length of the axis in buckets; the last one may be a part of one.
  span() {
    const [from, to] = this.axis;
    return (timeOf(this.profile, to) - timeOf(this.profile, from)) / this.profile.bucket_nanos;
  }

  draw() {
    const { canvas, profile } = this;
    const width = canvas.clientWidth;
    if (!width) return;
    const ratio = devicePixelRatio || 1;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(TRACK_HEIGHT * ratio);
    const pen = canvas.getContext('2d');
    pen.scale(ratio, ratio);
    hatch(pen, width);
    const [from, to] = this.axis;
    const scale = width / this.span();
    const colors = this.parts.map(({ color }) => themeColor(color));
    const page = themeColor('--page');
    for (let bucket = from; bucket < to; bucket++) {
      const isOutside = this.window && (bucket < this.window[0] || bucket >= this.window[1]);
      const length = lengthOf(profile, bucket);
      let base = TRACK_HEIGHT;
      this.levels.forEach((levels, index) => {
        const tall = levels[bucket] / length * TRACK_HEIGHT;
        if (!(tall > 0)) return;
        base -= tall;
        const [left, right] = [bucket - from, bucket - from + 1].map((place) => Math.round(place * scale * ratio) / ratio);
        // What is outside of the window is paler, but nothing shows through.
        for (const [color, alpha] of [[page, 1], [colors[index], isOutside ? 0.35 : 1]]) {
          pen.globalAlpha = alpha;
          pen.fillStyle = color;
          pen.fillRect(left, base, Math.max(right - left, 1 / ratio), tall);
        }
      });
    }
  }
}

// Thin diagonal lines: not a colour of anything.
function hatch(pen, width) {
  pen.strokeStyle = themeColor('--line');
  pen.lineWidth = 1;
  pen.beginPath();
  for (let x = -TRACK_HEIGHT; x < width; x += 6) {
    pen.moveTo(x, TRACK_HEIGHT);
    pen.lineTo(x + TRACK_HEIGHT, 0);
  }
  pen.stroke();
}
