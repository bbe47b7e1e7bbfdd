//! What an action may see of a live checkout, said once for the executor that shows it and for the
//! daemon that keys it: everything but target folders and git's folders, and of the checkout's own
//! git folder the commit and the index. Reads files, changes nothing.

pub mod worktree;

use std::{
    fs,
    path::{Component, Path, PathBuf},
};

/// One file of git's folder: an index of some millions of files.
const GIT_BYTES: u64 = 512 << 20;
/// git's folder, or the file that leads to it.
pub const GIT: &str = ".git";
/// The file by which a target folder (and any other cache) says what it is.
const CACHE_TAG: &str = "CACHEDIR.TAG";
/// Tags that are shown; who has more describes commits by other means.
const TAGS: usize = 10_000;
/// Folders of tags within each other.
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
    /// What the checkout's root holds of git; nothing where that makes no sense. No link is followed, and a folder
    /// elsewhere has to say that it is this checkout's: what came with a checkout would else show scripts any file.
    pub fn of(root: &Path) -> Option<Git> {
        let (folder, common) = folders(root)?;
        let packed = text(&common, "packed-refs").unwrap_or_default();
        let head = text(&folder, "HEAD").filter(|head| head.starts_with("ref:") || is_object(head.trim()))?;
        let reference = head.strip_prefix("ref:").map(str::trim).filter(|name| is_plain(name)).and_then(|name| {
            let commit = [&folder, &common].into_iter().find_map(|at| text(at, name));
            let commit = commit.map(|text| text.trim().to_owned()).or_else(|| in_packed(&packed, name))?;
            is_object(&commit).then(|| (name.to_owned(), commit))
        });
        let objects = own(&common, "objects").filter(|objects| objects.is_dir())?;
        let config = worktree::configuration(&text(&common, "config").unwrap_or_default());
        let exclude = text(&common, "info/exclude").unwrap_or_default();
        let index = own(&folder, "index").filter(|index| is_readable(index) && !is_split(&folder));
        Some(Git { head, reference, tags: tags(&common, &packed), objects, index, config, exclude })
    }

    /// What is tracked; nothing where there is no index, or none of a known form.
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

/// The checkout's git folder, and the one that it shares with others. For a worktree or a submodule the file says
/// where, and what lies there says whose it is.
fn folders(root: &Path) -> Option<(PathBuf, PathBuf)> {
    let at = fs::canonicalize(root).ok()?.join(GIT);
    if fs::symlink_metadata(&at).ok()?.is_dir() {
        return Some((at.clone(), at));
    }
    let named = text(at.parent()?, GIT)?;
    let folder = fs::canonicalize(at.parent()?.join(named.strip_prefix("gitdir:")?.trim())).ok()?;
    let leads = |from: &str| fs::canonicalize(folder.join(from.trim())).ok();
    let common = text(&folder, "commondir").and_then(|text| leads(&text));
    if let Some(common) = common {
        let is_ours = text(&folder, "gitdir").and_then(|text| leads(&text)) == Some(at);
        return (is_ours && folder.starts_with(common.join("worktrees"))).then_some((folder, common));
    }
    let config = text(&folder, "config")?;
    let mut pairs = config.lines().filter_map(|line| line.split_once('='));
    let worktree = pairs.find(|(key, _)| key.trim().eq_ignore_ascii_case("worktree"));
    let is_ours = worktree.and_then(|(_, value)| leads(value)).as_deref() == at.parent();
    is_ours.then(|| (folder.clone(), folder))
}

/// What lies below a folder, where no link is on the way.
fn own(folder: &Path, below: &str) -> Option<PathBuf> {
    let named = fs::canonicalize(folder).ok()?.join(below);
    fs::canonicalize(&named).ok().filter(|real| *real == named)
}

fn text(folder: &Path, below: &str) -> Option<String> {
    own(folder, below).filter(|path| is_readable(path)).and_then(|path| fs::read_to_string(path).ok())
}

/// A file that ends: what came with a checkout may be a pipe or a device.
fn is_readable(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|meta| meta.is_file() && meta.len() <= GIT_BYTES)
}

