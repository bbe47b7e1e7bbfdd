//! Whether anything changed in the folders of what was identified, without looking: one inotify
//! instance over all of them. Only on file systems whose every change passes through this kernel;
//! elsewhere, and when watches run out, everything is looked at each time.

use std::{
    collections::HashSet,
    fs,
    mem::MaybeUninit,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{
        inotify::{self, CreateFlags, Reader, WatchFlags},
        statfs,
    },
    io::Errno,
};

/// Links followed from one name before it counts as a ring.
const LINKS: usize = 40;
/// ext2–4, xfs, btrfs, f2fs, tmpfs, zfs (statfs(2)).
const LOCAL: [u64; 6] = [0xef53, 0x5846_5342, 0x9123_683e, 0xf2f5_2010, 0x0102_1994, 0x2fc1_2fc1];

/// Watches over folders.
#[derive(Debug)]
pub struct Watch {
    inotify: OwnedFd,
    folders: HashSet<PathBuf>,
    buffer: Vec<MaybeUninit<u8>>,
}

impl Watch {
    /// A watch over nothing; `None` where the kernel has none to give.
    pub fn new() -> Option<Watch> {
        let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).ok()?;
        Some(Watch { inotify, folders: HashSet::new(), buffer: vec![MaybeUninit::uninit(); 16 << 10] })
    }

    /// How many folders are watched.
    pub fn folders(&self) -> usize {
        self.folders.len()
    }

    /// Watches the folders of a path and of every link that it leads through. Says whether all of
    /// them can be relied on.
    pub fn cover(&mut self, path: &Path) -> bool {
        let mut path = path.to_owned();
        for _ in 0..LINKS {
            let Some(folder) = path.parent().map(Path::to_owned) else { return true };
            if !self.add(&folder) {
                return false;
            }
            match fs::read_link(&path) {
                Ok(target) => path = folder.join(target),
                Err(_) => return true,
            }
        }
        false
    }

    /// Watches one folder.
    pub fn add(&mut self, folder: &Path) -> bool {
        if self.folders.contains(folder) {
            return true;
        }
        let is_local = statfs(folder).is_ok_and(|fs| LOCAL.contains(&(fs.f_type as u64)));
        let changes = WatchFlags::MODIFY
            | WatchFlags::ATTRIB
            | WatchFlags::CLOSE_WRITE
            | WatchFlags::CREATE
            | WatchFlags::DELETE
            | WatchFlags::MOVE
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVE_SELF
            | WatchFlags::ONLYDIR;
        let is_added = is_local && inotify::add_watch(&self.inotify, folder, changes).is_ok();
        is_added && self.folders.insert(folder.to_owned())
    }

    /// Whether nothing happened since it was last asked; an overflow counts as a change.
    pub fn is_quiet(&mut self) -> bool {
        let mut reader = Reader::new(&self.inotify, &mut self.buffer);
        let mut quiet = true;
        loop {
            match reader.next() {
                Ok(_) => quiet = false,
                Err(Errno::AGAIN) => return quiet,
                Err(Errno::INTR) => {}
                Err(_) => return false,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_behind_a_link_is_noticed_and_reading_is_none() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let (shown, real) = (dir.path().join("shown"), dir.path().join("real"));
        fs::create_dir_all(&shown).and_then(|()| fs::create_dir_all(&real)).expect("new folders");
        fs::write(real.join("tool"), "one").expect("a file");
        std::os::unix::fs::symlink("../real/tool", shown.join("tool")).expect("a link");
        let mut watch = Watch::new().expect("an inotify instance");
        if !watch.cover(&shown.join("tool")) {
            // A temporary folder on a file system that is not relied on: nothing to see here.
            return;
        }
        assert!(watch.is_quiet());
        fs::read(shown.join("tool")).expect("a file");
        assert!(watch.is_quiet());
        fs::write(real.join("tool"), "two").expect("a file");
        assert!(!watch.is_quiet() && watch.is_quiet());
        fs::rename(real.join("tool"), real.join("other")).expect("a new name");
        assert!(!watch.is_quiet());
    }
}
