//! One crate archive, read: its entries go into the store, their names, kinds and links are
//! checked. Hashed as it is read, so that what is unpacked is what the checksum says.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    fs::{File, OpenOptions},
    io::{self, Read},
    os::unix::fs::OpenOptionsExt,
    rc::Rc,
};

use shared::{
    digest::{Digest, Function, Hasher},
    limits::{ARCHIVE_BYTES, ARCHIVE_ENTRIES, ARCHIVE_RATIO, TREE_DEPTH},
    reapi::{is_component, tree::Mode},
};

use super::crates::{AcquireError, Batch, Crate, key};

/// Symlinks followed before a chain counts as a loop, as the kernel does it.
const LINKS: usize = 40;

/// What an archive holds, by path below its top folder.
pub type Nodes = BTreeMap<String, Node>;

pub enum Node {
    File(Digest, Mode),
    Symlink(String),
    Directory,
}

/// Stores an archive's files; what it holds. Nothing of it counts before the checksum was compared.
pub fn read(batch: &mut Batch<'_>, one: &Crate) -> Result<Nodes, AcquireError> {
    let path = || one.archive.clone();
    let io = |source| AcquireError::Archive { path: path(), source };
    // A fifo would block the open, and only a file is an archive.
    let file =
        OpenOptions::new().read(true).custom_flags(rustix::fs::OFlags::NONBLOCK.bits() as i32).open(&one.archive);
    let file = file.map_err(io)?;
    let meta = file.metadata().map_err(io)?;
    if !meta.is_file() {
        return Err(AcquireError::NoFile(path()));
    }
    let limit = ARCHIVE_BYTES.max(meta.len().saturating_mul(ARCHIVE_RATIO));
    let hashed = Rc::new(RefCell::new(Hashed { file, hasher: Hasher::new(Function::Sha256) }));
    let unpacked = Limited { inner: flate2::read::GzDecoder::new(Shared(hashed.clone())), left: limit };
    let nodes = read_entries(batch, one, unpacked);
    // The rest of the file is part of what the checksum says.
    io::copy(&mut Shared(hashed.clone()), &mut io::sink()).map_err(io)?;
    let actual = hashed.borrow().hasher.clone().finish();
    if *actual.hash() != one.checksum {
        let expected = key(one).hex();
        return Err(AcquireError::Checksum { path: path(), expected, actual: actual.hex() });
    }
    let nodes = nodes?;
    check_links(one, &nodes)?;
    Ok(nodes)
}

fn read_entries(batch: &mut Batch<'_>, one: &Crate, unpacked: impl Read) -> Result<Nodes, AcquireError> {
    let io = |source| AcquireError::Archive { path: one.archive.clone(), source };
    let top = format!("{}-{}", one.name, one.version);
    let mut archive = tar::Archive::new(unpacked);
    let mut nodes = Nodes::new();
    for (count, entry) in archive.entries().map_err(io)?.enumerate() {
        if count >= ARCHIVE_ENTRIES {
            let why = format!("more than {ARCHIVE_ENTRIES} entries");
            return Err(AcquireError::Limit { path: one.archive.clone(), why });
        }
        let mut entry = entry.map_err(io)?;
        if entry.header().entry_type() == tar::EntryType::XGlobalHeader {
            continue;
        }
        let raw = entry.path_bytes().into_owned();
        let refuse = |why: String| AcquireError::Entry {
            path: one.archive.clone(),
            entry: String::from_utf8_lossy(&raw).chars().take(300).collect(),
            why,
        };
        let Some(path) = inner_path(&raw, &top).map_err(|why| refuse(why.to_owned()))? else { continue };
        let node = match entry.header().entry_type() {
            tar::EntryType::Directory => Node::Directory,
            tar::EntryType::Symlink => {
                let target = entry.link_name_bytes().unwrap_or_default().into_owned();
                let target = String::from_utf8(target).map_err(|_| refuse("its target is not UTF-8".into()))?;
                Node::Symlink(target)
            }
            tar::EntryType::Regular => {
                let executable = entry.header().mode().map_err(io)? & 0o111 != 0;
                let mut bytes = Vec::with_capacity(entry.size().min(1 << 20) as usize);
                entry.read_to_end(&mut bytes).map_err(io)?;
                Node::File(batch.add(bytes)?, if executable { Mode::Executable } else { Mode::Plain })
            }
            other => return Err(refuse(format!("a crate holds no entries of type {other:?}"))),
        };
        // As in any unpacking, the last entry of a name counts; a folder may be named many times.
        match (nodes.get(&path), &node) {
            (Some(Node::Directory), Node::Directory) | (Some(Node::File(..)), Node::File(..)) | (None, _) => {
                nodes.insert(path, node);
            }
            _ => return Err(refuse("its name stands for two things".into())),
        }
    }
    Ok(nodes)
}

