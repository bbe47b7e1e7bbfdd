//! vx-casd: the content-addressed store, the action cache and the acquisition of crates, on a
//! socket that the init system holds. The pieces are opened here; each lives in its own module.

mod acquire;
mod actions;
mod control;
mod keeper;
mod serve;
mod store;

use std::{
    path::Path,
    process::ExitCode,
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::Context;
use shared::{
    config::Config,
    paths::Service,
    service::{self, Parts, Start},
    telemetry::messages,
};

use crate::{
    actions::Actions,
    control::Control,
    keeper::Keeper,
    serve::{Casd, Gate},
    store::{Disk, Limits},
};

/// Without a store it leaves this soon when nobody asks, so that the next connect tries again.
const RETRY: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    service::main(Service::Cas, || Ok(()), |config| config.cas.idle_timeout(), |(), start, parts| run(start, parts))
}

async fn run(start: Start, parts: Parts) -> anyhow::Result<()> {
    let Start { sockets, config, config_file } = start;
    let gate = Gate::default();
    let (config, config_error) = match config {
        Ok(config) => (config, None),
        Err(error) => {
            gate.close(error.to_string());
            (Config::default(), Some(error))
        }
    };
    let folder = control::folder(&config).context("neither XDG_CACHE_HOME nor HOME is set")?;
    let path = folder.clone();
    // An exit would end in a failed socket: a store that cannot be opened answers with the reason.
    let lease = Duration::from_secs(config.cas.lease_s);
    let limits = Limits { budget: config.cas.budget, lease, ..Limits::default() };
    let opened = tokio::task::spawn_blocking(move || open(&path, limits)).await?;
    let mut notes = Vec::new();
    let (disk, casd) = match opened {
        Ok((disk, actions, keeper)) => {
            notes.extend(
                disk.folder()
                    .set_aside
                    .as_ref()
                    .map(|path| format!("an older store was set aside in {}", path.display())),
            );
            (Some(disk.clone()), Some(Arc::new(Casd { store: disk, actions, keeper })))
        }
        Err(error) => {
            tracing::error!(message_id = messages::STORE_CLOSED, "the store cannot be opened: {error:#}");
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
    parts.control(Arc::new(control), sockets.control).await?;
    parts.ready(if disk.is_some() { "Serving" } else { "The store cannot be opened" });
    serve::serve(sockets.main, casd.clone(), gate, &parts).await?;
    tokio::task::spawn_blocking(move || {
        if let (Some(casd), Some(disk)) = (casd, disk) {
            casd.keeper.close();
            casd.actions.close();
            disk.close();
        }
    })
    .await?;
    Ok(())
}

type Opened = (Arc<Disk>, Arc<Actions>, Arc<Keeper>);

fn open(folder: &Path, limits: Limits) -> anyhow::Result<Opened> {
    let disk = Arc::new(Disk::open(folder, limits)?);
    let actions = Arc::new(Actions::open(disk.folder())?);
    let keeper = Keeper::start(disk.clone(), actions.clone())?;
    tracing::debug!(folder = %disk.folder().path().display(), "opened the store");
    Ok((disk, actions, Arc::new(keeper)))
}
