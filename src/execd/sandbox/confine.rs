//! The payload's last steps before its program is loaded: limits, capabilities, Landlock and the
//! system call filter. Each only takes away.

use std::{collections::BTreeMap, io, path::Path, sync::OnceLock};

use landlock::{
    ABI, Access as _, AccessFs, PathBeneath, PathFd, PathFdError, Ruleset, RulesetAttr, RulesetCreatedAttr,
    RulesetError, Scope,
};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use rustix::thread::{CapabilitySet, CapabilitySets};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    sock_filter,
};

use shared::config::Rung;

use super::{
    Access, Fail, Job, Mount, Network, Root, Step,
    bpf::{AT_LEAST, EQUAL, LOAD, NUMBER, RETURN},
    linux::LANDLOCK_ABI,
    sockets, sys,
};

/// Sets resource limits and the file creation mask.
pub fn limits(job: &Job) -> Result<(), Fail> {
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    let fail = |err| Fail::new(Step::Limits, "of the payload", io::Error::from(err));
    setrlimit(Resource::RLIMIT_CORE, 0, 0).map_err(fail)?;
    for (resource, value) in [(Resource::RLIMIT_FSIZE, job.file_bytes), (Resource::RLIMIT_NPROC, job.processes)] {
        let (_, hard) = getrlimit(resource).map_err(fail)?;
        if value != 0 {
            setrlimit(resource, value.min(hard), value.min(hard)).map_err(fail)?;
        }
    }
    Ok(())
}

/// Gives up every capability, for good.
pub fn privileges() -> Result<(), Fail> {
    let fail = |err: rustix::io::Errno| Fail::new(Step::Capabilities, "of the payload", err);
    rustix::thread::set_no_new_privs(true).map_err(fail)?;
    let none = CapabilitySet::empty();
    let sets = CapabilitySets { effective: none, permitted: none, inheritable: none };
    rustix::thread::set_capabilities(None, sets).map_err(fail)
}

/// What of the kernel a rung needs, where it can be asked without trying.
pub fn offered(rung: Rung) -> Result<(), String> {
    match sys::landlock_abi() {
        _ if rung == Rung::Namespaces => Ok(()),
        0 => Err(
            "the kernel has no Landlock, or it is off or refused (lsm= on the kernel's command line, a container's \
              seccomp profile)"
                .to_owned(),
        ),
        abi if abi < LANDLOCK_ABI => Err(format!("Landlock version {abi} of the kernel is below {LANDLOCK_ABI}")),
        _ => Ok(()),
    }
}

/// Landlock over the view: a second wall behind the mounts. Reading is open, since the view holds
/// nothing undeclared; writing is for the writable places only; abstract sockets and signals to
/// outside are cut where the kernel can.
pub fn landlock(job: &Job) -> Result<(), Fail> {
    let fail = |err: Wall| Fail::new(Step::Landlock, err, io::Error::from_raw_os_error(libc::EACCES));
    wall(job).map_err(fail)
}

