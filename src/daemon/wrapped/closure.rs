//! What libraries were compiled against, by their content: whoever compiles against one needs those
//! too, and finds them in the same folder. Kept in the store, so that what one cargo has built
//! serves the next; a library of which nothing is known serves nobody.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use shared::{
    digest::{Digest, Function},
    fault::{Failure, Fault},
    limits,
    reapi::{tree::Mode, v2},
};

use crate::{
    cargo::wrapped::{Compile, Plain},
    services::{Services, persist},
    sources::Hashes,
};

/// By the content of a library, the stems of those that it was compiled against.
#[derive(Debug, Default)]
pub struct Closures(Mutex<HashMap<Digest, Arc<Vec<String>>>>);

/// A library's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Library {
    /// Where it lies.
    pub path: PathBuf,
    /// Its content.
    pub digest: Digest,
    /// Whether it can be run; shared libraries can.
    pub mode: Mode,
}

/// Ends of libraries' names: what is enough to compile against one, what is needed to link it, what
/// is loaded.
const METADATA: &str = "rmeta";
const RLIB: &str = "rlib";
const SHARED: &str = "so";

/// A shared library without a library beside it is a macro, or loaded like one.
pub fn loads_macros(libraries: &[Library]) -> bool {
    libraries.iter().any(is_loaded)
}

/// Whether the compiler loads it.
pub fn is_loaded(library: &Library) -> bool {
    library.path.extension().is_some_and(|end| end == SHARED)
}

impl Closures {
    /// All libraries that a call needs: those it names, and behind them those in the folders where
    /// it looks.
    pub async fn of(&self, services: &Services, hashes: &Arc<Hashes>, call: &Compile) -> Result<Vec<Library>, Plain> {
        let ends: &[&str] = if call.links() { &[RLIB, SHARED] } else { &[METADATA, RLIB, SHARED] };
        let mut all: BTreeMap<PathBuf, Library> = BTreeMap::new();
        let mut seen: HashSet<String> = HashSet::new();
        let mut open: Vec<PathBuf> = call.externs.clone();
        while !open.is_empty() {
            seen.extend(open.iter().map(|path| stem(path)));
            let fresh = read(hashes, std::mem::take(&mut open)).await?;
            let behind = self.behind(services, &fresh).await?;
            all.extend(fresh.into_iter().map(|library| (library.path.clone(), library)));
            for stem in behind {
                if seen.insert(stem.clone()) {
                    let found = find(&call.searched, &stem, ends);
                    open.push(found.ok_or_else(|| Plain::Unfit(format!("{stem}, which it needs, is not there")))?);
                }
            }
        }
        Ok(all.into_values().collect())
    }

    /// What these were compiled against.
    async fn behind(&self, services: &Services, libraries: &[Library]) -> Result<Vec<String>, Plain> {
        let unknown: Vec<&Library> = {
            let known = self.lock();
            libraries.iter().filter(|library| !known.contains_key(&library.digest)).collect()
        };
        if !unknown.is_empty() {
            let keys: Vec<Digest> = unknown.iter().map(|library| key(&library.digest)).collect();
            let found = persist(async || services.cas.action_results(&keys).await).await;
            let found = found.map_err(|err| Plain::Unfit(Failure::from(err).to_string()))?;
            for (library, result) in unknown.into_iter().zip(found) {
                let stems = result.and_then(|result| serde_json::from_slice::<Vec<String>>(&result.stdout_raw).ok());
                let name = || stem(&library.path);
                let stems = stems.ok_or_else(|| Plain::Unfit(format!("{} was not compiled through vx", name())))?;
                self.remember(library.digest, Arc::new(stems));
            }
        }
        let known = self.lock();
        let stems = libraries.iter().filter_map(|library| known.get(&library.digest)).flat_map(|stems| stems.iter());
        Ok(stems.cloned().collect())
    }

    /// A call has made these libraries. Behind a macro is only what is loaded with it.
    pub async fn learn(&self, services: &Services, call: &Compile, made: &[Digest]) {
        let is_loaded = |path: &&PathBuf| !call.is_macro() || path.extension().is_some_and(|end| end == SHARED);
        let stems: Arc<Vec<String>> = Arc::new(call.externs.iter().filter(is_loaded).map(|path| stem(path)).collect());
        let text = serde_json::to_vec(&*stems).unwrap_or_default();
        for digest in made {
            if !self.remember(*digest, Arc::clone(&stems)) {
                continue;
            }
            let result = v2::ActionResult { stdout_raw: text.clone(), ..Default::default() };
            let kept = persist(async || services.cas.update_action_result(key(digest), result.clone()).await).await;
            if let Err(err) = kept {
                tracing::warn!(%err, "what a library was compiled against cannot be kept, ignoring");
            }
        }
    }

    /// Whether it was not known.
    fn remember(&self, digest: Digest, stems: Arc<Vec<String>>) -> bool {
        let mut known = self.lock();
        if known.len() >= limits::WRAPPED_LIBRARIES {
            known.clear();
        }
        known.insert(digest, stems).is_none()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Digest, Arc<Vec<String>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where it is kept.
fn key(library: &Digest) -> Digest {
    Digest::of(Function::Blake3, format!("vx compiled against 1 {library}").as_bytes())
}

fn stem(path: &Path) -> String {
    path.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned())
}

fn find(folders: &[PathBuf], stem: &str, ends: &[&str]) -> Option<PathBuf> {
    let files = folders.iter().flat_map(|folder| ends.iter().map(move |end| folder.join(format!("{stem}.{end}"))));
    files.into_iter().find(|file| file.is_file())
}

/// The content of files.
pub async fn read(hashes: &Arc<Hashes>, paths: Vec<PathBuf>) -> Result<Vec<Library>, Plain> {
    let hashes = Arc::clone(hashes);
    let work = move || {
        let library = |path: PathBuf| {
            let meta = fs::metadata(&path)?;
            let digest = hashes.of(&path, &meta)?;
            let mode = if meta.mode() & 0o100 == 0 { Mode::Plain } else { Mode::Executable };
            Ok(Library { path, digest, mode })
        };
        paths.into_iter().map(library).collect::<std::io::Result<Vec<Library>>>()
    };
    let read = tokio::task::spawn_blocking(work).await;
    let read = read.map_err(|err| Plain::Unfit(Failure::new(Fault::Bug, format!("reading: {err}")).to_string()))?;
    read.map_err(|err| Plain::Unfit(format!("a library cannot be read: {err}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_form_of_a_library_is_found() {
        let folder = tempfile::tempdir().expect("a folder");
        let folders = [folder.path().join("none"), folder.path().to_owned()];
        for name in ["liba-1.rmeta", "liba-1.rlib", "libb-2.so"] {
            fs::write(folder.path().join(name), name).expect("a file");
        }
        let name = |stem: &str, ends: &[&str]| {
            find(&folders, stem, ends).map(|path| path.file_name().expect("a name").to_string_lossy().into_owned())
        };
        assert_eq!(name("liba-1", &[METADATA, RLIB]).as_deref(), Some("liba-1.rmeta"));
        assert_eq!(name("liba-1", &[RLIB, SHARED]).as_deref(), Some("liba-1.rlib"));
        assert_eq!(name("libb-2", &[RLIB, SHARED]).as_deref(), Some("libb-2.so"));
        assert_eq!(name("libc-3", &[METADATA, RLIB, SHARED]), None);
    }
}
