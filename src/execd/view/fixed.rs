//! vx's own actions: the input root is `/`, and each of its folders is shown from the stage cache
//! where the client put it. Folders are found by descending through directories that hold only
//! directories, so that a crate is staged once for everybody who shows it.

use std::{
    collections::BTreeSet,
    path::{Component, Path, PathBuf},
};

use shared::{config::Rung, digest::Digest};

use super::{Command, Place, Sources, View, ViewError, granted::Granted, live, paths};
use crate::{
    beneath,
    folder::Own,
    host,
    sandbox::{Access, Mount, Root},
    stage::{Directories, Lease, StageError},
};

/// Everything of vx's lies below this.
const TOP: &str = "vx";
/// Where the toolchain is.
const TOOLCHAIN: &str = "/vx/toolchain";
/// Where nothing of the person's is shown.
const OWN: [&str; 4] = ["/vx", "/proc", "/dev", "/sys"];
/// How deep staged folders begin at most: `vx/crates/NAME-VERSION`.
const DEPTH: usize = 3;

/// A folder of the input root, staged as one.
#[derive(Debug, PartialEq, Eq)]
pub struct Part {
    /// Without a leading slash.
    pub at: PathBuf,
    /// Its Directory.
    pub digest: Digest,
}

/// What is shown beside the input root.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a> {
    /// The identity of the toolchain.
    pub toolchain: Option<&'a str>,
    /// The identity of the host's tools.
    pub host: Option<&'a str>,
    /// Second places of folders below /vx.
    pub places: &'a [(PathBuf, PathBuf)],
    /// The live checkout.
    pub live: Option<&'a live::Asked>,
    /// What exceptions give it.
    pub granted: &'a Granted,
    /// Where it runs.
    pub rung: Rung,
}

/// Reads a `vx-place`: a folder below /vx, and where else it is shown.
pub fn place(pair: &str) -> Result<(PathBuf, PathBuf), ViewError> {
    let plain =
        |path: &Path| path.is_absolute() && path.components().skip(1).all(|one| matches!(one, Component::Normal(_)));
    let (from, to) = pair.split_once(':').map_or(("", ""), |pair| pair);
    let (from, to) = (Path::new(from), Path::new(to));
    let own = OWN.iter().any(|own| to.starts_with(own));
    if !from.starts_with("/vx")
        || from == Path::new("/vx")
        || !plain(from)
        || !plain(to)
        || to.parent().is_none()
        || own
    {
        return Err(ViewError::Invalid(format!("the platform property vx-place={pair} is no pair of places")));
    }
    Ok((from.to_owned(), to.to_owned()))
}

/// Makes the view.
pub async fn make(
    sources: &Sources,
    Shown { toolchain, host, places: second, live, granted, rung }: Shown<'_>,
    command: &Command,
    root: Digest,
) -> Result<View, ViewError> {
    let (seen, parts) = parts(sources, root).await?;
    let mut own = Vec::new();
    let mut mounts = vec![Mount::Dir("/vx/home".into()), Mount::Dir(host::text(&Path::new("/").join(&command.cwd)))];
    if let Some(identity) = host {
        knows_host(sources, identity)?;
        mounts.extend(sources.host.mounts(granted.names()));
    }
    if let Some(identity) = toolchain {
        let path = toolchain_path(sources, identity)?;
        mounts.push(host::read_only(&path, Path::new(TOOLCHAIN)));
        // What says where it is embeds that place.
        let again = second.iter().filter(|(from, to)| from == Path::new(TOOLCHAIN) && *to == path);
        own.extend(again.map(|(_, to)| host::read_only(&path, to)));
    }
    mounts.extend([Mount::Proc, Mount::Devices]);

    let scratch = sources.own()?;
    let mut writable = writable(&command.outputs, &parts)?;
    let live = match live {
        Some(asked) => Some(show_live(asked, &parts, &mut writable, &scratch, second).await?),
        None => None,
    };
    let places = lay_writable(sources, &writable, &parts, &seen, &scratch).await?;
    make_out_dir(command, &places)?;
    mounts.extend(places.iter().rev().map(|place| host::writable(&place.dir, &place.at)));
    let tmp = scratch.make("tmp").map_err(StageError::io(Path::new("/tmp")))?;
    mounts.push(host::writable(&tmp, Path::new("/tmp")));
    mounts.extend(own);
    let live = live.map(|(laid, shown)| {
        mounts.extend(laid);
        let again = second.iter().filter(|(from, _)| from.starts_with(live::AT));
        mounts.extend(link_home(&shown, second));
        mounts.extend(shown.asked.beside(&granted.beside));
        let access = shown.access;
        mounts.extend(again.map(|(from, to)| Mount::Again { from: host::text(from), at: host::text(to), access }));
        shown
    });

    mounts.extend(written_again(&places, second)?);
    let mut leases: Vec<Lease> = Vec::with_capacity(parts.len());
    for part in parts.iter().filter(|part| !writable.contains(&part.at)) {
        let lease = sources.stage.directory(part.digest, &seen).await?;
        let at = Path::new("/").join(&part.at);
        mounts.push(host::read_only(lease.path(), &at));
        for (from, to) in second {
            mounts.extend(second_place(&at, lease.path(), from, to));
        }
        leases.push(lease);
    }
    mounts.extend(granted.mounts(rung)?);
    let root = Root::Empty(host::text(&sources.root));
    let cwd = Path::new("/").join(&command.cwd);
    Ok(View { live, granted: granted.clone(), _leases: leases, ..View::new(root, mounts, cwd, places, scratch) })
}

