//! Canonical Directory messages: sorted, each name once over files, directories and symlinks, so
//! that equal trees have equal digests. Pure: where the blobs go is the caller's business.

use std::collections::BTreeMap;

use prost::Message;

use super::{Properties, digest_to_proto, is_component, v2};
use crate::digest::{Digest, Function};

/// Why a tree cannot be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    /// A component is empty, `.`, `..`, too long or holds `/` or NUL.
    #[error("{0:?} is no name for a file in a tree")]
    Name(String),
    /// A name stands for two things.
    #[error("{0:?} is both a directory and something else, or is there twice")]
    Clash(String),
}

#[derive(Clone, Debug)]
enum Node {
    File {
        digest: Digest,
        executable: bool,
        properties: Properties,
    },
    Symlink(String),
    Directory(DirectoryBuilder),
    /// A directory that is in the store already.
    Known(Digest),
}

/// What the mode of a file in a tree is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// 0444
    Plain,
    /// 0555
    Executable,
}

/// Collects files by path and makes Directory messages of them.
#[derive(Clone, Debug, Default)]
pub struct DirectoryBuilder {
    nodes: BTreeMap<String, Node>,
}

/// The messages of a built tree.
#[derive(Clone, Debug)]
pub struct Built {
    /// The root's digest.
    pub root: Digest,
    /// Every distinct directory, the root last, with its encoded message.
    pub directories: Vec<(Digest, Vec<u8>)>,
}

impl DirectoryBuilder {
    /// An empty directory.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Adds a file at a relative path of components divided by `/`.
    pub fn file(&mut self, path: &str, digest: Digest, mode: Mode) -> Result<(), TreeError> {
        self.file_with(path, digest, mode, Properties::default())
    }

    /// The same, with more said of it.
    pub fn file_with(
        &mut self,
        path: &str,
        digest: Digest,
        mode: Mode,
        properties: Properties,
    ) -> Result<(), TreeError> {
        self.insert(path, Node::File { digest, executable: mode == Mode::Executable, properties })
    }

    /// Adds a symlink; its target is not looked at.
    pub fn symlink(&mut self, path: &str, target: &str) -> Result<(), TreeError> {
        self.insert(path, Node::Symlink(target.to_owned()))
    }

    /// Adds a directory that is in the store already.
    pub fn known(&mut self, path: &str, digest: Digest) -> Result<(), TreeError> {
        self.insert(path, Node::Known(digest))
    }

    /// Makes sure that a directory is there, empty or not.
    pub fn directory(&mut self, path: &str) -> Result<(), TreeError> {
        let mut at = self;
        for name in path.split('/') {
            at = at.enter(name)?;
        }
        Ok(())
    }

    fn enter(&mut self, name: &str) -> Result<&mut DirectoryBuilder, TreeError> {
        if !is_component(name) {
            return Err(TreeError::Name(name.to_owned()));
        }
        match self.nodes.entry(name.to_owned()).or_insert_with(|| Node::Directory(Self::new())) {
            Node::Directory(inner) => Ok(inner),
            _ => Err(TreeError::Clash(name.to_owned())),
        }
    }

    fn insert(&mut self, path: &str, node: Node) -> Result<(), TreeError> {
        let (parents, name) = match path.rsplit_once('/') {
            Some((parents, name)) => (Some(parents), name),
            None => (None, path),
        };
        let mut at = self;
        for parent in parents.iter().flat_map(|p| p.split('/')) {
            at = at.enter(parent)?;
        }
        if !is_component(name) {
            return Err(TreeError::Name(name.to_owned()));
        }
        match at.nodes.insert(name.to_owned(), node) {
            None => Ok(()),
            Some(_) => Err(TreeError::Clash(name.to_owned())),
        }
    }

    /// Makes the messages, children before parents.
    pub fn build(&self, function: Function) -> Built {
        let mut directories = BTreeMap::new();
        let mut order = Vec::new();
        let root = self.build_into(function, &mut directories, &mut order);
        let directories = order.into_iter().filter_map(|digest| Some((digest, directories.remove(&digest)?))).collect();
        Built { root, directories }
    }

    fn build_into(
        &self,
        function: Function,
        directories: &mut BTreeMap<Digest, Vec<u8>>,
        order: &mut Vec<Digest>,
    ) -> Digest {
        let mut message = v2::Directory::default();
        for (name, node) in &self.nodes {
            let name = name.clone();
            match node {
                Node::File { digest, executable, properties } => message.files.push(v2::FileNode {
                    name,
                    digest: Some(digest_to_proto(digest)),
                    is_executable: *executable,
                    node_properties: properties.message(),
                }),
                Node::Symlink(target) => {
                    message.symlinks.push(v2::SymlinkNode { name, target: target.clone(), node_properties: None });
                }
                Node::Directory(inner) => {
                    let digest = inner.build_into(function, directories, order);
                    message.directories.push(v2::DirectoryNode { name, digest: Some(digest_to_proto(&digest)) });
                }
                Node::Known(digest) => {
                    message.directories.push(v2::DirectoryNode { name, digest: Some(digest_to_proto(digest)) });
                }
            }
        }
        let bytes = message.encode_to_vec();
        let digest = Digest::of(function, &bytes);
        if directories.insert(digest, bytes).is_none() {
            order.push(digest);
        }
        digest
    }
}

impl Built {
    /// As a Tree: the root first, and every directory after all that hold it.
    pub fn tree(&self) -> Vec<u8> {
        // Built children first, so backwards; and what was just encoded decodes.
        let backwards = self.directories.iter().rev();
        let mut messages = backwards.filter_map(|(_, bytes)| v2::Directory::decode(bytes.as_slice()).ok());
        v2::Tree { root: messages.next(), children: messages.collect() }.encode_to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(text: &str) -> Digest {
        Digest::of(Function::Blake3, text.as_bytes())
    }

    #[test]
    fn the_order_of_adding_does_not_matter() {
        let mut one = DirectoryBuilder::new();
        one.file("b/x", digest("x"), Mode::Plain).expect("a new name");
        one.file("a", digest("a"), Mode::Executable).expect("a new name");
        let mut two = DirectoryBuilder::new();
        two.file("a", digest("a"), Mode::Executable).expect("a new name");
        two.directory("b").expect("a new name");
        two.file("b/x", digest("x"), Mode::Plain).expect("a new name");
        let (one, two) = (one.build(Function::Blake3), two.build(Function::Blake3));
        assert_eq!(one.root, two.root);
        assert_eq!(one.directories.len(), 2);
        assert_eq!(one.directories.last().expect("the root").0, one.root);
    }

    #[test]
    fn the_empty_directory_is_the_empty_blob() {
        assert!(DirectoryBuilder::new().build(Function::Sha256).root.is_empty());
    }

    #[test]
    fn hostile_names_and_clashes_are_refused() {
        let mut tree = DirectoryBuilder::new();
        for path in ["", "..", "a/../b", "/a", "a//b", "a/", "nul\0"] {
            assert!(matches!(tree.file(path, digest(""), Mode::Plain), Err(TreeError::Name(_))), "{path:?}");
        }
        tree.file("f", digest(""), Mode::Plain).expect("a new name");
        assert!(matches!(tree.file("f/x", digest(""), Mode::Plain), Err(TreeError::Clash(_))));
        assert!(matches!(tree.symlink("f", "x"), Err(TreeError::Clash(_))));
    }
}
