//! `vx audit`: what scripts and macros of a workspace's packages did beside their work.

use std::{fmt::Write as _, path::Path, sync::Arc};

use shared::{
    fault::{Failure, Fault},
    reapi::record::GRANTED,
};

use super::{Entry, Memory};
use crate::{cargo::locate::locate, cli::AuditArgs};

/// Answers `vx audit`.
pub async fn answer(memory: &Arc<Memory>, cwd: &Path, args: AuditArgs) -> Result<String, Failure> {
    let root = locate(cwd, args.manifest_path.as_deref())?.root;
    let memory = Arc::clone(memory);
    let asked = tokio::task::spawn_blocking(move || run(&memory, &root, args.package.as_deref()));
    asked.await.map_err(|err| Failure::new(Fault::Bug, format!("audit: {err}")))?
}

fn run(memory: &Memory, root: &Path, package: Option<&str>) -> Result<String, Failure> {
    let known = memory.workspace(root).entries;
    // `NAME` or `NAME@VERSION`, as cargo writes it.
    let wanted = package.map(|package| package.replace('@', " v"));
    let matches = |name: &&String| {
        wanted
            .as_ref()
            .is_none_or(|wanted| name.strip_prefix(wanted.as_str()).is_some_and(|rest| rest.starts_with(' ')))
    };
    let found: Vec<_> = known.iter().filter(|(name, _)| matches(name)).collect();
    match (found.is_empty(), package) {
        (false, _) => Ok(found.into_iter().map(|(name, entry)| tell(name, entry)).collect()),
        // Who asks whether anything is wrong is answered no.
        (true, None) => {
            Ok(format!("no script or macro of {} has opened or tried anything in a build so far\n", root.display()))
        }
        (true, Some(package)) => {
            let what = format!("no script or macro of `{package}` has opened or tried anything in a build so far");
            Err(Failure::new(Fault::User, what).hint("without a name, vx audit shows all packages that have"))
        }
    }
}

fn tell(name: &str, entry: &Entry) -> String {
    let mut text = format!("{name}:\n");
    for path in &entry.opened {
        let _ = writeln!(text, "  opened  {path}");
    }
    for path in &entry.wrote {
        let _ = writeln!(text, "  wrote   {path} (not kept)");
    }
    for granted in &entry.granted {
        let _ = writeln!(text, "  granted {granted}");
    }
    for tried in &entry.tried {
        let verb = if tried.answer == GRANTED { "used   " } else { "refused" };
        let _ = writeln!(text, "  {verb} {}", tried.words());
    }
    for why in &entry.lacks {
        let _ = writeln!(text, "  there may be more: {why}");
    }
    text
}
