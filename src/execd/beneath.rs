//! Files below a folder that an action could write to: opened by one component after the other or
//! by the kernel's own rule, never through a symbolic link, never outside.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    path::{Component, Path},
};

use rustix::{
    fs::{CWD, Mode, OFlags, mkdirat, openat},
    io::Errno,
};

/// Opens a folder that is only looked up from.
#[cfg(target_os = "linux")]
pub const FOLDER: OFlags = OFlags::PATH.union(OFlags::DIRECTORY);
/// macOS has no descriptors for looking up alone.
#[cfg(target_os = "macos")]
pub const FOLDER: OFlags = OFlags::DIRECTORY;

/// Opens the folder itself.
pub fn root(dir: &Path) -> io::Result<OwnedFd> {
    Ok(openat(CWD, dir, FOLDER | OFlags::CLOEXEC, Mode::empty())?)
}

/// Opens what is at `path` below `root`; the empty path is the root itself.
#[cfg(target_os = "linux")]
pub fn open(root: impl AsFd, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    use rustix::fs::{ResolveFlags, openat2};
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    openat2(root, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve)
}

/// Opens what is at `path` below `root`; the empty path is the root itself.
#[cfg(target_os = "macos")]
pub fn open(root: impl AsFd, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
    step_by_step(root, path, flags)
}

/// The same without the kernel's rule: one component after the other.
#[cfg(any(target_os = "macos", test))]
fn step_by_step(root: impl AsFd, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
    let own = OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let mut here = openat(root, ".", FOLDER | own, Mode::empty())?;
    let mut parts = path.components().peekable();
    if parts.peek().is_none() {
        return openat(&here, ".", flags | own, Mode::empty());
    }
    while let Some(part) = parts.next() {
        let Component::Normal(name) = part else { return Err(Errno::XDEV) };
        let last = parts.peek().is_none();
        here = openat(&here, name, if last { flags } else { FOLDER } | own, Mode::empty())?;
    }
    Ok(here)
}

/// Makes every missing directory on the way to `path`, the last one included.
pub fn make_directories(root: impl AsFd, path: &Path) -> io::Result<OwnedFd> {
    let directory = FOLDER | OFlags::NOFOLLOW;
    let mut here = open(root, Path::new(""), directory)?;
    for part in path.components() {
        let Component::Normal(name) = part else { return Err(io::ErrorKind::InvalidInput.into()) };
        let name = Path::new(name);
        here = match open(&here, name, directory) {
            Err(Errno::NOENT) => {
                mkdirat(&here, name, Mode::from_raw_mode(0o755))?;
                open(&here, name, directory)?
            }
            other => other?,
        };
    }
    Ok(here)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn links_lead_nowhere() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let (inside, outside) = (dir.path().join("inside"), dir.path().join("outside"));
        fs::create_dir(&inside).expect("a new folder");
        fs::create_dir(&outside).expect("a new folder");
        symlink(&outside, inside.join("link")).expect("a link");
        symlink("..", inside.join("up")).expect("a link");
        let root = root(&inside).expect("a folder");
        for path in ["link/x", "up/x", "../outside/x"] {
            assert!(make_directories(&root, Path::new(path)).is_err(), "{path}");
            assert!(open(&root, Path::new(path), OFlags::RDONLY).is_err(), "{path}");
            assert!(step_by_step(&root, Path::new(path), OFlags::RDONLY).is_err(), "{path}");
        }
        for path in ["link", "/", "/link"] {
            assert!(step_by_step(&root, Path::new(path), OFlags::RDONLY).is_err(), "{path}");
        }
        make_directories(&root, Path::new("a/b")).expect("two new folders");
        for path in ["", "a", "a/b"] {
            step_by_step(&root, Path::new(path), OFlags::RDONLY).expect("a folder");
        }
        assert!(inside.join("a/b").is_dir() && fs::read_dir(&outside).expect("a folder").next().is_none());
    }
}
