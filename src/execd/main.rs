//! vx-execd runs every process there is: the Remote Execution API on a socket that the init system
//! holds. The pieces are opened here in order; each lives in its own module.

mod action;
mod beneath;
mod child;
mod collect;
mod control;
mod disk;
mod early;
mod executor;
mod folder;
#[cfg_attr(target_os = "macos", path = "macos/heard.rs")]
mod heard;
mod host;
mod incremental;
mod jobserver;
#[cfg_attr(target_os = "macos", path = "macos/kernel.rs")]
mod kernel;
mod launch;
#[cfg(any(target_os = "macos", test))]
mod macos;
#[cfg_attr(target_os = "macos", path = "macos/memory.rs")]
mod memory;
mod observed;
mod output;
#[cfg_attr(target_os = "macos", path = "macos/packets.rs")]
mod packets;
mod program;
mod refusal;
mod sandbox;
#[cfg_attr(target_os = "macos", path = "macos/seen.rs")]
mod seen;
mod serve;
mod slots;
mod stage;
mod toolchain;
mod tools;
mod view;

use std::{
    fs,
    path::Path,
    process::ExitCode,
    sync::{Arc, Mutex},
};

use anyhow::Context;
use shared::{
    client::{Link, cas::Cas},
    config::Config,
    paths::{self, Service},
    service::{self, Parts, Start},
    telemetry::messages,
};

use crate::{
    child::Spawner,
    control::Control,
    executor::{Executor, File, Limits, Rules},
    folder::Scratch,
    host::Host,
    incremental::Incremental,
    launch::Launcher,
    program::Programs,
    sandbox::{cgroup::Delegation, probe},
    seen::Watcher,
    slots::Slots,
    stage::Stage,
    toolchain::Toolchains,
    view::{Sources, ground::Ground},
};

fn main() -> ExitCode {
    // Before any thread: everything that is ever started is started from there.
    service::main(Service::Exec, Spawner::start, |config| config.exec.idle_timeout(), run)
}

async fn run(spawner: Spawner, start: Start, parts: Parts) -> anyhow::Result<()> {
    let Start { sockets, config, config_file } = start;
    let (config, file) = match config {
        Ok(config) => (config, File::Valid),
        Err(err) => (Config::default(), File::BrokenAtStart(err)),
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
        tracing::warn!(
            rung = rung.name(),
            why,
            message_id = messages::RUNG_MISSED,
            "a rung of the sandbox cannot be reached"
        );
    }
    sources.configure(&config.host);
    let executor = Arc::new(Executor {
        parts: parts.clone(),
        cas,
        launcher,
        watcher: Watcher::start(),
        sources,
        delegation,
        slots: Slots::new(config.exec.slots),
        incremental: Incremental::open(&folder.join("incremental"), config.exec.incremental_bytes)
            .context("open the incremental state")?,
        queries: folder.join("query"),
        limits: Mutex::new(Limits::of(&config.exec)),
        rules: Mutex::new(Rules { minimum: config.sandbox.minimum, file }),
        programs: Programs::default(),
        running: Arc::default(),
        ran: 0.into(),
        hits: 0.into(),
        failed: Mutex::default(),
        ladder,
    });
    parts.tcp.begin(config.exec.listen_tcp, sockets.tcp);
    let control = Arc::new(Control { executor: Arc::clone(&executor), config_file });
    parts.control(control, sockets.control).await?;
    parts.ready(&format!("Serving, sandbox {}", executor.ladder.rung.name()));
    serve::serve(sockets.main, Arc::clone(&executor), &parts).await?;
    // The first brings all of the file system to disk.
    executor.sources.stage.close().context("mark the stage as whole")?;
    executor.incremental.close().context("mark the incremental state as whole")
}

fn sources(folder: &Path, cas: &Cas, config: &Config) -> anyhow::Result<Sources> {
    let root = folder.join("root");
    fs::create_dir_all(&root).with_context(|| root.display().to_string())?;
    Ok(Sources {
        stage: Stage::open(&folder.join("stage"), cas.clone(), config.exec.stage_bytes).context("open the stage")?,
        scratch: Scratch::open(&folder.join("scratch")).context("empty the scratch folder")?,
        host: Host::prepare(&folder.join("etc")).context("write a minimal /etc")?,
        ground: Ground::open(&folder.join("path")).context("empty the folder of real places")?,
        toolchains: Toolchains::open(folder.join("toolchains.json")),
        root,
    })
}
