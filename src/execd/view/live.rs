//! A view of the person's own checkout as it is now, for vx's own actions on the own socket: what
//! of it is shown, what is hidden, which folders are watched. How it is mounted is `sandbox`'s,
//! what is opened `seen`'s.

use std::{
    collections::HashSet,
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Component, Path, PathBuf},
};

use shared::{
    checkout::{GIT, Git, Scope},
    limits,
};

use super::ViewError;
use crate::{
    host,
    observed::Seen,
    sandbox::{Access, Layer, Live, Mount},
    stage::StageError,
};

/// Where it is shown.
pub const AT: &str = "/vx/ws";
/// What its actions' outputs are searched for: how it and the OUT_DIRs of scripts begin, as far as optimised code keeps that
/// together.
pub const PLACES: [&str; 1] = ["/vx/"];

/// What an Action asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The workspace's root.
    pub root: PathBuf,
    /// Its target folder.
    pub target_dir: PathBuf,
}

/// A checkout, looked at.
#[derive(Debug)]
pub struct Checkout {
    /// Below its root; the root is empty.
    pub folders: Vec<String>,
    hidden: Vec<PathBuf>,
    /// Whether a link in it names it by its own place.
    names_itself: bool,
}

/// A folder of ours that stands for the target folder, in which other things are to be shown.
#[derive(Clone, Debug)]
pub struct StandIn {
    /// Empty.
    pub folder: PathBuf,
    /// Below the target folder.
    pub places: Vec<PathBuf>,
}

/// A checkout in a view.
#[derive(Clone, Debug)]
pub struct Shown {
    /// What was asked for.
    pub asked: Asked,
    /// Read-only or writable.
    pub access: Access,
    /// Whether a link in it names it by its own place.
    pub names_itself: bool,
    /// Folders to watch, below its root.
    pub folders: Vec<String>,
    /// Folders of copies to watch, with the names they stand for.
    pub beside: Vec<(PathBuf, String)>,
}

/// Where a way from the checkout's root leads in the view.
pub fn at(way: &Path) -> PathBuf {
    joined(Path::new(AT), way)
}

/// A way from a folder, by the text alone.
fn joined(folder: &Path, way: &Path) -> PathBuf {
    let mut path = folder.to_owned();
    for part in way.components() {
        match part {
            Component::ParentDir => drop(path.pop()),
            Component::Normal(name) => path.push(name),
            _ => {}
        }
    }
    path
}

/// Reads the properties.
pub fn asked(root: &str, target_dir: Option<&str>) -> Result<Asked, ViewError> {
    let plain = |path: &str| {
        let path = Path::new(path);
        let normal = path.components().skip(1).all(|one| matches!(one, Component::Normal(_)));
        (path.is_absolute() && normal && path.parent().is_some()).then(|| path.to_owned())
    };
    let target_dir = target_dir.unwrap_or("/vx/target");
    match (plain(root), plain(target_dir)) {
        (Some(root), Some(target_dir)) => Ok(Asked { root, target_dir }),
        _ => Err(ViewError::Invalid(format!(
            "the platform properties vx-live={root}, vx-live-target={target_dir} are no folders"
        ))),
    }
}

