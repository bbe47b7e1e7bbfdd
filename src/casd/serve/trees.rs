//! Directory and Tree messages of strangers: decoded, checked, walked. Their names may be hostile
//! and their blobs missing; their bytes are never encoded again.

use std::collections::{HashSet, VecDeque};

use shared::{
    digest::{Digest, Function},
    limits::{BATCH_BYTES, TREE_DEPTH, TREE_NODES},
    reapi::{Message, is_component, v2},
};
use tonic::Status;

use super::edge;
use crate::store::Store;

/// A whole message of a tree is read into memory up to this size.
const TREE_BYTES: u64 = 256 << 20;

/// The digests that a directory names: its files', and its directories'.
#[derive(Default)]
pub struct Named {
    pub files: Vec<Digest>,
    pub directories: Vec<Digest>,
}

/// Checks names, order and digests of a directory.
pub fn check(function: Function, directory: &v2::Directory) -> Result<Named, Status> {
    let mut names = HashSet::new();
    let mut name = |name: &str| {
        if is_component(name) && names.insert(name.to_owned()) {
            return Ok(());
        }
        let name: String = name.chars().take(80).collect();
        Err(Status::invalid_argument(format!("a directory names {name:?}, which is no file name or there twice")))
    };
    let mut named = Named::default();
    for file in &directory.files {
        name(&file.name)?;
        named.files.push(edge::digest(function, file.digest.as_ref())?);
    }
    for child in &directory.directories {
        name(&child.name)?;
        named.directories.push(edge::digest(function, child.digest.as_ref())?);
    }
    for link in &directory.symlinks {
        name(&link.name)?;
        if link.target.is_empty() || link.target.contains('\0') {
            return Err(Status::invalid_argument("a symlink in a directory has no target"));
        }
    }
    Ok(named)
}

/// Reads a message from the store; `None` when its blob is not there.
pub fn read<M: Message + Default>(store: &dyn Store, digest: &Digest) -> Result<Option<M>, Status> {
    let Some(bytes) = read_bytes(store, digest)? else { return Ok(None) };
    let message = M::decode(&*bytes);
    message.map(Some).map_err(|_| Status::invalid_argument(format!("{digest} is no message of a directory tree")))
}

/// Reads the bytes of a message from the store; `None` when its blob is not there.
pub fn read_bytes(store: &dyn Store, digest: &Digest) -> Result<Option<Vec<u8>>, Status> {
    if digest.size() > TREE_BYTES {
        return Err(Status::invalid_argument(format!("{digest} is too large for a directory")));
    }
    let Some(blob) = store.get(digest).map_err(|error| edge::status(&error))? else { return Ok(None) };
    blob.into_bytes().map(Some).map_err(|error| edge::status(&error))
}

/// Visits the directories below `root` once each, breadth first. Absent ones are left out by
/// `visit`'s being told `None`.
pub fn walk(
    store: &dyn Store,
    root: &Digest,
    mut visit: impl FnMut(&Digest, Option<(v2::Directory, &Named)>) -> Result<(), Status>,
) -> Result<(), Status> {
    let mut seen = HashSet::from([*root]);
    let mut queue = VecDeque::from([(*root, 0)]);
    while let Some((digest, depth)) = queue.pop_front() {
        if depth > TREE_DEPTH || seen.len() > TREE_NODES {
            return Err(Status::invalid_argument(format!(
                "the tree is deeper than {TREE_DEPTH} or has more than {TREE_NODES} directories"
            )));
        }
        let Some(directory) = read::<v2::Directory>(store, &digest)? else {
            visit(&digest, None)?;
            continue;
        };
        let named = check(digest.function(), &directory)?;
        queue.extend(named.directories.iter().filter(|child| seen.insert(**child)).map(|child| (*child, depth + 1)));
        visit(&digest, Some((directory, &named)))?;
    }
    Ok(())
}

/// Sends the directories below `root` in pages of at most `page` directories and 3 MiB, after
/// the first `skip` of them.
pub fn pages(
    store: &dyn Store,
    root: &Digest,
    skip: usize,
    page: usize,
    send: &mut dyn FnMut(v2::GetTreeResponse) -> Result<(), Status>,
) -> Result<(), Status> {
    let mut waiting = v2::GetTreeResponse::default();
    let (mut bytes, mut count) = (0, 0);
    walk(store, root, |digest, found| {
        let Some((directory, _)) = found else { return Ok(()) };
        count += 1;
        if count <= skip {
            return Ok(());
        }
        if !waiting.directories.is_empty() && (waiting.directories.len() >= page || bytes + digest.size() > BATCH_BYTES)
        {
            waiting.next_page_token = (count - 1).to_string();
            send(std::mem::take(&mut waiting))?;
            bytes = 0;
        }
        bytes += digest.size();
        waiting.directories.push(directory);
        Ok(())
    })?;
    send(waiting)
}
