//! A package as calls see it: where its sources come from, at which mount they are shown, and
//! the variables that cargo sets from its manifest.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use super::{
    metadata::{Lock, MetadataPackage},
    mounts::{self, below, join},
    unit_graph::Target,
};

/// Where a package's sources come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Below the workspace's root, at this relative path (empty: the root itself).
    Member { path: String },
    /// A path dependency outside the root.
    Outside { index: usize },
    /// A registry's archive, named by the lock file.
    Registry {
        /// sha256 in hexadecimal digits; none when the lock file has none, as for vendored copies.
        checksum: Option<String>,
        /// CARGO_HOME's copy of the archive; none where the sources are not in CARGO_HOME.
        archive: Option<PathBuf>,
    },
    /// A checkout of a git repository.
    Git {
        /// The full commit.
        revision: String,
        /// The real folder of the whole checkout.
        checkout: PathBuf,
    },
}

impl Source {
    /// Path packages are the person's own: they warn, and their files may change.
    pub fn is_path(&self) -> bool {
        matches!(self, Source::Member { .. } | Source::Outside { .. })
    }
}

/// One package of the plan.
#[derive(Debug, Clone)]
pub struct Package {
    pub name: String,
    pub version: String,
    /// cargo's own id, as in its machine-readable messages.
    pub id: String,
    pub source: Source,
    /// Of the workspace, not only in its folder.
    pub is_member: bool,
    /// Where calls see its root.
    pub mount: String,
    /// Where its root is for the person.
    pub real: PathBuf,
    /// What its input is, when that is more than its root: the whole git checkout.
    pub input: (String, PathBuf),
    pub links: Option<String>,
    pub rust_version: Option<String>,
    pub targets: Vec<Target>,
    /// The binary that `run` means.
    pub default_run: Option<String>,
    /// All declared features, sorted.
    pub features: Vec<String>,
    /// Targets that are tested by a program of their own, as kind and name.
    pub without_harness: Vec<(String, Option<String>)>,
    /// Arguments from `[lints]`.
    pub lints: Vec<String>,
    /// `CARGO_PKG_*` and the like: the same for every unit of the package.
    pub variables: BTreeMap<String, String>,
}

impl Package {
    /// `NAME vVERSION`, for path packages with the person's folder, as cargo shows it.
    pub fn described(&self) -> String {
        match self.source.is_path() {
            true => format!("{} v{} ({})", self.name, self.version, self.real.display()),
            false => format!("{} v{}", self.name, self.version),
        }
    }

    /// Whether rustc makes the program that runs a target's tests.
    pub fn has_harness(&self, target: &Target) -> bool {
        let kind = if target.is_lib() { "lib" } else { target.kind.first().map_or("", String::as_str) };
        let is_named = |(one, name): &(String, Option<String>)| {
            one == kind && (kind == "lib" || name.as_deref() == Some(target.name.as_str()))
        };
        !self.without_harness.iter().any(is_named)
    }

    /// The crate name of its library.
    pub fn library(&self) -> Option<String> {
        self.targets.iter().find(|target| target.is_lib()).map(Target::crate_name)
    }

    /// What paths into it are called inside outputs.
    pub fn remap(&self) -> (String, String) {
        match &self.source {
            Source::Member { .. } => (mounts::WORKSPACE.to_owned(), ".".to_owned()),
            _ => (self.mount.clone(), format!("{}-{}", self.name, self.version)),
        }
    }
}

/// What placing a package needs to know of the surroundings.
pub struct Surroundings<'a> {
    pub workspace_root: &'a Path,
    pub cargo_home: &'a Path,
    pub lock: &'a Lock,
    /// Manifests of the path dependencies outside the root, in the order of their numbers.
    pub outside: &'a [&'a str],
}

/// What only its manifest says.
#[derive(Debug, Default)]
pub struct Said {
    /// Whether the workspace's manifest says so, too.
    pub is_member: bool,
    /// Arguments from `[lints]`.
    pub lints: Vec<String>,
    /// Targets with `harness = false`.
    pub without_harness: Vec<(String, Option<String>)>,
}

