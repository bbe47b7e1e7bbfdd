//! Path dependencies that lie outside the checkout: their folders have to be shown before cargo
//! can be asked anything. Manifests are only searched for `path` keys; what they mean is cargo's.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use super::{MANIFEST, files};

/// Manifests looked at; a workspace has fewer.
const MANIFESTS: usize = 10_000;

/// Adds the folders outside `root` that manifests inside it (and those they lead to) name.
pub fn folders(root: &Path, found: &mut Vec<PathBuf>) {
    let mut open = vec![root.to_owned()];
    let mut seen = BTreeSet::from([root.to_owned()]);
    while let Some(folder) = open.pop() {
        let Some(manifest) = read(&folder.join(MANIFEST)) else { continue };
        let mut named = Vec::new();
        paths(&manifest, &mut named);
        let members = manifest.get("workspace").and_then(|table| table.get("members")).and_then(toml::Value::as_array);
        named.extend(members.into_iter().flatten().filter_map(toml::Value::as_str).flat_map(|one| glob(&folder, one)));
        for path in named {
            let Ok(path) = fs::canonicalize(folder.join(path)) else { continue };
            if seen.len() < MANIFESTS && path.join(MANIFEST).is_file() && seen.insert(path.clone()) {
                if !path.starts_with(root) {
                    found.push(path.clone());
                }
                open.push(path);
            }
        }
    }
}

fn read(manifest: &Path) -> Option<toml::Value> {
    files::text(manifest).ok()?.parse::<toml::Table>().ok().map(toml::Value::Table)
}

/// Every `path` below a table of dependencies, wherever it stands.
fn paths(value: &toml::Value, found: &mut Vec<String>) {
    let toml::Value::Table(table) = value else { return };
    for (key, value) in table {
        match value {
            toml::Value::String(path) if key == "path" || key == "workspace" => found.push(path.clone()),
            toml::Value::Table(_) => paths(value, found),
            _ => {}
        }
    }
}

/// A member that ends in `/*` stands for each folder there; other patterns are left to cargo.
fn glob(folder: &Path, member: &str) -> Vec<String> {
    let Some((parent, last)) = member.rsplit_once('/') else { return vec![member.to_owned()] };
    if !last.contains('*') {
        return vec![member.to_owned()];
    }
    let entries = fs::read_dir(folder.join(parent)).into_iter().flatten().filter_map(Result::ok);
    entries.filter_map(|entry| Some(format!("{parent}/{}", entry.file_name().to_str()?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_beside_the_checkout_are_found_through_members() {
        let folder = tempfile::tempdir().expect("a folder");
        for (path, text) in [
            ("ws/Cargo.toml", "[workspace]\nmembers = [\"in/*\"]\n"),
            ("ws/in/a/Cargo.toml", "[dependencies]\nb = { path = \"../../../b\" }\n"),
            ("b/Cargo.toml", "[target.'cfg(unix)'.dependencies.c]\npath = \"../c\"\n"),
            ("c/Cargo.toml", "[package]\nname = \"c\"\n"),
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
        assert_eq!(found, [real.join("b"), real.join("c")]);
    }
}
