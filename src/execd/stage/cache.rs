//! What the stage holds: names on disk, sizes, leases, and the order of last use. Decisions only,
//! but for the first look at the folder.

use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
};

use shared::digest::{Digest, Function};

use crate::{folder, kernel};

/// One thing that is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Key {
    /// A directory with everything below.
    Directory(Digest),
    /// A file, executable or not: the mode belongs to the inode, so it belongs to the key.
    File(Digest, bool),
}

impl Key {
    /// Its place below the stage's folder.
    pub fn place(&self) -> PathBuf {
        let name = |digest: &Digest| format!("{}-{}-{}", digest.function().name(), digest.hex(), digest.size());
        match self {
            Key::Directory(digest) => Path::new("d").join(name(digest)),
            Key::File(digest, false) => Path::new("f").join(name(digest)),
            Key::File(digest, true) => Path::new("x").join(name(digest)),
        }
    }

    /// The blob's own size.
    pub fn size(&self) -> u64 {
        match self {
            Key::Directory(digest) | Key::File(digest, _) => digest.size(),
        }
    }

    fn parse(folder: &str, name: &str) -> Option<Key> {
        let mut parts = name.split('-');
        let function = Function::from_name(parts.next()?)?;
        let (hex, size) = (parts.next()?, parts.next()?.parse().ok()?);
        let digest = Digest::parse(function, hex, size).ok().filter(|_| parts.next().is_none())?;
        match folder {
            "d" => Some(Key::Directory(digest)),
            "f" => Some(Key::File(digest, false)),
            "x" => Some(Key::File(digest, true)),
            _ => None,
        }
    }
}

#[derive(Debug, Default)]
struct Entry {
    bytes: u64,
    used: u64,
    leases: u32,
}

/// Everything kept.
#[derive(Debug, Default)]
pub struct Table {
    entries: HashMap<Key, Entry>,
    bytes: u64,
    /// Counts uses; eviction goes by it, not by a clock that may jump.
    clock: u64,
}

impl Table {
    /// Bytes held.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether it is there.
    pub fn contains(&self, key: &Key) -> bool {
        self.entries.contains_key(key)
    }

    /// Adds what was just made.
    pub fn insert(&mut self, key: Key, bytes: u64) {
        self.clock += 1;
        let entry = self.entries.entry(key).or_default();
        self.bytes = self.bytes - entry.bytes + bytes;
        (entry.bytes, entry.used) = (bytes, self.clock);
    }

    /// Keeps it from eviction, if it is there.
    pub fn hold(&mut self, key: &Key) -> bool {
        self.clock += 1;
        let Some(entry) = self.entries.get_mut(key) else { return false };
        (entry.used, entry.leases) = (self.clock, entry.leases + 1);
        true
    }

    /// Gives it back.
    pub fn release(&mut self, key: &Key) {
        if let Some(entry) = self.entries.get_mut(key) {
            entry.leases = entry.leases.saturating_sub(1);
        }
    }

    /// Whether it is there and nobody uses it.
    pub fn is_idle(&self, key: &Key) -> bool {
        self.entries.get(key).is_some_and(|entry| entry.leases == 0)
    }

    /// Forgets what is no longer there.
    pub fn remove(&mut self, key: &Key) {
        if let Some(entry) = self.entries.remove(key) {
            self.bytes -= entry.bytes;
        }
    }

    /// Takes out what has to go for `budget`, least recently used first.
    pub fn over(&mut self, budget: u64) -> Vec<Key> {
        if self.bytes <= budget {
            return Vec::new();
        }
        let mut idle: Vec<_> =
            self.entries.iter().filter(|(_, entry)| entry.leases == 0).map(|(key, entry)| (entry.used, *key)).collect();
        idle.sort_unstable();
        // A tenth below, so that the next action does not evict again.
        let target = budget - budget / 10;
        let mut victims = Vec::new();
        for (_, key) in idle {
            if self.bytes <= target {
                break;
            }
            if let Some(entry) = self.entries.remove(&key) {
                self.bytes -= entry.bytes;
                victims.push(key);
            }
        }
        victims
    }
}

/// Opens the cache's folder and reads what is there.
pub fn open(dir: &Path) -> io::Result<Table> {
    if folder::is_torn(dir) {
        tracing::info!("the machine went down while inputs were staged; staging them anew");
        for folder in ["d", "f", "x"] {
            let from = dir.join(folder);
            if from.exists() {
                folder::remove(&from)?;
            }
        }
    }
    folder::empty(&dir.join("tmp"))?;
    folder::opened(dir)?;
    let mut table = Table::default();
    for folder in ["d", "f", "x"] {
        fs::create_dir_all(dir.join(folder))?;
        for entry in fs::read_dir(dir.join(folder))? {
            let entry = entry?;
            let Some(key) = Key::parse(folder, &entry.file_name().to_string_lossy()) else { continue };
            // A directory's own size is not remembered; what it links to is counted by itself.
            let bytes = if matches!(key, Key::Directory(_)) { 64 << 10 } else { key.size() };
            table.insert(key, bytes);
        }
    }
    Ok(table)
}

/// Marks the cache as whole on disk.
pub fn close(dir: &Path) -> io::Result<()> {
    kernel::sync_all(&fs::File::open(dir)?)?;
    folder::closed(dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u8) -> Key {
        Key::File(Digest::of(Function::Blake3, &[number]), false)
    }

    #[test]
    fn the_least_recently_used_goes_and_what_is_held_stays() {
        let mut table = Table::default();
        for number in 0..4 {
            table.insert(key(number), 100);
        }
        assert!(table.hold(&key(0)) && table.hold(&key(1)));
        table.release(&key(1));
        assert!(table.over(400).is_empty());
        assert_eq!(table.over(250), vec![key(2), key(3)]);
        assert_eq!((table.bytes(), table.contains(&key(0))), (200, true));
    }

    #[test]
    fn names_on_disk_read_back() {
        for key in [
            key(1),
            Key::File(Digest::of(Function::Sha256, b"x"), true),
            Key::Directory(Digest::of(Function::Blake3, b"d")),
        ] {
            let place = key.place();
            let mut parts = place.iter().map(|part| part.to_string_lossy());
            let (folder, name) = (parts.next().expect("a folder"), parts.next().expect("a name"));
            assert_eq!(Key::parse(&folder, &name), Some(key));
        }
    }
}
