//! The source of network card settings: the running kernel, or the files of a tree.

use super::card::Card;
use super::kernel::KernelCard;
use super::tree::TreeCard;
use crate::host::Host;

/// Access to the network cards of a host.
pub(super) fn cards(host: &Host) -> Box<dyn Card> {
    if host.root.is_host() { Box::new(KernelCard) } else { Box::new(TreeCard::new(&host.root)) }
}
