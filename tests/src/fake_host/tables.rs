//! Values that hosts have in common, as kernels have them after boot.

/// Files below `/proc/sys`.
pub(super) const SYSCTLS: &[(&str, &str)] = &[
    ("kernel/ftrace_enabled", "1"),
    ("kernel/hung_task_timeout_secs", "120"),
    ("kernel/bpf_stats_enabled", "0"),
    ("kernel/nmi_watchdog", "1"),
    ("kernel/numa_balancing", "1"),
    ("kernel/perf_cpu_time_max_percent", "25"),
    ("kernel/sched_autogroup_enabled", "1"),
    ("kernel/sched_rt_period_us", "1000000"),
    ("kernel/sched_rt_runtime_us", "950000"),
    ("kernel/sched_schedstats", "0"),
    ("kernel/soft_watchdog", "1"),
    ("kernel/split_lock_mitigate", "1"),
    ("kernel/task_delayacct", "0"),
    ("kernel/timer_migration", "1"),
    ("kernel/watchdog_thresh", "10"),
    ("net/core/busy_poll", "0"),
    ("net/core/busy_read", "0"),
    ("net/core/netdev_budget", "300"),
    ("net/core/netdev_budget_usecs", "8000"),
    ("net/core/rmem_max", "212992"),
    ("net/core/rps_sock_flow_entries", "0"),
    ("net/core/somaxconn", "4096"),
    ("net/core/wmem_max", "212992"),
    ("net/ipv4/tcp_fastopen", "1"),
    ("net/ipv4/tcp_rmem", "4096\t131072\t6291456"),
    ("net/ipv4/tcp_wmem", "4096\t16384\t4194304"),
    ("vm/compact_unevictable_allowed", "1"),
    ("vm/compaction_proactiveness", "20"),
    ("vm/dirty_background_bytes", "0"),
    ("vm/dirty_background_ratio", "10"),
    ("vm/dirty_bytes", "0"),
    ("vm/dirty_expire_centisecs", "3000"),
    ("vm/dirty_ratio", "20"),
    ("vm/dirty_writeback_centisecs", "500"),
    ("vm/min_free_kbytes", "67584"),
    ("vm/stat_interval", "1"),
    ("vm/swappiness", "60"),
    ("vm/watermark_boost_factor", "15000"),
    ("vm/watermark_scale_factor", "10"),
    ("vm/zone_reclaim_mode", "0"),
];

/// Files elsewhere.
pub(super) const FILES: &[(&str, &str)] = &[
    ("/proc/sys/kernel/random/boot_id", "3f1c2b6e-8a54-4a0e-9d53-6b1f0c2d7e11"),
    ("/sys/fs/cgroup/cgroup.controllers", "cpuset cpu io memory pids"),
    ("/sys/fs/cgroup/cgroup.subtree_control", "cpu memory pids"),
    ("/sys/kernel/mm/ksm/run", "0"),
    ("/sys/kernel/mm/transparent_hugepage/defrag", "always defer defer+madvise [madvise] never"),
    ("/sys/kernel/mm/transparent_hugepage/enabled", "[always] madvise never"),
    ("/sys/kernel/mm/transparent_hugepage/khugepaged/defrag", "1"),
    ("/sys/kernel/mm/transparent_hugepage/shmem_enabled", "always within_size advise [never] deny force"),
    ("/sys/module/pcie_aspm/parameters/policy", "[default] performance powersave powersupersave"),
];

/// Units of systemd, with what they are.
pub(super) const UNITS: &[(&str, &str, &str)] = &[
    ("fwupd-refresh.timer", "running", "enabled"),
    ("irqbalance.service", "running", "enabled"),
    ("ksmtuned.service", "stopped", "disabled"),
];
