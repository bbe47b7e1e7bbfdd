//! What decides cargo's answers, as keys: the first of what is known before cargo is asked, the
//! second of the manifests and listings that its answer showed to matter. Nothing in either says
//! where the checkout lies: real folders are replaced by their mounts, in keys and in answers.

use std::{
    collections::BTreeMap,
    fs,
    path::{Component, Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use serde_json::json;
use shared::digest::{Digest, Function};

use super::{
    LOCK_FILE, MANIFEST, clippy,
    config::{Config, ConfigError},
    config_links, config_tree,
    diagnostics::Verbosity,
    files::{self, Disk, Files},
    locate::{self, Located},
    members,
    metadata::Metadata,
    mounts::{self, Mounts},
    outside,
    platform::Asked,
    select::Selection,
    toolchain::{Environment, Toolchain},
};

/// Where CARGO_HOME stands in keys and kept answers; nothing is mounted there.
const CARGO_HOME: &str = "/vx/cargo-home";
/// Folders of a package in which cargo finds targets by their names.
const TARGET_FOLDERS: [&str; 6] = ["", "src", "src/bin", "tests", "examples", "benches"];
/// Variables that steer cargo's answers.
const DECIDING: [&str; 11] = [
    "CARGO_BUILD_",
    "CARGO_PROFILE_",
    "CARGO_TARGET_",
    "CARGO_UNSTABLE_",
    "CARGO_ENCODED_RUSTDOCFLAGS",
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_INCREMENTAL",
    "RUSTDOCFLAGS",
    "RUSTFLAGS",
    "RUSTC",
    "CARGO_RESOLVER_",
];
/// Of those, what only says where outputs go.
const PLACES: [&str; 3] = ["CARGO_TARGET_DIR", "CARGO_BUILD_TARGET_DIR", "CARGO_BUILD_JOBS"];

/// What one command asks about one workspace.
#[derive(Clone, Debug)]
pub struct Question {
    /// The manifest and the workspace's root.
    pub located: Located,
    /// Where the person stands, absolute.
    pub cwd: PathBuf,
    /// The person's toolchain.
    pub toolchain: Toolchain,
    /// Its identity.
    pub toolchain_identity: String,
    /// The person's environment.
    pub environment: Environment,
    /// What to build.
    pub selection: Selection,
    /// How much the person wants to read.
    pub verbosity: Verbosity,
}

/// All that cargo and rustc answered, places replaced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answers {
    /// `rustc -vV`.
    pub rustc: String,
    /// Per set of rustflags: standard output and error of cargo's probe.
    pub probes: Vec<ProbeAnswer>,
    /// The unit graph.
    pub graph: String,
    /// `cargo metadata`.
    pub metadata: String,
    /// What cargo said on the way: its warnings about manifests and configuration, with colours.
    pub said: String,
}

/// rustc's answer to one probe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeAnswer {
    /// Of what it was asked.
    pub asked: Asked,
    /// The rustflags it was asked with.
    pub rustflags: Vec<String>,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Question {
    /// The person's configuration, as `files` show it.
    pub fn config(&self, files: &dyn Files) -> Result<Config, ConfigError> {
        let words = &self.selection.config;
        if let Some(file) = config_links::astray(&self.located.root, &self.cwd) {
            return Err(ConfigError::Astray { path: file });
        }
        Config::load(files, &self.cwd, &self.toolchain.cargo_home, &self.environment, words)
    }

    /// The way from real folders to their names in keys and kept answers, and back.
    pub fn names(&self) -> Mounts {
        let pair = |real: &Path, fixed: &str| (real.to_string_lossy().into_owned(), fixed.to_owned());
        Mounts::new(vec![
            pair(&self.located.root, mounts::WORKSPACE),
            pair(&self.toolchain.cargo_home, CARGO_HOME),
            pair(&self.toolchain.path, mounts::TOOLCHAIN),
        ])
    }

    /// Whether answers may be kept: only where these folders are found in them.
    pub fn may_be_kept(&self) -> bool {
        let folders = [&self.located.root, &self.toolchain.cargo_home, &self.toolchain.path];
        folders.iter().all(|folder| folder.to_str().is_some_and(mounts::is_found_again))
    }

    /// The environment that cargo is asked under.
    pub fn cargo_environment(&self) -> Environment {
        let mut environment: Environment = self
            .environment
            .iter()
            .filter(|(name, _)| decides(name) || matches!(name.as_str(), "HOME" | "CARGO_TERM_COLOR" | "NO_COLOR"))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        let bin = self.toolchain.path.join("bin");
        environment.insert("PATH".to_owned(), format!("{}:/usr/local/bin:/usr/bin:/bin", bin.display()));
        environment.insert("CARGO_HOME".to_owned(), self.toolchain.cargo_home.to_string_lossy().into_owned());
        environment
    }

    /// The same where cargo's words are kept for the person: colours can be taken out, not put in.
    pub fn coloured_environment(&self) -> Environment {
        let mut environment = self.cargo_environment();
        environment.insert("CARGO_TERM_COLOR".to_owned(), "always".to_owned());
        environment
    }

    /// The variables of the network that `cargo fetch` needs beside those.
    pub fn fetch_environment(&self) -> Environment {
        let mut environment = self.cargo_environment();
        let network = |name: &str| {
            let upper = name.to_uppercase();
            upper.ends_with("_PROXY")
                || name.starts_with("SSL_CERT")
                || name.starts_with("CARGO_HTTP_")
                || name.starts_with("CARGO_NET_")
                || name.starts_with("CARGO_REGISTR")
                || name.starts_with("GIT_SSL")
        };
        environment
            .extend(self.environment.iter().filter(|(name, _)| network(name)).map(|(n, v)| (n.clone(), v.clone())));
        if self.verbosity == Verbosity::Quiet {
            environment.insert("CARGO_TERM_QUIET".to_owned(), "true".to_owned());
        }
        environment
    }

    /// What cargo may read outside the checkout and CARGO_HOME: configuration files above it and
    /// the folders that manifests name as path dependencies.
    pub fn beyond(&self) -> Vec<PathBuf> {
        let root = &self.located.root;
        let folders = root.ancestors().chain(self.cwd.ancestors()).map(|folder| (folder, folder.join(".cargo")));
        let home = &self.toolchain.cargo_home;
        let folders = folders.chain([(home.parent().unwrap_or(home), home.clone())]);
        let (mut shown, mut own) = (Vec::new(), Vec::new());
        for (base, folder) in folders {
            for file in ["config.toml", "config"].map(|name| folder.join(name)) {
                if file.is_file() {
                    outside::sources(&file, base, root, &mut shown);
                    shown.extend(config_links::led_to(&file));
                    own.extend(file.to_str().map(str::to_owned));
                }
            }
        }
        for word in self.selection.config.iter().chain(&own) {
            self.configuration(word, &mut shown);
        }
        outside::folders(root, &mut shown);
        shown.sort();
        shown.dedup();
        shown
    }

    /// Adds the files that a value of `--config` names, or a file of the person's, and the folders that its values do. What
    /// the person's includes is shown too; what is the checkout's leads nowhere but in its repository.
    fn configuration(&self, word: &String, shown: &mut Vec<PathBuf>) {
        let (root, home) = (&self.located.root, &self.toolchain.cargo_home);
        let disk = Disk::default();
        // What is wrong with it was said when it was loaded first.
        let _ = config_tree::said(&disk, &self.cwd, std::slice::from_ref(word));
        let named = locate::clean(&self.cwd.join(word));
        let is_checkouts = named.starts_with(root) && named.is_file();
        for (file, _) in disk.looks().into_iter().filter(|(_, text)| text.is_some()) {
            let file = locate::clean(&file);
            let folder = file.parent().unwrap_or(&file);
            outside::sources(&file, folder.parent().unwrap_or(folder), root, shown);
            let may = !is_checkouts || config_links::is_at_home(root, &file);
            let is_shown = !may || file.starts_with(root) || file.starts_with(home);
            shown.extend((!is_shown).then_some(file));
        }
        if let Ok(table) = word.parse::<toml::Table>() {
            outside::named(&table.into(), &self.cwd, root, shown);
        }
    }

    /// The key of what is known before cargo is asked; `looks` are the configuration files that
    /// were looked at.
    pub fn first_key(&self, looks: &Disk) -> Digest {
        let names = self.names();
        let relative = |path: &Path| relative_to(path, &self.located.root);
        let configuration: BTreeMap<String, String> =
            looks.looks().into_iter().filter_map(|(path, text)| Some((self.name_of(&path), text?))).collect();
        let environment: BTreeMap<&str, String> = self
            .environment
            .iter()
            .filter(|(name, _)| decides(name))
            .map(|(name, value)| (name.as_str(), names.to_fixed(value)))
            .collect();
        let text = |name: &str| files::text(&self.located.root.join(name)).ok();
        let key = json!({
            "vx-plan": 7,
            "toolchain": self.toolchain_identity,
            "intent": format!("{:?}", self.selection.intent),
            "clippy": self.selection.clippy.as_ref().map(|words| (words, self.environment.get(clippy::CONFIGURATION))),
            "words": self.selection.graph_args().iter().map(|word| names.to_fixed(word)).collect::<Vec<_>>(),
            "cwd": relative(&self.cwd),
            "manifest": relative(&self.located.manifest),
            "environment": environment,
            "configuration": configuration,
            "root": text(MANIFEST),
            "lock": text(LOCK_FILE),
        });
        Digest::of(Function::Blake3, key.to_string().as_bytes())
    }

    /// A file's name in keys: below CARGO_HOME by that, else seen from the workspace.
    fn name_of(&self, path: &Path) -> String {
        match path.strip_prefix(&self.toolchain.cargo_home) {
            Ok(below) => format!("{CARGO_HOME}/{}", below.display()),
            Err(_) => relative_to(path, &self.located.root),
        }
    }

    /// The folders of path packages, seen from the root, as an answer showed them, and those outside of
    /// the checkout and CARGO_HOME that hold copies of other packages, or targets.
    pub fn folders(&self, metadata: &Metadata) -> Vec<String> {
        let (root, home) = (&self.located.root, &self.toolchain.cargo_home);
        let is_outside = |path: &Path| !path.starts_with(root) && !path.starts_with(home);
        let mut folders = Vec::new();
        for package in &metadata.packages {
            let Some(own) = Path::new(&package.manifest_path).parent() else { continue };
            let holder = own.parent().filter(|_| is_outside(own));
            folders.extend(if package.source.is_none() { Some(own) } else { holder });
            let sources = package.targets.iter().map(|target| Path::new(&target.src_path));
            let elsewhere = sources.filter(|source| is_outside(source) && !source.starts_with(own));
            folders.extend(elsewhere.filter_map(Path::parent));
        }
        let mut folders: Vec<String> = folders.into_iter().map(|folder| relative_to(folder, root)).collect();
        folders.sort();
        folders.dedup();
        folders
    }

    /// The key of everything: the first one, and of each folder its manifest and the names in
    /// which cargo looks for targets. Folders that hold packages are listed too, since a new one
    /// beside them may be a member. What patterns for members stand for counts, and of packages outside
    /// of the workspace the manifests above them, from which they may inherit.
    pub fn second_key(&self, first: Digest, folders: &[String]) -> Digest {
        let mut seen = BTreeMap::new();
        for folder in folders {
            let path = self.located.root.join(folder);
            seen.insert(format!("{folder}/{MANIFEST}"), files::text(&path.join(MANIFEST)).unwrap_or_default());
            for below in TARGET_FOLDERS {
                seen.insert(format!("{folder}/{below}:"), listing(&path.join(below), Wanted::Targets).join("\n"));
            }
            if let Some(parent) = path.parent().filter(|_| !folder.is_empty()) {
                let name = relative_to(parent, &self.located.root);
                seen.entry(format!("{name}/*:")).or_insert_with(|| listing(parent, Wanted::Packages).join("\n"));
            }
            if folder.starts_with("..") || folder.starts_with('/') {
                for manifest in members::above(&path) {
                    let name = relative_to(&manifest, &self.located.root);
                    seen.entry(name).or_insert_with(|| files::text(&manifest).unwrap_or_default());
                }
            }
        }
        let root = &self.located.root;
        let members = files::text(&root.join(MANIFEST)).map(|text| members::matching(root, &text)).unwrap_or_default();
        // Where a folder lies outside, the answer names its real place, beside this checkout alone.
        let beside = folders.iter().any(|folder| folder.starts_with("..")).then_some(root);
        let key = json!({ "first": first.hex(), "seen": seen, "members": members, "beside": beside });
        Digest::of(Function::Blake3, key.to_string().as_bytes())
    }
}

impl Answers {
    /// The same answers with every text changed, as places are replaced or put back.
    pub fn map(self, change: impl Fn(&str) -> String) -> Self {
        let probe = |one: ProbeAnswer| ProbeAnswer {
            asked: one.asked,
            rustflags: one.rustflags.iter().map(|flag| change(flag)).collect(),
            stdout: change(&one.stdout),
            stderr: change(&one.stderr),
        };
        Answers {
            rustc: change(&self.rustc),
            probes: self.probes.into_iter().map(probe).collect(),
            graph: change(&self.graph),
            metadata: change(&self.metadata),
            said: change(&self.said),
        }
    }
}

fn decides(name: &str) -> bool {
    DECIDING.iter().any(|start| name.starts_with(start)) && !PLACES.contains(&name)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Targets,
    Packages,
}

/// Sorted names in a folder that may matter: sources and folders, the README, or folders with a
/// manifest.
fn listing(folder: &Path, wanted: Wanted) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(Result::ok)
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            let matters = match wanted {
                Wanted::Packages => entry.path().join(MANIFEST).is_file(),
                Wanted::Targets if is_folder => entry.path().join("main.rs").is_file(),
                Wanted::Targets => name.ends_with(".rs") || name.starts_with("README"),
            };
            matters.then_some(name)
        })
        .collect();
    names.sort();
    names
}

