//! What an action may see of a live checkout, said once for the executor that shows it and for the
//! daemon that keys it: everything but target folders and git's folders, and of the checkout's own
//! git folder the commit and the index. Reads files, changes nothing.

pub mod worktree;

use std::{
    fs,
    path::{Component, Path, PathBuf},
};

/// git's folder, or the file that leads to it.
pub const GIT: &str = ".git";
/// The file by which a target folder (and any other cache) says what it is.
const CACHE_TAG: &str = "CACHEDIR.TAG";
/// Tags that are shown; who has more describes commits by other means.
const TAGS: usize = 10_000;
/// Links from one git file to the next, and folders of tags within each other.
const DEPTH: usize = 16;

/// Which part of a checkout is no action's business.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// The workspace's root.
    pub root: &'a Path,
    /// Where outputs are placed.
    pub target_dir: &'a Path,
}

impl Scope<'_> {
    /// Whether a folder of the checkout is hidden with all that is in it.
    pub fn hides_folder(&self, path: &Path) -> bool {
        path == self.target_dir
            || path.file_name().is_some_and(|name| name == GIT)
            || (path != self.root && (path.join(CACHE_TAG).is_file() || self.leads_only_to_target(path)))
    }

    /// Whether all that a folder holds is the way to the target folder, which would tell a checkout
    /// that was built from one that was not.
    pub fn leads_only_to_target(&self, folder: &Path) -> bool {
        self.target_dir.starts_with(folder)
            && fs::read_dir(folder).is_ok_and(|entries| {
                entries.filter_map(Result::ok).all(|entry| {
                    let path = entry.path();
                    path == self.target_dir || (path.is_dir() && self.leads_only_to_target(&path))
                })
            })
    }

    /// Whether something else than a folder is hidden: a file that leads to a git folder.
    pub fn hides_file(&self, path: &Path) -> bool {
        path.file_name().is_some_and(|name| name == GIT)
    }
}

/// What of git's folder is shown: which commit is checked out, the tags by which it may be
/// described, and what is needed to say whether files differ from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Git {
    /// HEAD as it is written.
    pub head: String,
    /// The reference that HEAD names, and the commit it stands for.
    pub reference: Option<(String, String)>,
    /// `COMMIT refs/tags/NAME` a line, sorted.
    pub tags: String,
    /// Where the objects lie; their names are their content.
    pub objects: PathBuf,
    /// What is tracked, with the stamps that files had.
    pub index: Option<PathBuf>,
    /// Of the configuration what decides a comparison.
    pub config: String,
    /// Names that are not to be tracked.
    pub exclude: String,
}

impl Git {
    /// What the checkout's root holds of git; nothing where that makes no sense.
    pub fn of(root: &Path) -> Option<Git> {
        let folder = folder(root)?;
        let common = match fs::read_to_string(folder.join("commondir")) {
            Ok(text) => folder.join(text.trim_end()),
            Err(_) => folder.clone(),
        };
        let head = fs::read_to_string(folder.join("HEAD")).ok()?;
        let packed = fs::read_to_string(common.join("packed-refs")).unwrap_or_default();
        let reference = head.strip_prefix("ref:").map(str::trim).filter(|name| is_plain(name)).and_then(|name| {
            let commit = [&folder, &common].into_iter().find_map(|at| fs::read_to_string(at.join(name)).ok());
            let commit = commit.map(|text| text.trim().to_owned()).or_else(|| in_packed(&packed, name))?;
            Some((name.to_owned(), commit))
        });
        let objects = common.join("objects");
        let text = |path: PathBuf| fs::read_to_string(path).unwrap_or_default();
        let config = worktree::configuration(&text(common.join("config")));
        let exclude = text(common.join("info/exclude"));
        let index = Some(folder.join("index")).filter(|index| index.is_file() && !is_split(&folder));
        objects.is_dir().then(|| Git { head, reference, tags: tags(&common, &packed), objects, index, config, exclude })
    }

    /// What is tracked; nothing where the index cannot be read.
    pub fn tracked(&self) -> Option<Vec<worktree::Tracked>> {
        worktree::tracked(&fs::read(self.index.as_ref()?).ok()?, worktree::object_bytes(&self.config))
    }

