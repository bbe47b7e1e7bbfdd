//! What an action of a wrapped call sees: its package, scripts' folders, libraries. All are files of
//! the person's, read as they are; what the store lacks of them is brought.

use std::{fs::File, path::Path, sync::Arc};

use shared::{
    digest::{Digest, Function},
    fault::{Failure, Fault},
};

use super::closure::Library;
use crate::{
    action::Input,
    cargo::{mounts::DEPS, wrapped::OutDir},
    inputs::upload_tree,
    services::{Services, persist},
    sources::{self, Hashes, Nested, Scope, Tree},
};

/// Stands for the target folder of packages that have none.
const NOWHERE: &str = "/vx/target";
/// Files in one call to the store.
const FILES: usize = 100;

/// Folders and files.
#[derive(Debug)]
pub struct Inputs {
    trees: Vec<(String, Tree)>,
    libraries: Vec<Library>,
}

impl Inputs {
    /// Reads folders, each for a mount.
    pub async fn gather(
        hashes: &Arc<Hashes>,
        folders: Vec<OutDir>,
        libraries: Vec<Library>,
    ) -> Result<Inputs, Failure> {
        let hashes = Arc::clone(hashes);
        let read = move || {
            let tree = |OutDir { real, mount }: OutDir| {
                let scope = Scope { checkout: &real, target_dir: Path::new(NOWHERE), nested: Nested::Kept };
                Ok((mount, sources::tree(&hashes, &real, scope)?))
            };
            folders.into_iter().map(tree).collect::<Result<Vec<_>, Failure>>()
        };
        let trees = tokio::task::spawn_blocking(read).await;
        let trees = trees.map_err(|err| Failure::new(Fault::Bug, format!("reading inputs: {err}")))??;
        Ok(Inputs { trees, libraries })
    }

    /// As an Action has them.
    pub fn placed(&self) -> Vec<(String, Input)> {
        let trees = self.trees.iter().map(|(mount, tree)| (mount.clone(), Input::Tree(tree.root)));
        let libraries = self.libraries.iter().filter_map(|library| {
            let name = library.path.file_name()?.to_str()?;
            Some((format!("{DEPS}/{name}"), Input::File(library.digest, library.mode)))
        });
        trees.chain(libraries).collect()
    }

    /// Makes sure that the store has all of it.
    pub async fn upload(&self, services: &Services) -> Result<(), Failure> {
        for (_, tree) in &self.trees {
            upload_tree(services, tree).await?;
        }
        let digests: Vec<Digest> = self.libraries.iter().map(|library| library.digest).collect();
        let missing = persist(async || services.cas.find_missing(&digests).await).await?;
        let missing: Vec<&Library> =
            self.libraries.iter().filter(|library| missing.contains(&library.digest)).collect();
        for some in missing.chunks(FILES) {
            let files = some.iter().map(|library| {
                let failed = |err| Failure::new(Fault::User, format!("{}: {err}", library.path.display()));
                Ok(File::open(&library.path).map_err(failed)?.into())
            });
            let files = files.collect::<Result<Vec<_>, Failure>>()?;
            let sizes: Vec<u64> = some.iter().map(|library| library.digest.size()).collect();
            let put = persist(async || services.cas.put_files(Function::Blake3, &sizes, &files).await).await?;
            if let Some((_, library)) = put.iter().zip(some).find(|(put, library)| **put != library.digest) {
                return Err(Failure::new(Fault::User, format!("{} changed meanwhile", library.path.display())));
            }
        }
        Ok(())
    }
}