/// An entry's path below the archive's top folder; `None` for the top folder itself.
fn inner_path(raw: &[u8], top: &str) -> Result<Option<String>, &'static str> {
    let text = std::str::from_utf8(raw).map_err(|_| "its name is not UTF-8")?;
    let mut components = text.split('/').filter(|name| *name != "." && !name.is_empty());
    if text.starts_with('/') || components.next() != Some(top) {
        return Err("it is not in the folder that the crate's name and version say");
    }
    let components: Vec<&str> = components.collect();
    if components.len() > TREE_DEPTH {
        return Err("it is too deep");
    }
    if !components.iter().all(|name| is_component(name)) {
        return Err("its name is not one a tree may hold");
    }
    Ok((!components.is_empty()).then(|| components.join("/")))
}

/// Every symlink must stay inside, followed as a kernel follows it, other links included.
fn check_links(one: &Crate, nodes: &Nodes) -> Result<(), AcquireError> {
    for (path, node) in nodes {
        let Node::Symlink(target) = node else { continue };
        let mut at: Vec<&str> = path.split('/').collect();
        at.pop();
        let mut hops = 0;
        if target.is_empty() || target.contains('\0') || !stays_inside(nodes, &mut at, target, &mut hops) {
            let why = format!("it points outside of the crate: {target:?}");
            return Err(AcquireError::Entry { path: one.archive.clone(), entry: path.clone(), why });
        }
    }
    Ok(())
}

/// Walks `target` from the folder `at`; `at` is where it ends.
fn stays_inside<'a>(nodes: &'a Nodes, at: &mut Vec<&'a str>, target: &'a str, hops: &mut usize) -> bool {
    if target.starts_with('/') {
        return false;
    }
    for name in target.split('/') {
        match name {
            "" | "." => {}
            ".." => {
                if at.pop().is_none() {
                    return false;
                }
            }
            _ => {
                at.push(name);
                if let Some(Node::Symlink(next)) = nodes.get(&at.join("/")) {
                    at.pop();
                    *hops += 1;
                    if *hops > LINKS || !stays_inside(nodes, at, next, hops) {
                        return false;
                    }
                }
            }
        }
    }
    true
}

/// The archive, hashed as it is read: what is unpacked is what the checksum says.
struct Hashed {
    file: File,
    hasher: Hasher,
}

#[derive(Clone)]
struct Shared(Rc<RefCell<Hashed>>);

impl Read for Shared {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut hashed = self.0.borrow_mut();
        let count = hashed.file.read(buffer)?;
        hashed.hasher.update(&buffer[..count]);
        Ok(count)
    }
}

/// Fails when more comes out than `left`.
pub struct Limited<R> {
    pub inner: R,
    pub left: u64,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.left = self.left.checked_sub(count as u64).ok_or_else(|| {
            io::Error::new(io::ErrorKind::FileTooLarge, "it unpacks to far more than a crate may hold")
        })?;
        Ok(count)
    }
}
