//! Folders that a wrapped call reads from: its package's, by the folder where cargo calls it, and
//! scripts' OUT_DIRs, by cargo's layout of a target folder.

use std::path::{Path, PathBuf};

use super::super::{
    VENDORED,
    mounts::{BUILD, CRATES, GIT, join},
};

/// The folder of a package that is not the person's own, with all that it may read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    /// Where it lies.
    pub real: PathBuf,
    /// Where an action has it too.
    pub mount: String,
}

/// The home of the package that is compiled in a folder: a registry's package, the whole checkout
/// of a git repository, or a vendored package. Others are the person's own.
pub fn home(cwd: &Path, cargo_home: &Path, is_there: impl Fn(&Path) -> bool) -> Option<Home> {
    let below = |part: &str, mount: &str| {
        let folder = cargo_home.join(part);
        let parts: Vec<&str> =
            cwd.strip_prefix(&folder).ok()?.iter().take(2).filter_map(|name| name.to_str()).collect();
        let [first, second] = parts[..] else { return None };
        let name = if mount == GIT { format!("{first}-{second}") } else { second.to_owned() };
        Some(Home { real: folder.join(first).join(second), mount: join(mount, &name) })
    };
    let vendored = || {
        let name = cwd.file_name()?.to_str()?;
        is_there(&cwd.join(VENDORED)).then(|| Home { real: cwd.to_owned(), mount: join(CRATES, name) })
    };
    below("registry/src", CRATES).or_else(|| below("git/checkouts", GIT)).or_else(vendored)
}

/// A script's OUT_DIR: `TARGET/…/build/PACKAGE-HASH/out`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct OutDir {
    /// Where it lies.
    pub real: PathBuf,
    /// Where an action sees it.
    pub mount: String,
}

impl OutDir {
    /// The OUT_DIR that a path lies in, and the path below it.
    pub fn around(path: &Path) -> Option<(OutDir, String)> {
        let real = path.ancestors().find(|folder| {
            let build = folder.parent().and_then(Path::parent);
            folder.ends_with("out") && build.is_some_and(|build| build.ends_with("build"))
        })?;
        let run = real.parent()?.file_name()?.to_str()?;
        let below = path.strip_prefix(real).ok()?.to_str()?.to_owned();
        Some((OutDir { real: real.to_owned(), mount: format!("{BUILD}/{run}/out") }, below))
    }

    /// The file in which cargo keeps what the script printed.
    pub fn said_at(&self) -> PathBuf {
        self.real.with_file_name("output")
    }
}

/// The variables that a script sets for its package's crates, by what it printed.
pub fn named_by_script(said: &str) -> Vec<String> {
    let variable = |line: &str| {
        let set =
            line.trim().strip_prefix("cargo::rustc-env=").or_else(|| line.trim().strip_prefix("cargo:rustc-env="))?;
        set.split_once('=').map(|(name, _)| name.to_owned())
    };
    said.lines().filter_map(variable).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_of_others_are_known_by_their_folders() {
        let vendored = |file: &Path| file == Path::new("/w/vendor/x/.cargo-checksum.json");
        let at = |cwd: &str| home(Path::new(cwd), Path::new("/h/.cargo"), vendored).map(|home| (home.real, home.mount));
        let registry = "/h/.cargo/registry/src/index-1/serde-1.0.0";
        assert_eq!(at(registry), Some((registry.into(), "/vx/crates/serde-1.0.0".to_owned())));
        let git = "/h/.cargo/git/checkouts/repo-12/abc";
        assert_eq!(at(&format!("{git}/crates/x")), Some((git.into(), "/vx/git/repo-12-abc".to_owned())));
        assert_eq!(at("/w/member"), None);
        assert_eq!(at("/h/.cargo/registry/src/index-1"), None);
        assert_eq!(at("/w/vendor/x"), Some(("/w/vendor/x".into(), "/vx/crates/x".to_owned())));
    }

    #[test]
    fn a_scripts_folder_is_known_by_its_place() {
        let (out_dir, below) = OutDir::around(Path::new("/w/target/debug/build/z-1/out/lib/out")).expect("one");
        assert_eq!((out_dir.mount.as_str(), below.as_str()), ("/vx/build/z-1/out", "lib/out"));
        assert_eq!(out_dir.said_at(), Path::new("/w/target/debug/build/z-1/output"));
        assert_eq!(OutDir::around(Path::new("/w/out/x")), None);
        let said = "cargo::rustc-env=A=1\n cargo:rustc-env=B=2=3\ncargo::rustc-cfg=x\n";
        assert_eq!(named_by_script(said), ["A", "B"]);
    }
}
