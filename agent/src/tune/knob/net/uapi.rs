//! The constants of the installed kernel headers, with which tests compare quell's constants.

use std::collections::HashMap;
use std::fs;

use crate::needs::Need;

/// Since 6.15, most of the constants are in the second file.
const HEADERS: [&str; 2] = ["/usr/include/linux/ethtool_netlink.h", "/usr/include/linux/ethtool_netlink_generated.h"];

/// The headers, for tests.
pub(super) const INSTALLED: Need =
    Need::Other("the kernel's headers (linux/ethtool_netlink.h)", || !texts().is_empty());

fn texts() -> Vec<String> {
    HEADERS.iter().filter_map(|header| fs::read_to_string(header).ok()).collect()
}

/// The constants by name.
pub(super) fn constants() -> HashMap<String, u32> {
    let mut constants = HashMap::new();
    for text in texts() {
        let mut next = 0;
        for line in text.lines().map(str::trim) {
            if line.starts_with("enum") {
                next = 0;
                continue;
            }
            let word: String =
                line.chars().take_while(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || *c == '_').collect();
            let rest = line[word.len()..].trim_start();
            if word.is_empty() || !(rest.is_empty() || rest.starts_with([',', '=', '/'])) {
                continue;
            }
            if let Some(value) = rest.strip_prefix('=') {
                let Ok(value) = value.trim().trim_end_matches(',').parse() else { continue };
                next = value;
            }
            constants.insert(word, next);
            next += 1;
        }
    }
    constants
}
