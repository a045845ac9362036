//! The result of `quell doctor`, which is shown as text or as JSON.

use serde::Serialize;

use super::check::Check;
use super::findings;
use super::trial::Trial;
use crate::bpf::Features;
use crate::probe::{Availability, PROBES};

/// The version of the JSON form of [`Checkup`]. It is incremented when a field is removed or changes its meaning.
const SCHEMA_VERSION: u32 = 1;

/// The features of quell that work on a host. The serialized form is the output of `quell doctor --json`.
#[derive(Clone, Debug, Serialize)]
pub struct Checkup {
    /// The version of the JSON form.
    pub schema: u32,
    /// The version of quell.
    pub quell: &'static str,
    /// The kernel version, such as `6.18.3`.
    pub kernel: String,
    /// The architecture, as printed by `uname -m`.
    pub arch: &'static str,
    /// Whether every probe works, at least partly.
    pub usable: bool,
    /// The verdict on each probe.
    pub probes: Vec<ProbeVerdict>,
    /// All checks.
    pub checks: Vec<Check>,
}

/// Whether a probe works.
#[derive(Clone, Debug, Serialize)]
pub struct ProbeVerdict {
    /// The name of the probe.
    pub name: &'static str,
    /// Whether the probe works.
    pub state: ProbeState,
    /// The missing requirements; `None` for [`ProbeState::Ready`].
    pub why: Option<String>,
}

/// [`Availability`] without the reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProbeState {
    /// The probe works completely.
    Ready,
    /// The probe works partly.
    Degraded,
    /// The probe does not work.
    Unavailable,
}

/// Evaluates the detected features and the trials of the programs.
pub(super) fn checkup(features: &Features, trials: &[Trial]) -> Checkup {
    let probes: Vec<ProbeVerdict> = PROBES
        .iter()
        .map(|probe| {
            let name = probe.spec().name;
            let programs = trials.iter().find(|trial| trial.probe == name).map(|trial| trial.programs.clone());
            verdict(name, worse(probe.needs(features), programs.unwrap_or(Availability::Ready)))
        })
        .collect();
    Checkup {
        schema: SCHEMA_VERSION,
        quell: env!("CARGO_PKG_VERSION"),
        kernel: features.kernel.to_string(),
        arch: std::env::consts::ARCH,
        usable: probes.iter().all(|probe| probe.state != ProbeState::Unavailable),
        probes,
        checks: findings::all(features),
    }
}

/// The availability of a probe: the worse of the result of its requirements (`needs`) and the result of loading its
/// `programs`. The reason from `needs` comes first, because it explains why the programs were rejected, and contains the
/// remedy.
fn worse(needs: Availability, programs: Availability) -> Availability {
    match (needs, programs) {
        (Availability::Unavailable(why), _) | (_, Availability::Unavailable(why)) => Availability::Unavailable(why),
        (Availability::Degraded(lack), Availability::Degraded(why)) => Availability::Degraded(format!("{lack}; {why}")),
        (Availability::Ready, other) | (other, Availability::Ready) => other,
    }
}

fn verdict(name: &'static str, availability: Availability) -> ProbeVerdict {
    let (state, why) = match availability {
        Availability::Ready => (ProbeState::Ready, None),
        Availability::Degraded(why) => (ProbeState::Degraded, Some(why)),
        Availability::Unavailable(why) => (ProbeState::Unavailable, Some(why)),
    };
    ProbeVerdict { name, state, why }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bpf::Support;
    use crate::doctor::Status;
    use crate::host::KernelVersion;

    /// The checkup of a host whose kernel accepts all programs.
    fn checkup(features: &Features) -> Checkup {
        super::checkup(features, &[])
    }

    #[test]
    fn every_no_says_what_to_do_and_every_check_has_its_own_name() {
        let mut old = Features::unprivileged();
        old.kernel = KernelVersion::new(4, 19);
        old.btf = Support::Unsupported("reading: ENOENT".to_owned());
        old.offsets = Err("no BTF".to_owned());
        old.perf.cycles = Support::Unsupported("opening: ENOENT".to_owned());
        old.initial_pid_namespace = false;
        old.jit = Some(false);
        old.lockdown = Some("confidentiality".to_owned());
        let checkup = checkup(&old);
        for check in &checkup.checks {
            assert_eq!(check.status == Status::No, check.remedy.is_some(), "{check:?}");
            assert!(!check.found.is_empty(), "{check:?}");
            assert_eq!(checkup.checks.iter().filter(|other| other.id == check.id).count(), 1, "{check:?}");
        }
        assert!(checkup.checks.iter().filter(|check| check.status == Status::No).count() > 16);
    }

    #[test]
    fn a_host_is_usable_while_every_probe_works_in_part() {
        let mut features = Features::all();
        features.perf.cycles = Support::Unsupported("opening: ENOENT".to_owned());
        assert!(checkup(&features).usable);
        assert!(!checkup(&Features::unprivileged()).usable);
    }

    #[test]
    fn a_lack_of_capabilities_is_named_before_anything_else() {
        let checkup = checkup(&Features::unprivileged());
        let tp_btf = checkup.checks.iter().find(|check| check.id == "tp_btf").expect("a check");
        assert!(tp_btf.remedy.as_ref().is_some_and(|remedy| remedy.contains("CAP_BPF and CAP_PERFMON")));
    }

    #[test]
    fn the_json_form_stays_as_it_is() {
        let mut features = Features::all();
        features.perf.cycles = Support::Unsupported("opening: ENOENT, no such file or directory".to_owned());
        let mut checkup = checkup(&features);
        let ids: Vec<&str> = checkup.checks.iter().map(|check| check.id).collect();
        insta::assert_snapshot!("ids", ids.join("\n"));
        checkup.checks.retain(|check| ["version", "cycles", "perf_event_paranoid"].contains(&check.id));
        (checkup.quell, checkup.arch) = ("0.0.0", "x86_64");
        insta::assert_snapshot!("json", serde_json::to_string_pretty(&checkup).expect("plain data"));
    }

    #[test]
    fn a_probe_is_no_better_than_what_the_kernel_made_of_its_programs() {
        for probe in PROBES {
            let name = probe.spec().name;
            let with = |features: &Features, programs| {
                let checkup = super::checkup(features, &[Trial { probe: name, programs }]);
                let verdict = checkup.probes.into_iter().find(|probe| probe.name == name).expect("each probe");
                (verdict.state, verdict.why.unwrap_or_default())
            };
            let all = Features::all();
            let (lack, refused) = ("no iterator".to_owned(), "quell_x: R1 is no pointer".to_owned());
            assert_eq!(with(&all, Availability::Ready), (ProbeState::Ready, String::new()));
            assert_eq!(with(&all, Availability::Degraded(lack.clone())), (ProbeState::Degraded, lack));
            assert_eq!(with(&all, Availability::Unavailable(refused.clone())), (ProbeState::Unavailable, refused));
            // The missing requirement is more informative than the resulting rejection of the programs.
            let (state, why) = with(&Features::unprivileged(), Availability::Unavailable("loading: EPERM".to_owned()));
            assert!(state == ProbeState::Unavailable && why.starts_with("not permitted without "), "{why}");
        }
    }
}