    /// All of it as one text, for keys.
    pub fn text(&self) -> String {
        let (name, commit) = self.reference.as_ref().map_or(("", ""), |(name, commit)| (name, commit));
        let (head, tags, config, exclude) = (self.head.trim_end(), &self.tags, &self.config, &self.exclude);
        format!("{head}\n{name} {commit}\n{tags}\n{config}\n{exclude}")
    }

    /// The commit, where HEAD leads to one.
    pub fn commit(&self) -> &str {
        self.reference.as_ref().map_or(self.head.trim(), |(_, commit)| commit)
    }
}

/// The checkout's git folder: in it, or for a worktree or submodule where its file says.
fn folder(root: &Path) -> Option<PathBuf> {
    let mut at = root.join(GIT);
    for _ in 0..DEPTH {
        if at.is_dir() {
            return Some(at);
        }
        let text = fs::read_to_string(&at).ok()?;
        at = at.parent()?.join(text.strip_prefix("gitdir:")?.trim());
    }
    None
}

/// Whether an index has a second half beside it.
fn is_split(folder: &Path) -> bool {
    let mut entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    entries.any(|entry| entry.file_name().to_string_lossy().starts_with("sharedindex."))
}

/// A reference's name leads nowhere else.
fn is_plain(name: &str) -> bool {
    name.starts_with("refs/") && Path::new(name).components().all(|one| matches!(one, Component::Normal(_)))
}

fn in_packed(packed: &str, name: &str) -> Option<String> {
    packed
        .lines()
        .find_map(|line| line.split_once(' ').filter(|(_, named)| *named == name))
        .map(|(commit, _)| commit.to_owned())
}

fn tags(common: &Path, packed: &str) -> String {
    let mut found = std::collections::BTreeMap::new();
    for (commit, name) in packed.lines().filter_map(|line| line.split_once(' ')) {
        if name.starts_with("refs/tags/") && is_plain(name) {
            found.insert(name.to_owned(), commit.to_owned());
        }
    }
    let mut open = vec![(common.join("refs/tags"), "refs/tags".to_owned(), DEPTH)];
    while let Some((folder, name, depth)) = open.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten().take(TAGS) {
            let Some(name) = entry.file_name().to_str().map(|last| format!("{name}/{last}")) else { continue };
            match entry.file_type() {
                Ok(kind) if kind.is_dir() && depth > 0 => open.push((entry.path(), name, depth - 1)),
                Ok(kind) if kind.is_file() => {
                    let commit = fs::read_to_string(entry.path()).unwrap_or_default();
                    found.insert(name, commit.trim().to_owned());
                }
                _ => {}
            }
        }
    }
    found.iter().take(TAGS).map(|(name, commit)| format!("{commit} {name}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        fs::write(path, text).expect("a file");
    }

    #[test]
    fn the_commit_is_found_loose_packed_and_from_a_worktree() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path().join("main");
        assert_eq!(Git::of(&root), None);
        write(&root, ".git/HEAD", "ref: refs/heads/a\n");
        write(&root, ".git/objects/x", "");
        write(&root, ".git/packed-refs", "# pack-refs\n11 refs/heads/a\n22 refs/tags/v1\n^33\n");
        assert_eq!(Git::of(&root).expect("a repository").commit(), "11");
        write(&root, ".git/refs/heads/a", "44\n");
        write(&root, ".git/refs/tags/v2", "55\n");
        let git = Git::of(&root).expect("a repository");
        assert_eq!((git.commit(), git.tags.as_str()), ("44", "22 refs/tags/v1\n55 refs/tags/v2\n"));
        let tree = folder.path().join("tree");
        write(&tree, ".git", &format!("gitdir: {}\n", root.join(".git/worktrees/t").display()));
        write(&root, ".git/worktrees/t/HEAD", "66\n");
        write(&root, ".git/worktrees/t/commondir", "../..\n");
        let git = Git::of(&tree).expect("a worktree");
        assert_eq!((git.commit(), git.reference.is_none()), ("66", true));
        write(&root, ".git/HEAD", "ref: refs/../../../etc/passwd\n");
        assert_eq!(Git::of(&root).expect("a repository").reference, None);
    }
}
