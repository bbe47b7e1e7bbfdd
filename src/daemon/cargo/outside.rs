//! What lies outside the checkout and cargo has to see before it can be asked anything: path
//! dependencies, git repositories and sources on this machine. Manifests and configuration are
//! only searched for the keys that name such places; what they mean is cargo's.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use super::{MANIFEST, files, locate::clean, members};

/// What cargo leaves in each vendored package.
pub const VENDORED: &str = ".cargo-checksum.json";
/// Manifests looked at; a workspace has fewer.
const MANIFESTS: usize = 10_000;

/// Adds the folders outside `root` that manifests inside it (and those they lead to) name.
pub fn folders(root: &Path, found: &mut Vec<PathBuf>) {
    let mut open = vec![root.to_owned()];
    let mut seen = BTreeSet::from([root.to_owned()]);
    while let Some(folder) = open.pop() {
        let Some(manifest) = read(&folder.join(MANIFEST)) else { continue };
        let mut named = Vec::new();
        texts(Some(&manifest), &["path", "workspace"], &mut named);
        named.extend(members::patterns(&manifest).into_iter().flat_map(|one| members::folders(&folder, one)));
        for path in named {
            let named = folder.join(path);
            let Ok(path) = fs::canonicalize(&named) else { continue };
            if seen.len() < MANIFESTS && path.join(MANIFEST).is_file() && seen.insert(path.clone()) {
                if !path.starts_with(root) {
                    add(root, &named, found);
                    let above = members::above(&path).into_iter().filter(|file| !file.starts_with(root));
                    found.extend(above.filter(|file| !file.starts_with(&path)));
                }
                open.push(path);
            }
        }
        sources_of_targets(&folder, &manifest, root, found);
        repositories(&manifest, root, found);
    }
}

/// Adds the sources of a package's targets that lie beside `root` in its git repository.
fn sources_of_targets(folder: &Path, manifest: &toml::Value, root: &Path, found: &mut Vec<PathBuf>) {
    let mut named = Vec::new();
    texts(manifest.get("lib"), &["path"], &mut named);
    texts(manifest.get("package"), &["build"], &mut named);
    for kind in ["bin", "example", "test", "bench"] {
        let targets = manifest.get(kind).and_then(toml::Value::as_array).into_iter().flatten();
        targets.for_each(|target| texts(Some(target), &["path"], &mut named));
    }
    let Some(repository) = repository(root).filter(|_| !named.is_empty()) else { return };
    for path in named.into_iter().map(|path| clean(&folder.join(path))) {
        let is_of_it = |path: &Path| fs::canonicalize(path).is_ok_and(|real| is_of_repository(&repository, &real));
        let is_shown = |path: &Path| path.starts_with(root) || found.iter().any(|one| path.starts_with(one));
        if path.is_file() && !is_shown(&path) && is_of_it(&path) {
            found.push(path);
        }
    }
}

/// The real folder of the git repository that a workspace is part of.
pub fn repository(root: &Path) -> Option<PathBuf> {
    root.ancestors().find(|above| above.join(".git").exists()).and_then(|above| fs::canonicalize(above).ok())
}

/// Whether a real path lies in a repository, and is none of git's own.
pub fn is_of_repository(repository: &Path, real: &Path) -> bool {
    real.strip_prefix(repository).is_ok_and(|below| below.components().all(|part| part.as_os_str() != ".git"))
}

/// Adds the folders that a configuration file names as sources or patches; `base` is where its
/// relative paths start from.
pub fn sources(configuration: &Path, base: &Path, root: &Path, found: &mut Vec<PathBuf>) {
    if let Some(configuration) = read(configuration) {
        named(&configuration, base, root, found);
    }
}

/// The same of configuration that may be in no file.
pub fn named(configuration: &toml::Value, base: &Path, root: &Path, found: &mut Vec<PathBuf>) {
    let mut vendored = Vec::new();
    texts(configuration.get("source"), &["directory", "local-registry"], &mut vendored);
    for folder in vendored.iter().map(|path| base.join(path)).filter(|folder| holds_sources(folder)) {
        add(root, &folder, found);
    }
    let mut packages = Vec::new();
    texts(configuration.get("patch"), &["path"], &mut packages);
    let overrides = configuration.get("paths").and_then(toml::Value::as_array).into_iter().flatten();
    packages.extend(overrides.filter_map(toml::Value::as_str).map(str::to_owned));
    for folder in packages.iter().map(|path| base.join(path)).filter(|folder| folder.join(MANIFEST).is_file()) {
        add(root, &folder, found);
    }
    repositories(configuration, root, found);
}

/// Adds git repositories and registries on this machine, which `cargo fetch` copies from.
fn repositories(value: &toml::Value, root: &Path, found: &mut Vec<PathBuf>) {
    let mut named = Vec::new();
    texts(Some(value), &["git", "registry", "index"], &mut named);
    for url in named {
        let url = url.strip_prefix("sparse+").unwrap_or(&url);
        let folder = url.strip_prefix("file://").map(Path::new).filter(|folder| is_repository(folder));
        folder.into_iter().for_each(|folder| add(root, folder, found));
    }
}