/// The mounts that show it, and what is to be watched. `copy` is an empty folder for git.
pub fn show(
    asked: Asked,
    access: Access,
    copy: &Path,
    target: Option<StandIn>,
) -> Result<(Vec<Mount>, Shown), ViewError> {
    let refuse = |why: String| ViewError::Precondition(format!("vx-live={}: {why}", asked.root.display()));
    let meta = fs::symlink_metadata(&asked.root).map_err(|err| refuse(err.to_string()))?;
    if !meta.is_dir() {
        return Err(refuse("not a folder".to_owned()));
    }
    if meta.uid() != rustix::process::geteuid().as_raw() {
        return Err(refuse("it belongs to another user".to_owned()));
    }
    let Checkout { folders, hidden, names_itself } = asked.look().map_err(|err| refuse(err.to_string()))?;
    let below = asked.target_dir.strip_prefix(&asked.root).ok();
    let target = target.zip(below);
    let hidden = hidden.iter().filter(|path| target.is_none() || **path != asked.target_dir);
    let hidden = hidden.filter_map(|path| path.strip_prefix(&asked.root).ok()).map(host::text);
    let layer = if has_mounts(&asked.root) { Layer::Shared } else { Layer::Own };
    let (from, hidden) = (host::text(&asked.root), hidden.collect());
    let mut live = Live { from, at: AT.into(), access, hidden, made: Vec::new(), layer };
    let is_shown = |_: &Git| layer == Layer::Own || asked.root.join(GIT).is_dir();
    let git = Git::of(&asked.root).filter(is_shown);
    if git.is_none() && fs::symlink_metadata(asked.root.join(GIT)).is_ok() {
        live.hidden.push(GIT.into());
    } else if git.is_some() && !asked.root.join(GIT).is_dir() {
        live.made.push(GIT.into());
    }
    live.made.extend(target.iter().map(|(_, below)| host::text(below)));
    let mut mounts = vec![Mount::Live(live)];
    if let Some((target, below)) = &target {
        for place in &target.places {
            let at = target.folder.join(place);
            fs::create_dir_all(&at).map_err(StageError::io(&at))?;
        }
        mounts.push(host::read_only(&target.folder, &Path::new(AT).join(below)));
    }
    let mut beside = Vec::new();
    if let Some(git) = git {
        let folders = lay_git(&git, copy).map_err(StageError::io(Path::new(GIT)))?;
        let at = Path::new(AT).join(GIT);
        mounts.push(host::read_only(copy, &at));
        mounts.push(host::read_only(&git.objects, &at.join("objects")));
        beside = folders;
    }
    Ok((mounts, Shown { asked, access, names_itself, folders, beside }))
}

/// Whether something is mounted inside a folder: a target folder on a disk of its own.
fn has_mounts(root: &Path) -> bool {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let root = format!("{}/", root.display());
    // The fifth field, with blanks and the like as octal numbers.
    let escaped = root.replace('\\', "\\134").replace(' ', "\\040").replace('\t', "\\011").replace('\n', "\\012");
    table.lines().filter_map(|line| line.split(' ').nth(4)).any(|at| at.starts_with(&escaped))
}

/// git's folder with nothing in it but what is shown, laid at `at`; its folders but for the
/// objects', with the names they are reported by.
fn lay_git(git: &Git, at: &Path) -> io::Result<Vec<(PathBuf, String)>> {
    let fixed = ["", "info", "logs", "refs", "refs/heads", "refs/tags"];
    let mut folders: Vec<PathBuf> = fixed.into_iter().map(PathBuf::from).collect();
    let mut packed = git.tags.clone();
    if let Some((name, commit)) = &git.reference {
        packed.push_str(&format!("{commit} {name}\n"));
        let parents = Path::new(name).ancestors().skip(1).filter(|parent| parent.starts_with("refs/heads"));
        folders.extend(parents.filter(|parent| *parent != Path::new("refs/heads")).map(Path::to_owned));
    }
    folders.sort();
    for folder in folders.iter().skip(1) {
        fs::create_dir(at.join(folder))?;
    }
    fs::create_dir(at.join("objects"))?;
    fs::write(at.join("HEAD"), &git.head)?;
    fs::write(at.join("packed-refs"), packed)?;
    fs::write(at.join("config"), &git.config)?;
    fs::write(at.join("info/exclude"), &git.exclude)?;
    // Macros name it as what changes with each commit. What it says is of this clone and of times.
    fs::write(at.join("logs/HEAD"), "")?;
    if let Some(index) = &git.index {
        // git takes what is as young as the index for changed, so that the index must keep its time.
        lay_index(index, &at.join("index")).unwrap_or_else(|err| {
            tracing::warn!(%err, index = %index.display(), "the index cannot be shown; git calls every file removed");
        });
    }
    if let Some((name, commit)) = git.reference.as_ref().filter(|(name, _)| name.starts_with("refs/heads/")) {
        fs::write(at.join(name), format!("{commit}\n"))?;
    }
    let named = |folder: &PathBuf| Path::new(GIT).join(folder).to_string_lossy().trim_end_matches('/').to_owned();
    Ok(folders.into_iter().map(|folder| (at.join(&folder), named(&folder))).collect())
}

