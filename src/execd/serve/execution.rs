//! Execute and WaitExecution: a stream of an operation's states, the first at once, the last with
//! the response. What a client wants inlined is decided for each stream.

use std::{
    pin::Pin,
    sync::{Arc, atomic::Ordering},
};

use shared::{
    limits::OPERATIONS,
    reapi::{self, Message, any, longrunning, v2},
    service::Peer,
};
use tokio_stream::Stream;
use tonic::{Code, Request, Response, Status, metadata::MetadataMap};
use tracing::Instrument;
use v2::{execution_server::Execution, execution_stage::Value as Phase};

use super::{
    registry::{Joining, Operation, Operations, Progress},
    request::{self, Instance},
    result, status,
};
use crate::{
    action::{self, Request as Action},
    collect::OutputFile,
    executor::Executor,
    refusal::Refusal,
};

type States = Pin<Box<dyn Stream<Item = Result<longrunning::Operation, Status>> + Send>>;

/// What is kept of a build's id: vx's are half as long.
const BUILD_ID: usize = 64;

/// The Execution service.
pub struct Execute {
    pub executor: Arc<Executor>,
    pub operations: Arc<Operations>,
}

/// Which streams the client wants inside the response.
#[derive(Clone, Copy, Debug)]
pub struct Inline {
    stdout: bool,
    stderr: bool,
}

impl Inline {
    pub const ALL: Inline = Inline { stdout: true, stderr: true };
    pub const NOTHING: Inline = Inline { stdout: false, stderr: false };
}

#[tonic::async_trait]
impl Execution for Execute {
    type ExecuteStream = States;
    type WaitExecutionStream = States;

    async fn execute(&self, request: Request<v2::ExecuteRequest>) -> Result<Response<States>, Status> {
        let peer = Peer::of(&request);
        let build = build_of(request.metadata());
        let request = request.into_inner();
        let inline = Inline { stdout: request.inline_stdout, stderr: request.inline_stderr };
        let begun = self.begin(peer, &request, inline, &build).await;
        let operation = begun.map_err(|refusal| status::status(&refusal))?;
        Ok(Response::new(states(operation, inline)))
    }

    async fn wait_execution(&self, request: Request<v2::WaitExecutionRequest>) -> Result<Response<States>, Status> {
        let peer = Peer::of(&request);
        let name = request.into_inner().name;
        let operation = self.operations.get(peer, &name);
        let operation = operation.ok_or_else(|| Status::not_found(format!("no operation {name:?}; execute again")))?;
        // This request cannot say what it wants; the first one did.
        let inline = operation.inline;
        Ok(Response::new(states(operation, inline)))
    }
}

impl Execute {
    async fn begin(
        &self,
        peer: Peer,
        request: &v2::ExecuteRequest,
        inline: Inline,
        build: &str,
    ) -> Result<Arc<Operation>, Refusal> {
        let executor = &self.executor;
        executor.admit(peer)?;
        if self.operations.running() >= OPERATIONS {
            return Err(Refusal::new(
                Code::Unavailable,
                format!("{OPERATIONS} operations wait already; try again later"),
            ));
        }
        let invalid = |what: String| Refusal::new(Code::InvalidArgument, what);
        let function = reapi::function_from_proto(request.digest_function)
            .ok_or_else(|| invalid("digest functions are SHA256 and BLAKE3".to_owned()))?;
        let digest = reapi::digest_from_proto(function, request.action_digest.as_ref())
            .map_err(|err| invalid(format!("action_digest: {err}")))?;
        let action = request::read(executor, peer, Instance::of(&request.instance_name), digest).await?;
        let joining = if action.cacheable { Joining::Allowed } else { Joining::Refused };
        if action.cacheable
            && !request.skip_cache_lookup
            && let Some(response) = result::cached(executor, &action).await?
        {
            executor.hits.fetch_add(1, Ordering::Relaxed);
            let (operation, _) = self.operations.join_or_begin(peer, digest, Joining::Refused, inline);
            self.operations.end(&operation, response);
            return Ok(operation);
        }
        let (operation, new) = self.operations.join_or_begin(peer, digest, joining, inline);
        if new {
            self.run(action, Arc::clone(&operation), build);
        }
        Ok(operation)
    }

