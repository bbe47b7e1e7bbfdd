//! Rungs `namespaces` and `full` on Linux: an own root with nothing in it but what the job names.
//! The namespaces themselves are made by `child` with the clone; here they are furnished.

use std::{
    ffi::OsStr,
    fs, io,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::{Component, Path, PathBuf},
};

use nix::{
    mount::{MntFlags, MsFlags, mount, umount2},
    sys::signal::{Signal, kill},
    unistd::{Pid, pivot_root, sethostname},
};
use rustix::{
    fs::{AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, mkdirat, mknodat, openat, openat2, statat, symlinkat},
    io::Errno,
};
use shared::wire::text::Text;

use super::{Access, Fail, Identity, Job, Mount, Root, Sandbox, Step, confine, overlay, sys};

/// Who the payload is, whoever runs execd.
pub const INSIDE_ID: u32 = 1000;
/// The host's name inside.
pub const HOSTNAME: &str = "vx";
/// An empty root holds mount points only.
const ROOT_BYTES: u64 = 16 << 20;
/// /dev/shm of an action.
const SHM_BYTES: u64 = 256 << 20;

/// Which no process gets once numbers have gone round.
const RESERVED_PIDS: u64 = 301;

/// Landlock below this version refuses every rename between folders, so it is left out there.
pub const LANDLOCK_ABI: i32 = 2;

/// User, mount, pid, network, ipc, uts and cgroup namespaces.
pub struct Namespaces;

impl Sandbox for Namespaces {
    fn enter(&self, job: &Job) -> Result<(), Fail> {
        map_identity(job.outside)?;
        let root = prepare_root(&job.root)?;
        for piece in &job.mounts {
            lay(root.as_fd(), piece, job.processes)?;
        }
        change_root(root.as_fd(), matches!(job.root, Root::Empty(_)))?;
        sethostname(HOSTNAME).map_err(|err| Fail::new(Step::Hostname, HOSTNAME, err))
    }

    fn confine(&self, job: &Job) -> Result<(), Fail> {
        confine::limits(job)?;
        confine::privileges()?;
        if sys::landlock_abi() >= LANDLOCK_ABI {
            confine::landlock(job)?;
        }
        confine::filter()
    }

    /// The first process is pid 1 of its namespace, so "everybody" is exactly the action.
    fn sweep(&self, _payload: Pid) {
        let _nobody_left = kill(Pid::from_raw(-1), Signal::SIGKILL);
    }
}

/// Inside it is uid and gid 1000; outside it stays who runs execd.
fn map_identity(outside: Identity) -> Result<(), Fail> {
    let Identity { uid, gid } = outside;
    for (file, text) in [
        ("/proc/self/setgroups", "deny".to_owned()),
        ("/proc/self/uid_map", format!("{INSIDE_ID} {uid} 1")),
        ("/proc/self/gid_map", format!("{INSIDE_ID} {gid} 1")),
    ] {
        fs::write(file, text).map_err(|err| Fail::new(Step::Identity, file, err))?;
    }
    Ok(())
}

fn prepare_root(root: &Root) -> Result<OwnedFd, Fail> {
    let fail = |what: &str, err: io::Error| Fail::new(Step::Mount, what, err);
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(None::<&str>, "/", None::<&str>, private, None::<&str>).map_err(|err| fail("/ as private", err.into()))?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    match root {
        Root::Empty(at) => {
            let options = format!("size={ROOT_BYTES},mode=755");
            let quiet = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
            mount(Some("vx"), at.as_os(), Some("tmpfs"), quiet, Some(options.as_str()))
                .map_err(|err| fail("an empty root", err.into()))?;
            openat(CWD, at.as_os(), flags, Mode::empty()).map_err(|err| fail("an empty root", err.into()))
        }
        Root::Private(at) => {
            let tree = sys::open_tree(Path::new(at.as_os())).map_err(|err| fail("the input root", err))?;
            sys::restrict_tree(&tree, sys::attr::NO_SUID | sys::attr::NO_DEV)
                .map_err(|err| fail("the input root", err))?;
            let below =
                openat(CWD, at.as_os(), flags, Mode::empty()).map_err(|err| fail("the input root", err.into()))?;
            sys::attach_tree(&tree, &below).map_err(|err| fail("the input root", err))?;
            Ok(tree)
        }
        Root::Host | Root::Open { .. } => Err(fail("the host's root under namespaces", Errno::INVAL.into())),
    }
}

