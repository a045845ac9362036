//! Load-time settings.

use quell_ebpf_common::Settings;

/// Replaced by the user side before loading. The map behind it is frozen, so that the verifier knows each value
/// and drops the branches that it rules out (kernel/bpf/verifier.c `bpf_map_is_rdonly`, 5.5).
#[unsafe(no_mangle)]
pub static SETTINGS: Settings = Settings {
    target: 0,
    self_tgid: 0,
    cgroup_level: 0,
    some_cpus: 0,
    cgroup_id: 0,
    cpus: [0; 16],
    probes: 0,
    sampling: 0,
    task_pid: 0,
    task_tgid: 0,
    task_state: 0,
    task_state_bytes: 0,
    task_on_cpu: 0,
    task_in_iowait: 0,
    in_iowait_mask: 0,
    task_comm: 0,
    switch_has_prev_state: 0,
    has_task_pt_regs: 0,
    pt_regs: [0; 3],
    command_tgid: 0,
    cgroup_ids: [0; 4],
    stack_regs: [0; 2],
    walk_ring: 0,
    task_cpu: 0,
    task_switches: [0; 2],
    throttled: [0; 2],
    task_sp: 0,
    pad: 0,
};

/// Reads a field of [`SETTINGS`] as it was set at load time; the compiler must not take the zeros above for it.
macro_rules! setting {
    ($($field:tt)+) => {
        // SAFETY: a read of an initialized static; volatile only to keep the compiler from folding it.
        unsafe { core::ptr::read_volatile(&raw const crate::settings::SETTINGS.$($field)+) }
    };
}
pub(crate) use setting;

/// Declares the global that holds the offset of a kernel field, which a probe declares as a `KernelField`.
macro_rules! kernel_field {
    ($name:ident) => {
        /// Replaced by the user side before loading, like `SETTINGS`.
        #[unsafe(no_mangle)]
        pub static $name: u32 = 0;
    };
}
pub(crate) use kernel_field;

/// Reads such an offset.
macro_rules! offset {
    ($name:ident) => {
        // SAFETY: as in `setting`.
        unsafe { core::ptr::read_volatile(&raw const $name) }
    };
}
pub(crate) use offset;
