//! The one place of this folder that reads from disk: manifests and configuration files, through
//! a trait, and every look kept, present or absent, because what was looked at decides the plan
//! and enters its key.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

/// No manifest or configuration of a person is larger.
const FILE_BYTES: u64 = 8 << 20;

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
        let text = match std::fs::metadata(path) {
            Ok(meta) if meta.is_file() && meta.len() > FILE_BYTES => {
                return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("more than {FILE_BYTES} bytes")));
            }
            Ok(meta) if meta.is_file() => Some(std::fs::read_to_string(path)?),
            Ok(_) => None,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => None,
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