/// A checkout with links that name it by its own place is found there.
fn link_home(shown: &live::Shown, second: &[(PathBuf, PathBuf)]) -> Option<Mount> {
    let root = &shown.asked.root;
    let taken = second.iter().any(|(_, to)| to.starts_with(root) || root.starts_with(to));
    let fits = !taken && !host::SHOWN.iter().chain(&OWN).any(|folder| root.starts_with(folder));
    (shown.names_itself && fits).then(|| Mount::Link { at: host::text(root), to: live::AT.into() })
}

/// The live checkout takes the place of such a part; what is written there goes to its own memory.
async fn show_live(
    asked: &live::Asked,
    parts: &[Part],
    writable: &mut BTreeSet<PathBuf>,
    scratch: &Own,
    second: &[(PathBuf, PathBuf)],
) -> Result<(Vec<Mount>, live::Shown), ViewError> {
    let inside = |path: &Path| Path::new("/").join(path).starts_with(live::AT);
    if parts.iter().any(|part| inside(&part.at)) {
        return Err(ViewError::Invalid(format!("vx-live goes without inputs in {}", live::AT)));
    }
    let before = writable.len();
    writable.retain(|path| !inside(path));
    let access = if writable.len() < before { Access::Writable } else { Access::ReadOnly };
    let git = scratch.make("git").map_err(StageError::io(Path::new(live::AT)))?;
    let places: Vec<PathBuf> =
        second.iter().filter_map(|(_, to)| Some(to.strip_prefix(&asked.target_dir).ok()?.to_owned())).collect();
    let target = if places.is_empty() {
        None
    } else {
        let folder = scratch.make("target").map_err(StageError::io(Path::new(live::AT)))?;
        Some(live::StandIn { folder, places })
    };
    let asked = asked.clone();
    let shown = tokio::task::spawn_blocking(move || live::show(asked, access, &git, target)).await;
    shown.map_err(|err| ViewError::Precondition(format!("vx-live: {err}")))?
}

/// A folder that is written, below `from`, at `to` too.
fn written_again(places: &[Place], second: &[(PathBuf, PathBuf)]) -> Result<Vec<Mount>, ViewError> {
    let mut mounts = Vec::new();
    for (from, to) in second {
        let found = places.iter().find_map(|place| Some((place, from.strip_prefix(&place.at).ok()?)));
        let Some((place, below)) = found else { continue };
        let made = beneath::root(&place.dir).and_then(|root| beneath::make_directories(&root, below));
        made.map_err(|err| ViewError::Invalid(format!("vx-place={}: {err}", from.display())))?;
        mounts.push(host::writable(&place.dir.join(below), to));
    }
    Ok(mounts)
}

/// A part that lies below `from` below `to` too; of a part that holds `from`, that folder of it.
fn second_place(at: &Path, staged: &Path, from: &Path, to: &Path) -> Option<Mount> {
    match (at.strip_prefix(from), from.strip_prefix(at)) {
        // Not joined when empty: that would add a slash.
        (Ok(below), _) if below == Path::new("") => Some(host::read_only(staged, to)),
        (Ok(below), _) => Some(host::read_only(staged, &to.join(below))),
        (_, Ok(inner)) => Some(host::read_only(&staged.join(inner), to)),
        _ => None,
    }
}

