//! A flame graph as SVG, drawn by inferno. Widths are values of one unit. If a profile has several metrics, each is a root. Idle threads
//! are left out as in the page.
//!
//! inferno takes lines of folded stacks, in which blanks, semicolons and numbers have a meaning. So the characters of names that
//! have one are replaced before, and put back in the picture: no name can be misread. [`Lines`] describes this.

use std::collections::BTreeMap;
use std::io::Write;

use inferno::flamegraph::color::{BackgroundColor, Color, PaletteMap};
use inferno::flamegraph::{Options, TextTruncateDirection, from_lines};

use super::folding::FoldedIdle;
use super::series::{Series, series};
use super::sums::{StackSum, caveats, drawn_by_stack, metric_label, mixes_metrics, stacks, sum_of_stacks, whole};
use super::{ReportError, Sink};
use crate::profile::{FrameKind, Profile, Weighted};
use crate::recording::{MetricId, Unit};
use crate::text;
use crate::units::Bytes;

/// The maximum size of the stacks in a flame graph, in bytes: it is drawn in memory, and browsers cannot open larger ones.
const MOST: Bytes = Bytes(256 << 20);

/// The colours of kernel functions, user functions and labels, from `html/style.css`: a function has the same colour in the page.
const KERNEL: [u32; 5] = [0x8f_b8de, 0x9b_c1e3, 0x83_b0d9, 0xa6_c9e7, 0x93_bce6];
const USER: [u32; 5] = [0xf2_b36b, 0xf5_bd7d, 0xec_a95c, 0xf7_c68e, 0xf0_b877];
const LABEL: [u32; 5] = [0xd3_d6d9, 0xd9_dcdf, 0xcd_d1d5, 0xdd_e0e2, 0xd6_d9dc];

/// Writes a flame graph.
pub(super) struct Svg;

impl Sink for Svg {
    fn write(&self, profile: &Profile, out: &mut dyn Write) -> Result<(), ReportError> {
        let (unit, sums) = of_one_unit(profile);
        let idle = FoldedIdle::of(profile, unit, |_| true);
        let Lines { mut lines, mut colors } = Lines::of(profile, &sums)?;
        if let Some(idle) = idle.as_ref().filter(|_| lines.is_empty()) {
            let (label, kind) = (idle.label(), FrameKind::Label);
            let name = frame_name(&label, kind);
            colors.insert(&name, frame_color(&label, kind));
            lines.push(format!("{name} {}", whole(idle.value)));
        }
        if lines.is_empty() {
            return Err(encode("the selection has no samples".to_owned()));
        }
        let mut options = options(profile, unit, &sums, idle.as_ref());
        options.palette_map = Some(&mut colors);
        // The result is first written to memory, so that an error of inferno can be distinguished from an error of `out`.
        let mut picture = Vec::new();
        from_lines(&mut options, lines.iter().map(String::as_str), &mut picture)
            .map_err(|error| encode(error.to_string()))?;
        let picture = String::from_utf8(picture).map_err(|error| encode(error.to_string()))?;
        Ok(out.write_all(restored(&picture).as_bytes())?)
    }
}

fn encode(why: String) -> ReportError {
    ReportError::Encode { format: "svg", why }
}

/// The sums to draw: those of the first unit that has any, since widths of different units are not comparable.
fn of_one_unit(profile: &Profile) -> (Unit, Vec<StackSum>) {
    let mut sums = drawn_by_stack(profile);
    let unit_of = |sum: &StackSum| profile.metric(sum.metric).unit;
    let unit = sums.iter().map(unit_of).min().unwrap_or(Unit::Nanoseconds);
    sums.retain(|sum| unit_of(sum) == unit);
    (unit, sums)
}

/// What stands for a blank in a line. Names contain none of these control characters, because [`text::xml`] escapes them.
const BLANK: char = '\u{80}';
/// What stands for a semicolon.
const SEMICOLON: char = '\u{81}';
/// The end of a name, which tells its kind, and so its colour.
const KERNEL_END: char = '\u{82}';
const USER_END: char = '\u{83}';
const LABEL_END: char = '\u{84}';
/// What stands for the separator of frames while stacks are sorted. It is less than any character of a name, so that all stacks
/// with a common beginning are neighbours: with `;`, `read64` would be between `read` and `read;copy`.
const SEPARATOR: char = '\u{1}';

/// The stacks as inferno takes them: frames without a blank, so that a line has one, before the value.
struct Lines {
    /// The lines, in the reverse order of the picture.
    lines: Vec<String>,
    colors: PaletteMap,
}

