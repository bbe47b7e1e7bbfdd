//! Which folders a workspace's patterns for members may stand for, and which manifests stand above a
//! package outside of it. More is found than cargo would take: what that is, is cargo's to say.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{MANIFEST, files};

/// Folders looked at for one pattern, and how deep `**` goes.
const FOLDERS: usize = 10_000;
const DEPTH: usize = 16;

/// The patterns under `workspace.members`.
pub fn patterns(manifest: &toml::Value) -> Vec<&str> {
    let members = manifest.get("workspace").and_then(|table| table.get("members")).and_then(toml::Value::as_array);
    members.into_iter().flatten().filter_map(toml::Value::as_str).collect()
}

/// The folders with a manifest that patterns in a manifest's text may stand for, seen from its folder
/// and sorted. A name without a pattern is not among them: the plan says whether it is there.
pub fn matching(folder: &Path, manifest: &str) -> Vec<String> {
    let Ok(manifest) = manifest.parse::<toml::Table>().map(toml::Value::Table) else { return Vec::new() };
    let patterns = patterns(&manifest).into_iter().filter(|one| is_pattern(one));
    let mut found: Vec<String> = patterns.flat_map(|pattern| folders(folder, pattern)).collect();
    found.sort();
    found.dedup();
    found
}

/// The folders that one pattern may stand for, of those that hold a manifest; a plain name stands for itself.
pub fn folders(folder: &Path, pattern: &str) -> Vec<String> {
    if !is_pattern(pattern) {
        return vec![pattern.to_owned()];
    }
    let mut found = vec![String::new()];
    for part in pattern.split('/').filter(|part| !part.is_empty() && *part != ".") {
        found = match part {
            "**" => found.iter().flat_map(|below| deep(folder, below)).take(FOLDERS).collect(),
            _ if is_pattern(part) => found.iter().flat_map(|below| inside(folder, below, part)).take(FOLDERS).collect(),
            _ => found.iter().map(|below| join(below, part)).collect(),
        };
    }
    found.retain(|below| folder.join(below).join(MANIFEST).is_file());
    found
}

/// The manifests above a package's folder, up to the one that says it is a workspace's: it may inherit from that.
pub fn above(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for manifest in folder.ancestors().map(|above| above.join(MANIFEST)) {
        let Ok(text) = files::text(&manifest) else { continue };
        found.push(manifest);
        if text.parse::<toml::Table>().is_ok_and(|table| table.contains_key("workspace")) {
            break;
        }
    }
    found
}

fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

fn join(below: &str, name: &str) -> String {
    if below.is_empty() { name.to_owned() } else { format!("{below}/{name}") }
}

/// The folders in a folder that may be meant: those that begin as the pattern does.
fn inside(root: &Path, below: &str, pattern: &str) -> Vec<String> {
    let start = pattern.split(['*', '?', '[']).next().unwrap_or_default();
    let entries = fs::read_dir(root.join(below)).into_iter().flatten().filter_map(Result::ok);
    entries
        .filter(|entry| entry.path().is_dir())
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.starts_with(start))
        .map(|name| join(below, &name))
        .collect()
}

/// A folder and all below it.
fn deep(root: &Path, below: &str) -> Vec<String> {
    let (mut found, mut open) = (Vec::new(), vec![(below.to_owned(), 0)]);
    while let Some((folder, depth)) = open.pop() {
        if depth < DEPTH && found.len() < FOLDERS {
            let is_link = |below: &String| fs::symlink_metadata(root.join(below)).is_ok_and(|meta| meta.is_symlink());
            let within = inside(root, &folder, "").into_iter().filter(|below| !is_link(below));
            open.extend(within.map(|below| (below, depth + 1)));
        }
        found.push(folder);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_stand_for_every_folder_with_a_manifest() {
        let folder = tempfile::tempdir().expect("a folder");
        for path in ["in/a", "in/b/c", "in/none/x", "deep/q/w", "deep/w"] {
            fs::create_dir_all(folder.path().join(path)).expect("a folder");
        }
        for path in ["in/a", "in/b/c", "deep/q/w", "deep/w"] {
            fs::write(folder.path().join(path).join(MANIFEST), "").expect("a file");
        }
        let matching = |patterns: &str| matching(folder.path(), &format!("workspace.members = [{patterns}]"));
        assert_eq!(matching("'in/*', 'deep/*/w', 'deep/w'"), ["deep/q/w", "in/a"]);
        assert_eq!(matching("'in/**'"), ["in/a", "in/b/c"]);
        assert_eq!(matching("'./deep/[q]/w', 'gone/*'"), ["deep/q/w"]);
        assert_eq!(folders(folder.path(), "in/gone"), ["in/gone"]);
    }

    #[test]
    fn manifests_above_end_with_the_workspaces() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |path: &str| folder.path().join(path).join(MANIFEST);
        fs::create_dir_all(folder.path().join("o/d/e")).expect("folders");
        for (path, text) in [("", "[workspace]"), ("o", "[workspace]"), ("o/d/e", "[package]")] {
            fs::write(at(path), text).expect("a file");
        }
        assert_eq!(above(&folder.path().join("o/d/e")), [at("o/d/e"), at("o")]);
    }
}
