//! Puts the outputs that the person asked for into their target folder: a reflink or copy beside
//! the place, or what the executor has just captured moved there, then a rename, under cargo's own
//! lock. What is there already is left alone.

mod folders;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs::{self, File},
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::{OpenOptionsExt, PermissionsExt},
    },
    path::{Path, PathBuf},
    sync::Arc,
};

pub use folders::{Mask, make_target};
use folders::{own_folders, write};
use rustix::fs::{FlockOperation, OFlags, flock};
use shared::{
    client::cas::Opened,
    digest::{Digest, Function},
    failpoint::{self, Point},
    fault::{Failure, Fault},
    reapi::tree::Mode,
};

use crate::{
    cargo::{
        call::Role,
        dep_info::DepInfo,
        files::text,
        messages::Messages,
        place::{self, LOCK, Placement, dep_info, macros, placements},
        plan::{Plan, Unit, UnitId},
    },
    documentation::{self, Pages, Sweep},
    out_dirs,
    output::Output,
    run::Runner,
    services::{Services, persist},
    sources::Hashes,
    streams::read_many,
};

/// Files from this size on are moved where that can be; below, a copy costs no more than to ask.
const MOVED_BYTES: u64 = 256 << 10;

/// Files that are held open until all is placed; more would take the daemon's descriptors.
const HELD_FILES: usize = 512;

/// A file to put somewhere.
pub struct Item {
    /// Where, absolute.
    pub path: PathBuf,
    /// What.
    pub digest: Digest,
    /// Whether it can be run.
    pub mode: Mode,
    /// The `.d` file that goes beside it, and its text.
    pub dep_info: Option<(PathBuf, String)>,
}

/// What programs want beside what was asked for.
pub struct More {
    /// Scripts' runs whose OUT_DIRs they look into, or may by a name that they hold.
    pub looked_into: BTreeSet<UnitId>,
    /// What the tests in documentation are compiled with.
    pub libraries: Vec<Placement>,
    pub mask: Mask,
}

impl More {
    /// Nothing.
    pub fn nothing(mask: Mask) -> Self {
        More { looked_into: BTreeSet::new(), libraries: Vec::new(), mask }
    }
}

/// Places everything that the plan's roots left, the OUT_DIRs that their programs look into, and
/// for a program that reads cargo's messages what those let it look into.
pub async fn place(
    services: &Services,
    hashes: &Arc<Hashes>,
    plan: &Plan,
    runner: &Runner<'_>,
    more: &More,
    output: &Output,
    messages: Messages,
) -> Result<(), Failure> {
    let (mut placed, mask) = (placements(plan), more.mask);
    if messages != Messages::Human {
        placed.extend(macros(plan));
    }
    for library in &more.libraries {
        if !placed.iter().any(|one| one.path == library.path) {
            placed.push(library.clone());
        }
    }
    for scratch in place::scratches(plan) {
        make_target(&plan.target_dir, mask)
            .and_then(|()| own_folders(&plan.target_dir, &plan.target_dir.join(scratch), mask))
            .map_err(|err| failed(&plan.target_dir, &err))?;
    }
    let pages = documentation::pages(services, plan, runner.outcomes()).await?;
    if placed.is_empty() && pages.is_empty() && messages == Messages::Human {
        return Ok(());
    }
    let sweep = Sweep::from(&pages);
    let read = dep_infos(services, plan, runner).await?;
    let mut items = items(plan, runner, &placed, &read);
    let is_wanted = |unit: UnitId| messages != Messages::Human || more.looked_into.contains(&unit);
    items.extend(out_dirs::items(services, plan, runner, is_wanted).await?);
    let locks = lock_all(plan, &placed, &pages, (output, mask)).await?;
    items.extend(pages.items);
    let (stale, sweep) = {
        let hashes = Arc::clone(hashes);
        let look = move || {
            sweep.clear()?;
            let stale = items.into_iter().filter(|item| !is_placed(&hashes, item, mask)).collect::<Vec<_>>();
            Ok((stale, sweep))
        };
        blocking(look).await?
    };
    let taken = take(services, &plan.target_dir, &stale, mask).await?;
    let digests: Vec<Digest> = stale.iter().map(|item| item.digest).collect();
    let (opened, fds) = persist(async || services.cas.open(&digests).await).await?;
    let (hashes, target) = (Arc::clone(hashes), plan.target_dir.clone());
    let replaced = blocking(move || {
        let mut replaced = Vec::new();
        for (item, (opened, taken)) in stale.into_iter().zip(opened.into_iter().zip(taken)) {
            if replaced.len() < HELD_FILES {
                replaced.extend(held(&item.path));
            }
            match taken {
                Taken::Moved => finish(&item, mask, |beside| mask.allow(beside, item.mode))?,
                Taken::Not => put(&target, &item, opened, &fds, mask)?,
            }
            hashes.wrote(&item.path, item.digest);
        }
        sweep.run()?;
        drop(locks);
        Ok(replaced)
    })
    .await?;
    runner.keep_documented().await;
    // What a file that is gone held is freed with its last descriptor, and nobody waits for that.
    tokio::task::spawn_blocking(move || drop(replaced));
    Ok(())
}

