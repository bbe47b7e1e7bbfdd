//! Input trees from the store: Directory messages read level by level and checked before anything
//! is made on disk.

use std::{
    collections::{HashMap, HashSet},
    path::{Path, PathBuf},
    sync::Arc,
};

use shared::{
    client::cas::{Cas, Opened, read_at},
    digest::Digest,
    limits,
    reapi::{self, Message, v2},
};

use super::{Checked, StageError};

/// Longest target of a symbolic link (PATH_MAX).
const LINK_BYTES: usize = 4096;

/// Directory messages by digest, each read once for an action.
pub type Directories = HashMap<Digest, Checked>;

/// A file to be made.
#[derive(Clone, Debug)]
pub struct File {
    pub path: PathBuf,
    pub digest: Digest,
    pub executable: bool,
}

/// A whole tree, flat: parents come before children.
#[derive(Clone, Debug, Default)]
pub struct Layout {
    pub directories: Vec<PathBuf>,
    pub files: Vec<File>,
    pub links: Vec<(PathBuf, String)>,
}

/// Reads everything below `root` and lays it out.
pub async fn layout(cas: &Cas, root: Digest, seen: &Directories) -> Result<Layout, StageError> {
    let mut directories = seen.clone();
    read_below(cas, vec![root], limits::TREE_DEPTH, &mut directories).await?;
    if nodes(&directories, root, &mut HashMap::new()) > limits::TREE_NODES as u64 {
        return Err(StageError::Hostile(format!("more than {} nodes", limits::TREE_NODES)));
    }
    let mut layout = Layout::default();
    walk(&directories, root, Path::new(""), &mut layout, limits::TREE_DEPTH)?;
    Ok(layout)
}

/// Reads `root` and what is below it, not deeper than `depth` and only through directories that
/// hold nothing but directories.
pub async fn top(cas: &Cas, root: Digest, depth: usize) -> Result<Directories, StageError> {
    let mut directories = Directories::new();
    let mut level = vec![root];
    for _ in 0..=depth {
        level.retain(|digest| !directories.contains_key(digest));
        if level.is_empty() {
            break;
        }
        read(cas, &level, &mut directories).await?;
        let only_directories = |digest: &Digest| {
            let directory = directories.get(digest)?;
            (directory.files.is_empty() && directory.symlinks.is_empty()).then(|| children(directory, *digest))
        };
        level = level.iter().filter_map(only_directories).flatten().collect();
        level.sort_unstable();
        level.dedup();
    }
    Ok(directories)
}

async fn read_below(
    cas: &Cas,
    mut level: Vec<Digest>,
    depth: usize,
    directories: &mut Directories,
) -> Result<(), StageError> {
    let mut visited: HashSet<Digest> = HashSet::new();
    for _ in 0..=depth {
        let absent: Vec<_> = level.iter().copied().filter(|digest| !directories.contains_key(digest)).collect();
        read(cas, &absent, directories).await?;
        visited.extend(&level);
        let below = level.iter().filter_map(|digest| Some(children(directories.get(digest)?, *digest)));
        let mut next: Vec<_> = below.flatten().filter(|digest| !visited.contains(digest)).collect();
        next.sort_unstable();
        next.dedup();
        if next.is_empty() {
            return Ok(());
        }
        if visited.len() + next.len() > limits::TREE_NODES {
            return Err(StageError::Hostile(format!("more than {} nodes", limits::TREE_NODES)));
        }
        level = next;
    }
    Err(StageError::Hostile(format!("deeper than {depth} directories")))
}

