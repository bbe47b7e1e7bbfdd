//! What is at an output path: looked at by descriptors below the writable places, never through a
//! link, bounded in number and depth.

use std::{
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use rustix::fs::{AtFlags, Dir, FileType, OFlags, readlinkat, statat};
use shared::{
    limits,
    reapi::{
        Properties,
        tree::{Mode, TreeError},
    },
};

use super::{CollectError, Said, io_at};
use crate::{
    beneath, kernel,
    view::{
        Place,
        paths::{Kind, Output},
    },
};

/// What was found at one output path.
#[derive(Debug)]
pub enum Found {
    File(Leaf),
    Link(String),
    Directory(Vec<(String, Node)>),
}

#[derive(Debug)]
pub enum Node {
    File(Leaf),
    Link(String),
    Directory,
}

/// A regular file: where it is, and how it is.
#[derive(Clone, Debug)]
pub struct Leaf {
    pub file: PathBuf,
    pub place: usize,
    pub size: u64,
    executable: bool,
    of_disk: Properties,
}

impl Leaf {
    pub fn mode(&self) -> Mode {
        if self.executable { Mode::Executable } else { Mode::Plain }
    }

    pub fn properties(&self, said: Said) -> Properties {
        Properties {
            mtime: self.of_disk.mtime.filter(|_| said.mtime),
            unix_mode: self.of_disk.unix_mode.filter(|_| said.unix_mode),
        }
    }
}

/// What is at one output path; `None` for nothing, or for something else than what was asked for.
pub fn look_at(places: &[Place], output: &Output) -> Result<Option<Found>, CollectError> {
    let absolute = Path::new("/").join(&output.path);
    let place = places
        .iter()
        .enumerate()
        .find_map(|(number, place)| Some((number, place, absolute.strip_prefix(&place.at).ok()?)));
    let Some((number, place, path)) = place else { return Ok(None) };
    let fail = io_at(&output.path);
    let root = beneath::root(&place.dir).map_err(&fail)?;
    let (parent, name) = (path.parent().unwrap_or(Path::new("")), path.file_name());
    // No such folder, or a link on the way: nothing of this action is there.
    let Ok(parent) = beneath::open(&root, parent, beneath::FOLDER) else { return Ok(None) };
    let name = Path::new(name.unwrap_or(".".as_ref()));
    let Ok(stat) = statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW) else { return Ok(None) };
    let kind = FileType::from_raw_mode(stat.st_mode);
    match (kind, output.kind) {
        (FileType::RegularFile, Kind::Any | Kind::File) => Ok(Some(Found::File(leaf(number, path, &stat)))),
        (FileType::Symlink, _) => Ok(Some(Found::Link(target(&parent, name).map_err(&fail)?))),
        (FileType::Directory, Kind::Any | Kind::Directory) => {
            let mut nodes = Vec::new();
            let top = beneath::open(&root, path, OFlags::RDONLY | OFlags::DIRECTORY).map_err(|err| fail(err.into()))?;
            walk(number, &top, path, "", output, &mut nodes, limits::TREE_DEPTH)?;
            Ok(Some(Found::Directory(nodes)))
        }
        (FileType::Directory, Kind::File) => Err(unlike(output, "a file")),
        (FileType::RegularFile, Kind::Directory) => Err(unlike(output, "a directory")),
        _ => Ok(None),
    }
}

fn unlike(output: &Output, expected: &'static str) -> CollectError {
    CollectError::Kind { declared: output.declared.clone(), expected }
}

fn leaf(place: usize, path: &Path, stat: &rustix::fs::Stat) -> Leaf {
    let (size, executable) = (u64::try_from(stat.st_size).unwrap_or(0), stat.st_mode & 0o100 != 0);
    let nanos = u32::try_from(stat.st_mtime_nsec).unwrap_or(0);
    let of_disk = Properties { mtime: Some((stat.st_mtime, nanos)), unix_mode: Some(kernel::mode(stat) & 0o777) };
    Leaf { file: path.to_owned(), place, size, executable, of_disk }
}

fn target(dir: &OwnedFd, name: &Path) -> io::Result<String> {
    let target = readlinkat(dir, name, Vec::new())?;
    String::from_utf8(target.into_bytes())
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "a link's target is not UTF-8"))
}

fn walk(
    place: usize,
    dir: &OwnedFd,
    at: &Path,
    below: &str,
    output: &Output,
    nodes: &mut Vec<(String, Node)>,
    depth: usize,
) -> Result<(), CollectError> {
    let fail = io_at(&output.path);
    let Some(depth) = depth.checked_sub(1) else { return Err(CollectError::TooMany(output.path.clone())) };
    for entry in Dir::read_from(dir).map_err(|err| fail(err.into()))? {
        let entry = entry.map_err(|err| fail(err.into()))?;
        let bytes = entry.file_name().to_bytes();
        if matches!(bytes, b"." | b"..") {
            continue;
        }
        let Ok(name) = std::str::from_utf8(bytes) else {
            let source = TreeError::Name(String::from_utf8_lossy(bytes).into_owned());
            return Err(CollectError::Name { path: output.path.clone(), source });
        };
        if nodes.len() >= limits::TREE_NODES {
            return Err(CollectError::TooMany(output.path.clone()));
        }
        let (path, inside) =
            (at.join(name), if below.is_empty() { name.to_owned() } else { format!("{below}/{name}") });
        let stat = statat(dir, name, AtFlags::SYMLINK_NOFOLLOW).map_err(|err| fail(err.into()))?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => nodes.push((inside, Node::File(leaf(place, &path, &stat)))),
            FileType::Symlink => nodes.push((inside, Node::Link(target(dir, Path::new(name)).map_err(&fail)?))),
            FileType::Directory => {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW;
                let child = beneath::open(dir, Path::new(name), flags).map_err(|err| fail(err.into()))?;
                nodes.push((inside.clone(), Node::Directory));
                walk(place, &child, &path, &inside, output, nodes, depth)?;
            }
            // Sockets, pipes and devices are nothing that a store can hold.
            _ => {}
        }
    }
    Ok(())
}
