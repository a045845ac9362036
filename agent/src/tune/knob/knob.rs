//! The interface of knobs.

use super::checks::{check_cpus, targets_of};
use super::error::KnobError;
use super::identity::{self, IdentityFn};
use super::matched_process::MatchedProcess;
use super::reading::{Activation, Held, Reading, Survey};
use super::spec::{KnobSpec, Lifetime};
use super::value_file::ValueFile;
use crate::host::Host;
use crate::tune::value::{KnobTarget, Scope, Value, ValueError};

/// Something that can be set.
///
/// [`spec`](Self::spec), [`read`](Self::read) and [`write`](Self::write) are required. Everything else has a default that fits
/// knobs whose value is in exactly one file, and knobs without a value file.
pub trait Knob: Sync {
    /// The description of the knob.
    fn spec(&self) -> &KnobSpec;

    /// The current value on a target.
    ///
    /// # Errors
    /// The value cannot be determined. A target that lacks the knob is not an error.
    fn read(&self, host: &Host, target: &KnobTarget) -> Result<Reading, KnobError>;

    /// Sets a value that was [normalized](Self::normalize), or that was read before.
    ///
    /// # Errors
    /// The value was refused. Nothing is left partly written.
    fn write(&self, host: &Host, target: &KnobTarget, value: &Value) -> Result<Held, KnobError>;

    /// The file that holds the value, if there is one. The defaults of this trait are taken from it.
    fn value_file(&self) -> Option<&ValueFile> {
        None
    }

    /// All targets on this host, in order; none for [`Scope::Named`].
    fn targets(&self, host: &Host) -> Vec<KnobTarget> {
        targets_of(self.spec().scope, host)
    }

    /// The value that the host would return after a write: for example a frequency that the hardware supports, or a mask
    /// without absent CPUs. Plans and verification use the same normalization.
    ///
    /// # Errors
    /// The host does not accept this value.
    fn normalize(&self, host: &Host, target: &KnobTarget, value: &Value) -> Result<Value, KnobError> {
        match self.value_file() {
            Some(file) => file.normalize(host, target, value),
            None => check_cpus(host, value).cloned(),
        }
    }

    /// Whether writing can succeed, as far as that can be determined without trying and without being root.
    ///
    /// # Errors
    /// The file system is mounted read-only, as in a container, or the file is read-only for root too.
    fn check_writable(&self, host: &Host, target: &KnobTarget) -> Result<(), KnobError> {
        self.value_file().map_or(Ok(()), |file| file.check_writable(host, target))
    }

    /// Checks whether at least one host may accept this value, which has the right kind: many text values must have a certain
    /// syntax.
    ///
    /// # Errors
    /// No host accepts the value; the error describes the accepted values.
    fn check_value(&self, _value: &Value) -> Result<(), ValueError> {
        Ok(())
    }

    /// Checks whether at least one host may have a target with this name, for [`Scope::Named`].
    ///
    /// # Errors
    /// No host has such a target; the error contains the reason and the accepted names.
    fn check_target_name(&self, _name: &str) -> Result<(), String> {
        Ok(())
    }

    /// How long a value lasts, if that depends on the value.
    fn lifetime_of(&self, _desired: &Value) -> Lifetime {
        self.spec().lifetime
    }

    /// The current value and what a plan shows about it.
    ///
    /// # Errors
    /// The errors of [`read`](Self::read); or a process rule matches processes that it must not match.
    fn survey(&self, host: &Host, target: &KnobTarget) -> Result<Survey, KnobError> {
        self.read(host, target).map(Survey::from)
    }

    /// The current value of exactly the parts of `before`, read after a write and before a rollback: for a process rule, the
    /// threads that it matched then, even if their names and cgroups have changed since.
    ///
    /// # Errors
    /// The value cannot be determined. That does not mean that the parts have ended.
    fn read_back(&self, host: &Host, target: &KnobTarget, _before: &Value) -> Result<Reading, KnobError> {
        self.read(host, target)
    }

    /// The value to write for `desired`, limited to the parts of `before`. Parts that were added since have no value in the
    /// journal, and could not be restored.
    fn limit_to_parts(&self, _before: &Value, desired: &Value) -> Value {
        desired.clone()
    }

    /// Restores the original value. For a value with parts this is best effort: if a part is refused, the other parts are still
    /// restored.
    ///
    /// # Errors
    /// Some parts were refused; the error names them.
    fn restore(&self, host: &Host, target: &KnobTarget, before: &Value) -> Result<(), KnobError> {
        self.write(host, target, before).map(drop)
    }

