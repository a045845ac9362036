//! The scheduling policy of a thread.

use std::io;

use super::attribute::Attribute;
use super::thread::Thread;
use crate::host::Host;
use crate::tune::knob::checks::check_text;
use crate::tune::knob::error::KnobError;
use crate::tune::value::{Policy, Value, ValueError};

/// The scheduling policy of a thread.
pub(in crate::tune::knob) struct Scheduling;

/// The forms of a policy, for errors.
const FORMS: &str =
    "a scheduling policy: fifo:50, rr:10, other:0, batch:0, idle, or deadline:RUNTIME/DEADLINE/PERIOD in ns";

impl Attribute for Scheduling {
    fn get(&self, host: &Host, thread: &Thread) -> io::Result<Value> {
        if host.root.is_host() {
            return Ok(Value::Text(Policy::of(thread.tid)?.to_string()));
        }
        let text = match host.root.read_text(&tree_file(thread)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => "other:0".to_owned(),
            text => text?,
        };
        Ok(Value::Text(text.trim().to_owned()))
    }

    fn set(&self, host: &Host, thread: &Thread, value: &Value) -> io::Result<()> {
        let policy: Policy = value.to_string().parse().map_err(io::Error::other)?;
        if host.root.is_host() {
            return policy.set(thread.tid);
        }
        host.root.create_directories(&format!("{TREE_DIRECTORY}/{}", thread.tid))?;
        host.root.put(&tree_file(thread), &policy.to_string())
    }

    fn check_value(&self, value: &Value) -> Result<(), ValueError> {
        check_text(value, FORMS, |text| text.parse::<Policy>().is_ok())
    }

    fn normalize(&self, _: &Host, value: &Value) -> Result<Value, KnobError> {
        let Value::Text(text) = value else { return Ok(value.clone()) };
        let policy = text.parse::<Policy>();
        let policy =
            policy.map_err(|error| KnobError::Impossible { value: value.clone(), reason: error.to_string() })?;
        Ok(Value::Text(policy.to_string()))
    }

    fn is_privilege(&self) -> bool {
        true
    }
}

/// The file of a thread's policy in a tree.
fn tree_file(thread: &Thread) -> String {
    format!("{TREE_DIRECTORY}/{}/policy", thread.tid)
}

const TREE_DIRECTORY: &str = "/run/quell-fake/threads";
