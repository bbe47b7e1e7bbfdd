//! `cargo clippy` is `cargo check` with clippy's driver in rustc's place for the members of the
//! workspace. What that driver is told, and how a call becomes its.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use shared::fault::{Failure, Fault};

use super::{call::Call, mounts::Mounts, toolchain::Environment};

/// What stands between two arguments in one variable.
const SEPARATOR: &str = "__CLIPPY_HACKERY__";
const ARGS: &str = "CLIPPY_ARGS";
/// Where the person says that its configuration lies.
pub const CONFIGURATION: &str = "CLIPPY_CONF_DIR";
/// The names of its configuration.
const FILES: [&str; 2] = ["clippy.toml", ".clippy.toml"];
const DRIVER: &str = "bin/clippy-driver";

/// How the members of a workspace are linted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clippy {
    /// As its driver reads them.
    args: String,
    /// Where the person says that its configuration lies, at the mounts.
    configuration: Option<String>,
}

impl Clippy {
    /// From words behind `--`, and the person's variables.
    pub fn new(words: &[String], environment: &Environment, mounts: &Mounts) -> Self {
        let args = words.iter().map(|word| format!("{word}{SEPARATOR}")).collect();
        Clippy { args, configuration: environment.get(CONFIGURATION).map(|folder| mounts.to_fixed(folder)) }
    }

    /// Makes rustc's call its driver's.
    pub fn take(&self, call: &mut Call) {
        let rustc = std::mem::replace(&mut call.program, format!("{}/{DRIVER}", super::mounts::TOOLCHAIN));
        call.args.insert(0, rustc);
        call.env.insert(ARGS.to_owned(), self.args.clone());
        if let Some(folder) = &self.configuration {
            call.env.insert(CONFIGURATION.to_owned(), folder.clone());
        }
    }

    /// Where its driver looks for its configuration, below the workspace's root, for a package there:
    /// most of these are not there, and that is looked at nowhere else.
    pub fn looks_for(&self, package: &str) -> BTreeSet<String> {
        let root = super::mounts::WORKSPACE;
        let named = self.configuration.as_ref().map(|folder| folder.strip_prefix(root).unwrap_or_default());
        let folder = Path::new(named.map_or(package, |named| named.trim_start_matches('/')));
        let files = folder.ancestors().flat_map(|folder| FILES.map(|name| folder.join(name)));
        files.map(|file| file.to_string_lossy().into_owned()).collect()
    }

    /// The words again, as cargo's advice repeats them: empty, or ` -- WORDS`.
    pub fn advice(&self) -> String {
        format!(" -- {}", self.args.replace(SEPARATOR, " ").trim_ascii_end())
    }
}

/// What stands in the way of linting: no driver, or configuration that no call would see.
pub fn obstacle(toolchain: &Path, root: &Path, environment: &Environment) -> Option<Failure> {
    if !toolchain.join(DRIVER).is_file() {
        let name = toolchain.file_name().unwrap_or(toolchain.as_os_str()).to_string_lossy();
        let failure = Failure::new(Fault::User, format!("'cargo-clippy' is not installed for the toolchain '{name}'"));
        return Some(failure.hint("rustup component add clippy"));
    }
    if let Some(folder) = environment.get(CONFIGURATION) {
        return (!Path::new(folder).starts_with(root)).then(|| {
            let what = format!("{CONFIGURATION} is `{folder}`, outside the workspace, where no call of vx's sees it");
            Failure::new(Fault::User, what)
        });
    }
    let among = |folder: &Path| FILES.map(|name| folder.join(name)).into_iter().find(|file| file.is_file());
    if among(root).is_some() {
        return None;
    }
    let above: PathBuf = root.ancestors().skip(1).find_map(among)?;
    let what = format!("`{}` lies above the workspace, where no call of vx's sees it", above.display());
    Some(Failure::new(Fault::User, what).hint("move it into the workspace's root, or link to it from there"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_configuration_is_looked_for_on_the_way_up() {
        let looks_for = |variables: &Environment, package: &str| {
            let mounts = Mounts::new(vec![("/w".to_owned(), "/vx/ws".to_owned())]);
            Clippy::new(&["-W".to_owned(), "x".to_owned()], variables, &mounts).looks_for(package)
        };
        let none = Environment::default();
        let all: Vec<_> = looks_for(&none, "a/b").into_iter().collect();
        let on_the_way = [".clippy.toml", "a/.clippy.toml", "a/b/.clippy.toml", "a/b/clippy.toml", "a/clippy.toml"];
        assert_eq!(all, [&on_the_way[..], &["clippy.toml"]].concat());
        assert_eq!(looks_for(&none, "").len(), 2);
        let named = looks_for(&[(CONFIGURATION.to_owned(), "/w/conf".to_owned())].into(), "a");
        assert!(named.contains("conf/clippy.toml") && !named.contains("a/clippy.toml"));
    }

    #[test]
    fn configuration_that_would_not_be_seen_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let (toolchain, root) = (folder.path().join("toolchain"), folder.path().join("above/ws"));
        let none = Environment::default();
        let outside: Environment = [(CONFIGURATION.to_owned(), "/elsewhere".to_owned())].into();
        let inside: Environment = [(CONFIGURATION.to_owned(), root.join("x").display().to_string())].into();
        let said = |environment: &Environment| obstacle(&toolchain, &root, environment).map(|failure| failure.what);
        assert!(said(&none).is_some_and(|what| what.contains("not installed")));
        std::fs::create_dir_all(toolchain.join("bin")).expect("a folder");
        std::fs::write(toolchain.join(DRIVER), "").expect("a file");
        std::fs::create_dir_all(&root).expect("a folder");
        assert_eq!((said(&none), said(&inside)), (None, None));
        assert!(said(&outside).is_some());
        std::fs::write(folder.path().join("above/.clippy.toml"), "").expect("a file");
        assert!(said(&none).is_some_and(|what| what.contains("above/.clippy.toml")));
        std::fs::write(root.join("clippy.toml"), "").expect("a file");
        assert_eq!(said(&none), None);
    }
}
