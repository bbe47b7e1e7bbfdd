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
    reapi::{Properties, folder::Folder, tree::Mode},
};

use super::StageError;

/// Directories by digest, each read once for an action.
pub type Directories = HashMap<Digest, Arc<Folder>>;

/// A file to be made.
#[derive(Clone, Debug)]
pub struct File {
    pub path: PathBuf,
    pub digest: Digest,
    pub executable: bool,
    pub properties: Properties,
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
            (directory.files.is_empty() && directory.links.is_empty()).then(|| children(directory))
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
        let below = level.iter().filter_map(|digest| Some(children(directories.get(digest)?)));
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
    directories.extend(empty.into_iter().map(|digest| (digest, Arc::default())));
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
        let folder = Folder::read(digest.function(), &bytes)
            .map_err(|err| StageError::Hostile(format!("{err} (in Directory {digest})")))?;
        directories.insert(*digest, Arc::new(folder));
    }
    if missing.is_empty() { Ok(()) } else { Err(StageError::Missing(missing)) }
}

fn children(directory: &Folder) -> Vec<Digest> {
    directory.folders.iter().map(|(_, digest)| *digest).collect()
}

/// How many nodes the tree has when it is laid out: one directory may stand in many places, so
/// a few blobs can name more of them than any disk holds.
fn nodes(directories: &Directories, digest: Digest, known: &mut HashMap<Digest, u64>) -> u64 {
    if let Some(count) = known.get(&digest) {
        return *count;
    }
    let Some(directory) = directories.get(&digest) else { return 0 };
    let own = directory.files.len() + directory.links.len() + directory.folders.len();
    let below = children(directory).into_iter().map(|child| nodes(directories, child, known));
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
    let (Some(directory), Some(depth)) = (directories.get(&digest), depth.checked_sub(1)) else {
        return Err(StageError::Hostile(format!("deeper than {} directories", limits::TREE_DEPTH)));
    };
    for file in &directory.files {
        let (path, executable) = (at.join(&file.name), file.mode == Mode::Executable);
        layout.files.push(File { path, digest: file.digest, executable, properties: file.properties });
    }
    layout.links.extend(directory.links.iter().map(|(name, target)| (at.join(name), target.clone())));
    for (name, child) in &directory.folders {
        let path = at.join(name);
        layout.directories.push(path.clone());
        walk(directories, *child, &path, layout, depth)?;
    }
    Ok(())
}