/// Whether a file lies beside its place already.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Taken {
    Moved,
    Not,
}

/// Has the executor move large files that it has just captured beside their places: nobody else
/// needs them, and the store has their bytes.
async fn take(services: &Services, target: &Path, items: &[Item], mask: Mask) -> Result<Vec<Taken>, Failure> {
    let mut taken = Vec::with_capacity(items.len());
    for item in items {
        let mut moved = Taken::Not;
        if item.digest.size() >= MOVED_BYTES
            && let Some((folder, name)) = beside(&item.path)
        {
            own_folders(target, &folder, mask).map_err(|err| failed(&folder, &err))?;
            let at = File::open(&folder).map_err(|err| failed(&folder, &err))?;
            let _not_there = fs::remove_file(folder.join(&name));
            // Where that fails, the store has it.
            if services.exec.take(item.digest, item.mode, at.into(), &name).await.is_ok_and(|moved| moved) {
                moved = Taken::Moved;
            }
        }
        taken.push(moved);
    }
    Ok(taken)
}

/// A file that is to be replaced, so that what it holds is freed later.
fn held(path: &Path) -> Option<File> {
    // What else has the name, as a pipe has, is not opened.
    let is_file = fs::symlink_metadata(path).is_ok_and(|meta| meta.is_file());
    is_file.then(|| File::open(path).ok()).flatten()
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, Failure> + Send + 'static) -> Result<T, Failure> {
    tokio::task::spawn_blocking(work).await.map_err(|err| Failure::new(Fault::Bug, format!("placing: {err}")))?
}

/// What the path packages' units read, for the `.d` files.
async fn dep_infos(
    services: &Services,
    plan: &Plan,
    runner: &Runner<'_>,
) -> Result<BTreeMap<UnitId, DepInfo>, Failure> {
    let mut digests = HashMap::new();
    for (unit, outcome) in plan.units.iter().zip(runner.outcomes()) {
        let Some(outcome) = outcome.as_ref().filter(|_| plan.package(unit).source.is_path()) else { continue };
        if let Some(digest) = outcome.dep_info() {
            digests.insert(unit.id, digest);
        }
    }
    let wanted: Vec<Digest> = digests.values().copied().collect();
    let texts = read_many(services, &wanted).await?;
    let parse = |digest| texts.get(digest).map(|text| DepInfo::parse(&String::from_utf8_lossy(text)));
    Ok(digests.iter().filter_map(|(unit, digest)| Some((*unit, parse(digest)?))).collect())
}