async fn read(cas: &Cas, digests: &[Digest], directories: &mut Directories) -> Result<(), StageError> {
    let (empty, digests): (Vec<Digest>, Vec<Digest>) = digests.iter().partition(|digest| digest.is_empty());
    directories.extend(empty.into_iter().map(|digest| (digest, Checked::default())));
    if digests.is_empty() {
        return Ok(());
    }
    let (opened, fds) = cas.open(&digests).await?;
    let mut missing = Vec::new();
    for (digest, opened) in digests.iter().zip(opened) {
        let bytes = match opened {
            None => {
                missing.push(*digest);
                continue;
            }
            Some(Opened::Inline(bytes)) => bytes,
            Some(Opened::File { fd, offset, size }) => read_at(&fds[fd], offset, size)
                .map_err(|err| StageError::Hostile(format!("{digest} cannot be read: {err}")))?,
        };
        let directory = v2::Directory::decode(bytes.as_slice())
            .map_err(|err| StageError::Hostile(format!("{digest} is no Directory: {err}")))?;
        check(&directory, *digest)?;
        directories.insert(*digest, Arc::new(directory));
    }
    if missing.is_empty() { Ok(()) } else { Err(StageError::Missing(missing)) }
}

/// Refuses a Directory that would reach outside or whose names clash.
fn check(directory: &v2::Directory, digest: Digest) -> Result<(), StageError> {
    let hostile = |what: String| StageError::Hostile(format!("{what} (in Directory {digest})"));
    let names = (directory.files.iter().map(|node| &node.name))
        .chain(directory.directories.iter().map(|node| &node.name))
        .chain(directory.symlinks.iter().map(|node| &node.name));
    let mut seen = HashSet::new();
    for name in names {
        if !reapi::is_component(name) {
            return Err(hostile(format!("{name:?} is no name for a file in a tree")));
        }
        if !seen.insert(name) {
            return Err(hostile(format!("{name:?} is there twice")));
        }
    }
    let function = digest.function();
    let digests =
        (directory.files.iter().map(|node| &node.digest)).chain(directory.directories.iter().map(|node| &node.digest));
    for digest in digests {
        reapi::digest_from_proto(function, digest.as_ref()).map_err(|err| hostile(err.to_string()))?;
    }
    for link in &directory.symlinks {
        if link.target.is_empty() || link.target.len() > LINK_BYTES || link.target.contains('\0') {
            return Err(hostile(format!("the link {:?} leads to no path", link.name)));
        }
    }
    Ok(())
}

/// The digests of a checked directory's children.
fn children(directory: &v2::Directory, digest: Digest) -> Vec<Digest> {
    let function = digest.function();
    let child = |node: &v2::DirectoryNode| reapi::digest_from_proto(function, node.digest.as_ref()).ok();
    directory.directories.iter().filter_map(child).collect()
}

/// How many nodes the tree has when it is laid out: one directory may stand in many places, so
/// a few blobs can name more of them than any disk holds.
fn nodes(directories: &Directories, digest: Digest, known: &mut HashMap<Digest, u64>) -> u64 {
    if let Some(count) = known.get(&digest) {
        return *count;
    }
    let Some(directory) = directories.get(&digest) else { return 0 };
    let own = directory.files.len() + directory.symlinks.len() + directory.directories.len();
    let below = children(directory, digest).into_iter().map(|child| nodes(directories, child, known));
    let count = below.fold(own as u64, u64::saturating_add);
    known.insert(digest, count);
    count
}

fn walk(
    directories: &Directories,
    digest: Digest,
    at: &Path,
    layout: &mut Layout,
    depth: usize,
) -> Result<(), StageError> {
    let function = digest.function();
    let parsed = |digest: &Option<v2::Digest>| {
        reapi::digest_from_proto(function, digest.as_ref()).map_err(|err| StageError::Hostile(err.to_string()))
    };
    let (Some(directory), Some(depth)) = (directories.get(&digest), depth.checked_sub(1)) else {
        return Err(StageError::Hostile(format!("deeper than {} directories", limits::TREE_DEPTH)));
    };
    for file in &directory.files {
        let (path, digest) = (at.join(&file.name), parsed(&file.digest)?);
        layout.files.push(File { path, digest, executable: file.is_executable });
    }
    layout.links.extend(directory.symlinks.iter().map(|link| (at.join(&link.name), link.target.clone())));
    for child in &directory.directories {
        let path = at.join(&child.name);
        layout.directories.push(path.clone());
        walk(directories, parsed(&child.digest)?, &path, layout, depth)?;
    }
    Ok(())
}
