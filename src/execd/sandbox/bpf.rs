//! The few words of a seccomp filter's language that filters here are written in (seccomp(2)).

/// Takes a word of `struct seccomp_data`.
pub const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
/// Goes on behind as many steps as it says, by whether the word is this.
pub const EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
/// The same by whether it is at least this.
pub const AT_LEAST: u16 = (libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K) as u16;
/// Ends with an answer.
pub const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
/// Where the call's number is.
pub const NUMBER: u32 = 0;