/// Builds a package from what `cargo metadata` says.
pub fn place(package: &MetadataPackage, said: Said, around: &Surroundings<'_>) -> Package {
    let manifest = Path::new(&package.manifest_path);
    let real = manifest.parent().unwrap_or(manifest).to_owned();
    let (source, mount, input) = locate(package, &real, around);
    let variables = variables(package, &mount);
    Package {
        name: package.name.clone(),
        version: package.version.clone(),
        id: package.id.clone(),
        source,
        is_member: said.is_member,
        mount,
        real,
        input,
        links: package.links.clone(),
        rust_version: package.rust_version.clone(),
        targets: package.targets.clone(),
        default_run: package.default_run.clone(),
        features: package.features.keys().cloned().collect(),
        without_harness: said.without_harness,
        lints: said.lints,
        variables,
    }
}

fn locate(package: &MetadataPackage, real: &Path, around: &Surroundings<'_>) -> (Source, String, (String, PathBuf)) {
    let whole = |source, mount: String| (source, mount.clone(), (mount, real.to_owned()));
    let Some(source) = &package.source else {
        if let Some(path) = below(real, around.workspace_root) {
            let mount = join(mounts::WORKSPACE, &path);
            return whole(Source::Member { path }, mount);
        }
        let index = around.outside.iter().position(|one| *one == package.manifest_path).unwrap_or(around.outside.len());
        return whole(Source::Outside { index }, format!("{}/{index}", mounts::OUTSIDE));
    };
    if source.starts_with("git+") {
        let revision = source.rsplit_once('#').map_or("unknown", |(_, revision)| revision).to_owned();
        // CARGO_HOME/git/checkouts/NAME-HASH/SHORT/…; elsewhere (vendored) the package stands alone.
        let checkouts = around.cargo_home.join("git/checkouts");
        let relative = real.strip_prefix(&checkouts).ok();
        let checkout =
            relative.map_or(real.to_owned(), |path| checkouts.join(path.iter().take(2).collect::<PathBuf>()));
        let mut mount = format!("{}/{revision}", mounts::GIT);
        if relative.is_none() {
            mount = format!("{mount}/{}-{}", package.name, package.version);
        }
        let inside = below(real, &checkout).unwrap_or_default();
        let input = (mount.clone(), checkout.clone());
        return (Source::Git { revision, checkout }, join(&mount, &inside), input);
    }
    let checksum = around.lock.checksum(&package.name, &package.version, source).map(str::to_owned);
    let folder = format!("{}-{}", package.name, package.version);
    // CARGO_HOME/registry/src/INDEX/NAME-VERSION has its archive in registry/cache/INDEX.
    let unpacked = real.strip_prefix(around.cargo_home.join("registry/src")).ok();
    let archive = unpacked
        .and_then(Path::parent)
        .map(|index| around.cargo_home.join("registry/cache").join(index).join(format!("{folder}.crate")));
    whole(Source::Registry { checksum, archive }, format!("{}/{folder}", mounts::CRATES))
}

fn variables(package: &MetadataPackage, mount: &str) -> BTreeMap<String, String> {
    let mut variables = BTreeMap::new();
    let mut set = |name: &str, value: &str| drop(variables.insert(name.to_owned(), value.to_owned()));
    set("CARGO", &format!("{}/bin/cargo", mounts::TOOLCHAIN));
    set("CARGO_MANIFEST_DIR", mount);
    let file = Path::new(&package.manifest_path).file_name().map_or("Cargo.toml".into(), |name| name.to_string_lossy());
    set("CARGO_MANIFEST_PATH", &format!("{mount}/{file}"));
    let (numbers, pre) = split_version(&package.version);
    set("CARGO_PKG_VERSION", &package.version);
    for (part, name) in ["MAJOR", "MINOR", "PATCH"].iter().enumerate() {
        set(&format!("CARGO_PKG_VERSION_{name}"), numbers.get(part).unwrap_or(&""));
    }
    set("CARGO_PKG_VERSION_PRE", pre);
    set("CARGO_PKG_NAME", &package.name);
    set("CARGO_PKG_AUTHORS", &package.authors.join(":"));
    for (name, value) in [
        ("DESCRIPTION", &package.description),
        ("HOMEPAGE", &package.homepage),
        ("REPOSITORY", &package.repository),
        ("LICENSE", &package.license),
        ("LICENSE_FILE", &package.license_file),
        ("RUST_VERSION", &package.rust_version),
        ("README", &package.readme),
    ] {
        set(&format!("CARGO_PKG_{name}"), value.as_deref().unwrap_or_default());
    }
    variables
}

