//! System calls that no crate wraps: the agent's only `unsafe`.

#![allow(unsafe_code, reason = "raw system calls; each has a SAFETY comment")]

pub(crate) mod bpf;
