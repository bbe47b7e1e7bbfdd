//! View class `path`: vx's own actions where there are no namespaces. Each folder of the input root
//! stands under a real path, the command's words are changed to it, and what the process says is
//! changed back. Landlock, where it is, shows the action these folders and no others.

use std::{
    collections::{BTreeSet, HashMap},
    fs, io,
    path::{Path, PathBuf},
};

use shared::{config::Rung, digest::Digest};

use super::{
    Command, Place, Sources, View, ViewError,
    fixed::{self, Part, Shown},
    ground::{Claim, Content, Made},
    words::Words,
};
use crate::{
    host,
    sandbox::{Network, Root},
    stage::{Directories, StageError},
};

/// The workspace's own mount.
const WORKSPACE: &str = "vx/ws";

/// Makes the view.
pub async fn make(sources: &Sources, shown: Shown<'_>, command: &Command, root: Digest) -> Result<View, ViewError> {
    let Shown { granted, rung, .. } = shown;
    if shown.live.is_some() {
        return Err(ViewError::Precondition("toolchain: vx-live needs vx-view=fixed".to_owned()));
    }
    let (seen, parts) = fixed::parts(sources, root).await?;
    let mut pairs = vec![
        ("/vx".to_owned(), text(&sources.ground.unclaimed().join("vx"))),
        ("/vx/home".to_owned(), text(&sources.ground.home())),
    ];
    let mut mounts = vec![host::read_only(&sources.ground.home(), &sources.ground.home())];
    if let Some(identity) = shown.host {
        fixed::knows_host(sources, identity)?;
        mounts.extend(sources.host.rules());
    }
    if granted.network == Network::Host {
        mounts.extend(sources.host.network_rules());
    }
    mounts.extend(granted.mounts(rung)?);
    if let Some(identity) = shown.toolchain {
        let path = fixed::toolchain_path(sources, identity)?;
        pairs.push(("/vx/toolchain".to_owned(), text(&path)));
        mounts.push(host::read_only(&path, &path));
    }
    let writable = fixed::writable(&command.outputs, &parts)?;
    let (mut claims, mut places) = (Vec::new(), Vec::new());
    let mut together = workspace(sources, &parts, &writable, rung)?;
    pairs
        .extend(together.values().next().map(|one| (format!("/{WORKSPACE}"), text(&one.beside(Path::new(WORKSPACE))))));
    for part in parts.iter().filter(|part| !writable.contains(&part.at)) {
        let claim = match together.remove(&part.at) {
            Some(claim) => claim,
            None => claim(sources, &part.at, &content(part, rung))?,
        };
        lay(sources, part, &seen, rung, &claim).await?;
        mounts.push(host::read_only(&claim.path, &claim.path));
        pairs.push((text(&Path::new("/").join(&part.at)), text(&claim.path)));
        claims.push(claim);
    }
    for at in &writable {
        let claim = match together.remove(at) {
            Some(claim) => claim,
            None => claim(sources, at, &Content::Own)?,
        };
        if let Some(part) = parts.iter().find(|part| part.at == *at) {
            sources.stage.copy(part.digest, &seen, &claim.path).await?;
        }
        mounts.push(host::writable(&claim.path, &claim.path));
        let at = Path::new("/").join(at);
        pairs.push((text(&at), text(&claim.path)));
        places.push(Place { at, dir: claim.path.clone() });
        claims.push(claim);
    }
    places.reverse();
    fixed::make_out_dir(command, &places)?;
    // The person's own folder, as it is: only for what names it, and never stored.
    mounts.extend(shown.places.iter().map(|(_, to)| host::read_only(to, to)));
    let tmp = claim(sources, Path::new("tmp"), &Content::Own)?;
    mounts.push(host::writable(&tmp.path, &tmp.path));
    let env = vec![("TMPDIR".to_owned(), text(&tmp.path))];
    claims.push(tmp);
    let words = Words::new(pairs);
    let cwd = PathBuf::from(words.real(&text(&Path::new("/").join(&command.cwd))));
    let _there_already = fs::create_dir_all(&cwd);
    let scratch = sources.own()?;
    let view = View::new(Root::Host, mounts, cwd, places, scratch);
    Ok(View { class: "path", words, env, granted: granted.clone(), _claims: claims, ..view })
}

/// What a folder of inputs holds. Where Landlock keeps actions from writing to it, it is made of
/// links and stays for the next; else each action gets a copy.
fn content(part: &Part, rung: Rung) -> Content {
    if rung < Rung::Landlock { Content::Own } else { Content::Shared(part.digest.to_string()) }
}

/// All of the workspace's, claimed together: rustc is told of one package by its place below the
/// root that it is started in, also where nothing but that package is shown.
fn workspace(
    sources: &Sources,
    parts: &[Part],
    writable: &BTreeSet<PathBuf>,
    rung: Rung,
) -> Result<HashMap<PathBuf, Claim>, ViewError> {
    let read =
        parts.iter().filter(|part| !writable.contains(&part.at)).map(|part| (part.at.clone(), content(part, rung)));
    let all = read.chain(writable.iter().map(|at| (at.clone(), Content::Own)));
    let wanted: Vec<_> = all.filter(|(at, _)| at.starts_with(WORKSPACE)).collect();
    let claims = sources.ground.claim_together(&wanted).map_err(StageError::io(Path::new(WORKSPACE)))?;
    Ok(wanted.into_iter().map(|(at, _)| at).zip(claims).collect())
}

async fn lay(sources: &Sources, part: &Part, seen: &Directories, rung: Rung, claim: &Claim) -> Result<(), ViewError> {
    if rung < Rung::Landlock {
        sources.stage.copy(part.digest, seen, &claim.path).await?;
        return Ok(());
    }
    let cell = std::sync::Arc::clone(&claim.made);
    let mut made = cell.lock().await;
    if *made == Made::No {
        let lease = sources.stage.directory(part.digest, seen).await?;
        let (from, to) = (lease.path().to_owned(), claim.path.clone());
        let lay = move || {
            crate::folder::empty(&to)?;
            link_tree(&from, &to)
        };
        let laid = tokio::task::spawn_blocking(lay).await.map_err(io::Error::other).flatten();
        laid.map_err(StageError::io(&part.at))?;
        *made = Made::Yes;
    }
    Ok(())
}

fn claim(sources: &Sources, at: &Path, content: &Content) -> Result<Claim, ViewError> {
    Ok(sources.ground.claim(at, content).map_err(StageError::io(at))?)
}

/// The same tree again, its files by another name.
fn link_tree(from: &Path, to: &Path) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (from, to, kind) = (entry.path(), to.join(entry.file_name()), entry.file_type()?);
        if kind.is_dir() {
            fs::create_dir(&to)?;
            link_tree(&from, &to)?;
        } else if kind.is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(&from)?, &to)?;
        } else if fs::hard_link(&from, &to).is_err() {
            // Too many names of one file, or a file system without.
            fs::copy(&from, &to)?;
        }
    }
    Ok(())
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
