//! Real folders in the place of fixed mounts, for rungs without namespaces. A folder of an input
//! root keeps one real path for as long as nobody else needs another content there, so that what
//! programs write down of it holds for the next action too. What is laid into it is `real`'s.

use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::folder;

/// Folders kept for the next action that wants the same there.
const KEPT: usize = 512;
/// Actions that want another content at one place at once: slots are far fewer.
const LEVELS: usize = 4096;

/// All such folders; cheap to clone.
#[derive(Clone, Debug)]
pub struct Ground(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    dir: PathBuf,
    taken: Mutex<HashMap<(usize, PathBuf), Taken>>,
    next: AtomicU64,
}

#[derive(Debug)]
struct Taken {
    content: Content,
    users: usize,
    made: Arc<tokio::sync::Mutex<Made>>,
}

/// What a folder is to hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// This, by digest; shared with everybody who wants it.
    Shared(String),
    /// One action's own.
    Own,
}

/// Whether a folder holds what it is to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Made {
    /// Empty, or half of it.
    No,
    /// All of it.
    Yes,
}

/// One action's use of a folder.
#[derive(Debug)]
pub struct Claim {
    ground: Ground,
    level: usize,
    part: PathBuf,
    /// The folder.
    pub path: PathBuf,
    /// To be held while it is filled.
    pub made: Arc<tokio::sync::Mutex<Made>>,
}

impl Ground {
    /// Takes over `dir`, emptied.
    pub fn open(dir: &Path) -> io::Result<Ground> {
        folder::empty(dir)?;
        // Real: what programs print of themselves is.
        let dir = fs::canonicalize(dir)?;
        fs::create_dir(dir.join("home"))?;
        fs::create_dir(dir.join("gone"))?;
        Ok(Ground(Arc::new(Inner { dir, taken: Mutex::default(), next: AtomicU64::new(0) })))
    }

    /// An empty folder that nobody may write to.
    pub fn home(&self) -> PathBuf {
        self.0.dir.join("home")
    }

    /// Where a folder is as long as nobody claims it.
    pub fn unclaimed(&self) -> PathBuf {
        self.0.dir.join("0")
    }

    /// The folder for `part`, with this content in it or to be laid into it.
    pub fn claim(&self, part: &Path, content: &Content) -> io::Result<Claim> {
        let one = self.claim_together(std::slice::from_ref(&(part.to_owned(), content.clone())))?.pop();
        one.ok_or_else(|| io::ErrorKind::ResourceBusy.into())
    }

    /// The same for several, which then lie to one another as the parts do: programs are told of one
    /// by its place beside another.
    pub fn claim_together(&self, parts: &[(PathBuf, Content)]) -> io::Result<Vec<Claim>> {
        for level in 0..LEVELS {
            let claims = parts.iter().map(|(part, content)| self.claim_at(level, part, content));
            if let Some(claims) = claims.collect::<io::Result<Option<Vec<Claim>>>>()? {
                return Ok(claims);
            }
        }
        Err(io::ErrorKind::ResourceBusy.into())
    }

    fn claim_at(&self, level: usize, part: &Path, content: &Content) -> io::Result<Option<Claim>> {
        let mut taken = self.taken();
        let (key, path) = ((level, part.to_owned()), self.0.dir.join(level.to_string()).join(part));
        let claim = |made| Claim { ground: self.clone(), level, part: part.to_owned(), path: path.clone(), made };
        // A folder in another's would change what that one holds.
        let nested = nested(&taken, &key);
        match taken.get_mut(&key) {
            Some(one) if one.content == *content && *content != Content::Own => {
                one.users += 1;
                return Ok(Some(claim(Arc::clone(&one.made))));
            }
            Some(one) if one.users > 0 => return Ok(None),
            _ => {}
        }
        if nested.iter().any(|other| taken.get(other).is_some_and(|one| one.users > 0)) {
            return Ok(None);
        }
        for other in nested.into_iter().chain([key.clone()]) {
            if taken.contains_key(&other) {
                self.clear(&self.0.dir.join(other.0.to_string()).join(&other.1))?;
                taken.remove(&other);
            }
        }
        fs::create_dir_all(&path)?;
        let made = Arc::new(tokio::sync::Mutex::new(Made::No));
        taken.insert(key, Taken { content: content.clone(), users: 1, made: Arc::clone(&made) });
        Ok(Some(claim(made)))
    }

