//! Files below a folder that an action could write to: opened by one component after the other or
//! by the kernel's own rule, never through a symbolic link, never outside.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    path::{Component, Path},
};

use rustix::{
    fs::{CWD, Mode, OFlags, ResolveFlags, mkdirat, openat, openat2},
    io::Errno,
};

/// Opens the folder itself.
pub fn root(dir: &Path) -> io::Result<OwnedFd> {
    Ok(openat(CWD, dir, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
}

/// Opens what is at `path` below `root`; the empty path is the root itself.
pub fn open(root: impl AsFd, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    openat2(root, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve)
}

/// Makes every missing directory on the way to `path`, the last one included.
pub fn make_directories(root: impl AsFd, path: &Path) -> io::Result<OwnedFd> {
    let directory = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW;
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
        }
        make_directories(&root, Path::new("a/b")).expect("two new folders");
        assert!(inside.join("a/b").is_dir() && fs::read_dir(&outside).expect("a folder").next().is_none());
    }
}