impl Lines {
    fn of(profile: &Profile, sums: &[StackSum]) -> Result<Self, ReportError> {
        let mut colors = PaletteMap::default();
        // The root of the picture.
        colors.insert("", color(LABEL[0]));
        let mut name = |text: &str, kind| {
            let (name, color) = (frame_name(text, kind), frame_color(text, kind));
            colors.insert(&name, color);
            name
        };
        let names: Vec<String> = profile.frames.iter().map(|frame| name(&frame.name, frame.kind)).collect();
        let metrics: Vec<String> = (0..profile.meta.metrics.len())
            .map(|metric| name(&metric_label(profile, MetricId::from_index(metric)), FrameKind::Label))
            .collect();
        let no_stack = name("[no stack]", FrameKind::Label);
        if sum_of_stacks(profile, stacks(sums), |frame| names[frame.index()].len() as u64 + 1) > MOST.0 {
            return Err(ReportError::TooLarge { format: "svg", most: MOST.to_string() });
        }
        let mixed = mixes_metrics(sums);
        let mut texts: BTreeMap<String, f64> = BTreeMap::new();
        let mut frames = Vec::new();
        for sum in sums {
            frames.clear();
            match sum.stack {
                Some(stack) => frames.extend(profile.stacks.frames(stack).map(|id| names[id.index()].as_str())),
                None => frames.push(&no_stack),
            }
            if mixed {
                frames.push(&metrics[sum.metric.index()]);
            }
            frames.reverse();
            *texts.entry(frames.join(SEPARATOR.encode_utf8(&mut [0; 4]))).or_default() += sum.value;
        }
        // inferno adds up the values in 64 bits.
        let most_each = (1 << 62) / (texts.len() as u64).max(1);
        let whole = |(text, value): (String, f64)| (text, whole(value).min(most_each));
        let line = |(text, value): (String, u64)| format!("{} {value}", text.replace(SEPARATOR, ";"));
        let lines = texts.into_iter().rev().map(whole).filter(|(_, value)| *value > 0).map(line).collect();
        Ok(Self { lines, colors })
    }
}

/// A name as it is in a line.
fn frame_name(text: &str, kind: FrameKind) -> String {
    let text = if text.is_empty() { "[unnamed]" } else { text };
    let in_line = |letter| match letter {
        ' ' => BLANK,
        ';' => SEMICOLON,
        other => other,
    };
    let end = match kind {
        FrameKind::Kernel => KERNEL_END,
        FrameKind::User => USER_END,
        FrameKind::Label => LABEL_END,
    };
    text::xml(text).chars().map(in_line).chain([end]).collect()
}

/// The picture with its names as they were. inferno truncates texts by their bytes: if only the end of a name is cut off, nothing is.
fn restored(picture: &str) -> String {
    let mut picture = picture.to_owned();
    for end in [KERNEL_END, USER_END, LABEL_END] {
        picture = picture.replace(&format!("{end}.."), "");
    }
    let letter = |letter| match letter {
        BLANK => Some(' '),
        SEMICOLON => Some(';'),
        KERNEL_END | USER_END | LABEL_END => None,
        other => Some(other),
    };
    picture.chars().filter_map(letter).collect()
}

/// The colour of a frame: by its kind, in a shade by its name, as `shade` in `html/flame.js` chooses it.
fn frame_color(name: &str, kind: FrameKind) -> Color {
    let hash =
        text::shown(name).encode_utf16().fold(0_u32, |hash, unit| hash.wrapping_mul(31).wrapping_add(unit.into()));
    let shades = match kind {
        FrameKind::Kernel => KERNEL,
        FrameKind::User => USER,
        FrameKind::Label => LABEL,
    };
    color(shades[hash as usize % shades.len()])
}

fn color(rgb: u32) -> Color {
    let [_, r, g, b] = rgb.to_be_bytes();
    Color { r, g, b }
}

