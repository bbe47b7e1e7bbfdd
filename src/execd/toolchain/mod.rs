//! What a toolchain and the host's C tools are: a hash over the names, sizes and contents of all
//! that an action could load of them. Two machines with equal tools have equal identities, and a
//! changed tool changes every key. Which files count is decided here; reading them quickly is
//! `memory`'s, knowing without looking that nothing changed `watch`'s.

#[cfg_attr(target_os = "macos", path = "../macos/host_tools.rs")]
pub mod host_tools;
mod memory;
#[cfg_attr(target_os = "macos", path = "../macos/watch.rs")]
mod watch;

use std::{
    collections::{HashMap, HashSet},
    fs, io,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use memory::Memory;
use shared::digest::to_hex;
use watch::Watch;

/// Why there is no identity.
#[derive(Debug, thiserror::Error)]
pub enum ToolchainError {
    /// No toolchain is there.
    #[error("{} holds no Rust toolchain: bin/rustc is missing", .0.display())]
    NoToolchain(PathBuf),
    /// A file of it cannot be read.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It changed while it was read.
    #[error("{} changes while it is read; is a toolchain being installed?", .0.display())]
    Changing(PathBuf),
}

/// Identities, hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identities {
    /// Of the toolchain.
    pub toolchain: String,
    /// Of the host's C tools.
    pub host: String,
}

/// Toolchains by identity, and what is remembered of their files.
#[derive(Debug)]
pub struct Toolchains {
    memory: Memory,
    known: Mutex<Known>,
    /// What vx.toml adds to the host's tools.
    added: Mutex<Vec<PathBuf>>,
    unchanged: Mutex<Unchanged>,
}

/// What is true as long as the watch is quiet.
#[derive(Debug, Default)]
struct Unchanged {
    watch: Option<Watch>,
    identities: HashMap<PathBuf, Identities>,
}

#[derive(Debug, Default)]
struct Known {
    paths: HashMap<String, PathBuf>,
    hosts: HashSet<String>,
}

impl Toolchains {
    /// Hashes are remembered in `file`.
    pub fn open(file: PathBuf) -> Toolchains {
        Toolchains {
            memory: Memory::open(file),
            known: Mutex::default(),
            added: Mutex::default(),
            unchanged: Mutex::default(),
        }
    }

    /// What vx.toml adds to the host's tools, instead of what it added before.
    pub fn add(&self, paths: Vec<PathBuf>) {
        let mut unchanged = self.unchanged.lock().unwrap_or_else(PoisonError::into_inner);
        *self.added.lock().unwrap_or_else(PoisonError::into_inner) = paths;
        unchanged.identities.clear();
    }

    /// Identifies the toolchain at `path` and the host's C tools. Reads what changed since the
    /// last time; blocks meanwhile.
    pub fn identify(&self, path: &Path) -> Result<Identities, ToolchainError> {
        let real = fs::canonicalize(path).map_err(|_| ToolchainError::NoToolchain(path.to_owned()))?;
        if !real.join("bin/rustc").is_file() {
            return Err(ToolchainError::NoToolchain(path.to_owned()));
        }
        let mut unchanged = self.unchanged.lock().unwrap_or_else(PoisonError::into_inner);
        if unchanged.is_quiet()
            && let Some(identities) = unchanged.identities.get(&real)
        {
            return Ok(identities.clone());
        }
        let roots =
            if is_shared_with_the_host(&real) { parts_of_usr(&real) } else { vec![real.join("bin"), real.join("lib")] };
        let mut host_paths = host_tools::paths();
        let added = self.added.lock().unwrap_or_else(PoisonError::into_inner).clone();
        host_paths.extend(added.iter().filter(|path| path.exists()).cloned());
        // Before anything is read: what changes meanwhile is noticed the next time.
        let covered = unchanged.cover(self.memory.paths(&real, &roots, &host_paths)?.chain(added));
        let watched = unchanged.folders();
        let (toolchain, host) = self.memory.identities(&real, &roots, &host_paths)?;
        let identities = Identities { toolchain: to_hex(&toolchain), host: to_hex(&host) };
        // A folder that appeared in between was read before it was watched.
        if covered && unchanged.cover(self.memory.paths(&real, &roots, &host_paths)?) && unchanged.folders() == watched
        {
            unchanged.identities.insert(real.clone(), identities.clone());
        }
        let mut known = self.known();
        known.paths.insert(identities.toolchain.clone(), real);
        // The host has one state: earlier ones are not to be had any more.
        known.hosts = HashSet::from([identities.host.clone()]);
        Ok(identities)
    }