/// The three numbers and the pre-release part.
fn split_version(version: &str) -> (Vec<&str>, &str) {
    let without_build = version.split('+').next().unwrap_or(version);
    let (numbers, pre) = without_build.split_once('-').unwrap_or((without_build, ""));
    (numbers.split('.').collect(), pre)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placed(manifest: &str, source: Option<&str>) -> Package {
        let json = serde_json::json!({"name": "p", "version": "1.2.3-rc.1+b", "id": "i", "source": source, "targets": [],
            "features": {}, "manifest_path": manifest, "authors": ["a", "b"], "description": null, "license": null,
            "license_file": null, "readme": null, "repository": null, "homepage": null, "links": null,
            "rust_version": null});
        let package = serde_json::from_value(json).expect("a package");
        let lock = Lock::parse(
            "[[package]]\nname='p'\nversion='1.2.3-rc.1+b'\nsource='registry+https://r/i'\nchecksum='ab'\n",
        );
        let around = Surroundings {
            workspace_root: Path::new("/w"),
            cargo_home: Path::new("/home/p/.cargo"),
            lock: &lock.expect("a lock file"),
            outside: &["/elsewhere/a/Cargo.toml", "/elsewhere/p/Cargo.toml"],
        };
        place(&package, Said::default(), &around)
    }

    #[test]
    fn packages_of_the_person() {
        let root = placed("/w/Cargo.toml", None);
        assert_eq!((root.mount.as_str(), root.source), ("/vx/ws", Source::Member { path: String::new() }));
        let member = placed("/w/m/p/Cargo.toml", None);
        assert_eq!((member.mount.as_str(), member.remap().1.as_str()), ("/vx/ws/m/p", "."));
        let outside = placed("/elsewhere/p/Cargo.toml", None);
        assert_eq!((outside.mount.as_str(), outside.source), ("/vx/ext/1", Source::Outside { index: 1 }));
        assert_eq!(outside.variables["CARGO_PKG_AUTHORS"], "a:b");
        assert_eq!(outside.variables["CARGO_PKG_VERSION_PATCH"], "3");
        assert_eq!(outside.variables["CARGO_PKG_VERSION_PRE"], "rc.1");
        assert_eq!(outside.variables["CARGO_MANIFEST_PATH"], "/vx/ext/1/Cargo.toml");
    }

    #[test]
    fn packages_of_others() {
        let unpacked = "/home/p/.cargo/registry/src/i-1/p-1.2.3-rc.1+b/Cargo.toml";
        let registry = placed(unpacked, Some("registry+https://r/i"));
        assert_eq!(registry.mount, "/vx/crates/p-1.2.3-rc.1+b");
        let archive = PathBuf::from("/home/p/.cargo/registry/cache/i-1/p-1.2.3-rc.1+b.crate");
        let checksum = Some("ab".to_owned());
        assert_eq!(registry.source, Source::Registry { checksum, archive: Some(archive) });
        let vendored = placed("/w/vendor/p/Cargo.toml", Some("registry+https://other"));
        assert_eq!(vendored.source, Source::Registry { checksum: None, archive: None });
        let checkout = "/home/p/.cargo/git/checkouts/r-1/abc/in/p/Cargo.toml";
        let git = placed(checkout, Some("git+https://h/r?branch=x#abcdef"));
        assert_eq!((git.mount.as_str(), git.input.0.as_str()), ("/vx/git/abcdef/in/p", "/vx/git/abcdef"));
        assert_eq!(git.input.1, Path::new("/home/p/.cargo/git/checkouts/r-1/abc"));
    }
}