    /// Runs an operation in the background and ends it, whoever listens.
    fn run(&self, request: Action, operation: Arc<Operation>, build: &str) {
        let (executor, operations) = (Arc::clone(&self.executor), Arc::clone(&self.operations));
        let guard = executor.parts.idle.guard();
        // Errors alone are always enabled, so that every message has the fields.
        let span = tracing::error_span!("action", vx_build = build, vx_action = request.digest.hex());
        let run = async move {
            let mut outcome = action::run(&executor, &request, &operation.cancel, operation.as_ref()).await;
            if let Ok(done) = &outcome
                && request.cacheable
                && done.is_cacheable()
                && let Err(err) = executor.cas.update_action_result(request.digest, result::stored(done)).await
            {
                outcome = Err(err.into());
            }
            match &outcome {
                Ok(done) => {
                    let [staged, laid, ran, taken] = done.times.stages();
                    tracing::debug!(ending = ?done.ending, ?staged, ?laid, ?ran, ?taken, "an action has ended");
                }
                Err(refusal) => tracing::debug!(code = %refusal.code, "an action was not run: {refusal}"),
            }
            operations.end(&operation, result::respond(outcome.as_ref()));
            drop(guard);
        };
        tokio::spawn(run.instrument(span));
    }
}

/// The id of the build that asks, as far as the client says it.
fn build_of(metadata: &MetadataMap) -> String {
    let bytes = metadata.get_bin(reapi::REQUEST_METADATA).and_then(|value| value.to_bytes().ok());
    let asks = bytes.and_then(|bytes| v2::RequestMetadata::decode(bytes).ok()).unwrap_or_default();
    asks.tool_invocation_id.chars().filter(|c| c.is_ascii_graphic()).take(BUILD_ID).collect()
}

impl action::Observer for Operation {
    fn started(&self) {
        self.say(Progress::In(Phase::Executing));
    }

    fn early(&self, output: OutputFile) {
        self.announce(output);
    }
}

/// An operation's states from now to its end.
fn states(operation: Arc<Operation>, inline: Inline) -> States {
    let follower = operation.follow();
    let first = (operation, follower, true, false);
    Box::pin(futures_util::stream::unfold(first, move |(operation, mut follower, first, ended)| async move {
        if ended || (!first && follower.changed().await.is_err()) {
            return None;
        }
        let progress = follower.borrow_and_update().clone();
        let message = message(&operation, &progress, inline);
        let ended = matches!(progress, Progress::Ended(_));
        Some((Ok(message), (operation, follower, false, ended)))
    }))
}

/// One state as the API writes it.
fn message(operation: &Operation, progress: &Progress, inline: Inline) -> longrunning::Operation {
    let stage = match progress {
        Progress::In(phase) => *phase,
        Progress::Ended(_) => Phase::Completed,
    };
    let metadata = v2::ExecuteOperationMetadata {
        stage: stage as i32,
        action_digest: Some(reapi::digest_to_proto(&operation.action)),
        digest_function: reapi::function_to_proto(operation.action.function()),
        partial_execution_metadata: operation.early().map(result::partial),
        ..Default::default()
    };
    let result = match progress {
        Progress::In(_) => None,
        Progress::Ended(response) => {
            let response = trimmed(response, inline);
            Some(longrunning::operation::Result::Response(any::pack(&response)))
        }
    };
    let done = result.is_some();
    longrunning::Operation { name: operation.name.clone(), metadata: Some(any::pack(&metadata)), done, result }
}

fn trimmed(response: &v2::ExecuteResponse, inline: Inline) -> v2::ExecuteResponse {
    let mut response = response.clone();
    if let Some(result) = &mut response.result {
        if !inline.stdout && result.stdout_digest.is_some() {
            result.stdout_raw.clear();
        }
        if !inline.stderr && result.stderr_digest.is_some() {
            result.stderr_raw.clear();
        }
    }
    response
}

/// An operation as it is now, for the Operations service.
pub fn snapshot(operation: &Operation, inline: Inline) -> longrunning::Operation {
    message(operation, &operation.progress(), inline)
}