fn items(plan: &Plan, runner: &Runner<'_>, placed: &[Placement], read: &BTreeMap<UnitId, DepInfo>) -> Vec<Item> {
    let mut items = Vec::with_capacity(placed.len());
    let resolve = |path: &Path| fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    for one in placed {
        let file = runner.outcomes()[one.unit.0].as_ref().and_then(|outcome| outcome.files.get(&one.output));
        let Some((digest, _)) = file else { continue };
        let text = one
            .dep_info
            .as_ref()
            .map(|path| (plan.target_dir.join(path), dep_info(plan, one, read, runner.said(), &resolve)));
        let mode = match one.role {
            Role::Executable | Role::Dylib | Role::Macro | Role::Cdylib => Mode::Executable,
            _ => Mode::Plain,
        };
        items.push(Item { path: plan.target_dir.join(&one.path), digest: *digest, mode, dep_info: text });
    }
    items
}

/// Takes cargo's lock of every profile's folder that something is placed for.
async fn lock_all(
    plan: &Plan,
    placed: &[Placement],
    pages: &Pages,
    how: (&Output, Mask),
) -> Result<Vec<File>, Failure> {
    let is_placed = |unit: &&Unit| {
        let folder = format!("{}/", place::folder(unit));
        placed.iter().any(|one| one.path.starts_with(&folder)) || (unit.is_doc() && !pages.is_empty())
    };
    let folders: BTreeSet<String> = plan.units.iter().filter(is_placed).map(place::folder).collect();
    let mut locks = Vec::new();
    for folder in folders {
        locks.push(lock(&plan.target_dir, &folder, how).await?);
    }
    Ok(locks)
}

/// Takes cargo's lock of one profile's folder, making the folder as cargo would.
async fn lock(target: &Path, folder: &str, (output, mask): (&Output, Mask)) -> Result<File, Failure> {
    let path = target.join(folder);
    // The target folder may be a link, and often is one, to another disk. Below it a checkout that
    // brings links would have files written over the person's.
    let no_link = OFlags::NOFOLLOW.bits() as i32;
    let made = make_target(target, mask).and_then(|()| own_folders(target, &path, mask)).and_then(|()| {
        let mut options = File::options();
        options.create(true).truncate(false).read(true).write(true).mode(mask.file(Mode::Plain));
        options.custom_flags(no_link).open(path.join(LOCK))
    });
    let file = made.map_err(|err| failed(&path, &err))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => return Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => output.say("Blocking", "waiting for file lock on build directory").await,
        // A file system without locks: cargo goes on there too.
        Err(_) => return Ok(file),
    }
    loop {
        // Not a blocking lock: a cancelled build must not leave a thread waiting for ever.
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Err(rustix::io::Errno::WOULDBLOCK) => {}
            _ => return Ok(file),
        }
    }
}

fn is_placed(hashes: &Hashes, item: &Item, mask: Mask) -> bool {
    let Ok(meta) = fs::symlink_metadata(&item.path) else { return false };
    let wants = if item.mode == Mode::Executable { 0o111 & mask.file(item.mode) } else { 0 };
    meta.is_file()
        && meta.len() == item.digest.size()
        && meta.permissions().mode() & wants == wants
        && item.dep_info.as_ref().is_none_or(|(path, wanted)| text(path).is_ok_and(|old| old == *wanted))
        && item.digest.function() == Function::Blake3
        && hashes.of(&item.path, &meta).is_ok_and(|digest| digest == item.digest)
}

/// Copies a blob to its place below a folder.
pub fn put(target: &Path, item: &Item, opened: Option<Opened>, fds: &[OwnedFd], mask: Mask) -> Result<(), Failure> {
    let opened = opened.ok_or_else(|| {
        Failure::new(Fault::Environment, format!("store: {} is gone", item.digest)).hint("build again")
    })?;
    let folder = item.path.parent().unwrap_or(&item.path);
    own_folders(target, folder, mask).map_err(|err| failed(folder, &err))?;
    finish(item, mask, |beside| write(beside, mask.file(item.mode), |file| copy(&opened, fds, file)))
}

