//! The one place of this folder that reads from disk: manifests and configuration files, through
//! a trait, and every look kept, present or absent, because what was looked at decides the plan
//! and enters its key.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use rustix::fs::{CWD, Mode, OFlags};

/// No manifest, lock file or configuration of a person is larger.
const FILE_BYTES: u64 = 32 << 20;

/// The text of a file that a checkout brought. It may be a link to anything: no pipe is waited
/// for, no device read without end, and no way through /proc is taken, since the same link would
/// lead cargo, in its sandbox, to another file.
pub fn text(path: &Path) -> io::Result<String> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    #[cfg(target_os = "linux")]
    let file = rustix::fs::openat2(CWD, path, flags, Mode::empty(), rustix::fs::ResolveFlags::NO_MAGICLINKS)
        .map(File::from)?;
    // There is no /proc elsewhere.
    #[cfg(not(target_os = "linux"))]
    let file = rustix::fs::openat(CWD, path, flags, Mode::empty()).map(File::from)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "is no file"));
    }
    let mut text = String::new();
    if file.take(FILE_BYTES + 1).read_to_string(&mut text)? as u64 > FILE_BYTES {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("more than {FILE_BYTES} bytes")));
    }
    Ok(text)
}

/// Where texts come from.
pub trait Files {
    /// The text of a file, none when there is no such file.
    fn read(&self, path: &Path) -> io::Result<Option<String>>;
}

/// The real disk, with a record of every look.
#[derive(Debug, Default)]
pub struct Disk {
    looks: RefCell<BTreeMap<PathBuf, Option<String>>>,
}

impl Disk {
    /// All that was looked at: path and content, none for what was not there.
    pub fn looks(&self) -> BTreeMap<PathBuf, Option<String>> {
        self.looks.borrow().clone()
    }
}

impl Files for Disk {
    fn read(&self, path: &Path) -> io::Result<Option<String>> {
        if let Some(known) = self.looks.borrow().get(path) {
            return Ok(known.clone());
        }
        let text = match text(path) {
            Ok(text) => Some(text),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => None,
            // cargo takes only files for files too.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => None,
            Err(error) => return Err(error),
        };
        self.looks.borrow_mut().insert(path.to_owned(), text.clone());
        Ok(text)
    }
}

/// Files that exist only in a test.
#[cfg(test)]
impl Files for BTreeMap<PathBuf, String> {
    fn read(&self, path: &Path) -> io::Result<Option<String>> {
        Ok(self.get(path).cloned())
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn links_to_devices_pipes_and_through_proc_are_not_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        fs::write(at("plain"), "text").expect("a file");
        symlink("plain", at("link")).expect("a link");
        symlink("/dev/zero", at("zero")).expect("a link");
        symlink("/proc/self/cwd/config.toml", at("proc")).expect("a link");
        rustix::fs::mknodat(CWD, at("pipe"), rustix::fs::FileType::Fifo, Mode::RUSR, 0).expect("a pipe");
        assert_eq!(text(&at("link")).expect("a file"), "text");
        for name in ["zero", "proc", "pipe", "absent", "."] {
            assert!(text(&at(name)).is_err(), "{name}");
        }
        let disk = Disk::default();
        assert_eq!(disk.read(&at("absent")).expect("nothing is there"), None);
        assert!(disk.read(&at("proc")).is_err(), "cargo would find a file there");
    }
}
