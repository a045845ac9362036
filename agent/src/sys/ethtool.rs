//! Settings of network drivers that require `ioctl` (`SIOCETHTOOL`): the RSS table before 6.17, and flow rules.

use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};

use bytemuck::{Pod, Zeroable};

// include/uapi/linux/ethtool.h
const ETHTOOL_GRXRINGS: u32 = 0x2d;
const ETHTOOL_GRXCLSRULE: u32 = 0x2f;
const ETHTOOL_GRXCLSRLCNT: u32 = 0x2e;
const ETHTOOL_SRXCLSRLDEL: u32 = 0x31;
const ETHTOOL_SRXCLSRLINS: u32 = 0x32;
const ETHTOOL_GRXFHINDIR: u32 = 0x38;
const ETHTOOL_SRXFHINDIR: u32 = 0x39;

/// `struct ethtool_rx_flow_spec`: a packet filter and its target.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub(crate) struct FlowSpec {
    pub(crate) flow_type: u32,
    /// `union ethtool_flow_union`: big-endian fields that depend on the flow type.
    pub(crate) value: [u8; 52],
    /// `struct ethtool_flow_ext`.
    pub(crate) value_ext: [u8; 20],
    pub(crate) mask: [u8; 52],
    pub(crate) mask_ext: [u8; 20],
    pub(crate) padding: u32,
    /// The receive queue, or `RX_CLS_FLOW_DISC` (all ones) to drop the packet.
    pub(crate) ring_cookie: u64,
    pub(crate) location: u32,
    pub(crate) padding_end: u32,
}

/// `struct ethtool_rxnfc`, without rule locations.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
struct RxNfc {
    command: u32,
    flow_type: u32,
    data: u64,
    spec: FlowSpec,
    /// The number of rules, or the RSS context of a rule (`FLOW_RSS`).
    context: u32,
    padding: u32,
}

const _: () = assert!(size_of::<FlowSpec>() == 168 && size_of::<RxNfc>() == 192);

/// `struct ifreq`: the NUL-terminated name of the interface, and a pointer to the command.
#[repr(C)]
struct Request {
    name: [u8; libc::IFNAMSIZ],
    data: *mut libc::c_void,
    // `struct ifreq` is larger than the members that are used here.
    rest: [u8; 16],
}

/// Calls the driver. `command` is the buffer of an ethtool command, whose first word is the number of the command.
///
/// # Safety
/// The buffer is large enough for all reads and writes of the kernel for this command.
unsafe fn call(nic: &str, command: &mut [u8]) -> io::Result<()> {
    // SAFETY: socket takes only numbers; its result is checked, and nothing else owns the descriptor.
    let socket = unsafe {
        let fd = libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0);
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        OwnedFd::from_raw_fd(fd)
    };
    let mut request = Request { name: [0; libc::IFNAMSIZ], data: command.as_mut_ptr().cast(), rest: [0; 16] };
    if nic.len() >= request.name.len() {
        return Err(io::Error::from_raw_os_error(libc::ENODEV));
    }
    request.name[..nic.len()].copy_from_slice(nic.as_bytes());
    // SAFETY: the request is a complete `struct ifreq` with a terminated name; the caller guarantees that the buffer is valid.
    match unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCETHTOOL as _, &raw mut request) } {
        result if result < 0 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Calls the driver with a command whose struct has no trailing array.
fn rules(nic: &str, request: &mut RxNfc) -> io::Result<()> {
    // SAFETY: the commands that are used here with this struct access only the struct; ETHTOOL_GRXCLSRLALL, which has a
    // trailing array, is not among them.
    unsafe { call(nic, bytemuck::bytes_of_mut(request)) }
}

/// The number of receive queues that RSS can use.
pub(crate) fn rss_queues(nic: &str) -> io::Result<u32> {
    let mut request = RxNfc { command: ETHTOOL_GRXRINGS, ..RxNfc::zeroed() };
    rules(nic, &mut request)?;
    u32::try_from(request.data).map_err(io::Error::other)
}

/// The RSS indirection table: the queue of each hash bucket.
pub(crate) fn rss_table(nic: &str) -> io::Result<Vec<u32>> {
    let mut size = [ETHTOOL_GRXFHINDIR, 0];
    // SAFETY: if the given size is 0, the kernel writes only the size (ethtool_get_rxfh_indir, net/ethtool/ioctl.c).
    unsafe { call(nic, bytemuck::cast_slice_mut(&mut size)) }?;
    let entries = usize::try_from(size[1]).map_err(io::Error::other)?;
    let mut table = vec![0; 2 + entries];
    table[..2].copy_from_slice(&[ETHTOOL_GRXFHINDIR, size[1]]);
    // SAFETY: the buffer has room for the number of entries in the second word.
    unsafe { call(nic, bytemuck::cast_slice_mut(&mut table)) }?;
    table.drain(..2);
    Ok(table)
}

/// Sets the RSS indirection table; an empty table restores the default of the driver.
pub(crate) fn set_rss_table(nic: &str, table: &[u32]) -> io::Result<()> {
    let mut request = vec![ETHTOOL_SRXFHINDIR, u32::try_from(table.len()).map_err(io::Error::other)?];
    request.extend(table);
    // SAFETY: the buffer contains the number of entries in the second word.
    unsafe { call(nic, bytemuck::cast_slice_mut(&mut request)) }
}

/// Whether the driver can report flow rules.
pub(crate) fn has_flow_rules(nic: &str) -> io::Result<()> {
    rules(nic, &mut RxNfc { command: ETHTOOL_GRXCLSRLCNT, ..RxNfc::zeroed() })
}

/// The flow rule at a location, with its RSS context; `None` if there is no rule.
pub(crate) fn flow_rule(nic: &str, location: u32) -> io::Result<Option<(FlowSpec, u32)>> {
    let spec = FlowSpec { location, ..FlowSpec::zeroed() };
    let mut request = RxNfc { command: ETHTOOL_GRXCLSRULE, spec, ..RxNfc::zeroed() };
    match rules(nic, &mut request) {
        Ok(()) => Ok(Some((request.spec, request.context))),
        // The errno depends on the driver: EINVAL from igb and i40e, ENOENT or EINVAL from mlx5 and ixgbe.
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::EINVAL)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Adds or replaces the flow rule at its location.
pub(crate) fn set_flow_rule(nic: &str, spec: FlowSpec, context: u32) -> io::Result<()> {
    rules(nic, &mut RxNfc { command: ETHTOOL_SRXCLSRLINS, spec, context, ..RxNfc::zeroed() })
}

/// Removes the flow rule at a location.
pub(crate) fn remove_flow_rule(nic: &str, location: u32) -> io::Result<()> {
    let spec = FlowSpec { location, ..FlowSpec::zeroed() };
    rules(nic, &mut RxNfc { command: ETHTOOL_SRXCLSRLDEL, spec, ..RxNfc::zeroed() })
}
