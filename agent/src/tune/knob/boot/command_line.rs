//! The words of a kernel command line, and the block of parameters that quell added to it.

/// The markers that enclose quell's parameters on a command line. The kernel treats words that contain a dot as module
/// parameters, and ignores those of modules that do not exist (unknown_bootoption, init/main.c).
const BEGIN: &str = "quell.begin";
const END: &str = "quell.end";

/// Splits a command line, or a part of one, into words. Quoted spaces do not separate words.
pub(super) fn words(line: &str) -> Vec<&str> {
    let (mut words, mut begin, mut quoted) = (Vec::new(), None, false);
    for (at, c) in line.char_indices() {
        match c {
            '"' => quoted = !quoted,
            c if c.is_whitespace() && !quoted => {
                words.extend(begin.take().map(|begin| &line[begin..at]));
                continue;
            }
            _ => {}
        }
        begin.get_or_insert(at);
    }
    words.extend(begin.map(|begin| &line[begin..]));
    words
}

/// Kernel parameters, in the order of the command line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Parameters(Vec<String>);

impl Parameters {
    pub(super) fn of(line: &str) -> Self {
        let mut parameters: Vec<String> = Vec::new();
        let mut words = words(line).into_iter().peekable();
        while let Some(word) = words.next() {
            // These two belong together: `hugepagesz=1G hugepages=4`.
            match words.next_if(|next| word.starts_with("hugepagesz=") && next.starts_with("hugepages=")) {
                Some(count) => parameters.push(format!("{word} {count}")),
                None => parameters.push(word.to_owned()),
            }
        }
        Self(parameters)
    }

    /// The last value of a parameter; most parsers of the kernel use the last one.
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        let prefix = prefix(name);
        self.0.iter().rev().find_map(|parameter| parameter.strip_prefix(&prefix))
    }

    /// Whether there is a parameter without a value.
    pub(super) fn flag(&self, name: &str) -> bool {
        self.0.iter().any(|parameter| parameter == name)
    }

    pub(super) fn set_value(&mut self, name: &str, value: Option<&str>) {
        let prefix = prefix(name);
        self.replace(|parameter| parameter.starts_with(&prefix), value.map(|value| format!("{prefix}{value}")));
    }

    pub(super) fn set_flag(&mut self, name: &str, on: bool) {
        self.replace(|parameter| parameter == name, on.then(|| name.to_owned()));
    }

    /// Replaces a parameter in place, or appends it.
    fn replace(&mut self, is: impl Fn(&str) -> bool, by: Option<String>) {
        let at = self.0.iter().position(|parameter| is(parameter));
        self.0.retain(|parameter| !is(parameter));
        if let Some(by) = by {
            self.0.insert(at.unwrap_or(self.0.len()).min(self.0.len()), by);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn text(&self) -> String {
        self.0.join(" ")
    }
}

/// The prefix of the word that sets a parameter; `hugepages:1G` is the number of pages of that size.
fn prefix(name: &str) -> String {
    match name.split_once(':') {
        Some(("hugepages", size)) => format!("hugepagesz={size} hugepages="),
        _ => format!("{name}="),
    }
}

/// Splits a command line into the words that do not belong to quell, byte for byte, and quell's parameters.
pub(super) fn split(line: &str) -> (String, Parameters) {
    let Some((before, rest)) = line.split_once(BEGIN) else { return (line.to_owned(), Parameters::default()) };
    let (own, after) = rest.split_once(END).unwrap_or((rest, ""));
    // The space before the block was added together with the block.
    (format!("{}{after}", before.strip_suffix(' ').unwrap_or(before)), Parameters::of(own))
}

/// quell's blocks on a command line that a boot loader generated.
pub(super) fn blocks(line: &str) -> Vec<String> {
    let blocks = line.split(BEGIN).skip(1).map(|rest| rest.split_once(END).map_or(rest, |(own, _)| own));
    blocks.map(|own| Parameters::of(own).text()).collect()
}

/// The inverse of [`split`].
pub(super) fn join(others: &str, own: &Parameters) -> String {
    if own.is_empty() { others.to_owned() } else { format!("{others} {BEGIN} {} {END}", own.text()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_outside_the_block_is_preserved() {
        for line in ["root=/dev/sda1 ro  quiet", "", "a=\"b c\" ", "$kernelopts $tuned_params"] {
            let (others, mut own) = split(line);
            assert_eq!((others.as_str(), own.is_empty()), (line, true));
            own.set_value("isolcpus", Some("2-3"));
            own.set_flag("nosoftlockup", true);
            let with = join(&others, &own);
            assert!(with.ends_with("quell.begin isolcpus=2-3 nosoftlockup quell.end"), "{with}");
            assert_eq!(split(&with), (line.to_owned(), own));
        }
    }

    #[test]
    fn parameters_are_found_set_and_removed_by_their_whole_name() {
        let mut line =
            Parameters::of("nohz=on nohz_full=2 dyndbg=\"file a +p\" hugepagesz=1G hugepages=4 quiet nohz_full=2-3");
        assert_eq!(line.value("nohz"), Some("on"));
        assert_eq!(line.value("nohz_full"), Some("2-3"), "the last");
        assert_eq!(line.value("dyndbg"), Some("\"file a +p\""));
        assert_eq!(line.value("hugepages:1G"), Some("4"));
        assert_eq!(line.value("hugepages"), None);
        assert!(line.flag("quiet") && !line.flag("nohz"));
        line.set_value("nohz_full", Some("4"));
        line.set_value("hugepages:1G", None);
        line.set_flag("quiet", false);
        assert_eq!(line.text(), "nohz=on nohz_full=4 dyndbg=\"file a +p\"");
    }
}
