//! The input trees of packages that are no archives: members, path and git dependencies, vendored
//! copies. Files are hashed once and remembered by their stamp.

use std::{
    collections::HashMap,
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use shared::{
    digest::{Digest, Function},
    fault::{Failure, Fault},
    limits,
    reapi::tree::{DirectoryBuilder, Mode},
};

/// A stamp as young as this may hide a later write in the same tick of the file system's clock.
const SETTLED: Duration = Duration::from_secs(2);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified_ns: i128,
    changed_ns: i128,
}

impl Stamp {
    fn of(meta: &fs::Metadata) -> Self {
        let ns = |seconds: i64, rest: i64| i128::from(seconds) * 1_000_000_000 + i128::from(rest);
        Stamp {
            device: meta.dev(),
            inode: meta.ino(),
            size: meta.size(),
            modified_ns: ns(meta.mtime(), meta.mtime_nsec()),
            changed_ns: ns(meta.ctime(), meta.ctime_nsec()),
        }
    }

    fn is_settled(&self) -> bool {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        i128::try_from((now.saturating_sub(SETTLED)).as_nanos()).is_ok_and(|limit| self.changed_ns < limit)
    }
}

/// Digests of files by path, good as long as the stamp is the same.
#[derive(Debug, Default)]
pub struct Hashes(Mutex<HashMap<PathBuf, (Stamp, Digest)>>);

impl Hashes {
    /// The digest of a file's content.
    pub fn of(&self, path: &Path, meta: &fs::Metadata) -> io::Result<Digest> {
        let stamp = Stamp::of(meta);
        if let Some((known, digest)) = self.lock().get(path)
            && *known == stamp
        {
            return Ok(*digest);
        }
        let digest = Digest::of(Function::Blake3, &fs::read(path)?);
        if stamp.is_settled() {
            self.lock().insert(path.to_owned(), (stamp, digest));
        }
        Ok(digest)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<PathBuf, (Stamp, Digest)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A package's tree: its root digest, the directories to upload and where the files are.
#[derive(Clone, Debug)]
pub struct Tree {
    /// The root's digest.
    pub root: Digest,
    /// Encoded Directory messages.
    pub directories: Vec<(Digest, Vec<u8>)>,
    /// Files by content.
    pub files: HashMap<Digest, PathBuf>,
}

/// What to leave out of a tree.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// The target folder, which may lie inside.
    pub target_dir: &'a Path,
    /// Packages inside are left out: they are inputs of their own.
    pub nested: Nested,
}

/// Whether folders with a manifest of their own belong to the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nested {
    /// They do not: a member's.
    LeftOut,
    /// They do: a git checkout's.
    Kept,
}

/// Reads a folder whole.
pub fn tree(hashes: &Hashes, folder: &Path, scope: Scope<'_>) -> Result<Tree, Failure> {
    let mut walk = Walk { hashes, scope, builder: DirectoryBuilder::new(), files: HashMap::new(), nodes: 0 };
    walk.folder(folder, "")?;
    let built = walk.builder.build(Function::Blake3);
    Ok(Tree { root: built.root, directories: built.directories, files: walk.files })
}

struct Walk<'a> {
    hashes: &'a Hashes,
    scope: Scope<'a>,
    builder: DirectoryBuilder,
    files: HashMap<Digest, PathBuf>,
    nodes: usize,
}

impl Walk<'_> {
    fn folder(&mut self, folder: &Path, relative: &str) -> Result<(), Failure> {
        for entry in fs::read_dir(folder).map_err(|err| failed(folder, &err))? {
            let entry = entry.map_err(|err| failed(folder, &err))?;
            let path = entry.path();
            let name = entry.file_name();
            let Some(name) = name.to_str() else {
                tracing::debug!(path = %path.display(), "a name that is not UTF-8 is left out of the inputs");
                continue;
            };
            self.nodes += 1;
            if self.nodes > limits::TREE_NODES {
                return Err(Failure::new(Fault::User, format!("{}: more than a million files", folder.display())));
            }
            let below = if relative.is_empty() { name.to_owned() } else { format!("{relative}/{name}") };
            self.entry(&path, &below, name, &entry)?;
        }
        Ok(())
    }

    fn entry(&mut self, path: &Path, below: &str, name: &str, entry: &fs::DirEntry) -> Result<(), Failure> {
        let kind = entry.file_type().map_err(|err| failed(path, &err))?;
        let added = if kind.is_dir() {
            if name == ".git" || self.is_outside(path) {
                return Ok(());
            }
            self.builder.directory(below).map_err(|err| bad(path, &err))?;
            return self.folder(path, below);
        } else if kind.is_symlink() {
            let target = fs::read_link(path).map_err(|err| failed(path, &err))?;
            let Some(target) = target.to_str() else { return Ok(()) };
            self.builder.symlink(below, target)
        } else if kind.is_file() {
            let meta = entry.metadata().map_err(|err| failed(path, &err))?;
            let digest = self.hashes.of(path, &meta).map_err(|err| failed(path, &err))?;
            let mode = if meta.mode() & 0o100 == 0 { Mode::Plain } else { Mode::Executable };
            self.files.insert(digest, path.to_owned());
            self.builder.file(below, digest, mode)
        } else {
            // Sockets, pipes and devices are no inputs.
            return Ok(());
        };
        added.map_err(|err| bad(path, &err))
    }

    /// Target folders (they carry a cache tag) and packages of their own.
    fn is_outside(&self, folder: &Path) -> bool {
        folder == self.scope.target_dir
            || folder.join("CACHEDIR.TAG").is_file()
            || (self.scope.nested == Nested::LeftOut && folder.join(crate::cargo::MANIFEST).is_file())
    }
}

fn failed(path: &Path, err: &io::Error) -> Failure {
    Failure::new(Fault::User, format!("failed to read `{}`: {err}", path.display()))
}

fn bad(path: &Path, err: &dyn std::fmt::Display) -> Failure {
    Failure::new(Fault::User, format!("{}: {err}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn target_folders_git_and_nested_packages_stay_out() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |path: &str| folder.path().join(path);
        for path in ["src/a.rs", "out/debug/x", "tagged/CACHEDIR.TAG", "member/Cargo.toml", ".git/HEAD", ".cargo/x"] {
            fs::create_dir_all(at(path).parent().expect("a parent")).expect("a folder");
            fs::write(at(path), path).expect("a file");
        }
        let read = |nested| {
            let scope = Scope { target_dir: &at("out"), nested };
            let mut files: Vec<_> =
                tree(&Hashes::default(), folder.path(), scope).expect("a tree").files.into_values().collect();
            files.sort();
            files
                .into_iter()
                .map(|file| file.strip_prefix(folder.path()).expect("inside").to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(read(Nested::LeftOut), [".cargo/x", "src/a.rs"].map(PathBuf::from));
        assert_eq!(read(Nested::Kept), [".cargo/x", "member/Cargo.toml", "src/a.rs"].map(PathBuf::from));
    }

    #[test]
    fn an_edit_changes_the_tree() {
        let folder = tempfile::tempdir().expect("a folder");
        let (hashes, file) = (Hashes::default(), folder.path().join("a"));
        let scope = Scope { target_dir: Path::new("/nowhere"), nested: Nested::LeftOut };
        fs::write(&file, "one").expect("a file");
        let one = tree(&hashes, folder.path(), scope).expect("a tree").root;
        fs::write(&file, "two").expect("a file");
        assert_ne!(tree(&hashes, folder.path(), scope).expect("a tree").root, one);
    }
}
