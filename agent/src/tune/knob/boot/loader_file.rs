//! The boot loader files that contain the kernel command line, and quell's block in them.

use std::io;

use crate::excerpt;
use crate::host::{BootLoader, GrubGenerator, Host};
use crate::tune::knob::boot::command_line::{self, Parameters};
use crate::tune::knob::command::run;
use crate::tune::knob::error::KnobError;
use crate::tune::knob::owned_block::{OwnedBlock, replace};

/// The kernel parameters in one boot loader file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LoaderFile {
    /// The path from the root of the host.
    pub(super) path: String,
    /// The parameters that do not belong to quell.
    pub(super) others: Parameters,
    /// quell's parameters, which follow the others.
    pub(super) own: Parameters,
    /// Whether the current boot loader reads the file. If not, the host previously used another boot loader, or another
    /// directory for its files.
    pub(super) is_read: bool,
}

/// Appends to the variable that comes last on the command line. Recovery entries do not use this variable, so they boot without
/// quell's parameters.
const ASSIGNMENT: &str = "GRUB_CMDLINE_LINUX_DEFAULT=\"$GRUB_CMDLINE_LINUX_DEFAULT ";

/// The current boot loader.
pub(super) fn loader(host: &Host) -> Result<Option<BootLoader>, KnobError> {
    BootLoader::of(&host.root).map_err(|source| unreadable(host, "/boot/loader/entries", source))
}

/// All files that the boot loader reads, and other files that contain quell's parameters.
pub(super) fn read(host: &Host) -> Result<Vec<LoaderFile>, KnobError> {
    let read = match loader(host)? {
        Some(BootLoader::Grub { file, .. }) => vec![file],
        Some(BootLoader::Entries { files }) => files,
        None => Vec::new(),
    };
    let candidates = BootLoader::candidates(&host.root).map_err(|source| unreadable(host, "/etc/default", source))?;
    let mut files = Vec::new();
    for file in &read {
        files.push(read_one(host, file, true)?);
    }
    for file in candidates.iter().filter(|file| !read.contains(file)) {
        let file = read_one(host, file, false)?;
        if !file.own.is_empty() {
            files.push(file);
        }
    }
    Ok(files)
}

/// The paths of all these files, including GRUB files without quell's parameters.
pub(super) fn paths(host: &Host) -> Result<Vec<String>, KnobError> {
    let mut paths: Vec<String> = read(host)?.into_iter().map(|file| file.path).collect();
    if paths.iter().any(|path| BootLoader::is_grub_file(path)) {
        paths.extend(grub_files(host)?);
    }
    Ok(paths)
}

fn grub_files(host: &Host) -> Result<Vec<String>, KnobError> {
    BootLoader::grub_files(&host.root).map_err(|source| unreadable(host, "/etc/default/grub.d", source))
}

/// Reads one file.
pub(super) fn read_one(host: &Host, path: &str, is_read: bool) -> Result<LoaderFile, KnobError> {
    if !BootLoader::is_grub_file(path) {
        return Ok(LoaderFile { is_read, ..read_entry(host, path)? });
    }
    let own = grub_own(&block(host, path)?.block);
    Ok(LoaderFile { path: path.to_owned(), others: grub_others(host)?, own, is_read })
}

/// Writes quell's parameters to a file.
pub(super) fn write(host: &Host, file: &str, own: &Parameters) -> Result<(), KnobError> {
    let path = host.root.display_path(file);
    let result = if BootLoader::is_grub_file(file) {
        let mut block = block(host, file)?;
        block.block = match own.is_empty() {
            true => String::new(),
            // Escapes double quotes for the shell. The markers identify the parameters in the generated menu.
            false => format!("{ASSIGNMENT}{}\"\n", command_line::join("", own).trim_start().replace('"', "\\\"")),
        };
        block.write(&host.root, file)
    } else {
        let text = host.root.read_text(file).map_err(|source| unreadable(host, file, source))?;
        replace(&host.root, file, &edited(file, &text, own))
    };
    result.map_err(|source| KnobError::from_write(path, own.text(), source))
}

fn unreadable(host: &Host, file: &str, source: io::Error) -> KnobError {
    let path = host.root.display_path(file);
    match source.kind() {
        io::ErrorKind::PermissionDenied => KnobError::denied(path, source),
        _ => KnobError::Read { path, source },
    }
}

fn block(host: &Host, file: &str) -> Result<OwnedBlock, KnobError> {
    OwnedBlock::read(&host.root, file).map_err(|source| unreadable(host, file, source))
}

fn grub_own(block: &str) -> Parameters {
    let line = block.lines().find_map(|line| line.strip_prefix(ASSIGNMENT)?.strip_suffix('"'));
    let line = line.unwrap_or_default().replace("\\\"", "\"");
    match command_line::split(&line) {
        // Written by a version of quell that did not write markers.
        (words, own) if own.is_empty() => Parameters::of(&words),
        (_, own) => own,
    }
}