/// By a link where that is possible: it may be large, and nearly no action opens it. git writes another file in its place.
fn lay_index(index: &Path, at: &Path) -> io::Result<()> {
    if fs::hard_link(index, at).is_ok() {
        return Ok(());
    }
    let modified = fs::metadata(index)?.modified()?;
    fs::copy(index, at)?;
    fs::File::options().write(true).open(at)?.set_modified(modified)
}

impl Asked {
    /// What lies beside the checkout, by the ways from its root, where those lead in the view. What is
    /// not there cannot be read: the key says so too.
    pub fn beside(&self, ways: &[PathBuf]) -> Vec<Mount> {
        let there = ways.iter().filter_map(|way| Some((fs::canonicalize(joined(&self.root, way)).ok()?, at(way))));
        let mut there: Vec<(PathBuf, PathBuf)> = there.collect();
        // What holds another comes first, or it would cover it.
        there.sort_by_key(|(_, at)| at.components().count());
        there.iter().map(|(real, at)| host::read_only(real, at)).collect()
    }

    /// Walks the folders of the checkout.
    pub fn look(&self) -> io::Result<Checkout> {
        let scope = Scope { root: &self.root, target_dir: &self.target_dir };
        let (mut folders, mut hidden, mut names_itself) = (Vec::new(), Vec::new(), false);
        let mut open = vec![(self.root.clone(), String::new())];
        while let Some((path, below)) = open.pop() {
            let entries = match fs::read_dir(&path) {
                Ok(entries) => entries,
                // What this user cannot list, the action cannot either.
                Err(_) if !below.is_empty() => continue,
                Err(err) => return Err(err),
            };
            for entry in entries {
                let entry = entry?;
                let (path, kind) = (entry.path(), entry.file_type()?);
                let name = entry.file_name();
                if below.is_empty() && name == GIT {
                    continue;
                }
                if !kind.is_dir() {
                    if scope.hides_file(&path) {
                        hidden.push(path);
                    } else if kind.is_symlink() && !names_itself {
                        names_itself = fs::read_link(&path).is_ok_and(|target| target.starts_with(&self.root));
                    }
                    continue;
                }
                match name.to_str() {
                    Some(name) if !scope.hides_folder(&path) => {
                        let below = if below.is_empty() { name.to_owned() } else { format!("{below}/{name}") };
                        open.push((path, below));
                    }
                    _ => hidden.push(path),
                }
            }
            folders.push(below);
            if folders.len() > limits::WATCHED_FOLDERS {
                return Err(io::Error::other(format!("more than {} folders", limits::WATCHED_FOLDERS)));
            }
        }
        Ok(Checkout { folders, hidden, names_itself })
    }
}

impl Shown {
    /// After the run: says of what was seen when it may lack something.
    pub async fn complete(&self, seen: &mut Seen) {
        let shown = self.clone();
        let appeared = tokio::task::spawn_blocking(move || shown.appeared()).await;
        if let Ok(Some(folder)) = appeared {
            seen.unseen.get_or_insert_with(|| format!("the folder {folder} appeared during the run"));
        }
    }

    /// A folder that is there now and was not when the watches were set, if there is one: what is
    /// in it could be opened unseen.
    fn appeared(&self) -> Option<String> {
        let known: HashSet<&String> = self.folders.iter().collect();
        let now = self.asked.look().ok()?.folders;
        now.into_iter().find(|folder| !known.contains(folder))
    }
}
