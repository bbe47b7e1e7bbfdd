//! What an action made, into the store: files, symbolic links and directories at its output paths.
//! Runs after the last of its processes is gone, looks below writable places only, and never
//! follows a link. Where such places lie is `view`'s business.

mod look;
mod naming;

use std::{
    collections::HashMap,
    fs::File,
    io::{self, Read},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use look::{Found, Leaf, Node, look_at};
use rustix::fs::OFlags;
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
    /// More than one action may leave.
    #[error("outputs: more than {} GiB together", limits::OUTPUT_BYTES >> 30)]
    TooLarge,
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
    /// Files that name one of a live checkout's places in their bytes, as declared; if that was asked.
    pub naming: Option<Vec<String>>,
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
    /// Places that files may name in their bytes.
    pub names: Option<&'static [&'static str]>,
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
        if leaves.iter().map(|leaf| leaf.size).sum::<u64>() > limits::OUTPUT_BYTES {
            return Err(CollectError::TooLarge);
        }
        let (taken, naming) = tokio::join!(self.take(&leaves), self.naming(&found));
        let taken = taken?;
        failpoint::reach(Point::MidCapture);
        let (mut blobs, mut named) = (HashMap::new(), Outputs { naming, ..Outputs::default() });
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

    /// Which files name a place that was asked for; read while the store takes them in.
    async fn naming(&self, found: &[(&Output, Found)]) -> Option<Vec<String>> {
        let places = self.names?;
        let files = found.iter().filter_map(|(output, found)| match found {
            Found::File(leaf) => Some((output.declared.clone(), self.open(leaf).ok()?)),
            _ => None,
        });
        let files: Vec<_> = files.collect();
        let search = move || {
            let naming = files.into_iter().filter(|(_, file)| naming::names(file, places));
            naming.map(|(declared, _)| declared).collect()
        };
        tokio::task::spawn_blocking(search).await.ok()
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
