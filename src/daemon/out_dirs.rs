//! Folders in the store as files to place; first of all the OUT_DIRs of scripts: who reads cargo's
//! messages looks into the folders that they name, and so do programs that are run.

use std::{
    collections::BTreeMap,
    path::{Component, Path, PathBuf},
};

use shared::{
    digest::{Digest, Function},
    fault::{Failure, Fault},
    limits,
    reapi::{Message, digest_from_proto, tree::Mode, v2},
};

use crate::{
    cargo::{
        locate,
        plan::{Plan, UnitId},
    },
    place::Item,
    run::Runner,
    services::Services,
    streams::read_many,
};

/// Links from one to the next.
const LINKS: usize = 8;

/// All files in all that are wanted. Links stay away, as what they lead to may lie outside; where that is in the same
/// folder, it lies in their place too.
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
    let roots: Vec<PathBuf> = open.iter().map(|(root, _)| root.clone()).collect();
    let (mut items, links) = read(services, open).await?;
    let shown = links.into_iter().map(|(path, target)| (path, plan.shown(&target))).collect();
    let found = follow(&roots, shown, &items);
    items.extend(found);
    Ok(items)
}

/// All files below folders in the store, each to be placed where its pair says.
pub async fn files(services: &Services, open: Vec<(PathBuf, Digest)>) -> Result<Vec<Item>, Failure> {
    Ok(read(services, open).await?.0)
}

/// Where links are, and what they say.
type Links = BTreeMap<PathBuf, String>;

async fn read(services: &Services, mut open: Vec<(PathBuf, Digest)>) -> Result<(Vec<Item>, Links), Failure> {
    let (mut items, mut links) = (Vec::new(), Links::new());
    if open.is_empty() {
        return Ok((items, links));
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
            for node in folder.symlinks {
                links.insert(join(&path, &node.name)?, node.target);
            }
            for node in folder.directories {
                below.push((join(&path, &node.name)?, digest_of(&path, node.digest)?));
            }
            if items.len() + links.len() + below.len() > limits::TREE_NODES {
                return Err(bad(&path, "there are too many files"));
            }
        }
        if below.is_empty() {
            break;
        }
        open = below;
    }
    Ok((items, links))
}

/// What links lead to within their own root, to be placed where the links are.
fn follow(roots: &[PathBuf], links: Links, items: &[Item]) -> Vec<Item> {
    let mut found: Vec<Item> = Vec::new();
    // What lies in one folder stands together in it: a script may leave as many links as files.
    let by_path: BTreeMap<&Path, &Item> = items.iter().map(|item| (item.path.as_path(), item)).collect();
    for link in links.keys() {
        let Some(root) = roots.iter().find(|root| link.starts_with(root)) else { continue };
        let Some(leads) = resolved(root, &links, link) else { continue };
        for (path, item) in by_path.range(leads.as_path()..) {
            let Ok(below) = path.strip_prefix(&leads) else { break };
            let path = if below.as_os_str().is_empty() { link.clone() } else { link.join(below) };
            found.push(Item { path, digest: item.digest, mode: item.mode, dep_info: None });
            if items.len() + found.len() > limits::TREE_NODES {
                return found;
            }
        }
    }
    found
}

/// The way behind a link, without links on it, if it never leaves the root.
fn resolved(root: &Path, links: &Links, link: &Path) -> Option<PathBuf> {
    let mut path = link.to_owned();
    for _ in 0..LINKS {
        let above: Vec<&Path> = path.ancestors().take_while(|above| above.starts_with(root)).collect();
        let Some((at, target)) = above.into_iter().rev().find_map(|above| Some((above, links.get(above)?))) else {
            return Some(path).filter(|path| path.starts_with(root) && !link.starts_with(path));
        };
        let rest = path.strip_prefix(at).ok()?.to_owned();
        path = locate::clean(&at.parent()?.join(target).join(rest));
    }
    None
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
    fn links_are_followed_within_their_root_alone() {
        let file = |path: &str| Item {
            path: PathBuf::from(path),
            digest: Digest::of(Function::Blake3, path.as_bytes()),
            mode: Mode::Plain,
            dep_info: None,
        };
        let items = [file("/t/a/lib.so.1"), file("/t/a/deep/x"), file("/u/secret")];
        let say = [
            ("/t/lib.so", "a/lib.so.1"),
            ("/t/again", "lib.so"),
            ("/t/absolute", "/t/a/lib.so.1"),
            ("/t/folder", "a/deep/../../a"),
            ("/t/a/up", ".."),
            ("/t/through", "a/up/a/deep"),
            ("/t/out", "../u/secret"),
            ("/t/etc", "/etc/passwd"),
            ("/t/round", "round"),
            ("/t/gone", "nowhere"),
        ];
        let links = say.map(|(link, target)| (PathBuf::from(link), target.to_owned())).into();
        let found = follow(&[PathBuf::from("/t"), PathBuf::from("/u")], links, &items);
        let mut found: Vec<(&str, usize)> = found
            .iter()
            .map(|one| {
                let of = items.iter().position(|item| item.digest == one.digest).expect("one of those");
                (one.path.to_str().expect("text"), of)
            })
            .collect();
        found.sort_unstable();
        let expected = [
            ("/t/absolute", 0),
            ("/t/again", 0),
            ("/t/folder/deep/x", 1),
            ("/t/folder/lib.so.1", 0),
            ("/t/lib.so", 0),
            ("/t/through/x", 1),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn nodes_lie_in_their_folder() {
        assert_eq!(join(Path::new("/t"), "made.rs"), Ok(PathBuf::from("/t/made.rs")));
        for name in ["..", ".", "", "/etc/passwd", "a/b", "../x"] {
            assert!(join(Path::new("/t"), name).is_err(), "{name}");
        }
    }
}