    /// Where the toolchain with this identity is.
    pub fn path(&self, identity: &str) -> Option<PathBuf> {
        self.known().paths.get(identity).cloned()
    }

    /// Whether this is the host's identity.
    pub fn knows_host(&self, identity: &str) -> bool {
        self.known().hosts.contains(identity)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Unchanged {
    /// Whether what is known still holds; forgets it otherwise.
    fn is_quiet(&mut self) -> bool {
        let quiet = self.watch.as_mut().is_some_and(Watch::is_quiet);
        if !quiet {
            self.identities.clear();
        }
        quiet
    }

    fn folders(&self) -> usize {
        self.watch.as_ref().map_or(0, Watch::folders)
    }

    /// Watches these paths from now on; whether that is possible for all of them.
    fn cover(&mut self, paths: impl Iterator<Item = PathBuf>) -> bool {
        if self.watch.is_none() {
            self.watch = Watch::new();
        }
        let Some(watch) = &mut self.watch else { return false };
        let folders = [PathBuf::from("/usr/bin"), PathBuf::from("/usr/lib")].into_iter();
        folders.map(|folder| folder.join("x")).chain(paths).all(|path| watch.cover(&path))
    }
}

/// A distribution's Rust lies in /usr, among everything else.
fn is_shared_with_the_host(path: &Path) -> bool {
    [Path::new("/usr"), Path::new("/usr/local"), Path::new("/")].contains(&path)
}

/// Of a distribution's /usr only what is Rust's.
fn parts_of_usr(usr: &Path) -> Vec<PathBuf> {
    let programs = ["rustc", "cargo", "rustdoc"].map(|name| usr.join("bin").join(name));
    let mut parts: Vec<_> = programs.into_iter().filter(|path| path.exists()).collect();
    let lib = usr.join("lib");
    parts.push(lib.join("rustlib"));
    for folder in [lib.clone(), usr.join("lib64")].into_iter().chain(host_tools::multiarch(&lib)) {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        parts.extend(entries.map(|entry| entry.path()).filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with("librustc_driver") || name.starts_with("libLLVM")
        }));
    }
    parts.retain(|path| path.exists());
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_change_of_content_or_name_changes_the_identity_and_nothing_else_does() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let toolchain = dir.path().join("toolchain");
        fs::create_dir_all(toolchain.join("bin")).expect("a new folder");
        fs::create_dir_all(toolchain.join("lib/deep")).expect("a new folder");
        fs::write(toolchain.join("bin/rustc"), "one").expect("a file");
        fs::write(toolchain.join("lib/deep/a"), "a").expect("a file");
        let toolchains = Toolchains::open(dir.path().join("memory"));
        let identify = || toolchains.identify(&toolchain).expect("a toolchain").toolchain;
        let first = identify();
        assert_eq!(first, identify());
        assert_eq!(toolchains.path(&first), Some(fs::canonicalize(&toolchain).expect("it exists")));
        fs::write(toolchain.join("lib/deep/a"), "b").expect("a file");
        let second = identify();
        assert_ne!(first, second, "a content");
        fs::rename(toolchain.join("lib/deep/a"), toolchain.join("lib/deep/c")).expect("a new name");
        let third = identify();
        assert_ne!(second, third, "a name");
        let again = Toolchains::open(dir.path().join("memory"));
        assert_eq!(again.identify(&toolchain).expect("a toolchain").toolchain, third, "after a restart");
        let copy = dir.path().join("copy");
        fs::create_dir_all(copy.join("bin")).expect("a new folder");
        fs::create_dir_all(copy.join("lib/deep")).expect("a new folder");
        fs::write(copy.join("bin/rustc"), "one").expect("a file");
        fs::write(copy.join("lib/deep/c"), "b").expect("a file");
        assert_eq!(toolchains.identify(&copy).expect("a toolchain").toolchain, third, "elsewhere");
        assert!(matches!(toolchains.identify(dir.path()), Err(ToolchainError::NoToolchain(_))));
    }
}