/// Whether this may be an object's name.
fn is_object(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
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
        if name.starts_with("refs/tags/") && is_plain(name) && is_object(commit) {
            found.insert(name.to_owned(), commit.to_owned());
        }
    }
    let top = own(common, "refs/tags").into_iter();
    let mut open: Vec<_> = top.map(|folder| (folder, "refs/tags".to_owned(), DEPTH)).collect();
    while let Some((folder, name, depth)) = open.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten().take(TAGS) {
            let Some(name) = entry.file_name().to_str().map(|last| format!("{name}/{last}")) else { continue };
            match entry.file_type() {
                Ok(kind) if kind.is_dir() && depth > 0 => open.push((entry.path(), name, depth - 1)),
                Ok(kind) if kind.is_file() => {
                    let commit = fs::read_to_string(entry.path()).unwrap_or_default();
                    let commit = commit.trim();
                    if is_object(commit) {
                        found.insert(name, commit.to_owned());
                    }
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
        write(&root, ".git/worktrees/t/gitdir", &format!("{}\n", tree.join(".git").display()));
        write(&root, ".git/worktrees/t/commondir", "../..\n");
        let git = Git::of(&tree).expect("a worktree");
        assert_eq!((git.commit(), git.reference.is_none()), ("66", true));
        write(folder.path(), "stranger/.git", &format!("gitdir: {}\n", root.join(".git/worktrees/t").display()));
        assert_eq!(Git::of(&folder.path().join("stranger")), None, "it is another's");
        write(&root, ".git/modules/s/HEAD", "77\n");
        write(&root, ".git/modules/s/objects/x", "");
        write(&root, ".git/modules/s/config", "[core]\n\tworktree = ../../../s\n");
        write(&root, "s/.git", "gitdir: ../.git/modules/s\n");
        assert_eq!(Git::of(&root.join("s")).expect("a submodule").commit(), "77");
        write(&root, "t/.git", "gitdir: ../.git/modules/s\n");
        assert_eq!(Git::of(&root.join("t")), None, "it is another's");
        write(&root, ".git/HEAD", "ref: refs/../../../etc/passwd\n");
        assert_eq!(Git::of(&root).expect("a repository").reference, None);
    }

    #[test]
    fn links_in_gits_folder_show_nothing() {
        use std::os::unix::fs::symlink;
        let folder = tempfile::tempdir().expect("a folder");
        let (root, secret) = (folder.path().join("ws"), folder.path().join("secret"));
        write(folder.path(), "secret/file", "5ec4e7\n");
        write(&root, ".git/HEAD", "ref: refs/heads/file\n");
        write(&root, ".git/objects/x", "");
        fs::create_dir_all(root.join(".git/refs")).expect("a folder");
        for (target, link) in [("", "refs/heads"), ("", "refs/tags"), ("file", "index"), ("file", "packed-refs")] {
            symlink(secret.join(target), root.join(".git").join(link)).expect("a link");
        }
        symlink(&secret, root.join(".git/info")).expect("a link");
        fs::rename(secret.join("file"), secret.join("exclude")).expect("a file");
        symlink(secret.join("exclude"), secret.join("file")).expect("a link");
        let git = Git::of(&root).expect("a repository");
        assert!(!git.text().contains("5ec4e7") && git.index.is_none(), "{git:?}");
        fs::remove_file(root.join(".git/HEAD")).expect("a file");
        symlink(secret.join("exclude"), root.join(".git/HEAD")).expect("a link");
        assert_eq!(Git::of(&root), None);
        symlink(root.join(".git"), folder.path().join("secret/.git")).expect("a link");
        assert_eq!(Git::of(&secret), None);
        fs::remove_file(root.join(".git/HEAD")).expect("a link");
        rustix::fs::mknodat(rustix::fs::CWD, root.join(".git/HEAD"), rustix::fs::FileType::Fifo, 0o600.into(), 0)
            .expect("a pipe");
        assert_eq!(Git::of(&root), None, "a pipe is not waited for");
    }
}
