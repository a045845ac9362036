//! Reading, setting and restoring an attribute that every thread has.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use super::thread::{Thread, ThreadList, has_ended};
use crate::host::Host;
use crate::tune::knob::error::KnobError;
use crate::tune::knob::parts::{self, Change};
use crate::tune::knob::reading::Reading;
use crate::tune::value::{Value, ValueError};

/// An attribute that every thread has.
pub(in crate::tune::knob) trait Attribute: Sync {
    /// The value of a thread; an error of the kind `NotFound` if the thread has exited.
    fn get(&self, host: &Host, thread: &Thread) -> io::Result<Value>;

    /// Sets the value of a thread.
    fn set(&self, host: &Host, thread: &Thread, value: &Value) -> io::Result<()>;

    /// See [`Knob::check_value`](crate::tune::knob::Knob::check_value).
    fn check_value(&self, _value: &Value) -> Result<(), ValueError> {
        Ok(())
    }

    /// See [`Knob::normalize`](crate::tune::knob::Knob::normalize).
    fn normalize(&self, _host: &Host, value: &Value) -> Result<Value, KnobError> {
        Ok(value.clone())
    }

    /// Whether a value can be a privilege, which children and new threads inherit.
    fn is_privilege(&self) -> bool {
        false
    }
}

/// The value of a thread; `None` if the thread has exited.
pub(in crate::tune::knob) fn get(
    host: &Host,
    thread: &Thread,
    attribute: &dyn Attribute,
) -> Result<Option<Value>, KnobError> {
    match attribute.get(host, thread) {
        Ok(value) => Ok(Some(value)),
        Err(error) if has_ended(&error) => Ok(None),
        Err(source) => Err(KnobError::Read { path: error_path(thread), source }),
    }
}

/// The value of each thread, and remarks about threads that could not be read. If there are no threads, the reading is absent,
/// with the reason that `no_threads` returns.
pub(in crate::tune::knob) fn survey(
    host: &Host,
    list: ThreadList,
    attribute: &dyn Attribute,
    no_threads: impl FnOnce() -> String,
) -> (Reading, Vec<String>) {
    let (mut parts, mut remarks) = (BTreeMap::new(), list.unreadable);
    for thread in &list.threads {
        match get(host, thread, attribute) {
            Ok(Some(value)) => drop(parts.insert(thread.part(), value)),
            Ok(None) => {}
            Err(error) => remarks.push(format!("skipped: {error}")),
        }
    }
    let is_empty = parts.is_empty();
    (if is_empty { Reading::Absent(no_threads()) } else { Reading::Value(Value::PerPart(parts)) }, remarks)
}

/// The value of each thread of `parts` that is still running, even if its name and cgroup have changed.
pub(in crate::tune::knob) fn read_back(
    host: &Host,
    parts: &BTreeMap<String, Value>,
    attribute: &dyn Attribute,
) -> Result<Reading, KnobError> {
    let mut current = BTreeMap::new();
    for thread in running(host, parts)? {
        if let Some(value) = get(host, &thread, attribute)? {
            current.insert(thread.part(), value);
        }
    }
    Ok(match current.is_empty() {
        true => Reading::Absent("all of its threads have ended".to_owned()),
        false => Reading::Value(Value::PerPart(current)),
    })
}

/// Whether a thread has a value. A thread that has exited has no value.
pub(in crate::tune::knob) fn has(
    host: &Host,
    thread: &Thread,
    attribute: &dyn Attribute,
    value: &Value,
) -> Result<bool, KnobError> {
    Ok(get(host, thread, attribute)?.as_ref() == Some(value))
}

/// The threads of `parts` that have not exited.
fn running(host: &Host, parts: &BTreeMap<String, Value>) -> Result<Vec<Thread>, KnobError> {
    let threads = parts.keys().map(|part| Thread::of_part(&host.root, part));
    Ok(threads.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
}

/// The desired value for each part of `before`.
pub(in crate::tune::knob) fn limit_to_parts(before: &Value, desired: &Value) -> Value {
    match before {
        Value::PerPart(parts) => Value::PerPart(parts.keys().map(|part| (part.clone(), desired.clone())).collect()),
        _ => desired.clone(),
    }
}

/// Sets one value on the threads that `matching` returns; a value with parts is set thread by thread. If a thread refuses, the
/// threads before it are restored.
pub(in crate::tune::knob) fn write(
    host: &Host,
    matching: impl FnOnce() -> Result<Vec<Thread>, KnobError>,
    attribute: &dyn Attribute,
    value: &Value,
) -> Result<(), KnobError> {
    let changes = changes(host, matching, attribute, value)?;
    parts::all_or_none(&changes, |thread, value| set(host, thread, attribute, value))
}

/// Restores the value of each thread in `before`, best effort.
pub(in crate::tune::knob) fn restore(
    host: &Host,
    matching: impl FnOnce() -> Result<Vec<Thread>, KnobError>,
    attribute: &dyn Attribute,
    before: &Value,
) -> Result<(), KnobError> {
    let changes = changes(host, matching, attribute, before)?;
    parts::best_effort(&changes, |thread, value| set(host, thread, attribute, value))
}

fn changes(
    host: &Host,
    matching: impl FnOnce() -> Result<Vec<Thread>, KnobError>,
    attribute: &dyn Attribute,
    value: &Value,
) -> Result<Vec<Change<Thread>>, KnobError> {
    let threads = match value {
        Value::PerPart(parts) => running(host, parts)?,
        _ => matching()?,
    };
    let mut changes = Vec::new();
    for thread in threads {
        let desired = match value {
            Value::PerPart(parts) => parts.get(&thread.part()),
            value => Some(value),
        };
        let Some(current) = get(host, &thread, attribute)? else { continue };
        if let Some(desired) = desired.filter(|desired| **desired != current) {
            changes.push(Change { part: thread, current, desired: desired.clone() });
        }
    }
    Ok(changes)
}

/// Sets the value of a thread. It is not an error if the thread has exited.
pub(in crate::tune::knob) fn set(
    host: &Host,
    thread: &Thread,
    attribute: &dyn Attribute,
    value: &Value,
) -> Result<(), KnobError> {
    match attribute.set(host, thread, value) {
        Err(error) if !has_ended(&error) => Err(KnobError::from_write(error_path(thread), value.to_string(), error)),
        Err(_) => Ok(()),
        // The system call takes a thread ID, which may have been reused since the thread was listed.
        Ok(()) => match Thread::with_tid(host, thread.tid) {
            Ok(Some(current)) if current.start != thread.start => {
                Err(KnobError::ThreadReplaced { planned: thread.to_string(), current: current.to_string() })
            }
            _ => Ok(()),
        },
    }
}

/// The thread as the path of an error.
fn error_path(thread: &Thread) -> PathBuf {
    PathBuf::from(format!("thread {thread}"))
}