/// Gives a file its place, once it lies beside it, and writes its `.d` file.
fn finish(item: &Item, mask: Mask, lay: impl Fn(&Path) -> io::Result<()>) -> Result<(), Failure> {
    lay_beside(&item.path, lay).map_err(|err| failed(&item.path, &err))?;
    if let Some((path, text)) = &item.dep_info {
        let fill = |file: &File| io::Write::write_all(&mut &*file, text.as_bytes());
        let write = |beside: &Path| write(beside, mask.file(Mode::Plain), fill);
        lay_beside(path, write).map_err(|err| failed(path, &err))?;
    }
    Ok(())
}

/// The folder of a place, and the name a file has there before it is whole. One name for all
/// daemons: what a killed one left goes with the next that places this file.
fn beside(path: &Path) -> Option<(PathBuf, String)> {
    Some((path.parent()?.to_owned(), format!(".{}.vx-new", path.file_name()?.to_string_lossy())))
}

/// Lays a file under another name and renames it, since the file that is there may be a hard link
/// of cargo's or running.
fn lay_beside(path: &Path, lay: impl Fn(&Path) -> io::Result<()>) -> io::Result<()> {
    let (folder, name) = beside(path).ok_or(io::ErrorKind::InvalidInput)?;
    let beside = folder.join(name);
    let outcome = lay(&beside).and_then(|()| {
        failpoint::reach(Point::BeforeRename);
        fs::rename(&beside, path)
    });
    failpoint::reach(Point::AfterRename);
    if outcome.is_err() {
        let _ = fs::remove_file(&beside);
    }
    outcome
}

fn copy(opened: &Opened, fds: &[OwnedFd], to: &File) -> io::Result<()> {
    match opened {
        Opened::Inline(bytes) => io::Write::write_all(&mut &*to, bytes),
        Opened::File { fd, offset, size } => {
            let from = fds.get(*fd).ok_or(io::ErrorKind::InvalidData)?;
            shared::client::copy::copy_range(from.as_fd(), *offset, *size, to)
        }
    }
}

fn failed(path: &Path, err: &io::Error) -> Failure {
    Failure::new(Fault::User, format!("failed to write `{}`: {err}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::{folders::own_folder, *};

    #[test]
    fn only_files_are_held_open() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        fs::write(at("file"), "x").expect("a file");
        symlink("file", at("link")).expect("a link");
        let _socket = std::os::unix::net::UnixListener::bind(at("socket")).expect("a socket");
        assert!(held(&at("file")).is_some());
        assert!(["socket", "link", "absent"].iter().all(|name| held(&at(name)).is_none()));
    }

    #[test]
    fn links_of_a_checkout_lead_no_write_elsewhere() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("home")).expect("a folder");
        fs::create_dir(at("target")).expect("a folder");
        fs::write(at("home/rc"), "mine").expect("a file");
        symlink("../home", at("target/debug")).expect("a link");
        let mask = Mask::of(None);
        assert!(own_folder(&at("target/debug"), mask).is_err());
        assert!(own_folders(&at("target"), &at("target/debug/deps/more"), mask).is_err());
        assert!(!at("home/deps").exists());
        own_folders(&at("target"), &at("target/release"), mask).expect("a new folder");
        symlink("../../home/rc", at("target/release/.app.vx-new")).expect("a link");
        symlink("../../home/rc", at("target/release/app")).expect("a link");
        let fill = |beside: &Path| write(beside, 0o755, |file| io::Write::write_all(&mut &*file, b"new"));
        lay_beside(&at("target/release/app"), fill).expect("a place of its own");
        assert_eq!(fs::read_to_string(at("home/rc")).expect("it is there"), "mine");
        assert_eq!(fs::read_to_string(at("target/release/app")).expect("it was placed"), "new");
    }
}
