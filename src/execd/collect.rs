//! What an action made, into the store: files, symbolic links and directories at its output paths.
//! Runs after the last of its processes is gone, looks below writable places only, and never
//! follows a link. Where such places lie is `view`'s business.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, Read},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use rustix::fs::{AtFlags, Dir, FileType, OFlags, readlinkat, statat};
use shared::{
    client::cas::{Cas, CasError},
    digest::{Digest, Function},
    failpoint::{self, Point},
    limits,
    reapi::{
        Properties,
        tree::{DirectoryBuilder, Mode, TreeError},
    },
};

use crate::{
    beneath,
    stage::Stage,
    view::{
        Place,
        paths::{Kind, Output},
    },
};

/// Files that travel as descriptors in one call.
const FILES_A_CALL: usize = 200;

/// Why outputs cannot be taken.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    /// A file cannot be read.
    #[error("output {}: {source}", path.display())]
    Io {
        /// Below the input root.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// More than anybody may make.
    #[error("output {}: more than {} files and folders", .0.display(), limits::TREE_NODES)]
    TooMany(PathBuf),
    /// A name that has no place in a tree, for one that is not UTF-8.
    #[error("output {}: {source}", path.display())]
    Name {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: TreeError,
    },
    /// A directory where a file was declared, or the other way round.
    #[error("output {declared:?}: {expected} was declared, and something else is there")]
    Kind {
        /// The path.
        declared: String,
        /// What it should be.
        expected: &'static str,
    },
    /// The store did not take them.
    #[error(transparent)]
    Cas(#[from] CasError),
}

/// What was there, under the names that were declared.
#[derive(Clone, Debug, Default)]
pub struct Outputs {
    /// Files.
    pub files: Vec<OutputFile>,
    /// Symbolic links, dangling ones too.
    pub links: Vec<OutputLink>,
    /// Directories.
    pub directories: Vec<OutputDirectory>,
}

/// A file at an output path.
#[derive(Clone, Debug)]
pub struct OutputFile {
    /// As declared.
    pub path: String,
    /// Its content.
    pub digest: Digest,
    /// Whether it can be run.
    pub mode: Mode,
    /// What else was asked for.
    pub properties: Properties,
}

/// A symbolic link at an output path.
#[derive(Clone, Debug)]
pub struct OutputLink {
    /// As declared.
    pub path: String,
    /// Where it leads.
    pub target: String,
    /// What it was declared as.
    pub kind: Kind,
}

/// A directory at an output path.
#[derive(Clone, Debug)]
pub struct OutputDirectory {
    /// As declared.
    pub path: String,
    /// Its Tree, if asked for.
    pub tree: Option<Digest>,
    /// Its root Directory, if asked for.
    pub root: Option<Digest>,
}

/// How output directories are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// As Trees.
    Tree,
    /// As Directories.
    Directories,
    /// As both.
    Both,
}

/// What is wanted to be said of files beside their content.
#[derive(Clone, Copy, Debug, Default)]
pub struct Said {
    /// When they were last written.
    pub mtime: bool,
    /// Their permissions.
    pub unix_mode: bool,
}

/// What was found at one output path.
#[derive(Debug)]
enum Found {
    File(Leaf),
    Link(String),
    Directory(Vec<(String, Node)>),
}

#[derive(Debug)]
enum Node {
    File(Leaf),
    Link(String),
    Directory,
}

/// A regular file: where it is, and how it is.
#[derive(Clone, Debug)]
struct Leaf {
    file: PathBuf,
    place: usize,
    size: u64,
    executable: bool,
    of_disk: Properties,
}

impl Leaf {
    fn mode(&self) -> Mode {
        if self.executable { Mode::Executable } else { Mode::Plain }
    }

    fn properties(&self, said: Said) -> Properties {
        Properties {
            mtime: self.of_disk.mtime.filter(|_| said.mtime),
            unix_mode: self.of_disk.unix_mode.filter(|_| said.unix_mode),
        }
    }
}

/// A file taken in: its place on disk and its digest.
type Taken = HashMap<(usize, PathBuf), Digest>;

/// Collects outputs of one action.
pub struct Collector<'a> {
    /// Where they go.
    pub cas: &'a Cas,
    /// What keeps large ones for dependents; only where nobody else can have a hand on them.
    pub stage: Option<&'a Stage>,
    /// Where they may be.
    pub places: &'a [Place],
    /// The hash function of the request.
    pub function: Function,
    /// Whether Directories are stored, Trees, or both.
    pub format: Format,
    /// What is said of files.
    pub said: Said,
}