/// The parameters that do not belong to quell, from the two variables that GRUB uses for the command line, in that order. Only
/// assignments are evaluated: words that other shell code generates are not detected.
fn grub_others(host: &Host) -> Result<Parameters, KnobError> {
    let mut texts = Vec::new();
    for path in grub_files(host)? {
        texts.push(block(host, &path)?.rest.unwrap_or_default());
    }
    let value = |variable: &str| {
        let mut line = String::new();
        for assignment in texts.iter().flat_map(|text| text.lines()) {
            let Some((name, value)) = assignment.trim().trim_start_matches("export ").split_once('=') else { continue };
            let (name, adds) = name.strip_suffix('+').map_or((name, false), |name| (name, true));
            if name != variable {
                continue;
            }
            // `GRUB_CMDLINE_LINUX="$GRUB_CMDLINE_LINUX more"` also appends.
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

/// The offset of the parameters on a line: after `options` in a boot entry, and 0 in a file that contains only parameters.
fn options_start(file: &str, line: &str) -> Option<usize> {
    if !file.ends_with(".conf") {
        return (!line.trim().is_empty() && !line.starts_with('#')).then_some(0);
    }
    let rest = line.strip_prefix("options").filter(|rest| rest.starts_with([' ', '\t']))?;
    Some(line.len() - rest.trim_start().len())
}

/// The last line with parameters, to which quell appends its own.
fn own_line(file: &str, text: &str) -> Option<usize> {
    text.lines().enumerate().filter(|(_, line)| options_start(file, line).is_some()).map(|(index, _)| index).last()
}

fn read_entry(host: &Host, file: &str) -> Result<LoaderFile, KnobError> {
    let text = host.root.read_text(file).map_err(|source| unreadable(host, file, source))?;
    let mut others = String::new();
    let mut own = Parameters::default();
    for line in text.lines() {
        let Some(at) = options_start(file, line) else { continue };
        let (rest, in_line) = command_line::split(&line[at..]);
        others += &rest;
        others.push(' ');
        if !in_line.is_empty() {
            own = in_line;
        }
    }
    Ok(LoaderFile { path: file.to_owned(), others: Parameters::of(&others), own, is_read: true })
}

fn edited(file: &str, text: &str, own: &Parameters) -> String {
    let own_line = own_line(file, text);
    let lines = text.split_inclusive('\n').enumerate().map(|(index, whole)| {
        let (line, end) = whole.strip_suffix('\n').map_or((whole, ""), |line| (line, "\n"));
        match options_start(file, line) {
            Some(at) => {
                let (others, _) = command_line::split(&line[at..]);
                let parameters = if Some(index) == own_line { command_line::join(&others, own) } else { others };
                format!("{}{parameters}{end}", &line[..at])
            }
            None => whole.to_owned(),
        }
    });
    lines.collect()
}

/// Generates the GRUB menu, and checks that it contains exactly quell's parameters. For a tree, no menu is generated, because
/// programs of a tree are never run.
pub(super) fn generate_menu(host: &Host) -> Result<(), KnobError> {
    if !host.root.is_host() {
        return Ok(());
    }
    generate_menu_with(host, |generator| run(generator.program, generator.arguments))
}

/// Like [`generate_menu`], with another generator.
pub(super) fn generate_menu_with(
    host: &Host,
    generate: impl FnOnce(&GrubGenerator) -> Result<(), KnobError>,
) -> Result<(), KnobError> {
    let files = read(host)?;
    let own: Vec<&Parameters> =
        files.iter().filter(|file| BootLoader::is_grub_file(&file.path)).map(|file| &file.own).collect();
    let generator = GrubGenerator::of(&host.root);
    let menu = || match host.root.read_text(generator.menu) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        text => text.map_err(|source| unreadable(host, generator.menu, source)),
    };
    // A host that uses entries now may still have an older menu.
    let is_grub = matches!(loader(host)?, Some(BootLoader::Grub { .. }));
    if !is_grub && has_exactly(&menu()?, &own).is_ok() {
        return Ok(());
    }
    generate(&generator)?;
    has_exactly(&menu()?, &own).map_err(|reason| KnobError::Refused {
        path: host.root.display_path(generator.menu),
        value: own.iter().map(|own| own.text()).collect::<Vec<_>>().join(" "),
        source: io::Error::other(format!("{reason} after {} ran", generator.program)),
    })
}

/// Checks that a menu contains these parameters of quell and no others.
fn has_exactly(menu: &str, own: &[&Parameters]) -> Result<(), String> {
    // Sorted, because the order depends on the order in which GRUB reads the files.
    let mut desired: Vec<String> = own.iter().filter(|own| !own.is_empty()).map(|own| own.text()).collect();
    desired.sort();
    let mut is_found = false;
    for line in menu.lines() {
        let mut words = command_line::blocks(line);
        words.sort();
        if !words.is_empty() && words != desired {
            return Err(format!("it has the parameters {} of quell", excerpt::quoted(words.join(" "))));
        }
        is_found |= !words.is_empty();
    }
    if is_found || desired.is_empty() { Ok(()) } else { Err(format!("it does not have `{}`", desired.join(" "))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_menu_must_have_exactly_the_parameters_of_quell() {
        let menu =
            |words: &str| format!("menuentry 'Debian' {{\n\tlinux /vmlinuz root=/dev/sda1 ro quiet {words}\n}}\n");
        let (none, some) = (Parameters::default(), Parameters::of("nohz=on skew_tick=1"));
        let staged = menu("quell.begin nohz=on skew_tick=1 quell.end");
        assert!(has_exactly(&staged, &[&some]).is_ok());
        assert!(has_exactly(&menu(""), &[&none]).is_ok());
        assert!(has_exactly(&menu(""), &[&some]).is_err_and(|why| why.contains("does not have `nohz=on skew_tick=1`")));
        // After a rollback: the generator writes a different menu file than the one that the host boots from.
        assert!(has_exactly(&staged, &[&none]).is_err_and(|why| why.contains("nohz=on skew_tick=1")));
        assert!(has_exactly(&staged, &[&some, &some]).is_err());
        let two = menu("quell.begin nohz=on skew_tick=1 quell.end quell.begin mce=off quell.end");
        assert!(has_exactly(&two, &[&Parameters::of("mce=off"), &some]).is_ok());
    }
}