/// No folder is shown by a checkout's word alone: it has to look like what it is named as.
fn is_repository(folder: &Path) -> bool {
    let git = |folder: &Path| folder.join("HEAD").is_file() && folder.join("objects").is_dir();
    git(folder) || folder.join(".git").is_file() || git(&folder.join(".git")) || folder.join("config.json").is_file()
}

/// Vendored copies carry checksums; a local registry has an index.
fn holds_sources(folder: &Path) -> bool {
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    folder.join("index").is_dir() || entries.map(|entry| entry.path()).any(|one| one.join(VENDORED).is_file())
}

/// Under the name that it is called by and under its own, since links on the way are not there.
fn add(root: &Path, named: &Path, found: &mut Vec<PathBuf>) {
    let named = clean(named);
    let own = fs::canonicalize(&named).unwrap_or_else(|_| named.clone());
    for path in [named, own] {
        if path.is_dir() && !path.starts_with(root) && !found.contains(&path) {
            found.push(path);
        }
    }
}

/// Every text under one of these keys, wherever it stands.
fn texts(value: Option<&toml::Value>, keys: &[&str], found: &mut Vec<String>) {
    let Some(toml::Value::Table(table)) = value else { return };
    for (key, value) in table {
        match value {
            toml::Value::String(text) if keys.contains(&key.as_str()) => found.push(text.clone()),
            toml::Value::Table(_) => texts(Some(value), keys, found),
            _ => {}
        }
    }
}

fn read(manifest: &Path) -> Option<toml::Value> {
    files::text(manifest).ok()?.parse::<toml::Table>().ok().map(toml::Value::Table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_beside_the_checkout_are_found_through_members() {
        let folder = tempfile::tempdir().expect("a folder");
        for (path, text) in [
            ("ws/Cargo.toml", "[workspace]\nmembers = [\"in/*/*\"]\n"),
            ("ws/in/a/a/Cargo.toml", "[dependencies]\nb = { path = \"../../../../b\" }\n"),
            ("b/Cargo.toml", "[target.'cfg(unix)'.dependencies.c]\npath = \"../c\"\n"),
            ("c/Cargo.toml", "[package]\nname = \"c\"\n"),
            ("Cargo.toml", "[workspace]\n"),
            ("d/Cargo.toml", "[package]\nname = \"d\"\n"),
        ] {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
            fs::write(path, text).expect("a file");
        }
        let real = fs::canonicalize(folder.path()).expect("it is there");
        let mut found = Vec::new();
        folders(&real.join("ws"), &mut found);
        found.sort();
        found.dedup();
        // b and c may inherit from what stands above them.
        assert_eq!(found, [real.join("Cargo.toml"), real.join("b"), real.join("c")]);
    }

    #[test]
    fn sources_beside_the_workspace_are_found_in_its_repository_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let targets = "[lib]\npath = \"../shared/lib.rs\"\n[[bin]]\npath = \"../../other/x.rs\"\n\
                       [[bin]]\npath = \"../.git/config\"\n[[bin]]\npath = \"src/main.rs\"\n[[test]]\npath = \"../gone.rs\"\n\
                       [package]\nbuild = \"../build.rs\"\n";
        for (path, text) in [
            ("repo/ws/Cargo.toml", targets),
            ("repo/ws/src/main.rs", ""),
            ("repo/shared/lib.rs", ""),
            ("repo/build.rs", ""),
            ("repo/.git/config", ""),
            ("other/x.rs", ""),
        ] {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
            fs::write(path, text).expect("a file");
        }
        let real = fs::canonicalize(folder.path()).expect("it is there");
        let mut found = Vec::new();
        folders(&real.join("repo/ws"), &mut found);
        found.sort();
        assert_eq!(found, [real.join("repo/build.rs"), real.join("repo/shared/lib.rs")]);
    }

    #[test]
    fn repositories_and_sources_on_this_machine_are_found() {
        let folder = tempfile::tempdir().expect("a folder");
        let real = fs::canonicalize(folder.path()).expect("it is there");
        for path in [
            "ws/.cargo/x",
            "repo/.git/HEAD",
            "repo/.git/objects/x",
            "vendor/p/.cargo-checksum.json",
            "index/config.json",
            "patched/Cargo.toml",
            "private/x",
        ] {
            let path = real.join(path);
            fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
            fs::write(path, "").expect("a file");
        }
        let at = |path: &str| real.join(path).display().to_string();
        let manifest = format!(
            "[dependencies]\nr = {{ git = \"file://{}\" }}\ns = {{ git = \"file://{}\" }}\n",
            at("repo"),
            at("private")
        );
        fs::write(real.join("ws/Cargo.toml"), manifest).expect("a file");
        let configuration = format!(
            "[source.v]\ndirectory = \"../vendor\"\n[source.i]\nregistry = \"file://{}\"\n\
             [patch.crates-io]\np = {{ path = \"../patched\" }}\n",
            at("index")
        );
        fs::write(real.join("ws/.cargo/config.toml"), configuration).expect("a file");
        let (root, mut found) = (real.join("ws"), Vec::new());
        folders(&root, &mut found);
        sources(&root.join(".cargo/config.toml"), &root, &root, &mut found);
        found.sort();
        assert_eq!(found, ["index", "patched", "repo", "vendor"].map(|name| real.join(name)));
    }
}
