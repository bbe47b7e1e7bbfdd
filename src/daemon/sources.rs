//! The input trees of packages that are no archives: members, path and git dependencies, vendored
//! copies. Files are hashed once and remembered by their stamp.

use std::{
    collections::{HashMap, HashSet},
    fs,
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use shared::{
    digest::{Digest, Function, Hasher},
    fault::{Failure, Fault},
    limits,
    reapi::tree::{DirectoryBuilder, Mode},
};

/// A stamp as young as this may hide a later write in the same tick of the file system's clock.
const SETTLED: Duration = Duration::from_secs(2);

/// What tells that a file is still the one it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified_ns: i128,
    changed_ns: i128,
}

impl Stamp {
    /// The file's size.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The stamp of a file.
    pub fn of(meta: &fs::Metadata) -> Self {
        let ns = |seconds: i64, rest: i64| i128::from(seconds) * 1_000_000_000 + i128::from(rest);
        Stamp {
            device: meta.dev(),
            inode: meta.ino(),
            size: meta.size(),
            modified_ns: ns(meta.mtime(), meta.mtime_nsec()),
            changed_ns: ns(meta.ctime(), meta.ctime_nsec()),
        }
    }

    /// Whether a later write must have left another stamp.
    pub fn is_settled(&self) -> bool {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        i128::try_from((now.saturating_sub(SETTLED)).as_nanos()).is_ok_and(|limit| self.changed_ns < limit)
    }
}

/// Digests of files by path, good as long as the stamp is the same.
#[derive(Debug, Default)]
pub struct Hashes {
    known: Mutex<HashMap<PathBuf, (Stamp, Digest)>>,
    /// What was found to be as it was vendored.
    vetted: Mutex<HashSet<Digest>>,
}

impl Hashes {
    /// The digest of a file's content.
    pub fn of(&self, path: &Path, meta: &fs::Metadata) -> io::Result<Digest> {
        let stamp = Stamp::of(meta);
        if let Some((known, digest)) = self.lock().get(path)
            && *known == stamp
        {
            return Ok(*digest);
        }
        let mut hasher = Hasher::new(Function::Blake3);
        let (mut file, mut buffer) = (fs::File::open(path)?, vec![0; 256 << 10]);
        loop {
            match file.read(&mut buffer)? {
                0 => break,
                count => hasher.update(&buffer[..count]),
            }
        }
        let digest = hasher.finish();
        if stamp.is_settled() {
            self.lock().insert(path.to_owned(), (stamp, digest));
        }
        Ok(digest)
    }

    /// A file was just written here with this content and nobody else's; it need not settle.
    pub fn wrote(&self, path: &Path, digest: Digest) {
        if let Ok(meta) = fs::symlink_metadata(path) {
            self.lock().insert(path.to_owned(), (Stamp::of(&meta), digest));
        }
    }

    /// Whether this was found good before.
    pub fn is_vetted(&self, content: &Digest) -> bool {
        self.vetted.lock().unwrap_or_else(PoisonError::into_inner).contains(content)
    }

    /// This is good.
    pub fn vet(&self, content: Digest) {
        self.vetted.lock().unwrap_or_else(PoisonError::into_inner).insert(content);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<PathBuf, (Stamp, Digest)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
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
    /// The workspace's root: links may lead to folders in it.
    pub checkout: &'a Path,
    /// The target folder, which may lie inside.
    pub target_dir: &'a Path,
    /// Packages inside are left out: they are inputs of their own.
    pub nested: Nested,
}

/// Whether folders with a manifest of their own belong to the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Nested {
    /// They do not: a member's.
    LeftOut,
    /// They do: a git checkout's.
    Kept,
}

