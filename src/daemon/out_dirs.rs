//! Folders in the store as files to place; first of all the OUT_DIRs of scripts: who reads cargo's
//! messages looks into the folders that they name, and so do programs that are run.

use std::path::{Component, Path, PathBuf};

use shared::{
    digest::{Digest, Function},
    fault::{Failure, Fault},
    limits,
    reapi::{Message, digest_from_proto, tree::Mode, v2},
};

use crate::{
    cargo::plan::{Plan, UnitId},
    place::Item,
    run::Runner,
    services::Services,
    streams::read_many,
};

/// All files in all that are wanted. Links stay away: what they lead to may lie outside.
pub async fn items(
    services: &Services,
    plan: &Plan,
    runner: &Runner<'_>,
    is_wanted: impl Fn(UnitId) -> bool,
) -> Result<Vec<Item>, Failure> {
    let mut open: Vec<(PathBuf, Digest)> = Vec::new();
    for (unit, outcome) in plan.units.iter().zip(runner.outcomes()).filter(|(unit, _)| is_wanted(unit.id)) {
        if let Some(root) = outcome.as_ref().and_then(|outcome| outcome.out_dir) {
            open.push((PathBuf::from(plan.shown(&unit.out_dir(plan))), root));
        }
    }
    files(services, open).await
}

/// All files below folders in the store, each to be placed where its pair says.
pub async fn files(services: &Services, mut open: Vec<(PathBuf, Digest)>) -> Result<Vec<Item>, Failure> {
    let mut items = Vec::new();
    if open.is_empty() {
        return Ok(items);
    }
    for _depth in 0..limits::TREE_DEPTH {
        let digests: Vec<Digest> = open.iter().map(|(_, digest)| *digest).collect();
        let read = read_many(services, &digests).await?;
        let mut below = Vec::new();
        for (path, digest) in open {
            let gone = || Failure::new(Fault::Environment, format!("store: {digest} is gone")).hint("build again");
            let bytes = read.get(&digest).ok_or_else(gone)?;
            let folder = v2::Directory::decode(bytes.as_slice()).map_err(|err| bad(&path, &err.to_string()))?;
            for node in folder.files {
                let mode = if node.is_executable { Mode::Executable } else { Mode::Plain };
                items.push(Item {
                    path: join(&path, &node.name)?,
                    digest: digest_of(&path, node.digest)?,
                    mode,
                    dep_info: None,
                });
            }
            for node in folder.directories {
                below.push((join(&path, &node.name)?, digest_of(&path, node.digest)?));
            }
            if items.len() + below.len() > limits::TREE_NODES {
                return Err(bad(&path, "there are too many files"));
            }
        }
        if below.is_empty() {
            break;
        }
        open = below;
    }
    Ok(items)
}

fn digest_of(path: &Path, digest: Option<v2::Digest>) -> Result<Digest, Failure> {
    digest_from_proto(Function::Blake3, digest.as_ref()).map_err(|_| bad(path, "a node has a bad digest"))
}

/// The path of a node, which must lie in its folder.
fn join(folder: &Path, name: &str) -> Result<PathBuf, Failure> {
    let mut parts = Path::new(name).components();
    match (parts.next(), parts.next()) {
        (Some(Component::Normal(_)), None) => Ok(folder.join(name)),
        _ => Err(bad(folder, "a node has a bad name")),
    }
}

fn bad(path: &Path, what: &str) -> Failure {
    Failure::new(Fault::Peer, format!("the result for {}: {what}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_lie_in_their_folder() {
        assert_eq!(join(Path::new("/t"), "made.rs"), Ok(PathBuf::from("/t/made.rs")));
        for name in ["..", ".", "", "/etc/passwd", "a/b", "../x"] {
            assert!(join(Path::new("/t"), name).is_err(), "{name}");
        }
    }
}
