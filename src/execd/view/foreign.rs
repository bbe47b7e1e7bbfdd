//! Actions of other clients: the input root as a private, writable copy, either as working tree
//! beside the host's programs, or as `/` with nothing of the host.

use std::path::Path;

use shared::{config::Rung, digest::Digest};

use super::{Command, Place, Sources, View, ViewError, paths::Output};
use crate::{
    beneath,
    host::{self, Names},
    sandbox::{Mount, Root},
    stage::{Directories, StageError},
};

/// Where the working tree is beside the host's programs.
const AT: &str = "/vx/root";

/// The working tree, beside the host's programs; without namespaces at its real path.
pub async fn tree(sources: &Sources, command: &Command, root: Digest, rung: Rung) -> Result<View, ViewError> {
    let scratch = sources.own()?;
    let dir = scratch.make("root").map_err(StageError::io(Path::new("the input root")))?;
    sources.stage.copy(root, &Directories::new(), &dir).await?;
    make_parents(&dir, &command.outputs)?;
    let tmp = scratch.make("tmp").map_err(StageError::io(Path::new("/tmp")))?;
    let isolated = rung >= Rung::Namespaces;
    let (root, at, mounts, env) = if isolated {
        let mut mounts = sources.host.mounts(Names::Own);
        mounts.extend([Mount::Proc, Mount::Devices, host::writable(&tmp, Path::new("/tmp"))]);
        mounts.push(host::writable(&dir, Path::new(AT)));
        (Root::Empty(host::text(&sources.root)), Path::new(AT).to_owned(), mounts, Vec::new())
    } else {
        let mut mounts = sources.host.rules();
        mounts.extend([host::writable(&dir, &dir), host::writable(&tmp, &tmp)]);
        let env = vec![("TMPDIR".to_owned(), tmp.to_string_lossy().into_owned())];
        (Root::Host, dir.clone(), mounts, env)
    };
    let places = vec![Place { at: Path::new("/").to_owned(), dir }];
    let class = if isolated { "fixed" } else { "path" };
    Ok(View { class, env, ..View::new(root, mounts, at.join(&command.cwd), places, scratch) })
}

/// The input root as `/`.
pub async fn root(sources: &Sources, command: &Command, root: Digest) -> Result<View, ViewError> {
    let scratch = sources.own()?;
    let dir = scratch.make("root").map_err(StageError::io(Path::new("the input root")))?;
    sources.stage.copy(root, &Directories::new(), &dir).await?;
    make_parents(&dir, &command.outputs)?;
    let places = vec![Place { at: Path::new("/").to_owned(), dir: dir.clone() }];
    let (root, cwd) = (Root::Private(host::text(&dir)), Path::new("/").join(&command.cwd));
    let mounts = vec![Mount::Proc, Mount::Devices];
    Ok(View::new(root, mounts, cwd, places, scratch))
}

/// Parents of outputs exist before the command runs; a link of the input root is not followed.
fn make_parents(dir: &Path, outputs: &[Output]) -> Result<(), ViewError> {
    let root = beneath::root(dir).map_err(StageError::io(dir))?;
    for output in outputs {
        let parent = output.path.parent().unwrap_or(Path::new(""));
        beneath::make_directories(&root, parent).map_err(|err| {
            ViewError::Invalid(format!("the folder of output {:?} cannot be made: {err}", output.declared))
        })?;
    }
    Ok(())
}