impl Collector<'_> {
    /// Takes every declared output that is there into the store and names it.
    pub async fn collect(&self, outputs: &[Output]) -> Result<Outputs, CollectError> {
        let found = self.look(outputs).await?;
        let mut leaves = Vec::new();
        for (_, found) in &found {
            match found {
                Found::File(leaf) => leaves.push(leaf.clone()),
                Found::Directory(nodes) => {
                    leaves.extend(nodes.iter().filter_map(|(_, node)| match node {
                        Node::File(leaf) => Some(leaf.clone()),
                        _ => None,
                    }));
                }
                Found::Link(_) => {}
            }
        }
        let taken = self.take(&leaves).await?;
        failpoint::reach(Point::MidCapture);
        let (mut blobs, mut named) = (HashMap::new(), Outputs::default());
        for (output, found) in found {
            self.name(output, found, &taken, &mut blobs, &mut named)?;
        }
        if !blobs.is_empty() {
            self.cas.put_missing(&blobs).await?;
        }
        self.keep(&leaves, &taken);
        Ok(named)
    }

    async fn look<'o>(&self, outputs: &'o [Output]) -> Result<Vec<(&'o Output, Found)>, CollectError> {
        let (places, wanted) = (self.places.to_vec(), outputs.to_vec());
        let looked = tokio::task::spawn_blocking(move || {
            let look = |output: &Output| look_at(&places, output);
            wanted.iter().map(look).collect::<Result<Vec<_>, _>>()
        });
        let found = looked.await.map_err(|err| io_at(Path::new("outputs"))(io::Error::other(err)))??;
        Ok(outputs.iter().zip(found).filter_map(|(output, found)| Some((output, found?))).collect())
    }

    /// Stores all files: small ones in batches, large ones by descriptor.
    async fn take(&self, leaves: &[Leaf]) -> Result<Taken, CollectError> {
        let mut taken = Taken::new();
        let (small, large): (Vec<_>, Vec<_>) = leaves.iter().partition(|leaf| leaf.size <= limits::SMALL_BLOB_BYTES);
        let mut blobs: HashMap<Digest, Vec<u8>> = HashMap::new();
        for leaf in small {
            let mut bytes = Vec::with_capacity(usize::try_from(leaf.size).unwrap_or(0));
            self.open(leaf)?.read_to_end(&mut bytes).map_err(io_at(&leaf.file))?;
            let digest = Digest::of(self.function, &bytes);
            taken.insert((leaf.place, leaf.file.clone()), digest);
            blobs.insert(digest, bytes);
        }
        if !blobs.is_empty() {
            self.cas.put_missing(&blobs).await?;
        }
        for part in large.chunks(FILES_A_CALL) {
            let files =
                part.iter().map(|leaf| Ok(self.open(leaf)?.into())).collect::<Result<Vec<OwnedFd>, CollectError>>()?;
            let sizes: Vec<_> = part.iter().map(|leaf| leaf.size).collect();
            let digests = self.cas.put_files(self.function, &sizes, &files).await?;
            taken.extend(part.iter().zip(digests).map(|(leaf, digest)| ((leaf.place, leaf.file.clone()), digest)));
        }
        Ok(taken)
    }

    fn open(&self, leaf: &Leaf) -> Result<File, CollectError> {
        let root = beneath::root(&self.places[leaf.place].dir).map_err(io_at(&leaf.file))?;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let fd = beneath::open(&root, &leaf.file, flags).map_err(|err| io_at(&leaf.file)(err.into()))?;
        Ok(File::from(fd))
    }

    fn name(
        &self,
        output: &Output,
        found: Found,
        taken: &Taken,
        blobs: &mut HashMap<Digest, Vec<u8>>,
        named: &mut Outputs,
    ) -> Result<(), CollectError> {
        let path = output.declared.clone();
        match found {
            Found::File(leaf) => {
                let (mode, properties) = (leaf.mode(), leaf.properties(self.said));
                let digest = taken.get(&(leaf.place, leaf.file));
                let digest = *digest.ok_or_else(|| io_at(&output.path)(io::ErrorKind::NotFound.into()))?;
                named.files.push(OutputFile { path, digest, mode, properties });
            }
            Found::Link(target) => named.links.push(OutputLink { path, target, kind: output.kind }),
            Found::Directory(nodes) => {
                let built = self.build(output, nodes, taken)?.build(self.function);
                let tree = (self.format != Format::Directories).then(|| {
                    let bytes = built.tree();
                    let digest = Digest::of(self.function, &bytes);
                    blobs.insert(digest, bytes);
                    digest
                });
                let root = (self.format != Format::Tree).then_some(built.root);
                if root.is_some() {
                    blobs.extend(built.directories);
                }
                named.directories.push(OutputDirectory { path, tree, root });
            }
        }
        Ok(())
    }

    fn build(
        &self,
        output: &Output,
        nodes: Vec<(String, Node)>,
        taken: &Taken,
    ) -> Result<DirectoryBuilder, CollectError> {
        let mut builder = DirectoryBuilder::new();
        for (path, node) in nodes {
            let named = match node {
                Node::Directory => builder.directory(&path),
                Node::Link(target) => builder.symlink(&path, &target),
                Node::File(leaf) => {
                    let (mode, properties) = (leaf.mode(), leaf.properties(self.said));
                    let digest = taken.get(&(leaf.place, leaf.file));
                    let digest = *digest.ok_or_else(|| io_at(&output.path)(io::ErrorKind::NotFound.into()))?;
                    builder.file_with(&path, digest, mode, properties)
                }
            };
            named.map_err(|source| CollectError::Name { path: output.path.clone(), source })?;
        }
        Ok(builder)
    }

    /// Hands large files over to the stage; they are no longer where the action made them then.
    fn keep(&self, leaves: &[Leaf], taken: &Taken) {
        let Some(stage) = self.stage else { return };
        for leaf in leaves {
            if let Some(digest) = taken.get(&(leaf.place, leaf.file.clone())) {
                stage.adopt(*digest, leaf.mode(), &self.places[leaf.place].dir.join(&leaf.file));
            }
        }
    }
}

fn io_at(path: &Path) -> impl Fn(io::Error) -> CollectError {
    let path = path.to_owned();
    move |source| CollectError::Io { path: path.clone(), source }
}

/// What is at one output path; `None` for nothing, or for something else than what was asked for.
fn look_at(places: &[Place], output: &Output) -> Result<Option<Found>, CollectError> {
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
    let Ok(parent) = beneath::open(&root, parent, OFlags::PATH | OFlags::DIRECTORY) else { return Ok(None) };
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
    let of_disk = Properties { mtime: Some((stat.st_mtime, nanos)), unix_mode: Some(stat.st_mode & 0o777) };
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
