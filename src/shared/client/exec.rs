//! The executor as its clients see it: actions by the standard API, and the local calls for the
//! toolchain's identity and cargo's own questions.

use std::{
    collections::BTreeMap,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use tonic::{Code, Status};

use super::{CallError, Link, cas::status_is_lost};
use crate::{
    config::Rung,
    digest::Digest,
    limits,
    reapi::{
        self, Message, REQUEST_METADATA, any, digest_to_proto,
        longrunning::{self, Operation, operation},
        record,
        tree::Mode,
        v2::{self, execution_client::ExecutionClient},
    },
    wire::text::Text,
};

/// Why an action has no result.
#[derive(Debug, thiserror::Error)]
pub enum ExecError {
    /// The executor says why.
    #[error("executor: {}: {}", .0.code(), .0.message())]
    Status(Box<Status>),
    /// A local call failed.
    #[error("executor: {0}")]
    Call(#[from] CallError),
    /// It answered with something that makes no sense.
    #[error("executor: unexpected answer: {0}")]
    Answer(&'static str),
}

impl From<Status> for ExecError {
    fn from(status: Status) -> Self {
        ExecError::Status(Box::new(status))
    }
}

impl ExecError {
    /// Whether the executor went away, so that trying again may help.
    pub fn is_lost(&self) -> bool {
        match self {
            ExecError::Status(status) => status_is_lost(status),
            ExecError::Call(err) => err.is_lost(),
            ExecError::Answer(_) => false,
        }
    }

    /// Whether inputs or tools have to be brought again (REAPI: FAILED_PRECONDITION).
    pub fn is_precondition(&self) -> bool {
        matches!(self, ExecError::Status(status) if status.code() == Code::FailedPrecondition)
    }
}

/// What runs cargo's own questions (`cargo.run`).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CargoRun {
    /// What is asked.
    pub kind: CargoKind,
    /// The toolchain's folder, absolute.
    pub toolchain: PathBuf,
    /// CARGO_HOME, absolute.
    pub cargo_home: PathBuf,
    /// The checkout that is shown, absolute.
    pub root: PathBuf,
    /// The working directory, absolute.
    pub cwd: PathBuf,
    /// The words after those that the kind stands for.
    pub args: Vec<String>,
    /// The environment, whole.
    pub env: BTreeMap<String, String>,
    /// Files and folders outside the checkout that are shown read-only at their own places:
    /// configuration above it, path dependencies beside it.
    #[serde(default)]
    pub show: Vec<PathBuf>,
    /// The lock file in `root`: all of the checkout that a fetch may write to.
    #[serde(default)]
    pub lock: Option<PathBuf>,
    /// The target folder, all that a clean may write to; without one it finds an empty one.
    #[serde(default)]
    pub target: Option<PathBuf>,
}

/// The questions that cargo and rustc are asked outside any Action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CargoKind {
    /// `cargo build --unit-graph`
    UnitGraph,
    /// `cargo check --unit-graph`
    CheckGraph,
    /// `cargo test --unit-graph`
    TestGraph,
    /// `cargo bench --unit-graph`
    BenchGraph,
    /// `cargo doc --unit-graph`
    DocGraph,
    /// `cargo metadata`
    Metadata,
    /// `cargo config get`
    Config,
    /// `rustc -` with `--print`s.
    Probe,
    /// `cargo locate-project`
    Locate,
    /// `cargo fetch`: with the network and a writable CARGO_HOME.
    Fetch,
    /// `cargo clean`
    Clean,
}

/// How such a run ended.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CargoEnded {
    /// Its exit.
    pub exit: Exit,
    /// The sandbox's rung.
    pub rung: String,
    /// From start to end, milliseconds.
    #[serde(default)]
    pub wall_ms: u64,
    /// User and system time, milliseconds.
    #[serde(default)]
    pub cpu_ms: u64,
}

/// One of the person's own programs (`program.run`): outside the action sandbox, on the three
/// descriptors that come along.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ProgramRun {
    /// By which `program.signal` finds it; the caller's to make unique.
    pub name: String,
    /// Program and arguments; a program without a slash is looked for in the environment's PATH.
    pub argv: Vec<Text>,
    /// The environment, whole.
    pub env: Vec<(Text, Text)>,
    /// The working directory, absolute.
    pub cwd: Text,
    /// The mask for the modes of new files, where it is to be another than the executor's.
    #[serde(default)]
    pub umask: Option<u32>,
}

