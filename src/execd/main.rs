//! vx-execd runs every process there is: the Remote Execution API on a socket that the init system
//! holds. The pieces are opened here in order; each lives in its own module.

mod action;
mod beneath;
mod child;
mod collect;
mod control;
mod early;
mod executor;
mod folder;
mod host;
mod launch;
mod output;
mod refusal;
mod sandbox;
mod seen;
mod serve;
mod slots;
mod stage;
mod toolchain;
mod tools;
mod view;

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{Arc, Mutex},
};

use anyhow::Context;
use clap::Parser;
use shared::{
    client::{Link, cas::Cas},
    config::{Config, ConfigError},
    fault::exit,
    paths::{self, Service},
    service::{self, Parts, Sockets},
    telemetry,
};

use crate::{
    child::Spawner,
    control::Control,
    executor::{Executor, File, Rules},
    folder::Scratch,
    host::Host,
    launch::Launcher,
    sandbox::{cgroup::Delegation, probe},
    seen::Watcher,
    slots::Slots,
    stage::Stage,
    toolchain::Toolchains,
    view::Sources,
};

/// The executor of vx. The init system starts it on the first connect to its socket.
#[derive(Parser)]
#[command(name = "vx-execd", version)]
struct Arguments {
    /// Bind this socket instead of taking the one that the init system passes.
    #[arg(long, value_name = "PATH")]
    listen: Option<PathBuf>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // Before any thread: everything that is ever started is started from there.
    let spawner = Spawner::start();
    telemetry::start();
    let spawner = match spawner {
        Ok(spawner) => spawner,
        Err(err) => {
            tracing::error!(%err, "the spawner cannot be forked");
            return ExitCode::from(exit::FAILED);
        }
    };
    let sockets = match service::take_sockets(Service::Exec, arguments.listen.as_deref()) {
        Ok(sockets) => sockets,
        Err(err) => {
            tracing::error!("{err}");
            return ExitCode::from(exit::FAILED);
        }
    };
    raise_descriptor_limit();
    let config_file = paths::config_file().unwrap_or_default();
    let config = Config::load(&config_file);
    let timeout =
        config.as_ref().map_or_else(|_| Config::default().exec.idle_timeout(), |config| config.exec.idle_timeout());
    service::run(Service::Exec, timeout, |parts| run(spawner, sockets, config_file, config, parts))
}

/// Blobs arrive as descriptors, up to 200 for each action that is being staged. After the spawner
/// was forked: actions keep the usual limit.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(err) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%err, "the limit of open files cannot be raised, ignoring");
    }
}

async fn run(
    spawner: Spawner,
    sockets: Sockets,
    config_file: PathBuf,
    config: Result<Config, ConfigError>,
    parts: Parts,
) -> anyhow::Result<()> {
    let (config, file) = match config {
        Ok(config) => (config, File::Valid),
        Err(err) => {
            tracing::error!("{err}");
            (Config::default(), File::BrokenAtStart(err))
        }
    };
    let folder = config.exec.path.clone().or_else(|| paths::cache_dir(Service::Exec));
    let folder = folder.context("neither XDG_CACHE_HOME nor HOME is set")?;
    let _lock = service::own_folder(&folder)?;
    let delegation = Delegation::take(&[std::process::id(), spawner.pid()]);
    let launcher = Launcher::new(spawner);
    let cas = Cas::new(Link::new(Service::Cas.socket().context("no runtime folder: XDG_RUNTIME_DIR is not set")?));
    let sources = sources(&folder, &cas, &config)?;
    let ladder = probe::ladder(&launcher, &sources.host, &sources.root, &delegation).await;
    for (rung, why) in &ladder.missed {
        tracing::warn!(rung = rung.name(), why, "a rung of the sandbox cannot be reached");
    }
    let executor = Arc::new(Executor {
        parts: parts.clone(),
        cas,
        launcher,
        watcher: Watcher::start(),
        sources,
        delegation,
        slots: Slots::new(config.exec.slots),
        queries: folder.join("query"),
        rules: Mutex::new(Rules { minimum: config.sandbox.minimum, file }),
        running: Arc::default(),
        ran: 0.into(),
        hits: 0.into(),
        ladder,
    });
    parts.tcp.begin(config.exec.listen_tcp, sockets.tcp);
    let idle = parts.idle.clone();
    let busy: shared::control::Busy = Arc::new(move || Box::new(idle.guard()));
    let control = Arc::new(Control { executor: Arc::clone(&executor), config_file });
    let _control = shared::control::serve(Service::Exec, control, sockets.control, busy).await?;
    parts.ready(&format!("Serving, sandbox {}", executor.ladder.rung.name()));
    serve::serve(sockets.main, Arc::clone(&executor), &parts).await?;
    executor.sources.stage.close().context("mark the stage as whole")
}

fn sources(folder: &Path, cas: &Cas, config: &Config) -> anyhow::Result<Sources> {
    let root = folder.join("root");
    fs::create_dir_all(&root).with_context(|| root.display().to_string())?;
    Ok(Sources {
        stage: Stage::open(&folder.join("stage"), cas.clone(), config.exec.stage_bytes).context("open the stage")?,
        scratch: Scratch::open(&folder.join("scratch")).context("empty the scratch folder")?,
        host: Host::prepare(&folder.join("etc")).context("write a minimal /etc")?,
        toolchains: Toolchains::open(folder.join("toolchains.json")),
        root,
    })
}
