//! An interactive page in a single file, which loads nothing and works from `file://`.
//!
//! Samples are summed here, and the browser sums the selection. `data.js` decodes the data that `encode` wrote, the other
//! scripts each draw one view, and `app.js` combines them.

mod buckets;
mod chains;
mod counters;
mod encode;
#[cfg(test)]
mod fixture;
mod histograms;
mod processes;
mod rows;

use std::io::Write;

use super::{ReportError, Sink};
use crate::profile::Profile;

const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("style.css");

/// The scripts, each after the scripts that it uses.
const SCRIPTS: [&str; 21] = [
    include_str!("format.js"),
    include_str!("names.js"),
    include_str!("data.js"),
    include_str!("search.js"),
    include_str!("estimate.js"),
    include_str!("capture.js"),
    include_str!("tree.js"),
    include_str!("state.js"),
    include_str!("lanes.js"),
    include_str!("flame.js"),
    include_str!("timeline.js"),
    include_str!("table.js"),
    include_str!("counted.js"),
    include_str!("functions.js"),
    include_str!("threads.js"),
    include_str!("processes.js"),
    include_str!("tracks.js"),
    include_str!("wakes.js"),
    include_str!("histograms.js"),
    include_str!("help.js"),
    include_str!("app.js"),
];

/// Writes one self-contained page.
pub struct Html;

impl Sink for Html {
    fn write(&self, profile: &Profile, out: &mut dyn Write) -> Result<(), ReportError> {
        let mut page = PAGE.split_inclusive("<!--here-->").map(|part| part.trim_end_matches("<!--here-->"));
        let mut next = || page.next().unwrap_or_default().as_bytes();
        out.write_all(next())?;
        out.write_all(STYLE.as_bytes())?;
        out.write_all(next())?;
        encode::encode(profile, out)?;
        out.write_all(next())?;
        for script in SCRIPTS {
            out.write_all(b"<script>\n")?;
            out.write_all(script.as_bytes())?;
            out.write_all(b"</script>\n")?;
        }
        out.write_all(next())?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::{FrameKind, NamedFrame};

    fn page(profile: &Profile) -> String {
        let mut out = Vec::new();
        Html.write(profile, &mut out).expect("a vector takes all");
        String::from_utf8(out).expect("UTF-8")
    }

    #[test]
    fn no_name_can_break_out_of_the_page() {
        let mut profile = fixture::chain_of_three();
        let plain = page(&profile);
        let hostile = "</script><!--<script>\u{2028}alert(1)//hostile";
        profile.frames[0] =
            NamedFrame { name: hostile.into(), module: hostile.into(), kind: FrameKind::User, has_symbol: true };
        profile.threads[0].comm = hostile.into();
        profile.pools[0] = hostile.into();
        profile.process_names[0] = hostile.into();
        profile.processes[0].cgroup = Some(hostile.into());
        profile.meta.host.hostname = hostile.into();
        profile.meta.remarks.push(hostile.into());
        let attacked = page(&profile);
        assert!(!attacked.contains("hostile") && !attacked.contains('\u{2028}'));
        assert_eq!(attacked.matches("<script").count(), plain.matches("<script").count());
        assert_eq!(attacked.matches("<!--").count(), plain.matches("<!--").count());
    }

    #[test]
    fn the_page_loads_nothing() {
        let page = page(&fixture::chain_of_three());
        assert!(page.contains("default-src 'none'"));
        for reference in ["src=", "http:", "https:", "@import", "url("] {
            assert!(!page.contains(reference), "{reference}");
        }
    }

    #[test]
    fn a_profile_without_samples_is_a_page_too() {
        let mut profile = fixture::chain_of_three();
        profile.samples.clear();
        assert!(page(&profile).contains("</html>"));
    }
}
