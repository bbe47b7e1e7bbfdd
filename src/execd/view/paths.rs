//! Working directory and output paths as an Action declares them, as absolute paths of its view.
//! `..` is resolved by the text alone and never leads above the root.

use std::path::{Component, Path, PathBuf};

use super::ViewError;

/// What may come back at an output path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Whatever is there (`output_paths`).
    Any,
    /// A file (`output_files`, before API 2.1).
    File,
    /// A directory (`output_directories`, before API 2.1).
    Directory,
}

/// One output asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// As declared; it comes back so.
    pub declared: String,
    /// Below the root of the input tree, without a leading slash.
    pub path: PathBuf,
    /// What may be there.
    pub kind: Kind,
}

/// The working directory below the root.
pub fn working_directory(declared: &str) -> Result<PathBuf, ViewError> {
    below(Path::new(""), Path::new(declared))
        .ok_or_else(|| ViewError::Invalid(format!("the working directory {declared:?} is not in the input root")))
}

/// Outputs as they are declared, relative to the working directory.
pub fn outputs(cwd: &Path, declared: impl Iterator<Item = (String, Kind)>) -> Result<Vec<Output>, ViewError> {
    let read = |(declared, kind): (String, Kind)| match below(cwd, Path::new(&declared)) {
        Some(path) => Ok(Output { declared, path, kind }),
        None => Err(ViewError::Invalid(format!("the output path {declared:?} is not in the input root"))),
    };
    declared.map(read).collect()
}

/// `path` from `base`, both below the root; `None` where it would leave it.
fn below(base: &Path, path: &Path) -> Option<PathBuf> {
    let mut joined = base.to_owned();
    for part in path.components() {
        match part {
            Component::Normal(name) => joined.push(name),
            Component::CurDir => {}
            Component::ParentDir if joined.pop() => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    (!joined.as_os_str().as_encoded_bytes().contains(&0)).then_some(joined)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_stay_below_the_root() {
        let outputs =
            |paths: &[&str]| outputs(Path::new("vx/ws"), paths.iter().map(|path| ((*path).to_owned(), Kind::Any)));
        let read = outputs(&["../out/libx.rlib", "a/./b/", "../../top"]).expect("all within");
        let paths: Vec<_> = read.iter().map(|output| output.path.to_str().expect("text")).collect();
        assert_eq!(paths, ["vx/out/libx.rlib", "vx/ws/a/b", "top"]);
        for path in ["../../../x", "/etc/passwd", "a/../../../../x", "a\0b"] {
            assert!(matches!(outputs(&[path]), Err(ViewError::Invalid(_))), "{path:?}");
        }
    }
}
