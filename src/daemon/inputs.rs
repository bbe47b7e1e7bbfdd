//! The input tree of every package of a plan: archives by the checksum in the lock file, all else
//! read from disk, but for the workspace's own where the executor shows them live: those have no
//! tree. What has to be uploaded is known here, and uploaded once a build.

use std::{
    collections::{HashMap, HashSet},
    fs,
    path::{Component, Path, PathBuf},
    sync::Arc,
};

use shared::{
    client::{cas::CrateArchive, exec::ViewClass},
    digest::{Digest, Function},
    fault::{Failure, Fault},
};
use tokio::sync::Mutex;

use crate::{
    cargo::{locate, package::Source, plan::Plan},
    live::Checkout,
    services::{ServiceError, Services, persist},
    sources::{self, Hashes, Nested, Scope, Tree},
    vendored::Vendored,
};

/// The inputs of one plan.
#[derive(Debug)]
pub struct Inputs {
    /// By package: where it is mounted, and its root; none for those that are seen live.
    roots: Vec<(String, Option<Digest>)>,
    checkout: Arc<Checkout>,
    trees: HashMap<Digest, Tree>,
    archives: HashMap<Digest, CrateArchive>,
    uploaded: Mutex<HashSet<Digest>>,
}

impl Inputs {
    /// Takes archives into the store (a look-up where they are there) and reads the rest.
    pub async fn gather(
        services: &Services,
        hashes: &Arc<Hashes>,
        plan: &Plan,
        view: ViewClass,
    ) -> Result<Self, Failure> {
        let target_dir = without_dots(&plan.target_dir, &plan.workspace_root);
        let mut inputs = Inputs {
            roots: Vec::with_capacity(plan.packages.len()),
            checkout: Arc::new(Checkout::new(plan.workspace_root.clone(), target_dir.clone(), Arc::clone(hashes))),
            trees: HashMap::new(),
            archives: HashMap::new(),
            uploaded: Mutex::default(),
        };
        let archives: Vec<Option<CrateArchive>> = plan.packages.iter().map(archive).collect();
        let wanted: Vec<CrateArchive> = archives.iter().flatten().cloned().collect();
        let acquired = acquire(services, &wanted).await?;
        let mut acquired = wanted.into_iter().zip(acquired);
        for (package, archive) in plan.packages.iter().zip(&archives) {
            let root = if archive.is_some() {
                let Some((archive, root)) = acquired.next() else {
                    return Err(Failure::new(Fault::Bug, "fewer archives than asked for"));
                };
                inputs.archives.insert(root, archive);
                Some(root)
            } else if view == ViewClass::Fixed && matches!(package.source, Source::Member { .. }) {
                None
            } else {
                let nested = match package.source {
                    Source::Git { .. } => Nested::Kept,
                    _ => Nested::LeftOut,
                };
                let folder = package.input.1.clone();
                let checkout = match package.source {
                    Source::Member { .. } => plan.workspace_root.clone(),
                    _ => folder.clone(),
                };
                let (hashes, target_dir) = (Arc::clone(hashes), target_dir.clone());
                let vendored = Vendored::of(package);
                let read = move || {
                    let scope = Scope { checkout: &checkout, target_dir: &target_dir, nested };
                    let tree = sources::tree(&hashes, &folder, scope)?;
                    vendored.map_or(Ok(()), |vendored| vendored.check(&hashes, tree.root))?;
                    Ok::<Tree, Failure>(tree)
                };
                let tree = tokio::task::spawn_blocking(read)
                    .await
                    .map_err(|err| Failure::new(Fault::Bug, format!("reading sources: {err}")))??;
                let root = tree.root;
                inputs.trees.insert(root, tree);
                Some(root)
            };
            inputs.roots.push((package.input.0.clone(), root));
        }
        Ok(inputs)
    }

    /// Where a package is mounted, and its root; none where it is seen live.
    pub fn of(&self, package: usize) -> (&str, Option<Digest>) {
        let (mount, root) = &self.roots[package];
        (mount, *root)
    }

    /// The workspace.
    pub fn checkout(&self) -> &Arc<Checkout> {
        &self.checkout
    }

    /// Makes sure that packages' trees are in the store. `again` brings also what was brought
    /// before, since the store says that it is gone.
    pub async fn upload(&self, services: &Services, packages: &[usize], again: Again) -> Result<(), Failure> {
        let mut uploaded = self.uploaded.lock().await;
        for &package in packages {
            let Some(root) = self.roots[package].1 else { continue };
            if again == Again::No && uploaded.contains(&root) {
                continue;
            }
            if let Some(tree) = self.trees.get(&root) {
                upload_tree(services, tree).await?;
            } else if let Some(archive) = self.archives.get(&root).filter(|_| again == Again::Yes) {
                acquire(services, std::slice::from_ref(archive)).await?;
            }
            uploaded.insert(root);
        }
        Ok(())
    }
}

