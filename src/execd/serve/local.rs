//! Local calls: what gRPC cannot carry (descriptors) or has no word for. `toolchain.identify`,
//! `cargo.run`, `output.take`, `program.run`, `program.signal`, `checkout.forget`, `action.cancel`.

use std::{
    os::fd::{AsFd, OwnedFd},
    path::PathBuf,
    sync::Arc,
};

use serde::{Deserialize, Serialize};
use shared::{
    client::exec::{CargoRun, Identity, ProgramRun, ProgramSignal, TakeAnswer, TakeParams, ViewClass},
    fault::{Failure, Fault},
    reapi::tree::Mode,
    service::{Call, Peer, Reply},
    wire::call::{self, Error},
};
use tonic::Code;

use super::registry::Operations;
use crate::{executor::Executor, program, refusal::Refusal, toolchain::ToolchainError, tools};

#[derive(Deserialize)]
struct Identify {
    path: PathBuf,
}

#[derive(Deserialize)]
struct Cancel {
    name: String,
}

#[derive(Deserialize)]
struct Forget {
    root: PathBuf,
}

#[derive(Serialize)]
struct Nothing {}

/// Answers one call.
pub async fn answer(executor: Arc<Executor>, operations: Arc<Operations>, call: Call) -> Result<Reply, Error> {
    match call.method.as_str() {
        "toolchain.identify" => identify(executor, &call.params::<Identify>()?).await,
        "cargo.run" => {
            executor.admit(Peer::Local)?;
            let run: CargoRun = call.params()?;
            Reply::new(&tools::run(&executor, &run, &call.fds).await?)
        }
        "checkout.forget" => {
            let Forget { root } = call.params()?;
            let incremental = Arc::clone(&executor.incremental);
            let forgotten = tokio::task::spawn_blocking(move || incremental.forget(&root)).await;
            forgotten.map_err(|err| Failure::new(Fault::Bug, err.to_string()))?;
            Reply::new(&Nothing {})
        }
        "program.run" => {
            let run: ProgramRun = call.params()?;
            Reply::new(&program::run(&executor, run, &call.fds).await?)
        }
        "program.signal" => {
            executor.programs.signal(&call.params::<ProgramSignal>()?)?;
            Reply::new(&Nothing {})
        }
        "output.take" => take(&executor, call.params()?, &call.fds).await,
        "action.cancel" => {
            let Cancel { name } = call.params()?;
            let operation = operations.get(Peer::Local, &name);
            let operation = operation.ok_or_else(|| Failure::new(Fault::User, format!("no operation {name:?}")))?;
            operation.cancel.cancel();
            Reply::new(&Nothing {})
        }
        other => Err(Error::new(call::UNKNOWN_METHOD, format!("vx-execd has no method {other:?}"))),
    }
}

async fn take(executor: &Arc<Executor>, params: TakeParams, fds: &[OwnedFd]) -> Result<Reply, Error> {
    let ([folder], false) = (fds, params.name.contains('/') || matches!(params.name.as_str(), "" | "." | "..")) else {
        return Err(Error::new(call::INVALID_PARAMS, "output.take: one descriptor of a folder, and a name in it"));
    };
    let folder = folder.try_clone().map_err(|err| Failure::new(Fault::Environment, err.to_string()))?;
    let executor = Arc::clone(executor);
    let mode = if params.executable { Mode::Executable } else { Mode::Plain };
    let take = move || executor.sources.stage.hand_over(params.digest, mode, folder.as_fd(), &params.name);
    let taken = tokio::task::spawn_blocking(take).await;
    let taken = taken.map_err(|err| Failure::new(Fault::Bug, err.to_string()))?;
    Reply::new(&TakeAnswer { taken })
}

async fn identify(executor: Arc<Executor>, params: &Identify) -> Result<Reply, Error> {
    let path = params.path.clone();
    let asked = Arc::clone(&executor);
    let identify = move || asked.sources.toolchains.identify(&path);
    let identities = tokio::task::spawn_blocking(identify).await;
    let identities = identities.map_err(|err| Failure::new(Fault::Bug, err.to_string()))??;
    Reply::new(&Identity {
        toolchain: identities.toolchain,
        host: identities.host,
        view: ViewClass::of(executor.ladder.rung),
    })
}

impl From<ToolchainError> for Error {
    fn from(err: ToolchainError) -> Error {
        Failure::new(Fault::Environment, err.to_string()).into()
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Error {
        if refusal.code == Code::Unavailable {
            return Error::new(call::BUSY, refusal.message);
        }
        let fault = match refusal.code {
            Code::InvalidArgument => Fault::User,
            Code::Internal => Fault::Bug,
            _ => Fault::Environment,
        };
        let (what, hint) = match refusal.message.split_once("\n  ") {
            Some((what, hint)) => (what.to_owned(), Some(hint.to_owned())),
            None => (refusal.message, None),
        };
        Failure { fault, what, hint }.into()
    }
}
