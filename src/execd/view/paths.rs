//! Working directory and output paths as an Action declares them, as absolute paths of its view.
//! `..` is resolved by the text alone and never leads above the root.

use std::path::{Component, Path, PathBuf};

use shared::reapi::v2;

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
pub fn working_directory(command: &v2::Command) -> Result<PathBuf, ViewError> {
    let declared = Path::new(&command.working_directory);
    below(Path::new(""), declared)
        .ok_or_else(|| ViewError::Invalid(format!("the working directory {declared:?} is not in the input root")))
}

/// The outputs that a command declares; where `output_paths` is set the older two are ignored.
#[allow(deprecated, reason = "clients of API 2.0 send only the older two")]
pub fn outputs(command: &v2::Command) -> Result<Vec<Output>, ViewError> {
    let cwd = working_directory(command)?;
    let declared: Vec<_> = if command.output_paths.is_empty() {
        let files = command.output_files.iter().map(|path| (path, Kind::File));
        files.chain(command.output_directories.iter().map(|path| (path, Kind::Directory))).collect()
    } else {
        command.output_paths.iter().map(|path| (path, Kind::Any)).collect()
    };
    let read = |(declared, kind): (&String, Kind)| match below(&cwd, Path::new(declared)) {
        Some(path) => Ok(Output { declared: declared.clone(), path, kind }),
        None => Err(ViewError::Invalid(format!("the output path {declared:?} is not in the input root"))),
    };
    declared.into_iter().map(read).collect()
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
        let command = |paths: &[&str]| v2::Command {
            working_directory: "vx/ws".to_owned(),
            output_paths: paths.iter().map(|&path| path.to_owned()).collect(),
            ..v2::Command::default()
        };
        let read = outputs(&command(&["../out/libx.rlib", "a/./b/", "../../top"])).expect("all within");
        let paths: Vec<_> = read.iter().map(|output| output.path.to_str().expect("text")).collect();
        assert_eq!(paths, ["vx/out/libx.rlib", "vx/ws/a/b", "top"]);
        for path in ["../../../x", "/etc/passwd", "a/../../../../x", "a\0b"] {
            assert!(matches!(outputs(&command(&[path])), Err(ViewError::Invalid(_))), "{path:?}");
        }
    }
}