/// Reads a folder whole.
pub fn tree(hashes: &Hashes, folder: &Path, scope: Scope<'_>) -> Result<Tree, Failure> {
    let real = |path: &Path| fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let mut walk = Walk {
        hashes,
        scope,
        builder: DirectoryBuilder::new(),
        files: HashMap::new(),
        nodes: 0,
        root: real(folder),
        checkout: real(scope.checkout),
        through_link: false,
    };
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
    /// The folder and the checkout that it lies in, without links.
    root: PathBuf,
    checkout: PathBuf,
    /// Inside a folder that a link led to.
    through_link: bool,
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
        if path == self.scope.target_dir {
            return Ok(());
        }
        let kind = entry.file_type().map_err(|err| failed(path, &err))?;
        if kind.is_dir() {
            if name == ".git" || self.is_outside(path) {
                return Ok(());
            }
            // Not where only a target folder lies in it, which would tell two checkouts apart.
            if !path_leads_only_to(path, self.scope.target_dir) {
                self.builder.directory(below).map_err(|err| bad(path, &err))?;
            }
            return self.folder(path, below);
        } else if kind.is_symlink() {
            return self.link(path, below);
        } else if kind.is_file() {
            let meta = entry.metadata().map_err(|err| failed(path, &err))?;
            return self.file(path, below, &meta);
        }
        // Sockets, pipes and devices are no inputs.
        Ok(())
    }

    fn file(&mut self, path: &Path, below: &str, meta: &fs::Metadata) -> Result<(), Failure> {
        let digest = self.hashes.of(path, meta).map_err(|err| failed(path, &err))?;
        let mode = if meta.mode() & 0o100 == 0 { Mode::Plain } else { Mode::Executable };
        self.files.insert(digest, path.to_owned());
        self.builder.file(below, digest, mode).map_err(|err| bad(path, &err))
    }

    /// A link within the tree stays one. One that leads out of it would dangle, so what it leads
    /// to stands in its place, as far as that is the same checkout's. Links to folders do not nest,
    /// so that none goes round in circles.
    fn link(&mut self, path: &Path, below: &str) -> Result<(), Failure> {
        let named = fs::read_link(path).map_err(|err| failed(path, &err))?;
        let Some(text) = named.to_str() else { return Ok(()) };
        let leads_out = |target: &PathBuf| named.is_absolute() || !self.holds(target);
        let target = fs::canonicalize(path).ok().filter(|target| leads_out(target) && self.may_stand_in(target));
        match target.as_deref().and_then(|target| Some((target, fs::metadata(target).ok()?))) {
            Some((target, meta)) if meta.is_file() => return self.file(target, below, &meta),
            Some((target, meta)) if meta.is_dir() && !self.through_link && !self.root.starts_with(target) => {
                self.builder.directory(below).map_err(|err| bad(path, &err))?;
                self.through_link = true;
                let walked = self.folder(target, below);
                self.through_link = false;
                return walked;
            }
            _ => {}
        }
        self.builder.symlink(below, text).map_err(|err| bad(path, &err))
    }

    /// Whether a file or folder is part of the tree itself.
    fn holds(&self, target: &Path) -> bool {
        let Ok(below) = target.strip_prefix(&self.root) else { return false };
        let folders = below.ancestors().skip(usize::from(!target.is_dir())).filter(|one| !one.as_os_str().is_empty());
        folders.map(|one| self.root.join(one)).all(|folder| !self.is_outside(&folder))
    }

    /// A checkout must not be able to show an action the person's other files, nor what is left
    /// out of every tree.
    fn may_stand_in(&self, target: &Path) -> bool {
        let Ok(below) = target.strip_prefix(&self.checkout) else { return false };
        !target.starts_with(self.scope.target_dir) && below.components().all(|one| one.as_os_str() != ".git")
    }

    /// Target folders (they carry a cache tag) and packages of their own.
    fn is_outside(&self, folder: &Path) -> bool {
        folder == self.scope.target_dir
            || folder.join("CACHEDIR.TAG").is_file()
            || (self.scope.nested == Nested::LeftOut && folder.join(crate::cargo::MANIFEST).is_file())
    }
}

