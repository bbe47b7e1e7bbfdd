//! `sandbox/cgroup` for macOS, which has no control groups: nothing of these types ever exists.

use std::{fs::File, io};

use crate::macos::processes;

/// Most processes of one action.
pub const PROCESSES: u64 = 8192;
/// The part of the machine's memory that one action may use, in percent.
const MEMORY_PERCENT: u64 = 90;

/// A control group whose inside is ours.
#[derive(Debug)]
pub enum Delegation {}

/// The control group of one action.
#[derive(Debug)]
pub enum Group {}

impl Delegation {
    /// Says why there is none.
    pub fn take(_: &[u32]) -> Result<Delegation, String> {
        Err("macOS has no control groups".to_owned())
    }

    /// A new group with the limits of one action.
    pub fn group(&self, _: Option<u64>) -> io::Result<Group> {
        match *self {}
    }
}

impl Group {
    /// Through which a process joins.
    pub fn procs(&self) -> io::Result<File> {
        match *self {}
    }

    /// Whether the kernel limits its memory.
    pub fn limits_memory(&self) -> bool {
        match *self {}
    }

    /// Whether the kernel killed something in it for want of memory.
    pub fn out_of_memory(&self) -> bool {
        match *self {}
    }
}

/// The most memory that one action may use.
pub fn memory_bytes() -> Option<u64> {
    let bytes = processes::told::<8>(c"hw.memsize")?;
    Some(u64::from_ne_bytes(bytes.try_into().ok()?) / 100 * MEMORY_PERCENT)
}
