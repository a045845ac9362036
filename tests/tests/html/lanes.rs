//! The values that the time axis draws.

use quell::profile::{Selection, build};
use quell::recording::example::{CPU, Example};
use quell::units::Nanos;
use quell_tests::needs;

use crate::browser::Browser;
use crate::fixture::{SECOND, meta, profile};

/// Random samples, of which each represents others that were not sampled: nothing on the time axis is more than possible, and no time
/// is lost as long as there is room.
#[test]
fn no_bucket_of_the_time_axis_has_more_than_there_was() {
    needs!(Program("chromium"));
    let check = "
        let seed = 1;
        const random = () => {
          seed ^= seed << 13;
          seed ^= seed >>> 17;
          seed ^= seed << 5;
          return (seed >>> 0) / 2 ** 32;
        };
        const [width, duration, cpus] = [100, 1930, 2];
        const room = (bucket) => Math.min(width, duration - bucket * width);
        const near = (a, b) => Math.abs(a - b) <= 1e-6 * Math.max(1, b);
        const fail = (...facts) => { document.getElementById('problems').textContent += `${JSON.stringify(facts)}; `; };
        for (let round = 0; round < 300; round++) {
          const kind = round % 2 ? 'interval' : 'instant';
          const axis = round % 3 * 950;
          const count = 1 + Math.floor(random() * 6);
          const rows = [];
          const totals = [];
          const ends = [];
          for (let thread = 0; thread < count; thread++) {
            totals.push(0);
            let at = random() * duration / 2;
            for (;;) {
              const length = kind === 'interval' ? 1 + random() ** 4 * 600 : 0;
              if (at + length > duration) break;
              const measured = kind === 'interval' ? length : 10 * random();
              const value = measured / (0.05 + random());
              const start = kind === 'interval' ? at : Math.floor(at / width) * width;
              const end = kind === 'interval' ? at + length : start + room(Math.floor(at / width));
              rows.push({ start: axis + start, end: axis + end, value, estimated: value - measured });
              totals[thread] += value;
              at += length + random() ** 4 * 200;
            }
            if (random() < 0.3) {
              rows.push({ start: 0, end: 0, value: 50, estimated: 0 });
              totals[thread] += 50;
            }
            ends.push(rows.length);
          }
          const column = (name) => rows.map((row) => row[name]);
          const numbers = totals.map((_, thread) => thread);
          const profile = {
            buckets: 20, bucket_nanos: width, axis_start: axis, axis_end: axis + duration, meta: { cpus: '0,3' }, metrics: [{ index: 0, unit: 'nanoseconds', kind }],
            threads: numbers.map((thread) => [1, thread, 'a', 0, 0, 0]),
            group: { length: count, thread: numbers, metric: numbers.map(() => 0), idle: numbers.map(() => 0), end: ends },
            row: { start: column('start'), end: column('end'), value: column('value'), estimated: column('estimated') },
          };
          const lanes = (threads) => [...overTime(profile, [1], threads, 'all')];
          const sum = (values) => values.reduce((a, b) => a + b, 0);
          for (const thread of numbers) {
            const values = lanes(numbers.map((other) => other === thread ? 1 : 0));
            values.forEach((value, bucket) => { if (value > room(bucket) * (1 + 1e-9)) fail(kind, thread, bucket, value); });
            const most = Math.min(totals[thread], duration);
            if (!near(sum(values), most)) fail(kind, thread, sum(values), most);
          }
          const most = kind === 'interval' ? Infinity : cpus;
          const values = lanes(null);
          values.forEach((value, bucket) => { if (value > room(bucket) * Math.min(count, most) * (1 + 1e-9)) fail(kind, bucket, value); });
          const whole = Math.min(sum(totals.map((total) => Math.min(total, duration))), most * duration);
          if (!near(sum(values), whole)) fail(kind, sum(values), whole);
        }
        document.getElementById('losses').textContent = `${seed}`;";
    let checked = Browser::new(&profile()).open_and("", check);
    assert!(checked.text("losses").parse::<i64>().is_ok(), "the check has run: {}", checked.text("losses"));
}

#[test]
fn what_a_sample_represents_is_spread_over_the_time_around_it() {
    needs!(Program("chromium"));
    let mut example = Example::new();
    example.recording.meta = meta();
    let thread = example.thread(7, 71, "worker");
    let stack = example.stack("app main");
    // It represents 400 ms.
    let sample = example.sample(CPU, thread, stack, SECOND / 50);
    (sample.time, sample.probability) = (Nanos(SECOND), 0.05);
    let browser = Browser::new(&build(&example.recording, &Selection::default()));
    // The axis begins 128 pixels from the left.
    let at = |part: f64| {
        let hover = format!(
            "const line = document.getElementById('timeline');
            mouse(line, 'pointermove', 128 + {part} * (line.clientWidth - 128), 20);"
        );
        browser.open_and("", &hover).text("tooltip")
    };
    for (part, told) in
        [(0.26, "about 1.00 CPUs"), (0.29, "about 1.00 CPUs"), (0.21, "about 1.00 CPUs"), (0.4, "about 0.00 CPUs")]
    {
        assert!(at(part).contains(told), "{part}: {}", at(part));
    }
}