/// The folders of an input root.
pub async fn parts(sources: &Sources, root: Digest) -> Result<(Directories, Vec<Part>), ViewError> {
    let seen = sources.stage.top(root, DEPTH).await?;
    let mut parts = Vec::new();
    parts_below(&seen, root, Path::new(""), 0, &mut parts)?;
    Ok((seen, parts))
}

/// Refuses C tools that are not the host's.
pub fn knows_host(sources: &Sources, identity: &str) -> Result<(), ViewError> {
    let known = sources.toolchains.knows_host(identity);
    known.then_some(()).ok_or_else(|| changed("vx-host", identity))
}

/// Where the toolchain lies.
pub fn toolchain_path(sources: &Sources, identity: &str) -> Result<PathBuf, ViewError> {
    sources.toolchains.path(identity).ok_or_else(|| changed("vx-toolchain", identity))
}

/// The daemon takes these words as "identify again and retry".
fn changed(property: &str, identity: &str) -> ViewError {
    ViewError::Precondition(format!("toolchain: {property}={identity} is not known here, or has changed"))
}

fn parts_below(
    seen: &Directories,
    digest: Digest,
    at: &Path,
    level: usize,
    parts: &mut Vec<Part>,
) -> Result<(), ViewError> {
    let directory = seen.get(&digest).ok_or_else(|| StageError::Missing(vec![digest]))?;
    let only_directories = directory.files.is_empty() && directory.links.is_empty();
    let empty = only_directories && directory.folders.is_empty();
    if level > 0 && (level == DEPTH || !only_directories || empty) {
        parts.push(Part { at: at.to_owned(), digest });
        return Ok(());
    }
    let fits = only_directories && (level > 0 || directory.folders.iter().all(|(name, _)| name == TOP));
    if !fits {
        return Err(ViewError::Invalid(format!(
            "the input root of an Action with vx-key holds {TOP}/ and nothing else"
        )));
    }
    for (name, child) in &directory.folders {
        parts_below(seen, *child, &at.join(name), level + 1, parts)?;
    }
    Ok(())
}

/// The folders that have to be writable: the parents of outputs, or the whole part of the input
/// root that such a parent lies in. None of them lies in another.
pub fn writable(outputs: &[paths::Output], parts: &[Part]) -> Result<BTreeSet<PathBuf>, ViewError> {
    let mut wanted = BTreeSet::new();
    for output in outputs {
        let parent = output.path.parent().unwrap_or(Path::new(""));
        if parent.components().count() < 2 || !parent.starts_with(TOP) {
            let what = &output.declared;
            return Err(ViewError::Invalid(format!("the output {what:?} is not in a folder of its own below /{TOP}")));
        }
        let inside = parts.iter().find(|part| parent.starts_with(&part.at));
        wanted.insert(inside.map_or(parent, |part| &part.at).to_owned());
    }
    let outer = |path: &&PathBuf| !path.ancestors().skip(1).any(|above| wanted.contains(above));
    Ok(wanted.iter().filter(outer).cloned().collect())
}

async fn lay_writable(
    sources: &Sources,
    writable: &BTreeSet<PathBuf>,
    parts: &[Part],
    seen: &Directories,
    scratch: &Own,
) -> Result<Vec<Place>, ViewError> {
    let mut places = Vec::with_capacity(writable.len());
    for (number, at) in writable.iter().enumerate() {
        let dir = scratch.make(&number.to_string()).map_err(StageError::io(at))?;
        if let Some(part) = parts.iter().find(|part| part.at == *at) {
            sources.stage.copy(part.digest, seen, &dir).await?;
        }
        places.push(Place { at: Path::new("/").join(at), dir });
    }
    places.reverse();
    Ok(places)
}

