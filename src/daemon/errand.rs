//! `vx fetch` and `vx clean`: what is done for a workspace without building anything. cargo fetches, and
//! cargo knows which files are a package's; whole folders are removed here, by `removal`.

use std::path::{Path, PathBuf};

use shared::{
    client::exec::CargoKind,
    fault::{Failure, Fault, exit},
};

use crate::{
    build,
    cargo::{decides::Question, diagnostics::Verbosity, files::Disk, locate, place},
    cli::{CleanArgs, FetchArgs},
    look::Look,
    place::{Mask, make_target},
    removal::{Removal, Wish},
    services::{Services, persist},
    session::Session,
    workspace::{self, NoPlan},
};

/// How cargo ends a clean that found nothing.
const NOTHING: &str = "0 files";
/// How the tag of a cache folder begins.
const SIGNATURE: &[u8] = b"Signature: 8a477f597d28d172789f06886806bc55";

/// Runs `vx fetch`; the exit code.
pub async fn fetch(mut session: Session, args: &FetchArgs) -> u8 {
    let prepared = build::prepare(&mut session, &args.request());
    let work = async {
        let (question, _) = prepared?;
        let services = Services::local()?.of_build(&session.run);
        let words = [question.selection.fetch_args(), args.words()].concat();
        let mut run = workspace::run_of(&question, CargoKind::Fetch, words);
        run.env = question.fetch_environment();
        workspace::speak(&services, &run, session.ground.stderr()).await
    };
    ended(&session, session.cancel.run_until_cancelled(work).await).await
}

/// Runs `vx clean`; the exit code.
pub async fn clean(mut session: Session, args: &CleanArgs) -> u8 {
    let prepared = build::prepare(&mut session, &args.request());
    let work = async {
        let (question, look) = prepared?;
        let services = Services::local()?.of_build(&session.run);
        cleaned(&session, &services, &question, &look, args).await
    };
    ended(&session, session.cancel.run_until_cancelled(work).await).await
}

async fn ended(session: &Session, outcome: Option<Result<(), NoPlan>>) -> u8 {
    match outcome {
        None => exit::INTERRUPTED,
        Some(Ok(())) => exit::OK,
        Some(Err(NoPlan::Said(text, code))) => {
            session.output.coloured(&text).await;
            code
        }
        Some(Err(NoPlan::Failure(failure, code))) => {
            session.output.error(&failure.to_string()).await;
            code
        }
    }
}

async fn cleaned(
    session: &Session,
    services: &Services,
    question: &Question,
    look: &Look,
    args: &CleanArgs,
) -> Result<(), NoPlan> {
    let target = target_dir(question, args)?;
    let words = [question.selection.errand_args(), args.words()].concat();
    let said = checked(session, services, question, &words).await?;
    if args.names_packages() {
        // As cargo does, which locks it first.
        make_target(&target, Mask::of(session.ground.umask))
            .map_err(|err| trouble("create directory", &target, &err))?;
        let dry = args.dry_run.then(|| "--dry-run".to_owned());
        let words = words.into_iter().chain(dry).chain(args.speech()).collect();
        let mut run = workspace::run_of(question, CargoKind::Clean, words);
        run.target = Some(target);
        workspace::speak(services, &run, session.ground.stderr()).await?;
    } else {
        if look.verbosity != Verbosity::Quiet {
            session.output.coloured(&said).await;
        }
        let below = match args.profile() {
            _ if args.doc => target.join("doc"),
            Some(profile) => target.join(place::profile_folder(&profile)),
            None => target,
        };
        let wish = if args.dry_run { Wish::Look } else { Wish::Remove };
        let removal = tokio::task::spawn_blocking(move || Removal::of(&below, wish)).await;
        let removal = removal.map_err(|err| Failure::new(Fault::Bug, format!("a removal's task: {err}")))?;
        removal
            .map_err(|err| Failure::new(Fault::User, err.to_string()))?
            .report(&session.output, look.verbosity)
            .await;
    }
    if !args.doc && !args.dry_run {
        let forget = async || services.exec.forget(&question.located.root).await;
        persist(forget).await.map_err(Failure::from)?;
    }
    Ok(())
}

/// cargo's words about words and manifests that make no sense, before anything is removed: it cleans
/// a folder where nothing is. Its warnings, where all is well.
async fn checked(
    session: &Session,
    services: &Services,
    question: &Question,
    words: &[String],
) -> Result<String, NoPlan> {
    let mut heard = workspace::hear(services, question, CargoKind::Clean, words.to_vec()).await?;
    if !heard.is_ok() && !question.selection.network.is_offline() {
        // It may lack packages, or the lock file.
        workspace::fetch(services, question, session.ground.stderr()).await?;
        heard = workspace::hear(services, question, CargoKind::Clean, words.to_vec()).await?;
    }
    if !heard.is_ok() {
        return Err(NoPlan::Said(heard.stderr, exit::CARGO_FAILED));
    }
    let kept = heard.stderr.lines().filter(|line| !line.trim_end().ends_with(NOTHING));
    Ok(kept.map(|line| format!("{line}\n")).collect())
}

/// The target folder, if it is one that may be taken away.
fn target_dir(question: &Question, args: &CleanArgs) -> Result<PathBuf, NoPlan> {
    let config = question.config(&Disk::default()).map_err(|err| build::usage(&err.to_string()))?;
    if config.build_dir().is_some() {
        return Err(build::usage("`build.build-dir` is set, and vx does not follow it: clean with cargo"));
    }
    let root = &question.located.root;
    let target = match &args.target_dir {
        Some(dir) => locate::clean(&question.cwd.join(dir)),
        None => config.target_dir(root),
    };
    let real = std::fs::canonicalize(&target).unwrap_or_else(|_| target.clone());
    let home = question.environment.get("HOME").map(PathBuf::from);
    let precious = [root, &question.toolchain.cargo_home, &question.toolchain.path];
    let holds = |path: &Path| path.starts_with(&target) || path.starts_with(&real);
    if let Some(held) = precious.into_iter().chain(&home).find(|path| holds(path)) {
        let what = format!("cannot clean `{}`: `{}` lies there", target.display(), held.display());
        return Err(build::usage(&what));
    }
    let is_ours = target.starts_with(root) && real.starts_with(root);
    if !is_ours && target.exists() && !is_tagged(&target) && !is_empty(&target) {
        let what = format!(
            "cannot clean `{}`: it lies outside the workspace and has no valid `CACHEDIR.TAG`\n\
             note: cleaning has been aborted to prevent accidental deletion of unrelated files",
            target.display()
        );
        return Err(build::usage(&what));
    }
    Ok(target)
}

/// Whether cargo or vx has made it, or whoever else says that it can be made again.
fn is_tagged(target: &Path) -> bool {
    std::fs::read(target.join("CACHEDIR.TAG")).is_ok_and(|text| text.starts_with(SIGNATURE))
}

/// As a clean of packages leaves it where nothing was.
fn is_empty(target: &Path) -> bool {
    std::fs::read_dir(target).is_ok_and(|mut entries| entries.next().is_none())
}

fn trouble(what: &str, path: &Path, err: &std::io::Error) -> Failure {
    Failure::new(Fault::User, format!("failed to {what} `{}`\n\nCaused by:\n  {err}", path.display()))
}