/// Why a Landlock domain cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum Wall {
    /// A rule of it.
    #[error(transparent)]
    Rules(#[from] RulesetError),
    /// A path that a rule names.
    #[error(transparent)]
    Path(#[from] PathFdError),
}

fn wall(job: &Job) -> Result<(), Wall> {
    let abi = ABI::V6;
    let mut rules = Ruleset::default()
        .handle_access(AccessFs::from_all(abi))?
        .scope(Scope::from_all(abi))?
        .create()?
        .add_rule(PathBeneath::new(PathFd::new("/")?, AccessFs::from_read(abi)))?;
    let writable = job.mounts.iter().filter_map(|mount| match mount {
        Mount::Bind { at, access: Access::Writable | Access::WritableData, .. } | Mount::Memory { at, .. } => {
            Some(at.as_os())
        }
        Mount::Live(live) if live.access == Access::Writable => Some(live.at.as_os()),
        Mount::Again { at, access: Access::Writable, .. } => Some(at.as_os()),
        _ => None,
    });
    let devices = [Path::new("/dev").as_os_str()];
    let root = matches!(job.root, Root::Private(_)).then(|| Path::new("/").as_os_str());
    for path in writable.chain(devices).chain(root) {
        if let Ok(fd) = PathFd::new(path) {
            let rights = if Path::new(path).is_dir() { AccessFs::from_all(abi) } else { AccessFs::from_file(abi) };
            rules = rules.add_rule(PathBeneath::new(fd, rights))?;
        }
    }
    rules.restrict_self()?;
    Ok(())
}

/// Applies the filter that [`prepare`] made.
pub fn filter() -> Result<(), Fail> {
    compile().iter().try_for_each(apply)
}

/// Where no network namespace cuts them: refuses every socket but those of a network that was
/// granted, and what Landlock of this kernel leaves open.
pub fn filter_sockets(network: Network) -> Result<(), Fail> {
    let fail = |err| Fail::new(Step::Filter, err, io::Error::from_raw_os_error(libc::EINVAL));
    let abi = sys::landlock_abi();
    apply(&sockets::filter(abi, network).map_err(fail)?)?;
    if abi < sockets::ABI_TRUNCATE { apply(&sockets::without_openat2()) } else { Ok(()) }
}

fn apply(program: &BpfProgram) -> Result<(), Fail> {
    seccompiler::apply_filter(program)
        .map_err(|err| Fail::new(Step::Filter, err, io::Error::from_raw_os_error(libc::EINVAL)))
}

/// In the spawner: makes once what every payload inherits.
pub fn prepare() {
    let _made = compile();
}

/// The filter's programs.
fn compile() -> &'static [BpfProgram] {
    static PROGRAMS: OnceLock<Vec<BpfProgram>> = OnceLock::new();
    PROGRAMS.get_or_init(|| {
        let refusals = refusals().unwrap_or_default();
        vec![absent(), refusals].into_iter().filter(|program| !program.is_empty()).collect()
    })
}

/// Calls that no action needs and that widen what the kernel can be asked to do.
const REFUSED: &[libc::c_long] = &[
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_mount_setattr,
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_syslog,
    libc::SYS_open_by_handle_at,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_adjtimex,
];

fn refusals() -> Result<BpfProgram, seccompiler::BackendError> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = REFUSED.iter().map(|&call| (call, Vec::new())).collect();
    let argument = |index, operator, value| SeccompCondition::new(index, SeccompCmpArgLen::Dword, operator, value);
    let mut typing = Vec::new();
    for request in [libc::TIOCSTI, libc::TIOCLINUX] {
        typing.push(SeccompRule::new(vec![argument(1, SeccompCmpOp::Eq, request)?])?);
    }
    rules.insert(libc::SYS_ioctl, typing);
    let mut namespaces = Vec::new();
    for flag in [
        libc::CLONE_NEWUSER,
        libc::CLONE_NEWNS,
        libc::CLONE_NEWPID,
        libc::CLONE_NEWNET,
        libc::CLONE_NEWIPC,
        libc::CLONE_NEWUTS,
        libc::CLONE_NEWCGROUP,
    ] {
        let flag = flag as u32 as u64;
        namespaces.push(SeccompRule::new(vec![argument(0, SeccompCmpOp::MaskedEq(flag), flag)?])?);
    }
    rules.insert(libc::SYS_clone, namespaces);
    rules.insert(libc::SYS_socket, families()?);
    let refuse = SeccompAction::Errno(libc::EPERM as u32);
    SeccompFilter::new(rules, SeccompAction::Allow, refuse, std::env::consts::ARCH.try_into()?)?.try_into()
}

/// Socket families beside those that a network namespace cuts: vsock reaches the machine's host
/// from any namespace, the others are ways into the kernel that no build takes.
fn families() -> Result<Vec<SeccompRule>, seccompiler::BackendError> {
    let known = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK];
    let other = |family: libc::c_int| {
        SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, family.unsigned_abs().into())
    };
    Ok(vec![SeccompRule::new(known.into_iter().map(other).collect::<Result<_, _>>()?)?])
}

/// Calls that answer "not there", so that libraries fall back: clone3, whose flags a filter cannot
/// read, and on x86-64 the second call table, which would pass by the first filter's numbers.
fn absent() -> BpfProgram {
    const X32: u32 = 0x4000_0000;
    let step = |code, jt, jf, k| sock_filter { code, jt, jf, k };
    vec![
        step(LOAD, 0, 0, NUMBER),
        step(EQUAL, 2, 0, libc::SYS_clone3 as u32),
        step(AT_LEAST, 1, 0, X32),
        step(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW),
        step(RETURN, 0, 0, libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32),
    ]
}
