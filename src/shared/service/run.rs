//! Runs a service: a runtime, signals, watchdog, idle time, and an orderly end.

use std::{future::Future, io, os::unix::net::UnixListener, process::ExitCode, sync::Arc, time::Duration};

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::{Idle, Tcp, notify};
use crate::{
    control::{self, Controlled},
    fault::exit,
    limits,
    paths::Service,
};

/// Says when to stop: accept nothing new, finish what runs.
#[derive(Clone, Debug, Default)]
pub struct Shutdown(CancellationToken);

impl Shutdown {
    /// Asks the service to stop.
    pub fn request(&self) {
        self.0.cancel();
    }

    /// Whether it was asked.
    pub fn is_requested(&self) -> bool {
        self.0.is_cancelled()
    }

    /// Returns when it was asked.
    pub async fn requested(&self) {
        self.0.cancelled().await;
    }
}

/// What the shell lends to the service's own parts.
#[derive(Clone, Debug)]
pub struct Parts {
    /// Which service this is.
    pub service: Service,
    /// Keeps it from leaving.
    pub idle: Idle,
    /// When to stop.
    pub shutdown: Shutdown,
    /// Where it listens beside its socket.
    pub tcp: Tcp,
}

impl Parts {
    /// Tells the init system that the first request can be answered.
    pub fn ready(&self, status: &str) {
        notify::status(status);
        notify::ready();
        tracing::info!(version = env!("CARGO_PKG_VERSION"), "{} is ready: {status}", self.service.program());
    }

    /// Serves the control interface until the answer is dropped: keep it as long as the service
    /// runs. Open control connections keep the service from leaving.
    pub async fn control(
        &self,
        controlled: Arc<dyn Controlled>,
        socket: Option<UnixListener>,
    ) -> io::Result<control::Serving> {
        let idle = self.idle.clone();
        control::serve(self.service, controlled, socket, Arc::new(move || Box::new(idle.guard()))).await
    }

    /// Changes the line that the init system shows.
    pub fn status(&self, status: &str) {
        notify::status(status);
    }
}

/// Runs `body` until it returns. SIGTERM, SIGINT and idle time ask it to stop through
/// [`Parts::shutdown`]; then guards are waited for up to [`limits::DRAIN`]. The service's failure
/// is logged here, once.
pub fn run<F, E>(service: Service, idle_timeout: Duration, body: impl FnOnce(Parts) -> F) -> ExitCode
where
    F: Future<Output = Result<(), E>>,
    E: std::fmt::Display,
{
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(err) => {
            tracing::error!(%err, "the runtime cannot be started");
            return ExitCode::from(exit::FAILED);
        }
    };
    let parts = Parts { service, idle: Idle::new(idle_timeout), shutdown: Shutdown::default(), tcp: Tcp::default() };
    let outcome = runtime.block_on(watch_over(parts.clone(), body(parts.clone())));
    // Blocking threads that still hash or wait must not hold up the exit.
    runtime.shutdown_timeout(Duration::from_millis(500));
    match outcome {
        Ok(()) => ExitCode::from(exit::OK),
        Err(err) => {
            tracing::error!("{} failed: {err:#}", service.program());
            ExitCode::from(exit::FAILED)
        }
    }
}

async fn watch_over<E: std::fmt::Display>(
    parts: Parts,
    body: impl Future<Output = Result<(), E>>,
) -> Result<(), String> {
    let signals = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
    let (Ok(mut terminate), Ok(mut interrupt)) = signals else {
        return Err("cannot listen for signals".to_owned());
    };
    let mut beat = tokio::time::interval(notify::watchdog_interval().unwrap_or(Duration::from_secs(3600)));
    tokio::pin!(body);
    let idle = parts.idle.clone();
    let elapsed = idle.elapsed();
    tokio::pin!(elapsed);
    loop {
        tokio::select! {
            outcome = &mut body => return outcome.map_err(|err| format!("{err:#}")),
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            () = &mut elapsed => {
                tracing::info!("leaving: nothing to do");
                break;
            }
            () = parts.shutdown.requested() => break,
            _ = beat.tick() => notify::alive(),
        }
    }
    notify::stopping();
    parts.status("Stopping");
    parts.shutdown.request();
    let drained = async {
        let outcome = (&mut body).await;
        parts.idle.quiet().await;
        outcome
    };
    tokio::pin!(drained);
    let end = tokio::time::sleep(limits::DRAIN);
    tokio::pin!(end);
    loop {
        tokio::select! {
            outcome = &mut drained => return outcome.map_err(|err| format!("{err:#}")),
            () = &mut end => {
                tracing::warn!(busy = parts.idle.busy(), "leaving although something still runs");
                return Ok(());
            }
            _ = beat.tick() => notify::alive(),
        }
    }
}
