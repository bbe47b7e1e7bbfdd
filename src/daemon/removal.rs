//! A folder and all that is below, removed or only counted, and told as cargo tells it. Which folder, and
//! whether it may go, is not decided here.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use shared::limits;

use crate::{cargo::diagnostics::Verbosity, output::Output};

/// Whether anything is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// It is.
    Remove,
    /// It is only looked at.
    Look,
}

/// What stands in the way.
#[derive(Debug, thiserror::Error)]
#[error("failed to remove `{}`\n\nCaused by:\n  {source}", path.display())]
pub struct RemovalError {
    path: PathBuf,
    source: io::Error,
}

/// What was there.
#[derive(Debug)]
pub struct Removal {
    wish: Wish,
    /// The folder itself, if it was there.
    path: Option<PathBuf>,
    /// All of it, each folder behind what is in it; kept only where nothing is removed.
    seen: Vec<PathBuf>,
    files: u64,
    folders: u64,
    bytes: u64,
}

impl Removal {
    /// Does it. Links are removed, never followed. Blocks.
    pub fn of(path: &Path, wish: Wish) -> Result<Removal, RemovalError> {
        let mut removal = Removal { wish, path: None, seen: Vec::new(), files: 0, folders: 0, bytes: 0 };
        let fail = |source| RemovalError { path: path.to_owned(), source };
        let meta = match fs::symlink_metadata(path) {
            Ok(meta) => meta,
            Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(removal),
            Err(err) => return Err(fail(err)),
        };
        removal.path = Some(path.to_owned());
        removal.count(path, &meta, limits::TREE_DEPTH).map_err(fail)?;
        if wish == Wish::Remove {
            let outcome = if meta.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
            outcome.map_err(fail)?;
        }
        Ok(removal)
    }

    fn count(&mut self, path: &Path, meta: &fs::Metadata, depth: usize) -> io::Result<()> {
        let depth = depth.checked_sub(1).ok_or(io::ErrorKind::InvalidInput)?;
        if meta.is_dir() {
            self.folders += 1;
            for entry in fs::read_dir(path)? {
                let entry = entry?;
                self.count(&entry.path(), &entry.metadata()?, depth)?;
            }
        } else {
            self.files += 1;
            self.bytes += meta.len();
        }
        if self.wish == Wish::Look {
            self.seen.push(path.to_owned());
        }
        Ok(())
    }

    /// Says it in cargo's words.
    pub async fn report(&self, output: &Output, verbosity: Verbosity) {
        if verbosity == Verbosity::Quiet {
            return;
        }
        let named = if verbosity >= Verbosity::Verbose { self.path.as_ref() } else { None };
        if let Some(path) = named {
            if self.wish == Wish::Remove {
                output.say("Removing", &path.display().to_string()).await;
            }
            for path in &self.seen {
                output.out(format!("{}\n", path.display())).await;
            }
        }
        let word = if self.wish == Wish::Remove { "Removed" } else { "Summary" };
        output.say(word, &self.summary()).await;
        if self.wish == Wish::Look {
            output.warning("no files deleted due to --dry-run").await;
        }
    }

    fn summary(&self) -> String {
        let count = match (self.files, self.folders) {
            (0, 1) => "1 directory".to_owned(),
            (0, 2..) => format!("{} directories", self.folders),
            (1, _) => "1 file".to_owned(),
            (files, _) => format!("{files} files"),
        };
        if self.bytes == 0 { count } else { format!("{count}, {} total", human(self.bytes)) }
    }
}

/// A number of bytes with a unit, as cargo writes it.
fn human(bytes: u64) -> String {
    const UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let power = (u64::BITS - 1).saturating_sub(bytes.leading_zeros()) as usize / 10;
    if power == 0 {
        return format!("{bytes}B");
    }
    format!("{:.1}{}", bytes as f64 / (1_u64 << (10 * power)) as f64, UNITS[power])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_below_is_counted_and_removed() {
        let folder = tempfile::tempdir().expect("a folder");
        let target = folder.path().join("target");
        fs::create_dir_all(target.join("debug/deps")).expect("a folder");
        fs::write(folder.path().join("precious"), "stays").expect("a file");
        fs::write(target.join("debug/a"), vec![0; 1536]).expect("a file");
        std::os::unix::fs::symlink(folder.path(), target.join("out")).expect("a link");
        let link = fs::symlink_metadata(target.join("out")).expect("the link").len();
        let looked = Removal::of(&target, Wish::Look).expect("all can be seen");
        assert_eq!(looked.seen.last(), Some(&target));
        assert_eq!((looked.files, looked.folders, looked.bytes), (2, 3, 1536 + link));
        assert_eq!(looked.summary(), "2 files, 1.5KiB total");
        assert!(target.exists());
        Removal::of(&target, Wish::Remove).expect("it can be removed");
        assert!(!target.exists() && folder.path().join("precious").exists());
        assert_eq!(Removal::of(&target, Wish::Remove).expect("nothing to do").summary(), "0 files");
    }

    #[test]
    fn bytes_are_written_as_cargo_writes_them() {
        let texts = [1, 1023, 1024, 1_048_575, 1_048_576, 5 << 30].map(human);
        assert_eq!(texts, ["1B", "1023B", "1.0KiB", "1024.0KiB", "1.0MiB", "5.0GiB"]);
    }
}
