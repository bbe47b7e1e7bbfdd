//! A delegated control group: execd moves itself into a leaf, and each action gets a group beside
//! it, with limits where the controllers are there, and killed as one.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::Duration,
};

/// Most processes of one action: a parallel make of LLVM stays under 1,000.
pub const PROCESSES: u64 = 8192;
/// The part of the machine's memory that one action may use, in percent: what is left keeps the
/// services and the person's terminal alive.
const MEMORY_PERCENT: u64 = 90;
/// How often a group is tried to be removed: its last process is a second away at most.
const REMOVALS: u32 = 200;
/// Where execd itself stays.
const LEAF: &str = "execd";
const ACTION: &str = "action-";

/// A control group whose inside is ours.
#[derive(Debug)]
pub struct Delegation {
    dir: PathBuf,
    next: AtomicU64,
}

/// The control group of one action; gone with this value.
#[derive(Debug)]
pub struct Group {
    dir: PathBuf,
}

impl Delegation {
    /// Takes the group this process is in, if it was delegated to it; else says why not. `ours`
    /// are the processes that move along.
    pub fn take(ours: &[u32]) -> Result<Delegation, String> {
        let dir = own_group()?;
        let uid = rustix::process::geteuid().as_raw();
        let owner = fs::metadata(&dir).map_err(|err| format!("{}: {err}", dir.display()))?.uid();
        if owner != uid {
            return Err(format!(
                "control group {} belongs to uid {owner}: add Delegate=yes to the unit",
                dir.display()
            ));
        }
        if uid == 0 && !marked_delegated(&dir) {
            return Err(format!("control group {} is not marked as delegated", dir.display()));
        }
        enter_leaf(&dir, ours)?;
        for controller in ["+memory", "+pids", "+cpu"] {
            // Each by itself: what is not delegated is refused, and the others still count.
            let _not_delegated = fs::write(dir.join("cgroup.subtree_control"), controller);
        }
        remove_stale(&dir);
        if !dir.join(LEAF).join("cgroup.kill").exists() {
            return Err("the kernel has no cgroup.kill (it came with Linux 5.14)".to_owned());
        }
        Ok(Delegation { dir, next: AtomicU64::new(0) })
    }

    /// A new group with the limits of one action.
    pub fn group(&self, memory_bytes: Option<u64>) -> io::Result<Group> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let group = Group { dir: self.dir.join(format!("{ACTION}{number}")) };
        fs::create_dir(&group.dir)?;
        // A file that is not there is a controller that was not delegated.
        let _not_delegated = fs::write(group.dir.join("pids.max"), PROCESSES.to_string());
        if let Some(bytes) = memory_bytes {
            let _not_delegated = fs::write(group.dir.join("memory.max"), bytes.to_string());
            let _not_delegated = fs::write(group.dir.join("memory.oom.group"), "1");
        }
        Ok(group)
    }
}

impl Group {
    /// `cgroup.procs`, through which a process joins.
    pub fn procs(&self) -> io::Result<File> {
        OpenOptions::new().write(true).open(self.dir.join("cgroup.procs"))
    }

    /// Whether the kernel limits its memory.
    pub fn limits_memory(&self) -> bool {
        self.dir.join("memory.max").exists()
    }

    /// Kills everything in it.
    pub fn kill(&self) {
        let _empty_already = fs::write(self.dir.join("cgroup.kill"), "1");
    }

    /// Whether the kernel killed something in it for want of memory.
    pub fn out_of_memory(&self) -> bool {
        let events = fs::read_to_string(self.dir.join("memory.events")).unwrap_or_default();
        events.lines().filter_map(|line| line.strip_prefix("oom_kill ")).any(|count| count.trim() != "0")
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if fs::remove_dir(&self.dir).is_ok() {
            return;
        }
        // The first process reports before it exits, so it may still be on its way out.
        self.kill();
        let dir = std::mem::take(&mut self.dir);
        let remove = move || {
            for _ in 0..REMOVALS {
                thread::sleep(Duration::from_millis(5));
                match fs::remove_dir(&dir) {
                    Err(err) if err.kind() == io::ErrorKind::ResourceBusy => {}
                    _ => return,
                }
            }
            tracing::warn!(group = %dir.display(), "a control group stays until the next start");
        };
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(remove)),
            Err(_) => remove(),
        }
    }
}

/// The directory of the v2 group this process is in.
fn own_group() -> Result<PathBuf, String> {
    let text = fs::read_to_string("/proc/self/cgroup").map_err(|err| format!("/proc/self/cgroup: {err}"))?;
    let path = text.lines().find_map(|line| line.strip_prefix("0::")).ok_or("there is no version 2 control group")?;
    if path == "/" {
        return Err("execd is in the root control group, which cannot be delegated".to_owned());
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo").map_err(|err| format!("/proc/self/mountinfo: {err}"))?;
    let mut mounted = mounts.lines().filter_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        let mut before = before.split(' ').skip(3);
        let (root, at) = (before.next()?, before.next()?);
        let below = path.strip_prefix(root.trim_end_matches('/')).unwrap_or(path).trim_start_matches('/');
        after.starts_with("cgroup2 ").then(|| Path::new(at).join(below))
    });
    // A mount that a later one covers stays in the list, so the one that is there counts.
    mounted
        .find(|dir| dir.join("cgroup.procs").exists())
        .ok_or_else(|| "version 2 control groups are not mounted".to_owned())
}

/// systemd marks what it delegates; root may write everywhere, so for root only the mark counts.
fn marked_delegated(dir: &Path) -> bool {
    ["user.delegate", "trusted.delegate"].iter().any(|name| {
        let mut value = [0_u8; 8];
        rustix::fs::getxattr(dir, *name, &mut value[..]).is_ok_and(|length| value[..length] == *b"1")
    })
}

fn enter_leaf(dir: &Path, ours: &[u32]) -> Result<(), String> {
    let fail = |what: &Path, err: io::Error| format!("{}: {err}", what.display());
    let procs = dir.join("cgroup.procs");
    let text = fs::read_to_string(&procs).map_err(|err| fail(&procs, err))?;
    let others = text.lines().filter(|pid| pid.parse().is_ok_and(|pid: u32| !ours.contains(&pid))).count();
    if others > 0 {
        return Err(format!("control group {} holds {others} processes that are not execd's", dir.display()));
    }
    let leaf = dir.join(LEAF);
    match fs::create_dir(&leaf) {
        Err(err) if err.kind() != io::ErrorKind::AlreadyExists => return Err(fail(&leaf, err)),
        _ => {}
    }
    let procs = leaf.join("cgroup.procs");
    for pid in ours {
        fs::write(&procs, pid.to_string()).map_err(|err| fail(&procs, err))?;
    }
    Ok(())
}

/// Groups that an earlier execd left; whatever was in them died with it.
fn remove_stale(dir: &Path) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(ACTION) {
            let _busy = fs::write(entry.path().join("cgroup.kill"), "1");
            let _busy = fs::remove_dir(entry.path());
        }
    }
}

/// The most memory that one action may use.
pub fn memory_bytes() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = total.trim().trim_end_matches(" kB").parse().ok()?;
    Some(kib * 1024 / 100 * MEMORY_PERCENT)
}
