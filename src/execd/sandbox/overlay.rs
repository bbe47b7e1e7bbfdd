//! A live folder of the host in an action's view: an overlay mount of the action's own, so that
//! what it opens there is its own too. The folder is the lower layer; the upper one is memory
//! that goes away with the action, and holds from the start what hides parts of the folder. A
//! folder with mounts inside is shown as it is.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    path::Path,
};

use nix::mount::{MsFlags, mount};
use rustix::fs::{CWD, FileType, Mode, OFlags, mkdirat, mknodat, openat};
use shared::limits;

use super::{
    Access, Layer, Live,
    linux::{bind, directory, split, through},
};

/// Mounts it.
pub fn lay(root: BorrowedFd<'_>, live: &Live) -> io::Result<()> {
    match live.layer {
        Layer::Own => layered(root, live),
        Layer::Shared => shared(root, live),
    }
}

/// The folder itself, with nothing over it but what hides parts of it. Somebody else's opens are
/// seen too then, which is more than needed and never less.
fn shared(root: BorrowedFd<'_>, live: &Live) -> io::Result<()> {
    bind(root, Path::new(live.from.as_os()), live.at.as_os(), Access::ReadOnly)?;
    for path in &live.hidden {
        let real = Path::new(live.from.as_os()).join(path.as_os());
        let at = Path::new(live.at.as_os()).join(path.as_os());
        if real.is_dir() {
            let quiet = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_RDONLY;
            let at = directory(root, at.as_os_str())?;
            mount(Some("vx"), &through(&at), Some("tmpfs"), quiet, Some("size=4k,mode=555"))?;
        } else {
            bind(root, Path::new("/dev/null"), at.as_os_str(), Access::Device)?;
        }
    }
    Ok(())
}

/// Layers are named by descriptor, so that no name can break the mount's options.
fn layered(root: BorrowedFd<'_>, live: &Live) -> io::Result<()> {
    let at = live.at.as_os();
    let place = directory(root, at)?;
    let options = format!("size={},mode=755", limits::LIVE_WRITE_BYTES);
    let quiet = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(Some("vx"), &through(&place), Some("tmpfs"), quiet, Some(options.as_str()))?;
    // Looked up again, which leads into what was just mounted.
    let memory = directory(root, at)?;
    let (upper, work) = (made(&memory, "upper")?, made(&memory, "work")?);
    for path in &live.hidden {
        let (parent, name) = split(upper.as_fd(), path.as_os())?;
        // Overlayfs reads device 0:0 as "not there".
        mknodat(&parent, &name, FileType::CharacterDevice, Mode::empty(), 0)?;
    }
    for path in &live.made {
        directory(upper.as_fd(), path.as_os())?;
    }
    let lower = open(CWD, Path::new(live.from.as_os()))?;
    let layer = |fd: &OwnedFd| format!("/proc/self/fd/{}", fd.as_raw_fd());
    let options = format!("lowerdir={},upperdir={},workdir={},userxattr", layer(&lower), layer(&upper), layer(&work));
    let read_only = if live.access == Access::Writable { MsFlags::empty() } else { MsFlags::MS_RDONLY };
    mount(Some("vx"), &through(&memory), Some("overlay"), quiet | read_only, Some(options.as_str()))?;
    Ok(())
}

fn made(dir: &OwnedFd, name: &str) -> io::Result<OwnedFd> {
    mkdirat(dir, name, Mode::from_raw_mode(0o755))?;
    open(dir, Path::new(name))
}

fn open(dir: impl AsFd, path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(openat(dir, path, flags, Mode::empty())?)
}
