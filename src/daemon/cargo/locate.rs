//! Finds the manifest that a command means and the root of its workspace, by cargo's rules, so
//! that the root is known before cargo is asked anything. What is wrong with either is cargo's to
//! say.

use std::{
    fs,
    path::{Component, Path, PathBuf},
};

use serde::Deserialize;
use shared::fault::{Failure, Fault};

use super::files;

/// The name of a package's manifest.
pub const MANIFEST: &str = "Cargo.toml";
/// The name of a workspace's lock file.
pub const LOCK_FILE: &str = "Cargo.lock";

/// The manifest and the folder of its workspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located {
    /// The manifest that the command means, absolute.
    pub manifest: PathBuf,
    /// The folder of the workspace's root manifest, absolute.
    pub root: PathBuf,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Manifest {
    workspace: Option<WorkspaceTable>,
    package: Option<PackageTable>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WorkspaceTable {
    exclude: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct PackageTable {
    workspace: Option<toml::Value>,
}

/// The manifest `given` (or the nearest above `cwd`) and its workspace.
pub fn locate(cwd: &Path, given: Option<&Path>) -> Result<Located, Failure> {
    let manifest = match given {
        Some(given) => {
            let manifest = clean(&cwd.join(given));
            refuse(given, &manifest)?;
            manifest
        }
        None => cwd.ancestors().map(|folder| folder.join(MANIFEST)).find(|file| file.is_file()).ok_or_else(|| {
            let what = format!("could not find `Cargo.toml` in `{}` or any parent directory", cwd.display());
            Failure::new(Fault::User, what)
        })?,
    };
    let root = root_of(&manifest);
    Ok(Located { manifest, root })
}

/// What cargo says of a path that is no manifest.
fn refuse(given: &Path, manifest: &Path) -> Result<(), Failure> {
    let (given, full) = (given.display(), manifest.display());
    let is_script = manifest.extension().is_none_or(|end| end == "rs");
    let what = match fs::metadata(manifest) {
        Ok(meta) if meta.is_dir() => {
            let inside = manifest.join(MANIFEST);
            let help = if inside.exists() { format!("\nhelp: {} exists", inside.display()) } else { String::new() };
            format!("manifest path `{given}` is a directory but expected a file{help}")
        }
        Ok(_) if manifest.ends_with(MANIFEST) => return Ok(()),
        Ok(_) if is_script => format!("embedded manifest `{full}` requires `-Zscript`"),
        Ok(_) => format!("the manifest-path must be a path to a Cargo.toml file: `{full}`"),
        Err(_) => format!("manifest path `{given}` does not exist"),
    };
    Err(Failure::new(Fault::User, what))
}

fn root_of(manifest: &Path) -> PathBuf {
    let folder = manifest.parent().unwrap_or(manifest);
    let own = read(manifest);
    if own.workspace.is_some() {
        return folder.to_owned();
    }
    if let Some(toml::Value::String(path)) = own.package.and_then(|package| package.workspace) {
        let root = clean(&folder.join(path));
        // The root is shown to cargo whole, so a manifest's word alone is not enough: with it a
        // package could have the person's home shown.
        return if read(&root.join(MANIFEST)).workspace.is_some() { root } else { folder.to_owned() };
    }
    for above in folder.ancestors().skip(1) {
        let candidate = above.join(MANIFEST);
        if !candidate.is_file() {
            continue;
        }
        if let Some(workspace) = read(&candidate).workspace {
            let excluded = workspace.exclude.iter().any(|path| folder.starts_with(clean(&above.join(path))));
            return if excluded { folder.to_owned() } else { above.to_owned() };
        }
    }
    folder.to_owned()
}

/// A manifest that cannot be read has no workspace; cargo will say what is wrong with it.
fn read(manifest: &Path) -> Manifest {
    files::text(manifest).ok().and_then(|text| toml::from_str(&text).ok()).unwrap_or_default()
}

/// Takes `.` and `..` out of an absolute path, as cargo does, without looking at links.
pub fn clean(path: &Path) -> PathBuf {
    let mut cleaned = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => {
                cleaned.pop();
            }
            Component::CurDir => {}
            other => cleaned.push(other),
        }
    }
    cleaned
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        for (path, text) in files {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
            fs::write(path, text).expect("a file");
        }
        folder
    }

    #[test]
    fn members_find_their_root() {
        let folder = tree(&[
            ("Cargo.toml", "[workspace]\nmembers = [\"a\"]\nexclude = [\"out\"]\n"),
            ("a/Cargo.toml", "[package]\nname = \"a\"\n"),
            ("a/src/x.rs", ""),
            ("out/b/Cargo.toml", "[package]\nname = \"b\"\n"),
            ("c/Cargo.toml", "[package]\nname = \"c\"\nworkspace = \"../d\"\n"),
            ("d/Cargo.toml", "[workspace]\n"),
            ("e/Cargo.toml", "[package]\nname = \"e\"\nworkspace = \"..\"\n"),
            ("f/Cargo.toml", "[package]\nname = \"f\"\nworkspace = \"../../..\"\n"),
        ]);
        let root = |cwd: &str| locate(&folder.path().join(cwd), None).expect("a manifest").root;
        assert_eq!(root("a/src"), folder.path());
        assert_eq!(root("out/b"), folder.path().join("out/b"));
        assert_eq!(root("c"), folder.path().join("d"));
        assert_eq!(root("e"), folder.path());
        assert_eq!(root("f"), folder.path().join("f"), "no workspace is there to be the root");
        assert_eq!(root(""), folder.path());
    }

    #[test]
    fn what_is_no_manifest_is_named_as_by_cargo() {
        let folder = tree(&[("x", ""), ("a.rs", ""), ("a.toml", ""), ("in/Cargo.toml", ""), ("src/x", "")]);
        let at = folder.path().display();
        for (given, says) in [
            ("y/Cargo.toml", "manifest path `y/Cargo.toml` does not exist".to_owned()),
            ("y", "manifest path `y` does not exist".to_owned()),
            ("src", "manifest path `src` is a directory but expected a file".to_owned()),
            ("in", format!("manifest path `in` is a directory but expected a file\nhelp: {at}/in/Cargo.toml exists")),
            ("x", format!("embedded manifest `{at}/x` requires `-Zscript`")),
            ("a.rs", format!("embedded manifest `{at}/a.rs` requires `-Zscript`")),
            ("a.toml", format!("the manifest-path must be a path to a Cargo.toml file: `{at}/a.toml`")),
        ] {
            let failure = locate(folder.path(), Some(Path::new(given))).expect_err("it is no manifest");
            assert_eq!(failure.what, says);
        }
        assert!(locate(folder.path(), Some(Path::new("in/Cargo.toml"))).is_ok());
    }
}
