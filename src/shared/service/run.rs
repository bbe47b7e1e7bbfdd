//! Runs a service: its first lines, a runtime, signals, watchdog, idle time, and an orderly end.

use std::{
    fmt,
    future::Future,
    io,
    os::unix::net::UnixListener,
    path::PathBuf,
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::Interval,
};
use tokio_util::sync::CancellationToken;

use super::{Idle, Sockets, Tcp, notify, shell, take_sockets};
use crate::{
    config::{Config, ConfigError},
    control::{self, Controlled},
    fault::exit,
    limits,
    paths::{self, Service},
    telemetry::{self, Log, messages},
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
    log: &'static Log,
    /// The control plane answers until everything else has ended.
    control: Arc<Mutex<Option<control::Serving>>>,
}

/// What a service starts with.
pub struct Start {
    /// Where clients and control connect.
    pub sockets: Sockets,
    /// vx.toml, broken or not: a broken one is answered to each request, for an exit would put the
    /// socket into `failed`.
    pub config: Result<Config, ConfigError>,
    /// Where that lies.
    pub config_file: PathBuf,
}

impl Parts {
    /// Tells the init system that the first request can be answered.
    pub fn ready(&self, status: &str) {
        notify::status(status);
        notify::ready();
        tracing::info!(version = env!("CARGO_PKG_VERSION"), "{} is ready: {status}", self.service.program());
    }

    /// Serves the control interface until everything else has ended. Open control connections keep
    /// the service from leaving for idleness.
    pub async fn control(&self, controlled: Arc<dyn Controlled>, socket: Option<UnixListener>) -> io::Result<()> {
        let shell = shell::Lent { idle: self.idle.clone(), shutdown: self.shutdown.clone(), log: self.log };
        let serving = control::serve(self.service, controlled, socket, Arc::new(shell)).await?;
        *self.control.lock().unwrap_or_else(PoisonError::into_inner) = Some(serving);
        Ok(())
    }

    /// Changes the line that the init system shows.
    pub fn status(&self, status: &str) {
        notify::status(status);
    }
}

/// A service from its first line to its exit code. `first` runs before there is any thread. SIGTERM,
/// SIGINT, idle time and a drain ask `body` to stop through [`Parts::shutdown`]; then guards are
/// waited for. A failure is logged here, once.
pub fn main<T, F, E>(
    service: Service,
    first: impl FnOnce() -> io::Result<T>,
    idle_timeout: fn(&Config) -> Duration,
    body: impl FnOnce(T, Start, Parts) -> F,
) -> ExitCode
where
    F: Future<Output = Result<(), E>>,
    E: fmt::Display,
{
    let listen = match shell::arguments(service) {
        Ok(listen) => listen,
        Err(code) => return code,
    };
    let first = first();
    let log = telemetry::start(service);
    let outcome = (|| {
        let first = first.map_err(|err| format!("{err}"))?;
        let sockets = take_sockets(service, listen.as_deref()).map_err(|err| err.to_string())?;
        shell::raise_descriptor_limit();
        let config_file = paths::config_file().unwrap_or_default();
        let config = Config::load(&config_file);
        if let Err(error) = &config {
            tracing::error!(message_id = messages::CONFIG_INVALID, "{error}");
        }
        let timeout = idle_timeout(config.as_ref().unwrap_or(&Config::default()));
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        let runtime = runtime.map_err(|err| format!("the runtime cannot be started: {err}"))?;
        let parts = Parts {
            service,
            idle: Idle::new(timeout),
            shutdown: Shutdown::default(),
            tcp: Tcp::default(),
            log,
            control: Arc::default(),
        };
        let body = body(first, Start { sockets, config, config_file }, parts.clone());
        let outcome = runtime.block_on(watch_over(parts, body));
        // Blocking threads that still hash or wait must not hold up the exit.
        runtime.shutdown_timeout(Duration::from_millis(500));
        outcome
    })();
    let code = match outcome {
        Ok(()) => exit::OK,
        Err(why) => {
            tracing::error!(message_id = messages::SERVICE_FAILED, "{} failed: {why}", service.program());
            exit::FAILED
        }
    };
    log.flush();
    ExitCode::from(code)
}

/// Why the service stops.
enum End {
    /// A signal or idle time: the init system waits, but not for long.
    Told,
    /// A drain or a reload: what runs has its time.
    Asked,
}

/// SIGTERM and SIGINT.
struct Signals(Signal, Signal);

impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Signals(signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?))
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.0.recv() => {}
            _ = self.1.recv() => {}
        }
    }
}

async fn watch_over<E: fmt::Display>(parts: Parts, body: impl Future<Output = Result<(), E>>) -> Result<(), String> {
    let mut signals = Signals::listen().map_err(|err| format!("cannot listen for signals: {err}"))?;
    let mut beat = tokio::time::interval(notify::watchdog_interval().unwrap_or(Duration::from_secs(3600)));
    tokio::pin!(body);
    let idle = parts.idle.clone();
    let elapsed = idle.elapsed();
    tokio::pin!(elapsed);
    let end = loop {
        tokio::select! {
            outcome = &mut body => return outcome.map_err(|err| format!("{err:#}")),
            () = signals.next() => break End::Told,
            () = &mut elapsed => {
                tracing::info!("leaving: nothing to do");
                break End::Told;
            }
            () = parts.shutdown.requested() => break End::Asked,
            _ = beat.tick() => notify::alive(),
        }
    };
    drain(&parts, end, &mut signals, &mut beat, body).await
}

/// Waits for what runs, then drops the control plane.
async fn drain<E: fmt::Display>(
    parts: &Parts,
    end: End,
    signals: &mut Signals,
    beat: &mut Interval,
    body: impl Future<Output = Result<(), E>>,
) -> Result<(), String> {
    parts.shutdown.request();
    let limit = tokio::time::sleep(limits::DRAIN_ASKED);
    tokio::pin!(limit);
    let hurry = || {
        // From here on the init system counts too.
        notify::stopping();
        parts.status("Stopping");
        tokio::time::Instant::now() + limits::DRAIN
    };
    let mut asked = match end {
        End::Told => {
            limit.as_mut().reset(hurry());
            false
        }
        End::Asked => {
            parts.status("Draining: finishing what runs");
            tracing::info!("draining: what runs is finished, nothing new is taken");
            true
        }
    };
    let drained = async {
        let outcome = body.await;
        parts.idle.quiet().await;
        outcome
    };
    tokio::pin!(drained);
    let outcome = loop {
        tokio::select! {
            outcome = &mut drained => break outcome.map_err(|err| format!("{err:#}")),
            () = signals.next(), if asked => {
                asked = false;
                limit.as_mut().reset(hurry());
            }
            () = &mut limit => {
                let busy = parts.idle.busy();
                tracing::warn!(busy, message_id = messages::DRAIN_ENDED, "leaving although something still runs");
                break Ok(());
            }
            _ = beat.tick() => notify::alive(),
        }
    };
    drop(parts.control.lock().unwrap_or_else(PoisonError::into_inner).take());
    outcome
}