    fn release(&self, level: usize, part: &Path) {
        let mut taken = self.taken();
        let key = (level, part.to_owned());
        let Some(one) = taken.get_mut(&key) else { return };
        one.users -= 1;
        if one.users > 0 {
            return;
        }
        let mut idle = Vec::new();
        if one.content == Content::Own {
            idle.push(key);
        } else if taken.len() > KEPT {
            idle.extend(taken.iter().filter(|(_, one)| one.users == 0).map(|(key, _)| key.clone()));
        }
        for key in idle {
            let path = self.0.dir.join(key.0.to_string()).join(&key.1);
            match self.clear(&path) {
                Ok(()) => drop(taken.remove(&key)),
                // Stays in the table, so that nobody meets what is left in it.
                Err(err) => tracing::warn!(path = %path.display(), %err, "a folder cannot be cleared"),
            }
        }
    }

    /// Out of the way at once, and removed when there is time.
    fn clear(&self, path: &Path) -> io::Result<()> {
        let gone = self.0.dir.join("gone").join(self.0.next.fetch_add(1, Ordering::Relaxed).to_string());
        fs::rename(path, &gone)?;
        folder::remove_later(gone);
        Ok(())
    }

    fn taken(&self) -> MutexGuard<'_, HashMap<(usize, PathBuf), Taken>> {
        self.0.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Claim {
    /// Where another part lies from the same root.
    pub fn beside(&self, part: &Path) -> PathBuf {
        self.ground.0.dir.join(self.level.to_string()).join(part)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.ground.release(self.level, &self.part);
    }
}

/// What holds a part, or lies in it.
fn nested(taken: &HashMap<(usize, PathBuf), Taken>, (level, part): &(usize, PathBuf)) -> Vec<(usize, PathBuf)> {
    let others = taken.keys().filter(|(other, path)| other == level && path != part);
    others.filter(|(_, path)| path.starts_with(part) || part.starts_with(path)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_kept_until_another_content_is_wanted_there() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let ground = Ground::open(&dir.path().join("ground")).expect("an empty folder");
        let claim = |content| ground.claim(Path::new("vx/ws"), &content).expect("a folder");
        let shared = |digest: &str| Content::Shared(digest.to_owned());
        let first = claim(shared("a"));
        fs::write(first.path.join("file"), "").expect("a file");
        let (same, other, own) = (claim(shared("a")), claim(shared("b")), claim(Content::Own));
        assert_eq!(first.path, same.path);
        assert!(first.path != other.path && other.path != own.path && own.path != first.path);
        let (place, own_place) = (first.path.clone(), own.path.clone());
        drop((first, same, own));
        assert!(place.join("file").exists(), "kept for the next");
        assert!(!own_place.exists(), "an own one goes");
        let third = claim(shared("c"));
        assert_eq!(third.path, place);
        assert!(!place.join("file").exists(), "another content");
        drop(other);
    }

    #[test]
    fn what_lies_inside_another_takes_its_place_when_that_is_free() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let ground = Ground::open(&dir.path().join("ground")).expect("an empty folder");
        let shared = |part: &str, digest: &str| (PathBuf::from(part), Content::Shared(digest.to_owned()));
        let claim = |parts: &[(PathBuf, Content)]| ground.claim_together(parts).expect("folders");
        let root = claim(&[shared("vx/ws", "root")]);
        let busy = claim(&[shared("vx/ws/a", "a"), shared("vx/ws/b", "b")]);
        let base = busy[0].beside(Path::new("vx/ws"));
        assert!(base != root[0].path && busy.iter().all(|one| one.path.starts_with(&base)), "{busy:?}");
        let place = root[0].path.clone();
        drop((root, busy));
        let again = claim(&[shared("vx/ws/a", "c")]);
        assert_eq!(again[0].path, place.join("a"), "nobody uses what held it");
        let root = claim(&[shared("vx/ws", "root")]);
        assert_ne!(root[0].path, place, "and somebody uses what it would hold");
    }
}