    /// Effects of the setting that restoring `before` does not undo, as messages; called just before the restore. Children of a
    /// tuned process inherit the setting, and have no original value in the journal.
    ///
    /// # Errors
    /// The effects cannot be determined.
    fn side_effects(
        &self,
        _host: &Host,
        _target: &KnobTarget,
        _before: &Value,
        _desired: &Value,
    ) -> Result<Vec<String>, KnobError> {
        Ok(Vec::new())
    }

    /// The path of the file that holds the value, from the root of the host. Another knob may use the same file.
    fn file_path(&self, target: &KnobTarget) -> Option<String> {
        self.value_file().map(|file| file.path_for(target))
    }

    /// Whether the value `current`, as read, equals `expected`.
    fn matches(&self, current: &Value, expected: &Value) -> bool {
        current.matches(expected)
    }

    /// Whether `current` fulfils the purpose of `desired`: used by plans, after writes, and by verification. Only
    /// [`matches`](Self::matches) determines whether a value equals the original one.
    fn satisfies(&self, current: &Value, desired: &Value) -> bool {
        self.matches(current, desired)
    }

    /// The text of a desired value that plans show beside the current one.
    fn describe(&self, desired: &Value) -> String {
        desired.to_string()
    }

    /// The function that finds the device of a target, for knobs whose target names can be reused for other devices.
    fn identity(&self) -> Option<IdentityFn> {
        (self.spec().scope == Scope::Nic).then_some(identity::nic_device as IdentityFn)
    }

    /// The operations of a knob whose targets are processes.
    fn process_rule(&self) -> Option<&dyn ProcessRule> {
        None
    }

    /// The operations of a knob that grants privileges to processes.
    fn privileges(&self) -> Option<&dyn Privileges> {
        None
    }

    /// The operations of a knob whose value is in configuration files.
    fn configuration(&self) -> Option<&dyn Configuration> {
        None
    }
}

/// A knob whose targets are the processes that a rule matches. A plan lists them, and only these are set.
pub trait ProcessRule {
    /// The current value on those processes of the plan that are still running.
    ///
    /// # Errors
    /// The errors of [`Knob::read`]; or the rule now matches processes of users who are not in the plan.
    fn read_planned(&self, host: &Host, target: &KnobTarget, planned: &[MatchedProcess]) -> Result<Reading, KnobError>;

    /// Checks that the processes of the plan have not changed: called right before and right after their values are set.
    ///
    /// # Errors
    /// One of the processes has executed another program, or has another user.
    fn check_unchanged(&self, host: &Host, planned: &[MatchedProcess]) -> Result<(), KnobError>;
}

/// A knob that grants a privilege to processes. Children and new threads inherit the privilege.
pub trait Privileges {
    /// Whether `current` is a privilege that was granted when `desired` replaced `before`. Such a value is restored even if it
    /// was modified externally: otherwise a process could give up a part of the privilege itself and keep the rest.
    fn is_granted(&self, current: &Value, before: &Value, desired: &Value) -> bool;

    /// Revokes the privilege from everything that can only have inherited it, after `before` was restored. Returns a message
    /// that names the processes that still have it; `None` if there are none.
    ///
    /// # Errors
    /// It cannot be determined which processes have the privilege.
    fn revoke(
        &self,
        host: &Host,
        before: &Value,
        desired: &Value,
        processes: &[MatchedProcess],
    ) -> Result<Option<String>, KnobError>;
}

/// A knob whose value is in configuration files.
pub trait Configuration {
    /// Whether the running system uses `desired`.
    ///
    /// # Errors
    /// It cannot be determined.
    fn activation(&self, _host: &Host, _target: &KnobTarget, _desired: &Value) -> Result<Activation, KnobError> {
        Ok(Activation::Active)
    }

    /// The files from which the value is read. Their change times show when they were last modified, unlike the times of kernel
    /// files.
    ///
    /// # Errors
    /// The files cannot be listed.
    fn files(&self, _host: &Host, _target: &KnobTarget) -> Result<Vec<String>, KnobError> {
        Ok(Vec::new())
    }

    /// Activates the written values, once for all values of the knob: generates the boot menu, or restarts a service. Called
    /// after the last value of the knob in a transaction was written or restored.
    ///
    /// # Errors
    /// The program that activates the values failed.
    fn activate(&self, _host: &Host) -> Result<(), KnobError> {
        Ok(())
    }
}
