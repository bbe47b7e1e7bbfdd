//! Calls of rustc that cargo makes through vx (`RUSTC_WRAPPER`). Those that compile a package become
//! Actions, and cargo gets what a result in the store holds; every other, and each of which vx is
//! not sure, is the person's own program and nothing of it is kept.

mod closure;
mod inputs;
mod judge;
mod keep;
mod land;
mod notes;
mod own;
mod result;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

pub use closure::Closures;
pub use inputs::Inputs;
pub use notes::Notes;
use shared::{
    config::Config,
    fault::{Failure, exit},
    wire::text::Text,
};

use crate::{
    build::cancelled_late,
    cargo::{
        mounts::WORKSPACE,
        process::Process,
        toolchain,
        wrapped::{self, Compile, Home, Plain},
    },
    daemon::Daemon,
    events::Wrapped,
    services::Services,
    session::Session,
    start::{self, Ended, Manners},
};

/// What is remembered of wrapped calls.
#[derive(Debug, Default)]
pub struct Memory {
    /// What libraries were compiled against.
    pub closures: Closures,
    /// What calls were seen to depend on.
    pub notes: Notes,
}

/// Variables that name descriptors of cargo's, which are not at hand here.
const JOBSERVER: [&str; 3] = ["CARGO_MAKEFLAGS", "MAKEFLAGS", "MFLAGS"];

/// A call that may be kept.
struct Asked {
    compile: Compile,
    home: Home,
    whose: Whose,
}

/// Whose package a call compiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    /// It is as it was fetched.
    Others,
    /// The person works on it, in the workspace that is the call's home.
    Persons,
}

/// Does what cargo wants of the compiler; the exit code.
pub async fn run(daemon: &Daemon, config: &Config, session: Session, words: Vec<Text>) -> u8 {
    let services = match Services::local() {
        Ok(services) => services.of_build(&session.run),
        Err(failure) => return said(&session, &failure).await,
    };
    let asked = asked(&session, &words);
    let why = match &asked {
        Err(why) => why.clone(),
        Ok(asked) => {
            let work = keep::Work { daemon, config, session: &session, services: &services, asked };
            let kept = tokio::select! {
                kept = work.keep(&words) => kept,
                () = cancelled_late(&session) => return exit::INTERRUPTED,
            };
            match kept {
                Ok(Some(end)) => {
                    daemon.counters.wrapped(end);
                    return exit::OK;
                }
                Ok(None) => return exit::INTERRUPTED,
                Err(why) => why,
            }
        }
    };
    let compile = asked.ok().map(|asked| asked.compile);
    if let Plain::Unfit(why) = &why {
        daemon.counters.wrapped(Wrapped::Plain);
        match &compile {
            Some(compile) => tracing::info!(crate_name = compile.crate_name, why, "a call of rustc is not kept"),
            None => tracing::debug!(why, "a call of rustc is not kept"),
        }
    }
    plainly(daemon, session, &services, words, compile.as_ref()).await
}

/// Whether a call is one of those that may be kept.
fn asked(session: &Session, words: &[Text]) -> Result<Asked, Plain> {
    let unfit = |why: &str| Plain::Unfit(why.to_owned());
    let words: Option<Vec<String>> = words.iter().map(|word| word.as_str().map(str::to_owned)).collect();
    let words = words.ok_or_else(|| unfit("a word of it is not UTF-8"))?;
    let (program, args) = words.split_first().ok_or(Plain::Asks)?;
    let compile = wrapped::read(args)?;
    if !wrapped::is_rustc(program) {
        return Err(unfit("it is not rustc's"));
    }
    let is_there = |file: &Path| file.is_file();
    let homes = cargo_home(&session.environment).into_iter();
    let home = homes.flat_map(|home| [std::fs::canonicalize(&home).unwrap_or_else(|_| home.clone()), home]);
    let home = home.filter_map(|cargo_home| wrapped::home(&session.cwd, &cargo_home, is_there)).next();
    let own = || Home { real: session.cwd.clone(), mount: WORKSPACE.to_owned() };
    let (home, whose) = home.map_or_else(|| (own(), Whose::Persons), |home| (home, Whose::Others));
    let environment = &session.environment;
    let lies_there = |path: &Path| session.cwd.join(path).starts_with(&home.real);
    if !lies_there(&compile.source)
        || !environment.get("CARGO_MANIFEST_DIR").is_some_and(|dir| lies_there(Path::new(dir)))
    {
        return Err(unfit("its source lies elsewhere"));
    }
    // What the host shows there cannot be covered, and nobody sees what is opened of it.
    if whose == Whose::Persons && home.real.starts_with("/usr") {
        return Err(unfit("its workspace lies below /usr"));
    }
    let linker = compile.linker().filter(|linker| !is_hosts(environment, &session.cwd, linker));
    let linker = linker.map(|linker| format!("its {linker} is not the host's"));
    match compile.obstacle(environment).or(linker) {
        Some(why) => Err(Plain::Unfit(why)),
        None => Ok(Asked { compile, home, whose }),
    }
}

/// Whether the person's program of this name is the one that actions see.
fn is_hosts(environment: &BTreeMap<String, String>, cwd: &Path, name: &str) -> bool {
    let found = toolchain::on_path(environment, cwd, name);
    found
        .as_deref()
        .and_then(Path::parent)
        .is_some_and(|folder| ["/usr/bin", "/bin"].iter().any(|one| folder == Path::new(one)))
}

/// Where cargo keeps what it has fetched.
fn cargo_home(environment: &BTreeMap<String, String>) -> Option<PathBuf> {
    let named = environment.get("CARGO_HOME").filter(|value| !value.is_empty()).map(PathBuf::from);
    named.or_else(|| Some(Path::new(environment.get("HOME")?).join(".cargo")))
}

/// Runs the call as it is, on the person's own descriptors.
async fn plainly(
    daemon: &Daemon,
    mut session: Session,
    services: &Services,
    words: Vec<Text>,
    compile: Option<&Compile>,
) -> u8 {
    let is_lent = |name: &Text| name.as_str().is_some_and(|name| JOBSERVER.contains(&name));
    let names_descriptors = |value: &Text| !value.as_os().to_string_lossy().contains("fifo:");
    session.ground.environment.retain(|(name, value)| !(is_lent(name) && names_descriptors(value)));
    let shown = format!("`{}`", words.first().map_or("".into(), |word| word.as_os().to_string_lossy().into_owned()));
    let process = Process { argv: words, set: BTreeMap::new(), cwd: session.cwd.clone(), rustup: None };
    let ended = start::run(services, &session.ground, &process, Manners::Alone, &session.cancel).await;
    match ended {
        Ok(Ended::Ran(how)) => {
            let code = start::exit_code(how);
            if let Some(compile) = compile.filter(|_| code == exit::OK) {
                // What is compiled against these may be kept.
                let libraries = closure::read(&daemon.hashes, compile.libraries()).await;
                let made: Vec<_> = libraries.into_iter().flatten().map(|library| library.digest).collect();
                daemon.wrapped.closures.learn(services, compile, &made).await;
            }
            code
        }
        Ok(Ended::Never(errno)) => {
            session.output.error(&start::never(&shown, errno)).await;
            exit::FAILED
        }
        Ok(Ended::Cancelled) => exit::INTERRUPTED,
        Err(failure) => said(&session, &failure).await,
    }
}

async fn said(session: &Session, failure: &Failure) -> u8 {
    session.output.error(&failure.to_string()).await;
    exit::FAILED
}