/// Whether what was uploaded before is uploaded again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Again {
    /// It is there.
    No,
    /// The executor missed it.
    Yes,
}

fn archive(package: &crate::cargo::package::Package) -> Option<CrateArchive> {
    match &package.source {
        Source::Registry { checksum: Some(checksum), archive: Some(archive) } if archive.is_file() => {
            Some(CrateArchive {
                name: package.name.clone(),
                version: package.version.clone(),
                checksum: checksum.clone(),
                archive: archive.to_string_lossy().into_owned(),
            })
        }
        _ => None,
    }
}

async fn acquire(services: &Services, archives: &[CrateArchive]) -> Result<Vec<Digest>, Failure> {
    if archives.is_empty() {
        return Ok(Vec::new());
    }
    let acquired = persist(async || services.cas.acquire_crates(archives).await).await?;
    let named = |(root, archive): (Result<Digest, String>, &CrateArchive)| {
        root.map_err(|err| {
            Failure::new(Fault::User, format!("{} {}: {err}", archive.name, archive.version))
                .hint(format!("remove {} and build again: it will be fetched anew", archive.archive))
        })
    };
    acquired.into_iter().zip(archives).map(named).collect()
}

/// Makes sure that the store has a tree.
pub async fn upload_tree(services: &Services, tree: &Tree) -> Result<(), Failure> {
    let directories: HashMap<Digest, Vec<u8>> = tree.directories.iter().cloned().collect();
    persist(async || services.cas.put_missing(&directories).await).await?;
    let digests: Vec<Digest> = tree.files.keys().copied().collect();
    let missing = persist(async || services.cas.find_missing(&digests).await).await?;
    let mut blobs = HashMap::new();
    for digest in missing {
        let path = tree.files[&digest].clone();
        let read = path.clone();
        let bytes = tokio::task::spawn_blocking(move || fs::read(read))
            .await
            .map_err(std::io::Error::other)
            .flatten()
            .map_err(|err| Failure::new(Fault::User, format!("failed to read `{}`: {err}", path.display())))?;
        if Digest::of(Function::Blake3, &bytes) != digest {
            return Err(Failure::new(Fault::User, format!("`{}` changed while it was built", path.display()))
                .hint("build again"));
        }
        blobs.insert(digest, bytes);
    }
    let put = async || services.cas.put(blobs.iter().map(|(digest, bytes)| (*digest, bytes.as_slice()))).await;
    persist(put).await.map_err(|err: ServiceError| err.into())
}

/// The target folder without `..`, which cargo leaves in its name as the person wrote it; inside the
/// workspace by the workspace's own name. What is not there yet is taken by its text.
fn without_dots(path: &Path, root: &Path) -> PathBuf {
    if !path.components().any(|one| one == Component::ParentDir) {
        return path.to_owned();
    }
    let there = |above: &Path| Some((fs::canonicalize(above).ok()?, path.strip_prefix(above).ok()?));
    let Some((there, rest)) = path.ancestors().find_map(there) else { return path.to_owned() };
    let whole = locate::clean(&there.join(rest));
    let inside = fs::canonicalize(root).ok().and_then(|real| Some(root.join(whole.strip_prefix(real).ok()?)));
    inside.unwrap_or(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_folder_is_named_without_dots() {
        let folder = tempfile::tempdir().expect("a folder");
        let real = fs::canonicalize(folder.path()).expect("it is there");
        fs::create_dir_all(real.join("deep/ws/sub")).expect("folders");
        std::os::unix::fs::symlink(real.join("deep/ws"), real.join("link")).expect("a link");
        let read = |path: &str, root: &str| {
            let found = without_dots(&real.join(path), &real.join(root));
            found.strip_prefix(&real).expect("below").display().to_string()
        };
        assert_eq!(read("deep/ws/../out/t", "deep/ws"), "deep/out/t");
        assert_eq!(read("deep/ws/sub/../target", "deep/ws"), "deep/ws/target");
        assert_eq!(read("link/sub/../target", "link"), "link/target");
        assert_eq!(read("link/../out", "link"), "deep/out");
        assert_eq!(read("link/gone/../../out", "link"), "deep/out");
        assert_eq!(read("link/target", "link"), "link/target");
    }
}
