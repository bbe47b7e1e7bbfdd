//! vx-casd: the content-addressed store, the action cache and the acquisition of crates, on a
//! socket that the init system holds. The pieces are opened here; each lives in its own module.

mod acquire;
mod actions;
mod control;
mod serve;
mod store;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::Context;
use clap::Parser;
use shared::{
    config::{Config, ConfigError},
    fault::exit,
    paths::{self, Service},
    service::{self, Parts, Sockets},
    telemetry,
};

use crate::{
    actions::Actions,
    control::Control,
    serve::{Casd, Gate},
    store::Disk,
};

/// Without a store it leaves this soon when nobody asks, so that the next connect tries again.
const RETRY: Duration = Duration::from_secs(5);

/// The store of vx. The init system starts it on the first connect to its socket.
#[derive(Parser)]
#[command(name = "vx-casd", version)]
struct Arguments {
    /// Bind this socket instead of taking the one that the init system passes.
    #[arg(long, value_name = "PATH")]
    listen: Option<PathBuf>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    telemetry::start();
    let sockets = match service::take_sockets(Service::Cas, arguments.listen.as_deref()) {
        Ok(sockets) => sockets,
        Err(error) => {
            tracing::error!("{error}");
            return ExitCode::from(exit::FAILED);
        }
    };
    let config_file = paths::config_file().unwrap_or_default();
    let config = Config::load(&config_file);
    let timeout =
        config.as_ref().map_or_else(|_| Config::default().cas.idle_timeout(), |config| config.cas.idle_timeout());
    raise_descriptor_limit();
    service::run(Service::Cas, timeout, |parts| run(sockets, config_file, config, parts))
}

async fn run(
    sockets: Sockets,
    config_file: PathBuf,
    config: Result<Config, ConfigError>,
    parts: Parts,
) -> anyhow::Result<()> {
    let gate = Gate::default();
    let (config, config_error) = match config {
        Ok(config) => (config, None),
        Err(error) => {
            tracing::error!("{error}");
            gate.close(error.to_string());
            (Config::default(), Some(error))
        }
    };
    let folder = control::folder(&config).context("neither XDG_CACHE_HOME nor HOME is set")?;
    let path = folder.clone();
    // An exit would end in a failed socket: a store that cannot be opened answers with the reason.
    let opened = tokio::task::spawn_blocking(move || open(&path)).await?;
    let mut notes = Vec::new();
    let (disk, casd) = match opened {
        Ok((disk, actions)) => {
            notes.extend(
                disk.folder()
                    .set_aside
                    .as_ref()
                    .map(|path| format!("an older store was set aside in {}", path.display())),
            );
            (Some(disk.clone()), Some(Arc::new(Casd { store: disk, actions })))
        }
        Err(error) => {
            tracing::error!("the store cannot be opened: {error:#}");
            notes.push(format!("the store cannot be opened: {error:#}"));
            gate.close(format!("the store cannot be opened: {error:#}"));
            parts.idle.set_timeout(RETRY);
            (None, None)
        }
    };
    let control = Control {
        config_file,
        folder,
        config_error: Mutex::new(config_error),
        casd: casd.clone(),
        notes,
        gate: gate.clone(),
        parts: parts.clone(),
    };
    parts.tcp.begin(config.cas.listen_tcp, sockets.tcp);
    let _control = parts.control(Arc::new(control), sockets.control).await?;
    parts.ready(if disk.is_some() { "Serving" } else { "The store cannot be opened" });
    serve::serve(sockets.main, casd.clone(), gate, &parts).await?;
    tokio::task::spawn_blocking(move || {
        if let (Some(casd), Some(disk)) = (casd, disk) {
            casd.actions.close();
            disk.close();
        }
    })
    .await?;
    Ok(())
}

fn open(folder: &Path) -> anyhow::Result<(Arc<Disk>, Arc<Actions>)> {
    let disk = Disk::open(folder)?;
    let actions = Actions::open(disk.folder())?;
    tracing::debug!(folder = %disk.folder().path().display(), "opened the store");
    Ok((Arc::new(disk), Arc::new(actions)))
}

/// Each segment and each blob that is read holds a descriptor; the usual 1,024 are few.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "the limit of open files cannot be raised; ignoring");
    }
}