/// Lays one piece into the new root. Every place is looked up beneath the root without following
/// a link, because an input root may hold links of its own.
fn lay(root: BorrowedFd<'_>, piece: &Mount, processes: u64) -> Result<(), Fail> {
    let what = |at: &Text| at.as_os().to_string_lossy().into_owned();
    match piece {
        Mount::Dir(at) => directory(root, at.as_os()).map(drop).map_err(|err| Fail::new(Step::Mount, what(at), err)),
        Mount::Link { at, to } => {
            link(root, at.as_os(), to.as_os()).map_err(|err| Fail::new(Step::Mount, what(at), err))
        }
        Mount::Bind { from, at, access } => bind(root, Path::new(from.as_os()), at.as_os(), *access)
            .map_err(|err| Fail::new(Step::Mount, format!("{} at {}", what(from), what(at)), err)),
        Mount::Live(live) => overlay::lay(root, live).map_err(|err| {
            let (from, at) = (what(&live.from), what(&live.at));
            Fail::new(Step::Mount, format!("the live folder {from} at {at} (overlayfs)"), err)
        }),
        Mount::Again { from, at, access } => {
            let inside = directory(root, from.as_os());
            let again = inside.and_then(|inside| bind(root, &through(&inside), at.as_os(), *access));
            again.map_err(|err| Fail::new(Step::Mount, format!("{} at {}", what(from), what(at)), err))
        }
        Mount::Memory { at, bytes } => {
            memory(root, at.as_os(), *bytes).map_err(|err| Fail::new(Step::Mount, what(at), err))
        }
        Mount::Proc => process_table(root, processes).map_err(|err| Fail::new(Step::Mount, "/proc", err)),
        Mount::Devices => devices(root).map_err(|err| Fail::new(Step::Mount, "/dev", err)),
    }
}

pub(super) fn bind(root: BorrowedFd<'_>, from: &Path, at: &OsStr, access: Access) -> io::Result<()> {
    let tree = sys::open_tree(from)?;
    let calm = sys::attr::NO_SUID;
    let set = match access {
        Access::ReadOnly => calm | sys::attr::NO_DEV | sys::attr::READ_ONLY,
        Access::Writable => calm | sys::attr::NO_DEV,
        Access::Data => calm | sys::attr::NO_DEV | sys::attr::NO_EXEC | sys::attr::READ_ONLY,
        Access::WritableData => calm | sys::attr::NO_DEV | sys::attr::NO_EXEC,
        // A device can be written to all the same; its mode and times cannot, which matters where
        // execd runs as root and the payload owns the host's node.
        Access::Device => calm | sys::attr::NO_EXEC | sys::attr::READ_ONLY,
    };
    sys::restrict_tree(&tree, set)?;
    let kind = FileType::from_raw_mode(rustix::fs::fstat(&tree)?.st_mode);
    let at = if kind == FileType::Directory { directory(root, at)? } else { file(root, at)? };
    sys::attach_tree(&tree, &at)
}

fn memory(root: BorrowedFd<'_>, at: &OsStr, bytes: u64) -> io::Result<()> {
    let at = directory(root, at)?;
    let options = format!("size={bytes},mode=1777");
    mount(Some("vx"), &through(&at), Some("tmpfs"), MsFlags::MS_NOSUID | MsFlags::MS_NODEV, Some(options.as_str()))?;
    Ok(())
}

fn process_table(root: BorrowedFd<'_>, processes: u64) -> io::Result<()> {
    let at = directory(root, OsStr::new("/proc"))?;
    let quiet = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("proc"), &through(&at), Some("proc"), quiet, None::<&str>)?;
    let table = directory(root, OsStr::new("/proc"))?;
    if processes != 0 {
        // Against root too, whom RLIMIT_NPROC does not bind. A kernel before Linux 6.14 has only
        // the machine's number, which is not this user's to write.
        let most = (processes + RESERVED_PIDS).to_string();
        let number = openat(&table, "sys/kernel/pid_max", OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty());
        let _older = number.and_then(|number| rustix::io::write(&number, most.as_bytes()));
    }
    // Read-only: where execd runs as root, so does the payload to the host, and /proc/sys asks
    // for no more than that.
    sys::restrict_mount(&table, sys::attr::READ_ONLY)
}