/// How it ended.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProgramEnded {
    /// It ran.
    Ran(Exit),
    /// It never began: the system's number for why.
    Never(i32),
}

/// A signal for a program that runs (`program.signal`).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ProgramSignal {
    /// The program's name.
    pub name: String,
    /// The signal's number.
    pub sig: i32,
}

/// Asks for a file that only the executor's stage has (`output.take`).
#[derive(Debug, Serialize, Deserialize)]
pub struct TakeParams {
    /// Which.
    pub digest: Digest,
    /// Whether it can be run.
    pub executable: bool,
    /// Its name in the folder whose descriptor comes along.
    pub name: String,
}

/// What `output.take` says.
#[derive(Debug, Serialize, Deserialize)]
pub struct TakeAnswer {
    /// Whether it is there now; where not, the store has it.
    pub taken: bool,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Exit {
    /// By itself.
    Code(i32),
    /// By a signal.
    Signal(i32),
}

/// What `toolchain.identify` says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Of the toolchain's programs and libraries, hexadecimal.
    pub toolchain: String,
    /// Of the host's C tools, hexadecimal.
    pub host: String,
    /// How actions see their inputs there.
    #[serde(default)]
    pub view: ViewClass,
}

/// How an executor shows inputs; results of one class never serve another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ViewClass {
    /// At fixed places, and nothing else.
    #[default]
    Fixed,
    /// At real places, and Landlock lets nothing else be read.
    Path,
    /// At real places among everything else.
    Process,
}

impl ViewClass {
    /// The class of a rung.
    pub fn of(rung: Rung) -> ViewClass {
        match rung {
            Rung::Full | Rung::Namespaces => ViewClass::Fixed,
            Rung::Landlock => ViewClass::Path,
            Rung::Process => ViewClass::Process,
        }
    }
}

/// A client of execd.
#[derive(Clone, Debug)]
pub struct Exec {
    link: Link,
    /// Who asks, as the API's RequestMetadata.
    asks: Option<v2::RequestMetadata>,
    execution: ExecutionClient<tonic::transport::Channel>,
    operations: longrunning::operations_client::OperationsClient<tonic::transport::Channel>,
}

/// A running action: its stream of states.
#[derive(Debug)]
pub struct Running {
    stream: tonic::Streaming<Operation>,
    /// The operation's name, once the first message came.
    pub name: Option<String>,
}

impl Exec {
    /// A client over a link.
    pub fn new(link: Link) -> Self {
        let channel = link.channel();
        Exec {
            execution: ExecutionClient::new(channel.clone()).max_decoding_message_size(limits::MESSAGE_BYTES),
            operations: longrunning::operations_client::OperationsClient::new(channel),
            link,
            asks: None,
        }
    }

    /// The same client for one build, whose id then stands in the executor's log.
    #[must_use]
    pub fn of_build(self, id: &str) -> Self {
        let tool_details = v2::ToolDetails { tool_name: "vx".into(), tool_version: env!("CARGO_PKG_VERSION").into() };
        let asks = v2::RequestMetadata {
            tool_details: Some(tool_details),
            tool_invocation_id: id.to_owned(),
            ..v2::RequestMetadata::default()
        };
        Exec { asks: Some(asks), ..self }
    }

    /// Starts (or joins) an action.
    pub async fn execute(&self, action: Digest) -> Result<Running, ExecError> {
        let request = v2::ExecuteRequest {
            instance_name: String::new(),
            skip_cache_lookup: false,
            action_digest: Some(digest_to_proto(&action)),
            digest_function: reapi::function_to_proto(action.function()),
            inline_stdout: true,
            inline_stderr: true,
            ..Default::default()
        };
        let mut request = tonic::Request::new(request);
        if let Some(asks) = &self.asks {
            let asks = v2::RequestMetadata { action_id: action.hex(), ..asks.clone() };
            let value = tonic::metadata::MetadataValue::from_bytes(&asks.encode_to_vec());
            request.metadata_mut().insert_bin(REQUEST_METADATA, value);
        }
        let stream = self.execution.clone().execute(request).await?.into_inner();
        Ok(Running { stream, name: None })
    }

