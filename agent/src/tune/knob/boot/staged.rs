//! What the boot loader will pass to the next kernel: the user's words, and quell's.

use std::io;

use super::line::{self, Parameters};
use crate::excerpt;
use crate::host::{BootLoader, GrubGenerator, Host};
use crate::tune::knob::KnobError;
use crate::tune::knob::command::run;
use crate::tune::knob::owned_block::{OwnedBlock, replace};

/// The words for one file of the boot loader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Staged {
    /// The file, from the host's root.
    pub(super) file: String,
    /// What others say.
    pub(super) theirs: Parameters,
    /// What quell says, behind it.
    pub(super) own: Parameters,
    /// Whether the boot loader that the host has now reads it. Where it does not, the host had another one once, or has another
    /// directory for it by now.
    pub(super) counts: bool,
}

/// The variable that comes last on the line, and that the menu's recovery entries leave out: those boot without it.
const ASSIGNMENT: &str = "GRUB_CMDLINE_LINUX_DEFAULT=\"$GRUB_CMDLINE_LINUX_DEFAULT ";

/// The boot loader that a host has now.
pub(super) fn loader(host: &Host) -> Result<Option<BootLoader>, KnobError> {
    BootLoader::of(&host.root).map_err(|source| unread(host, "/boot/loader/entries", source))
}

/// The words of every file that the boot loader reads, and of those others that have some of quell's.
pub(super) fn read(host: &Host) -> Result<Vec<Staged>, KnobError> {
    let read = match loader(host)? {
        Some(BootLoader::Grub { file, .. }) => vec![file],
        Some(BootLoader::Entries { files }) => files,
        None => Vec::new(),
    };
    let candidates = BootLoader::candidates(&host.root).map_err(|source| unread(host, "/etc/default", source))?;
    let mut files = Vec::new();
    for file in &read {
        files.push(of(host, file, true)?);
    }
    for file in candidates.iter().filter(|file| !read.contains(file)) {
        let staged = of(host, file, false)?;
        if !staged.own.is_empty() {
            files.push(staged);
        }
    }
    Ok(files)
}

/// The files that any of that is in, the user's own of GRUB too.
pub(super) fn files(host: &Host) -> Result<Vec<String>, KnobError> {
    let mut files: Vec<String> = read(host)?.into_iter().map(|staged| staged.file).collect();
    if files.iter().any(|file| BootLoader::is_grub_file(file)) {
        files.extend(grub_files(host)?);
    }
    Ok(files)
}

fn grub_files(host: &Host) -> Result<Vec<String>, KnobError> {
    BootLoader::grub_files(&host.root).map_err(|source| unread(host, "/etc/default/grub.d", source))
}

/// The words of one file.
pub(super) fn of(host: &Host, file: &str, counts: bool) -> Result<Staged, KnobError> {
    if !BootLoader::is_grub_file(file) {
        return Ok(Staged { counts, ..entry(host, file)? });
    }
    let own = grub_own(&block(host, file)?.block);
    Ok(Staged { file: file.to_owned(), theirs: grub_theirs(host)?, own, counts })
}

/// Writes quell's words of a file.
pub(super) fn write(host: &Host, file: &str, own: &Parameters) -> Result<(), KnobError> {
    let path = host.root.display_path(file);
    let result = if BootLoader::is_grub_file(file) {
        let mut block = block(host, file)?;
        block.block = match own.is_empty() {
            true => String::new(),
            // In a shell's double quotes; the marks tell the words in the menu that is made of it.
            false => format!("{ASSIGNMENT}{}\"\n", line::join("", own).trim_start().replace('"', "\\\"")),
        };
        block.write(&host.root, file)
    } else {
        let text = host.root.read_text(file).map_err(|source| unread(host, file, source))?;
        replace(&host.root, file, &edited(file, &text, own))
    };
    result.map_err(|source| KnobError::from_write(path, own.text(), source))
}

fn unread(host: &Host, file: &str, source: io::Error) -> KnobError {
    let path = host.root.display_path(file);
    match source.kind() {
        io::ErrorKind::PermissionDenied => KnobError::denied(path, source),
        _ => KnobError::Read { path, source },
    }
}

fn block(host: &Host, file: &str) -> Result<OwnedBlock, KnobError> {
    OwnedBlock::read(&host.root, file).map_err(|source| unread(host, file, source))
}

fn grub_own(block: &str) -> Parameters {
    let line = block.lines().find_map(|line| line.strip_prefix(ASSIGNMENT)?.strip_suffix('"'));
    let line = line.unwrap_or_default().replace("\\\"", "\"");
    match line::split(&line) {
        // As earlier versions wrote it.
        (words, own) if own.is_empty() => Parameters::of(&words),
        (_, own) => own,
    }
}

/// The user's words: what the two variables come to that GRUB puts on the line, in that order. Shell
/// code beyond assignments is not followed: words that it makes are not seen.
fn grub_theirs(host: &Host) -> Result<Parameters, KnobError> {
    let mut texts = Vec::new();
    for file in grub_files(host)? {
        texts.push(block(host, &file)?.rest.unwrap_or_default());
    }
    let value = |variable: &str| {
        let mut line = String::new();
        for assignment in texts.iter().flat_map(|text| text.lines()) {
            let Some((name, value)) = assignment.trim().trim_start_matches("export ").split_once('=') else { continue };
            let (name, adds) = name.strip_suffix('+').map_or((name, false), |name| (name, true));
            if name != variable {
                continue;
            }
            // `GRUB_CMDLINE_LINUX="$GRUB_CMDLINE_LINUX more"` adds, too.
            let value = value.trim().trim_matches(['"', '\'']);
            let before = [format!("${{{variable}}}"), format!("${variable}")];
            let adding = adds || before.iter().any(|reference| value.contains(reference));
            let value = before.iter().fold(value.to_owned(), |value, reference| value.replace(reference, ""));
            line = if adding { format!("{line} {value}") } else { value };
        }
        line
    };
    Ok(Parameters::of(&format!("{} {}", value("GRUB_CMDLINE_LINUX"), value("GRUB_CMDLINE_LINUX_DEFAULT"))))
}

