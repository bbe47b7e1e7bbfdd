//! The daemon's way to casd and execd, and the rule for losing them: a service that went away is
//! waited for, since the init system starts it again.

use std::{future::Future, time::Duration};

use shared::{
    client::{
        CallError, Link,
        cas::{Cas, CasError},
        exec::{Exec, ExecError},
    },
    fault::{Failure, Fault},
    limits,
    paths::Service,
};
use tokio::time::Instant;

/// Both services.
#[derive(Clone, Debug)]
pub struct Services {
    /// The store.
    pub cas: Cas,
    /// The executor.
    pub exec: Exec,
}

/// A failure of either service.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// Of casd.
    #[error(transparent)]
    Cas(#[from] CasError),
    /// Of execd.
    #[error(transparent)]
    Exec(#[from] ExecError),
}

impl ServiceError {
    /// Whether trying again may help.
    pub fn is_lost(&self) -> bool {
        match self {
            ServiceError::Cas(err) => err.is_lost(),
            ServiceError::Exec(err) => err.is_lost(),
        }
    }
}

impl From<ServiceError> for Failure {
    fn from(err: ServiceError) -> Self {
        let (call, unit) = match &err {
            ServiceError::Cas(CasError::Call(call)) => (Some(call), "vx-casd"),
            ServiceError::Cas(_) => (None, "vx-casd"),
            ServiceError::Exec(ExecError::Call(call)) => (Some(call), "vx-execd"),
            ServiceError::Exec(_) => (None, "vx-execd"),
        };
        if let Some(CallError::Refused(error)) = call {
            return error.clone().into();
        }
        let failure = Failure::new(Fault::Environment, err.to_string());
        if err.is_lost() {
            failure.hint(format!("systemctl --user status {unit}; journalctl --user -u {unit}"))
        } else {
            failure
        }
    }
}

impl Services {
    /// Clients of the local services. Nothing is connected yet.
    pub fn local() -> Result<Self, Failure> {
        let link = |service: Service| {
            let socket = service.socket().ok_or_else(|| {
                Failure::new(Fault::Environment, "XDG_RUNTIME_DIR is not set, so the other services cannot be found")
            })?;
            Ok::<_, Failure>(Link::new(socket))
        };
        Ok(Services { cas: Cas::new(link(Service::Cas)?), exec: Exec::new(link(Service::Exec)?) })
    }

    /// The same for one build, whose id then stands in the executor's log.
    #[must_use]
    pub fn of_build(self, id: &str) -> Self {
        Services { exec: self.exec.of_build(id), ..self }
    }
}

/// Does `attempt` until it ends other than by losing a service, within [`limits::RESTART_WAIT`].
pub async fn persist<T, E, F>(mut attempt: impl FnMut() -> F) -> Result<T, ServiceError>
where
    F: Future<Output = Result<T, E>>,
    ServiceError: From<E>,
{
    let until = Instant::now() + limits::RESTART_WAIT;
    let mut wait = Duration::from_millis(20);
    loop {
        match attempt().await.map_err(ServiceError::from) {
            Err(err) if err.is_lost() && Instant::now() < until => {
                tracing::info!(%err, "a service was lost, trying again");
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(Duration::from_secs(1));
            }
            other => return other,
        }
    }
}
