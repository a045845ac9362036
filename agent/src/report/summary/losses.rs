//! Losses with what they are a part of.

use std::io;

use super::Page;
use crate::profile::Profile;
use crate::recording::Loss;
use crate::report::share::percent;

/// The share from which a loss is repeated beside the figures that it affects.
const NOTABLE: f64 = 0.01;

/// Writes all losses.
pub(super) fn all(profile: &Profile, page: &mut Page<'_>) -> io::Result<()> {
    let lost = counted_losses(profile);
    if lost.is_empty() {
        return page.item("lost", "nothing");
    }
    for (row, loss) in lost.iter().enumerate() {
        page.item(if row == 0 { "lost" } else { "" }, &in_words(profile, loss))?;
    }
    Ok(())
}

/// Writes the losses that change the values of functions and places notably.
pub(super) fn beside_figures(profile: &Profile, page: &mut Page<'_>) -> io::Result<()> {
    for loss in counted_losses(profile) {
        if profile.totals.share_of(&loss).is_some_and(|(share, _)| share >= NOTABLE) {
            page.item("note", &in_words(profile, &loss))?;
        }
    }
    Ok(())
}

fn counted_losses(profile: &Profile) -> Vec<Loss> {
    profile.meta.losses.named().into_iter().filter(|loss| loss.count > 0).collect()
}

/// `17 user stacks that look truncated (8.6 % of 198)`.
fn in_words(profile: &Profile, loss: &Loss) -> String {
    let of = profile.totals.share_of(loss).map(|(share, whole)| format!(" ({} of {whole})", percent(share)));
    format!("{} {}{}", loss.count, loss.counted(), of.unwrap_or_default())
}