/// Whether a file is an entry, which has its words behind `options`, or one with nothing but words.
fn options(file: &str, line: &str) -> Option<usize> {
    if !file.ends_with(".conf") {
        return (!line.trim().is_empty() && !line.starts_with('#')).then_some(0);
    }
    let rest = line.strip_prefix("options").filter(|rest| rest.starts_with([' ', '\t']))?;
    Some(line.len() - rest.trim_start().len())
}

/// The last line with words is quell's to add to: the others stay as they are.
fn place(file: &str, text: &str) -> Option<usize> {
    text.lines().enumerate().filter(|(_, line)| options(file, line).is_some()).map(|(index, _)| index).last()
}

fn entry(host: &Host, file: &str) -> Result<Staged, KnobError> {
    let text = host.root.read_text(file).map_err(|source| unread(host, file, source))?;
    let mut theirs = String::new();
    let mut own = Parameters::default();
    for line in text.lines() {
        let Some(at) = options(file, line) else { continue };
        let (rest, ours) = line::split(&line[at..]);
        theirs += &rest;
        theirs.push(' ');
        if !ours.is_empty() {
            own = ours;
        }
    }
    Ok(Staged { file: file.to_owned(), theirs: Parameters::of(&theirs), own, counts: true })
}

fn edited(file: &str, text: &str, own: &Parameters) -> String {
    let place = place(file, text);
    let lines = text.split_inclusive('\n').enumerate().map(|(index, whole)| {
        let (line, end) = whole.strip_suffix('\n').map_or((whole, ""), |line| (line, "\n"));
        match options(file, line) {
            Some(at) => {
                let (theirs, _) = line::split(&line[at..]);
                let line_again = if Some(index) == place { line::join(&theirs, own) } else { theirs };
                format!("{}{line_again}{end}", &line[..at])
            }
            None => whole.to_owned(),
        }
    });
    lines.collect()
}

/// Makes GRUB's menu, and looks whether it has what is staged, and nothing that no more is. A tree that stands for a host has no menu
/// made: programs of it are not run.
pub(super) fn settle(host: &Host) -> Result<(), KnobError> {
    if !host.root.is_host() {
        return Ok(());
    }
    settle_with(host, |generator| run(generator.program, generator.arguments))
}

/// [`settle`], with what makes the menu.
pub(super) fn settle_with(
    host: &Host,
    make: impl FnOnce(&GrubGenerator) -> Result<(), KnobError>,
) -> Result<(), KnobError> {
    let files = read(host)?;
    let own: Vec<&Parameters> =
        files.iter().filter(|file| BootLoader::is_grub_file(&file.file)).map(|file| &file.own).collect();
    let generator = GrubGenerator::of(&host.root);
    let menu = || match host.root.read_text(generator.menu) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        text => text.map_err(|source| unread(host, generator.menu, source)),
    };
    // A host that has entries by now may still have a menu from before.
    let is_grub = matches!(loader(host)?, Some(BootLoader::Grub { .. }));
    if !is_grub && has_exactly(&menu()?, &own).is_ok() {
        return Ok(());
    }
    make(&generator)?;
    has_exactly(&menu()?, &own).map_err(|why| KnobError::Refused {
        path: host.root.display_path(generator.menu),
        value: own.iter().map(|own| own.text()).collect::<Vec<_>>().join(" "),
        source: io::Error::other(format!("{why}, though {} made it", generator.program)),
    })
}

/// Whether a menu has quell's words, these and no others.
fn has_exactly(menu: &str, own: &[&Parameters]) -> Result<(), String> {
    // In whichever order GRUB reads the files.
    let sorted = |mut words: Vec<String>| {
        words.sort();
        words
    };
    let wanted = sorted(own.iter().filter(|own| !own.is_empty()).map(|own| own.text()).collect());
    let mut found = false;
    for line in menu.lines() {
        let words = sorted(line::blocks(line));
        if !words.is_empty() && words != wanted {
            return Err(format!("it has the words {} of quell's", excerpt::quoted(words.join(" "))));
        }
        found |= !words.is_empty();
    }
    if found || wanted.is_empty() { Ok(()) } else { Err(format!("it does not have `{}`", wanted.join(" "))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_menu_has_what_is_staged_and_no_more() {
        let menu =
            |words: &str| format!("menuentry 'Debian' {{\n\tlinux /vmlinuz root=/dev/sda1 ro quiet {words}\n}}\n");
        let (none, some) = (Parameters::default(), Parameters::of("nohz=on skew_tick=1"));
        let staged = menu("quell.begin nohz=on skew_tick=1 quell.end");
        assert!(has_exactly(&staged, &[&some]).is_ok());
        assert!(has_exactly(&menu(""), &[&none]).is_ok());
        assert!(has_exactly(&menu(""), &[&some]).is_err_and(|why| why.contains("does not have `nohz=on skew_tick=1`")));
        // A generator that wrote another menu than the host reads, after an undo.
        assert!(has_exactly(&staged, &[&none]).is_err_and(|why| why.contains("nohz=on skew_tick=1")));
        assert!(has_exactly(&staged, &[&some, &some]).is_err());
        let two = menu("quell.begin nohz=on skew_tick=1 quell.end quell.begin mce=off quell.end");
        assert!(has_exactly(&two, &[&Parameters::of("mce=off"), &some]).is_ok());
    }
}