/// `path` as seen from `base`, with `..` where it lies outside.
fn relative_to(path: &Path, base: &Path) -> String {
    let mut from: Vec<Component<'_>> = base.components().collect();
    let to: Vec<Component<'_>> = path.components().collect();
    let common = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
    let up = from.drain(common..).count();
    let parts = std::iter::repeat_n("..".to_owned(), up)
        .chain(to[common..].iter().map(|part| part.as_os_str().to_string_lossy().into_owned()));
    parts.collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_seen_from_the_root() {
        assert_eq!(relative_to(Path::new("/w/a/b"), Path::new("/w")), "a/b");
        assert_eq!(relative_to(Path::new("/w"), Path::new("/w")), "");
        assert_eq!(relative_to(Path::new("/x/y"), Path::new("/w/a")), "../../x/y");
    }

    #[test]
    fn two_checkouts_have_one_key_and_a_new_target_another() {
        let parent = tempfile::tempdir().expect("a folder");
        let question = |name: &str| {
            let root = parent.path().join(name);
            fs::create_dir_all(root.join("a/src/bin")).expect("a folder");
            fs::write(root.join(MANIFEST), "[workspace]\nmembers = [\"a\"]\n").expect("a file");
            fs::write(root.join("a").join(MANIFEST), "[package]\nname = \"a\"\n").expect("a file");
            let flags = format!("--remap-path-prefix={}=x", root.display());
            Question {
                located: Located { manifest: root.join(MANIFEST), root: root.clone() },
                cwd: root.join("a"),
                toolchain: Toolchain { path: "/t".into(), cargo_home: "/c".into() },
                toolchain_identity: "id".to_owned(),
                environment: [("RUSTFLAGS".to_owned(), flags), ("TERM".to_owned(), name.to_owned())].into(),
                selection: Selection::default(),
                verbosity: Verbosity::Normal,
            }
        };
        let (one, two) = (question("one"), question("two/deeper"));
        let first = one.first_key(&Disk::default());
        assert_eq!(first, two.first_key(&Disk::default()));
        let folders = ["a".to_owned()];
        let second = one.second_key(first, &folders);
        assert_eq!(second, two.second_key(first, &folders));
        fs::write(one.located.root.join("a/src/bin/new.rs"), "").expect("a file");
        let third = one.second_key(first, &folders);
        assert_ne!(second, third);
        fs::create_dir_all(one.located.root.join("b")).expect("a folder");
        fs::write(one.located.root.join("b").join(MANIFEST), "").expect("a file");
        assert_ne!(one.second_key(first, &folders), third);
        // What lies beside a checkout is beside no other.
        let beside = ["../c".to_owned()];
        assert_ne!(one.second_key(first, &beside), two.second_key(first, &beside));
    }

    #[test]
    fn what_a_checkouts_configuration_includes_from_elsewhere_is_not_shown() {
        let top = tempfile::tempdir().expect("a folder");
        let top = fs::canonicalize(top.path()).expect("it is there");
        for (path, text) in [
            ("ws/Cargo.toml", "[workspace]\n"),
            ("ws/.cargo/config.toml", "include = ['../../secret.toml']\n"),
            ("ws/own.toml", "include = ['../secret.toml']\n"),
            ("mine/own.toml", "include = ['more.toml']\n"),
            ("mine/more.toml", ""),
            ("secret.toml", "key = 'x'\n"),
        ] {
            fs::create_dir_all(top.join(path).parent().expect("a parent")).expect("a folder");
            fs::write(top.join(path), text).expect("a file");
        }
        let shown = |words: &[&str]| {
            let root = top.join("ws");
            let selection =
                Selection { config: words.iter().map(|&word| word.to_owned()).collect(), ..Selection::default() };
            let question = Question {
                located: Located { manifest: root.join(MANIFEST), root: root.clone() },
                cwd: root,
                toolchain: Toolchain { path: "/t".into(), cargo_home: "/c".into() },
                toolchain_identity: String::new(),
                environment: Environment::new(),
                selection,
                verbosity: Verbosity::Normal,
            };
            question.beyond()
        };
        assert_eq!(shown(&["own.toml", "build.jobs=1"]), Vec::<PathBuf>::new());
        assert_eq!(shown(&["../mine/own.toml"]), ["mine/more.toml", "mine/own.toml"].map(|path| top.join(path)));
        assert_eq!(shown(&["include=['../mine/more.toml']"]), [top.join("mine/more.toml")]);
    }
}