/// cargo makes a script's OUT_DIR before it runs the script.
pub fn make_out_dir(command: &Command, places: &[Place]) -> Result<(), ViewError> {
    let named = command.environment.iter().find(|(name, _)| name == "OUT_DIR");
    let Some(out_dir) = named.map(|(_, value)| Path::new(value)) else { return Ok(()) };
    let Some((place, below)) = places.iter().find_map(|place| Some((place, out_dir.strip_prefix(&place.at).ok()?)))
    else {
        return Ok(());
    };
    let made = beneath::root(&place.dir).and_then(|root| beneath::make_directories(&root, below));
    made.map(drop).map_err(|err| ViewError::Invalid(format!("OUT_DIR={} cannot be made: {err}", out_dir.display())))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use shared::{
        digest::Function,
        reapi::{
            folder::Folder,
            tree::{DirectoryBuilder, Mode},
        },
    };

    use super::*;

    fn parts_of(tree: &DirectoryBuilder) -> Result<Vec<String>, ViewError> {
        let built = tree.build(Function::Blake3);
        let read = |bytes: &[u8]| Arc::new(Folder::read(Function::Blake3, bytes).expect("it was just made"));
        let seen = built.directories.iter().map(|(digest, bytes)| (*digest, read(bytes))).collect();
        let mut parts = Vec::new();
        parts_below(&seen, built.root, Path::new(""), 0, &mut parts)?;
        Ok(parts.iter().map(|part| part.at.display().to_string()).collect())
    }

    fn tree(files: &[&str]) -> DirectoryBuilder {
        let mut tree = DirectoryBuilder::new();
        for path in files {
            tree.file(path, Digest::of(Function::Blake3, path.as_bytes()), Mode::Plain).expect("a new name");
        }
        tree
    }

    #[test]
    fn each_crate_is_a_part_of_its_own() {
        let mut tree = tree(&[
            "vx/ws/Cargo.toml",
            "vx/ws/src/main.rs",
            "vx/crates/a-1.0.0/src/lib.rs",
            "vx/crates/b-2.0.0/lib.rs",
        ]);
        tree.directory("vx/build/x-1/out").expect("a new name");
        let parts = parts_of(&tree).expect("vx's own layout");
        assert_eq!(parts, ["vx/build/x-1", "vx/crates/a-1.0.0", "vx/crates/b-2.0.0", "vx/ws"]);
        for files in [&["x"][..], &["vx/x"], &["etc/passwd", "vx/ws/x"]] {
            assert!(
                matches!(parts_of(&self::tree(files)), Err(ViewError::Invalid(_))) || files == ["vx/x"],
                "{files:?}"
            );
        }
    }

    #[test]
    fn parents_of_outputs_are_writable_and_nothing_else() {
        let read = |declared: &[&str]| {
            let declared = declared.iter().map(|path| ((*path).to_owned(), paths::Kind::Any));
            paths::outputs(Path::new("vx/ws"), declared).expect("within the root")
        };
        let outputs = read(&["../out/liba.rlib", "../out/a.d", "../build/a-1/out"]);
        let part = |at: &str| Part { at: at.into(), digest: Digest::empty(Function::Blake3) };
        let found = writable(&outputs, &[part("vx/ws"), part("vx/build/a-1")]).expect("below /vx");
        assert_eq!(found.into_iter().collect::<Vec<_>>(), [Path::new("vx/build/a-1"), Path::new("vx/out")]);
        assert!(writable(&read(&["../x"]), &[]).is_err());
    }

    #[test]
    fn second_places_are_checked_and_found() {
        for bad in [
            "",
            "/vx/ws",
            "/vx/ws:x",
            "/vx/ws:/",
            "/vx/ws:/vx/y",
            "/etc:/home/me",
            "/vx/../etc:/home/me",
            "/vx/ws:/a/../b",
        ] {
            assert!(place(bad).is_err(), "{bad}");
        }
        let (from, to) = place("/vx/ws/a:/home/me/p: q/a").expect("a pair");
        assert_eq!((from.as_path(), to.as_path()), (Path::new("/vx/ws/a"), Path::new("/home/me/p: q/a")));
        let second = |at: &str| {
            let mount = second_place(Path::new(at), Path::new("/stage/x"), &from, &to);
            mount.map(|mount| format!("{mount:?}")).unwrap_or_default()
        };
        let shown = |staged: &str| format!("{:?}", host::read_only(Path::new(staged), Path::new("/home/me/p: q/a")));
        assert_eq!(second("/vx/ws/a"), shown("/stage/x"));
        assert_eq!(second("/vx/ws"), shown("/stage/x/a"));
        assert_eq!(second("/vx/deps"), "");
    }
}