fn devices(root: BorrowedFd<'_>) -> io::Result<()> {
    for name in ["null", "zero", "full", "random", "urandom"] {
        let at = Path::new("/dev").join(name);
        bind(root, &at, at.as_os_str(), Access::Device)?;
    }
    memory(root, OsStr::new("/dev/shm"), SHM_BYTES)?;
    for (name, to) in [("fd", "fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2")] {
        link(root, Path::new("/dev").join(name).as_os_str(), Path::new("/proc/self").join(to).as_os_str())?;
    }
    Ok(())
}

/// The path by which mount(2) reaches an open directory, whatever its name leads to by now.
pub(super) fn through(fd: &OwnedFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd()))
}

/// Opens a directory of the new root, making it and its parents where they are missing.
pub(super) fn directory(root: BorrowedFd<'_>, at: &OsStr) -> io::Result<OwnedFd> {
    let mut here = rustix::io::fcntl_dupfd_cloexec(root, 3)?;
    for part in Path::new(at).components() {
        let name = match part {
            Component::RootDir | Component::CurDir => continue,
            Component::Normal(name) => name,
            Component::ParentDir | Component::Prefix(_) => return Err(Errno::INVAL.into()),
        };
        here = match beneath(&here, name, OFlags::DIRECTORY) {
            Err(Errno::NOENT) => {
                mkdirat(&here, name, Mode::from_raw_mode(0o755))?;
                beneath(&here, name, OFlags::DIRECTORY)?
            }
            other => other?,
        };
    }
    Ok(here)
}

/// Opens a file of the new root as a place to mount on, making it where it is missing.
fn file(root: BorrowedFd<'_>, at: &OsStr) -> io::Result<OwnedFd> {
    let (parent, name) = split(root, at)?;
    match beneath(&parent, &name, OFlags::empty()) {
        Err(Errno::NOENT) => {
            mknodat(&parent, &name, FileType::RegularFile, Mode::from_raw_mode(0o644), 0)?;
            Ok(beneath(&parent, &name, OFlags::empty())?)
        }
        other => Ok(other?),
    }
}

/// Makes a link; one that is there already (an input root's own) stays.
fn link(root: BorrowedFd<'_>, at: &OsStr, to: &OsStr) -> io::Result<()> {
    let (parent, name) = split(root, at)?;
    if statat(&parent, &name, AtFlags::SYMLINK_NOFOLLOW).is_ok() {
        return Ok(());
    }
    Ok(symlinkat(to, &parent, &name)?)
}

pub(super) fn split(root: BorrowedFd<'_>, at: &OsStr) -> io::Result<(OwnedFd, std::ffi::OsString)> {
    let path = Path::new(at);
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(Errno::INVAL.into());
    };
    Ok((directory(root, parent.as_os_str())?, OsStr::from_bytes(name.as_bytes()).to_owned()))
}

fn beneath(dir: &OwnedFd, name: &OsStr, flags: OFlags) -> Result<OwnedFd, Errno> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    openat2(dir, name, OFlags::PATH | OFlags::CLOEXEC | OFlags::NOFOLLOW | flags, Mode::empty(), resolve)
}

fn change_root(root: BorrowedFd<'_>, empty: bool) -> Result<(), Fail> {
    let fail = |what: &str, err: io::Error| Fail::new(Step::Pivot, what, err);
    rustix::process::fchdir(root).map_err(|err| fail("enter it", err.into()))?;
    pivot_root(".", ".").map_err(|err| fail("pivot", err.into()))?;
    umount2(".", MntFlags::MNT_DETACH).map_err(|err| fail("detach the old one", err.into()))?;
    if empty {
        sys::restrict_mount(root, sys::attr::READ_ONLY).map_err(|err| fail("make it read-only", err))?;
    }
    rustix::process::chdir("/").map_err(|err| fail("enter it", err.into()))
}