/// Whether all that a folder holds is the way to the target folder.
fn path_leads_only_to(folder: &Path, target: &Path) -> bool {
    target.starts_with(folder)
        && fs::read_dir(folder).is_ok_and(|entries| {
            entries.filter_map(Result::ok).all(|entry| {
                let path = entry.path();
                path == target || (path.is_dir() && path_leads_only_to(&path, target))
            })
        })
}

fn failed(path: &Path, err: &io::Error) -> Failure {
    Failure::new(Fault::User, format!("failed to read `{}`: {err}", path.display()))
}

fn bad(path: &Path, err: &dyn std::fmt::Display) -> Failure {
    Failure::new(Fault::User, format!("{}: {err}", path.display()))
}

#[cfg(test)]
mod tests {
    use shared::reapi::{Message, v2};

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
            let scope = Scope { checkout: folder.path(), target_dir: &at("out"), nested };
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
        let scope = Scope { checkout: folder.path(), target_dir: Path::new("/nowhere"), nested: Nested::LeftOut };
        fs::write(&file, "one").expect("a file");
        let one = tree(&hashes, folder.path(), scope).expect("a tree").root;
        fs::write(&file, "two").expect("a file");
        assert_ne!(tree(&hashes, folder.path(), scope).expect("a tree").root, one);
    }

    #[test]
    fn links_out_of_a_package_are_followed_and_links_within_it_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |path: &str| folder.path().join(path);
        for path in
            ["a/src/lib.rs", "a/in.txt", "b/s.rs", "b/more/x.rs", "a/sub/Cargo.toml", "a/sub/n.rs", ".git/config"]
        {
            fs::create_dir_all(at(path).parent().expect("a parent")).expect("a folder");
            fs::write(at(path), path).expect("a file");
        }
        for (target, link) in [
            ("../../b/s.rs", "a/src/s.rs"),
            ("../in.txt", "a/src/in.txt"),
            ("../sub/n.rs", "a/src/n.rs"),
            ("../../b/more", "a/src/more"),
            ("../..", "a/src/up"),
            ("/etc/passwd", "a/src/passwd"),
            ("/usr", "a/src/usr"),
            ("../../.git/config", "a/src/token"),
            ("nowhere", "a/src/gone"),
        ] {
            std::os::unix::fs::symlink(target, at(link)).expect("a link");
        }
        let scope = Scope { checkout: folder.path(), target_dir: &at("target"), nested: Nested::LeftOut };
        let tree = tree(&Hashes::default(), &at("a"), scope).expect("a tree");
        let has = |path: &str| tree.files.contains_key(&Digest::of(Function::Blake3, path.as_bytes()));
        assert!(has("b/s.rs") && has("b/more/x.rs") && has("a/sub/n.rs"));
        let decode = |bytes: &[u8]| <v2::Directory as Message>::decode(bytes).expect("a Directory");
        let mut links: Vec<String> = tree
            .directories
            .iter()
            .flat_map(|(_, bytes)| decode(bytes).symlinks)
            .map(|link| format!("{} {}", link.name, link.target))
            .collect();
        links.sort();
        assert_eq!(
            links,
            [
                "gone nowhere",
                "in.txt ../in.txt",
                "passwd /etc/passwd",
                "token ../../.git/config",
                "up ../..",
                "usr /usr"
            ]
        );
    }

    #[test]
    fn a_target_folder_leaves_no_trace_of_the_way_to_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let target = folder.path().join("out/t");
        fs::write(folder.path().join("a"), "a").expect("a file");
        let scope = Scope { checkout: folder.path(), target_dir: &target, nested: Nested::LeftOut };
        let read = || tree(&Hashes::default(), folder.path(), scope).expect("a tree").root;
        let before = read();
        fs::create_dir_all(target.join("debug")).expect("a folder");
        assert_eq!(read(), before);
    }
}
