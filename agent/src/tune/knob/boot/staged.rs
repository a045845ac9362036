//! What the boot loader will pass to the next kernel: the user's words, and quell's.

use std::fs;
use std::io;
use std::path::PathBuf;

use super::line::{self, Parameters};
use crate::host::{BootLoader, Host};
use crate::tune::knob::KnobError;
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
}

/// The variable that comes last on the line, and that the menu's recovery entries leave out: those boot without it.
const ASSIGNMENT: &str = "GRUB_CMDLINE_LINUX_DEFAULT=\"$GRUB_CMDLINE_LINUX_DEFAULT ";

/// The words of every file.
pub(super) fn read(host: &Host, loader: &BootLoader) -> Result<Vec<Staged>, KnobError> {
    match loader {
        BootLoader::Grub { file, .. } => {
            let block = block(host, file)?;
            Ok(vec![Staged { file: file.clone(), theirs: grub_theirs(host), own: grub_own(&block.block) }])
        }
        BootLoader::Entries { files } => files.iter().map(|file| entry(host, file)).collect(),
    }
}

/// Writes quell's words of a file.
pub(super) fn write(host: &Host, loader: &BootLoader, staged: &Staged) -> Result<(), KnobError> {
    let path = host.root.path(&staged.file);
    let result = match loader {
        BootLoader::Grub { file, .. } => {
            let mut block = block(host, file)?;
            block.block = match staged.own.is_empty() {
                true => String::new(),
                // In a shell's double quotes.
                false => format!("{ASSIGNMENT}{}\"\n", staged.own.text().replace('"', "\\\"")),
            };
            block.write(&path)
        }
        BootLoader::Entries { .. } => {
            let text = fs::read_to_string(&path).map_err(|source| KnobError::Read { path: path.clone(), source })?;
            replace(&path, &edited(&staged.file, &text, &staged.own))
        }
    };
    result.map_err(|source| KnobError::from_write(path, staged.own.text(), source))
}

fn block(host: &Host, file: &str) -> Result<OwnedBlock, KnobError> {
    let path = host.root.path(file);
    OwnedBlock::read(&path).map_err(|source| KnobError::Read { path, source })
}

fn grub_own(block: &str) -> Parameters {
    let line = block.lines().find_map(|line| line.strip_prefix(ASSIGNMENT)?.strip_suffix('"'));
    Parameters::of(&line.unwrap_or_default().replace("\\\"", "\""))
}

/// The user's words: what the two variables come to that GRUB puts on the line, in that order. Shell code beyond assignments is
/// not followed: words that it makes are not seen.
fn grub_theirs(host: &Host) -> Parameters {
    let texts = BootLoader::grub_files(&host.root)
        .into_iter()
        .map(|file| OwnedBlock::read(&host.root.path(&file)).ok().and_then(|block| block.rest).unwrap_or_default());
    let texts: Vec<String> = texts.collect();
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
    Parameters::of(&format!("{} {}", value("GRUB_CMDLINE_LINUX"), value("GRUB_CMDLINE_LINUX_DEFAULT")))
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
    let path = host.root.path(file);
    let text = fs::read_to_string(&path).map_err(|source| KnobError::Read { path, source })?;
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
    Ok(Staged { file: file.to_owned(), theirs: Parameters::of(&theirs), own })
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

/// Makes GRUB's menu, and looks whether it has what was staged.
pub(super) fn settle(host: &Host, loader: &BootLoader) -> Result<(), KnobError> {
    let BootLoader::Grub { file, generator } = loader else { return Ok(()) };
    if !host.root.is_host() {
        return Ok(());
    }
    crate::tune::knob::command::run(generator.program, generator.arguments)?;
    let menu = host.root.path(generator.menu);
    let text = fs::read_to_string(&menu).map_err(|source| KnobError::Read { path: menu.clone(), source })?;
    let own = grub_own(&block(host, file)?.block).text();
    if text.contains(&own) {
        return Ok(());
    }
    let why = format!("`{own}` is not in {} that {} made", PathBuf::from(generator.menu).display(), generator.program);
    Err(KnobError::Refused { path: menu, value: own, source: io::Error::other(why) })
}