    /// Ends a running action.
    pub async fn cancel(&self, name: &str) -> Result<(), ExecError> {
        let request = longrunning::CancelOperationRequest { name: name.to_owned() };
        self.operations.clone().cancel_operation(request).await?;
        Ok(())
    }

    /// The identity of a toolchain and of the host's C tools.
    pub async fn identify(&self, toolchain: &Path) -> Result<Identity, ExecError> {
        #[derive(Serialize)]
        struct Params<'a> {
            path: &'a Path,
        }
        Ok(self.link.call("toolchain.identify", &Params { path: toolchain }, &[]).await?.0)
    }

    /// Drops what rustc keeps between compilations in a checkout.
    pub async fn forget(&self, root: &Path) -> Result<(), ExecError> {
        #[derive(Serialize)]
        struct Params<'a> {
            root: &'a Path,
        }
        #[derive(Deserialize)]
        struct Nothing {}
        let Nothing {} = self.link.call("checkout.forget", &Params { root }, &[]).await?.0;
        Ok(())
    }

    /// Moves an output that the executor has just captured into a folder, under a name that is not
    /// there yet; whether it did. Where it did not, it is to be copied from the store.
    pub async fn take(&self, digest: Digest, mode: Mode, folder: OwnedFd, name: &str) -> Result<bool, ExecError> {
        let params = TakeParams { digest, executable: mode == Mode::Executable, name: name.to_owned() };
        let (answer, _): (TakeAnswer, _) = self.link.call("output.take", &params, &[folder]).await?;
        Ok(answer.taken)
    }

    /// Asks cargo or rustc something; `streams` are its standard output and error. Dropping the
    /// future kills it.
    pub async fn cargo(&self, run: &CargoRun, streams: &[OwnedFd; 2]) -> Result<CargoEnded, ExecError> {
        Ok(self.link.call("cargo.run", run, streams).await?.0)
    }

    /// Runs one of the person's own programs on `streams`, its standard input, output and error.
    /// It is never started twice. Dropping the future kills it.
    pub async fn program(&self, run: &ProgramRun, streams: &[OwnedFd]) -> Result<ProgramEnded, ExecError> {
        Ok(self.link.call_once("program.run", run, streams).await?.0)
    }

    /// Sends a signal to a program that runs.
    pub async fn signal(&self, signal: &ProgramSignal) -> Result<(), ExecError> {
        let _: (serde::de::IgnoredAny, _) = self.link.call("program.signal", signal, &[]).await?;
        Ok(())
    }
}

/// What is heard of a running action.
#[derive(Debug)]
pub enum Heard {
    /// An output is there although it still runs. May be said more than once.
    Early(v2::OutputFile),
    /// It has ended: the response.
    Ended(Box<v2::ExecuteResponse>),
}

impl Running {
    /// Waits for the next thing to hear; nothing comes after the end. A response whose `status`
    /// says no is an error.
    pub async fn next(&mut self) -> Result<Heard, ExecError> {
        while let Some(operation) = self.stream.message().await? {
            self.name = Some(operation.name);
            if !operation.done {
                match operation.metadata.as_ref().and_then(any::unpack).as_ref().and_then(record::early) {
                    Some(early) => return Ok(Heard::Early(early)),
                    None => continue,
                }
            }
            return match operation.result {
                Some(operation::Result::Response(response)) => {
                    let response: v2::ExecuteResponse =
                        any::unpack(&response).ok_or(ExecError::Answer("the response is no ExecuteResponse"))?;
                    match response.status.as_ref().filter(|status| status.code != 0) {
                        Some(status) => Err(Status::new(status.code.into(), status.message.clone()).into()),
                        None => Ok(Heard::Ended(Box::new(response))),
                    }
                }
                Some(operation::Result::Error(status)) => Err(Status::new(status.code.into(), status.message).into()),
                None => Err(ExecError::Answer("an operation is done without a result")),
            };
        }
        Err(Status::unavailable("the stream of states ended early").into())
    }
}
