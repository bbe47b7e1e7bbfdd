//! A Directory message as plain data, after every check that does not need the rest of its tree:
//! names that are components and unique, digests that parse, links that lead to some path.

use std::collections::HashSet;

use prost::Message;

use super::{Properties, digest_from_proto, is_component, tree::Mode, v2};
use crate::digest::{Digest, DigestError, Function};

/// Longest target of a symbolic link (PATH_MAX).
const LINK_BYTES: usize = 4096;

/// Why a blob is no Directory that anybody may make.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// It is no Directory at all.
    #[error("it does not decode: {0}")]
    Decode(#[from] prost::DecodeError),
    /// A name that is not one component.
    #[error("{0:?} is no name for a file in a tree")]
    Name(String),
    /// A name that is there twice.
    #[error("{0:?} is there twice")]
    Clash(String),
    /// A digest that is none.
    #[error("{name:?}: {source}")]
    Digest {
        /// Whose.
        name: String,
        /// Why.
        source: DigestError,
    },
    /// A link that leads nowhere.
    #[error("the link {0:?} leads to no path")]
    Link(String),
}

/// A file of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FolderFile {
    /// Its name.
    pub name: String,
    /// Its content.
    pub digest: Digest,
    /// Whether it can be run.
    pub mode: Mode,
    /// What else is said of it.
    pub properties: Properties,
}

/// A directory: its files, directories and symbolic links by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Folder {
    /// Files.
    pub files: Vec<FolderFile>,
    /// Directories with their digests.
    pub folders: Vec<(String, Digest)>,
    /// Links with their targets.
    pub links: Vec<(String, String)>,
}

impl Folder {
    /// Reads a Directory blob; digests in it are of the same function.
    pub fn read(function: Function, bytes: &[u8]) -> Result<Folder, FolderError> {
        let message = v2::Directory::decode(bytes)?;
        let mut seen = HashSet::new();
        let mut check = |name: &String| {
            if !is_component(name) {
                return Err(FolderError::Name(name.clone()));
            }
            if !seen.insert(name.clone()) {
                return Err(FolderError::Clash(name.clone()));
            }
            Ok(())
        };
        let parse = |name: &String, digest: Option<&v2::Digest>| {
            let failed = |source| FolderError::Digest { name: name.clone(), source };
            digest_from_proto(function, digest).map_err(failed)
        };
        let mut folder = Folder::default();
        for node in message.files {
            check(&node.name)?;
            let digest = parse(&node.name, node.digest.as_ref())?;
            let mode = if node.is_executable { Mode::Executable } else { Mode::Plain };
            let properties = Properties::read(node.node_properties.as_ref());
            folder.files.push(FolderFile { name: node.name, digest, mode, properties });
        }
        for node in message.directories {
            check(&node.name)?;
            let digest = parse(&node.name, node.digest.as_ref())?;
            folder.folders.push((node.name, digest));
        }
        for node in message.symlinks {
            check(&node.name)?;
            if node.target.is_empty() || node.target.len() > LINK_BYTES || node.target.contains('\0') {
                return Err(FolderError::Link(node.name));
            }
            folder.links.push((node.name, node.target));
        }
        Ok(folder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reapi::{digest_to_proto, tree::DirectoryBuilder};

    #[test]
    fn what_was_built_reads_back() {
        let digest = Digest::of(Function::Sha256, b"x");
        let mut tree = DirectoryBuilder::new();
        tree.file("a", digest, Mode::Executable).expect("a new name");
        tree.symlink("l", "a").expect("a new name");
        tree.directory("d").expect("a new name");
        let built = tree.build(Function::Sha256);
        let (_, bytes) = built.directories.last().expect("the root");
        let folder = Folder::read(Function::Sha256, bytes).expect("it was just built");
        assert_eq!(
            folder.files,
            [FolderFile { name: "a".to_owned(), digest, mode: Mode::Executable, properties: Properties::default() }]
        );
        assert_eq!(folder.folders, [("d".to_owned(), Digest::empty(Function::Sha256))]);
        assert_eq!(folder.links, [("l".to_owned(), "a".to_owned())]);
    }

    #[test]
    fn hostile_names_digests_and_links_are_refused() {
        let digest = Some(digest_to_proto(&Digest::of(Function::Blake3, b"x")));
        let file = |name: &str, digest| v2::FileNode { name: name.to_owned(), digest, ..Default::default() };
        let refused = |message: v2::Directory| Folder::read(Function::Blake3, &message.encode_to_vec()).is_err();
        for name in ["", "..", "a/b", "nul\0"] {
            assert!(
                refused(v2::Directory { files: vec![file(name, digest.clone())], ..Default::default() }),
                "{name:?}"
            );
        }
        let twice = vec![file("a", digest.clone()), file("a", digest)];
        assert!(refused(v2::Directory { files: twice, ..Default::default() }));
        let bad = v2::Digest { hash: "../../etc/passwd".to_owned(), size_bytes: 1 };
        assert!(refused(v2::Directory { files: vec![file("a", Some(bad))], ..Default::default() }));
        let link = v2::SymlinkNode { name: "l".to_owned(), ..Default::default() };
        assert!(refused(v2::Directory { symlinks: vec![link], ..Default::default() }));
        assert!(Folder::read(Function::Blake3, b"\xff").is_err());
    }
}