fn options(profile: &Profile, unit: Unit, sums: &[StackSum], idle: Option<&FoldedIdle>) -> Options<'static> {
    let meta = &profile.meta;
    let is_drawn =
        |series: &&Series| series.unit == unit && sums.iter().any(|sum| series.metrics.contains(&sum.metric));
    let series = series(meta);
    let drawn: Vec<&str> = series.iter().filter(is_drawn).map(|series| series.label.as_str()).collect();
    let mut options = Options::default();
    let title = format!("{}: {}, {}", meta.host.hostname, drawn.join(" and "), meta.duration);
    options.title = text::xml(&title).into_owned();
    let mut caveats: Vec<String> = idle.map(FoldedIdle::caveat).into_iter().chain(caveats(profile)).collect();
    for other in series.iter().filter(|series| series.unit != unit) {
        let is_left_out =
            |sample: &Weighted| sample.value > 0.0 && !profile.folds(sample) && other.metrics.contains(&sample.metric);
        if profile.samples.iter().any(is_left_out) {
            caveats.push(format!("{} has another unit and is not included", other.label));
        }
    }
    options.subtitle = Some(text::xml(&caveats.join("; ")).into_owned()).filter(|text| !text.is_empty());
    options.bgcolors = Some(BackgroundColor::Flat(color(0xff_ffff)));
    options.deterministic = true;
    (options.count_name, options.factor) = match unit {
        Unit::Nanoseconds => ("us".to_owned(), 1e-3),
        Unit::Bytes => ("bytes".to_owned(), 1.0),
        Unit::Count => ("times".to_owned(), 1.0),
    };
    // inferno then draws the lines in reverse order, without sorting or checking them.
    options.flame_chart = true;
    options.text_truncate_direction = TextTruncateDirection::Right;
    options
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::{Selection, build};
    use crate::recording::example::{CPU, Example};
    use crate::recording::{Frame, Location, Symbol};
    use crate::units::Addr;

    fn picture(example: &Example) -> String {
        let mut out = Vec::new();
        Svg.write(&build(&example.recording, &Selection::default()), &mut out).expect("a picture");
        String::from_utf8(out).expect("UTF-8")
    }

    /// The names of the frames in the picture, each with its fill, in the order of the picture.
    fn drawn(picture: &str) -> Vec<(String, String)> {
        let options = roxmltree::ParsingOptions { allow_dtd: true, ..roxmltree::ParsingOptions::default() };
        let document = roxmltree::Document::parse_with_options(picture, options).expect("XML");
        let of_frame = |node: roxmltree::Node<'_, '_>| {
            let title = node.children().find(|child| child.has_tag_name("title"))?.text()?;
            let fill = node.children().find(|child| child.has_tag_name("rect"))?.attribute("fill")?;
            Some((title.rsplit_once(" (")?.0.to_owned(), fill.to_owned()))
        };
        document.descendants().filter(|node| node.has_tag_name("g")).filter_map(of_frame).collect()
    }

    #[test]
    fn names_are_drawn_as_they_are_and_none_is_read_as_a_count_or_a_separator() {
        let names = [
            " blank",
            "blank ",
            "core 5",
            "two 5 7",
            "a;b",
            "# comment",
            "-",
            "--",
            "foo_[k]",
            "x_[i]",
            "\u{80}\u{81}\u{82}",
            "é 1.5",
            "operator new",
            "\u{1}",
        ];
        let mut example = Example::new();
        for (number, name) in (0..).zip(names) {
            let thread = example.thread(1, number, name);
            let symbol = Some(Symbol { name: name.to_owned(), offset: 0 });
            let frame = example
                .recording
                .frames
                .push(Frame { symbol, ..Frame::new(Location::Kernel(Addr(4096 + u64::from(number)))) });
            let stack = example.recording.stacks.intern_all([frame]).expect("a frame");
            example.sample(CPU, thread, stack, 1_000_000);
        }
        let picture = picture(&example);
        assert!(!picture.contains(|letter| matches!(letter, '\u{1}' | '\u{80}'..='\u{84}')));
        let drawn: Vec<String> = drawn(&picture).into_iter().map(|(name, _)| name).collect();
        for name in names {
            // A thread and a function.
            let shown = text::shown(name);
            assert_eq!(drawn.iter().filter(|drawn| **drawn == shown).count(), 2, "{name:?}: {drawn:#?}");
        }
        assert_eq!(drawn.len(), 1 + 2 * names.len());
    }

    #[test]
    fn a_name_that_has_room_is_not_truncated() {
        let cut = format!(
            "<text>web{BLANK}serve{USER_END}..</text><text>web{BLANK}ser..</text><title>a{USER_END} (5 us)</title>"
        );
        assert_eq!(restored(&cut), "<text>web serve</text><text>web ser..</text><title>a (5 us)</title>");
    }

    #[test]
    fn a_function_is_one_frame_even_if_another_has_its_name_and_more() {
        let mut example = Example::new();
        let thread = example.thread(1, 1, "t");
        for path in ["app read", "app read1", "app read!", "app read copy"] {
            let stack = example.stack(path);
            example.sample(CPU, thread, stack, 1_000_000);
        }
        let drawn = drawn(&picture(&example));
        assert_eq!(drawn.iter().filter(|(name, _)| name == "read").count(), 1, "{drawn:#?}");
    }

    #[test]
    fn the_colors_are_those_of_the_page() {
        let style = include_str!("html/style.css");
        let light = style.split_once("@media").expect("the dark colours").0;
        for (kind, shades) in [("kernel", KERNEL), ("user", USER), ("label", LABEL)] {
            for (number, shade) in (0..).zip(shades) {
                let line = format!("--{kind}-{number}: #{shade:06x};");
                assert!(light.contains(&line), "{line}");
            }
        }
        let mut example = Example::new();
        let thread = example.thread(1, 1, "t");
        let stack = example.stack("app user_[k] kernel:inner");
        example.sample(CPU, thread, stack, 1_000_000);
        let drawn = drawn(&picture(&example));
        for (name, kind) in [("t", FrameKind::Label), ("user_[k]", FrameKind::User), ("inner", FrameKind::Kernel)] {
            let Color { r, g, b } = frame_color(name, kind);
            let expected = (name.to_owned(), format!("rgb({r},{g},{b})"));
            assert!(drawn.contains(&expected), "{expected:?}: {drawn:?}");
        }
        // What `shade` in html/flame.js returns for the name: 'inner' has the hash 100355670, and 100355670 % 5 is 0.
        assert_eq!(frame_color("inner", FrameKind::Kernel), color(KERNEL[0]));
    }
}
