//! The filter of rung `landlock`: no socket but a connected pair and those of a network that was
//! granted, and the few calls that Landlock of older kernels does not cover. Programs only;
//! `confine` applies them.

use std::collections::BTreeMap;

use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, sock_filter,
};

use super::Network;

/// From this version on Landlock covers truncation (Linux 6.2).
pub const ABI_TRUNCATE: i32 = 3;
/// From this version on it keeps signals inside (Linux 6.12).
const ABI_SIGNALS: i32 = 6;

/// Calls of sockets, but for that which makes pairs.
const SOCKETS: &[libc::c_long] = &[libc::SYS_socket, libc::SYS_connect, libc::SYS_bind, libc::SYS_listen];
/// Families of a network that was granted. A path socket is none: no rule could tell the session bus
/// from another.
const GRANTED: [libc::c_int; 3] = [libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK];
/// Memory and queues that belong to nobody's files.
const REFUSED: &[libc::c_long] =
    &[libc::SYS_shmget, libc::SYS_shmat, libc::SYS_semget, libc::SYS_msgget, libc::SYS_mq_open];

/// Refuses with EPERM.
pub fn filter(landlock_abi: i32, network: Network) -> Result<BpfProgram, BackendError> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = REFUSED.iter().map(|&call| (call, Vec::new())).collect();
    let word = |index, operator, value| SeccompCondition::new(index, SeccompCmpArgLen::Dword, operator, value);
    let any = |conditions: Vec<SeccompCondition>| {
        conditions.into_iter().map(|one| SeccompRule::new(vec![one])).collect::<Result<Vec<_>, _>>()
    };
    // A pair of datagrams could be sent to any path.
    let datagrams = [libc::SOCK_DGRAM, libc::SOCK_RAW].map(|kind| word(1, SeccompCmpOp::MaskedEq(0xf), kind as u64));
    let mut pairs = datagrams.into_iter().collect::<Result<Vec<_>, _>>()?;
    pairs.push(word(0, SeccompCmpOp::Ne, libc::AF_UNIX as u64)?);
    rules.insert(libc::SYS_socketpair, any(pairs)?);
    match network {
        Network::None => {
            rules.extend(SOCKETS.iter().map(|&call| (call, Vec::new())));
            let addressed = SeccompCondition::new(4, SeccompCmpArgLen::Qword, SeccompCmpOp::Ne, 0)?;
            rules.insert(libc::SYS_sendto, any(vec![addressed])?);
        }
        Network::Host => {
            let other = GRANTED.map(|family| word(0, SeccompCmpOp::Ne, family as u64)).into_iter();
            rules.insert(libc::SYS_socket, vec![SeccompRule::new(other.collect::<Result<_, _>>()?)?]);
        }
    }
    if landlock_abi < ABI_SIGNALS {
        let everybody = word(0, SeccompCmpOp::Eq, u64::from(u32::MAX))?;
        rules.insert(libc::SYS_kill, any(vec![everybody])?);
    }
    if landlock_abi < ABI_TRUNCATE {
        rules.insert(libc::SYS_truncate, Vec::new());
        let mask = (libc::O_TRUNC | libc::O_ACCMODE) as u64;
        let unwritable = [libc::O_RDONLY, libc::O_ACCMODE].map(|access| (libc::O_TRUNC | access) as u64);
        let flags = |index| {
            any(unwritable
                .iter()
                .map(|value| word(index, SeccompCmpOp::MaskedEq(mask), *value))
                .collect::<Result<_, _>>()?)
        };
        rules.insert(libc::SYS_openat, flags(2)?);
        #[cfg(target_arch = "x86_64")]
        rules.insert(libc::SYS_open, flags(1)?);
    }
    let refuse = SeccompAction::Errno(libc::EPERM as u32);
    SeccompFilter::new(rules, SeccompAction::Allow, refuse, std::env::consts::ARCH.try_into()?)?.try_into()
}

/// Answers ENOSYS to openat2, whose flags no filter can read.
pub fn without_openat2() -> BpfProgram {
    let step = |code, jt, jf, k| sock_filter { code, jt, jf, k };
    vec![
        step(0x20, 0, 0, 0),
        step(0x15, 0, 1, libc::SYS_openat2 as u32),
        step(0x06, 0, 0, 0x0005_0000 | libc::ENOSYS as u32),
        step(0x06, 0, 0, 0x7fff_0000),
    ]
}
