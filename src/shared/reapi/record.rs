//! What execd records with each result beyond the API's own fields: how the action was isolated
//! and what it cost. Carried as auxiliary metadata of the ActionResult.

use bazel_remote_apis::build::bazel::remote::execution::v2;
use prost::Message;

use super::any::{self, Named};

/// How one action ran (`vx.RunRecord`).
#[derive(Clone, PartialEq, Message)]
pub struct RunRecord {
    /// The rung reached: full, namespaces, landlock or process.
    #[prost(string, tag = "1")]
    pub rung: String,
    /// The view class: fixed or path.
    #[prost(string, tag = "2")]
    pub view: String,
    /// User and system time of the action's processes, microseconds.
    #[prost(uint64, tag = "3")]
    pub cpu_us: u64,
    /// The largest resident size of one process, bytes.
    #[prost(uint64, tag = "4")]
    pub max_rss_bytes: u64,
    /// From start to end of the command, microseconds.
    #[prost(uint64, tag = "5")]
    pub wall_us: u64,
    /// Files of the live checkout that were opened, below its root.
    #[prost(string, repeated, tag = "6")]
    pub opened: Vec<String>,
    /// Folders of the live checkout that were listed, below its root; empty for the root.
    #[prost(string, repeated, tag = "7")]
    pub listed: Vec<String>,
    /// Why those two may lack something, if they may.
    #[prost(string, tag = "8")]
    pub unseen: String,
    /// Output files that name the place of the live checkout or an OUT_DIR in their bytes, as declared.
    #[prost(string, repeated, tag = "9")]
    pub naming: Vec<String>,
    /// Whether output files were searched for that.
    #[prost(bool, tag = "10")]
    pub searched: bool,
    /// What it wrote into its own view of the live checkout and left there: nobody gets that.
    #[prost(string, repeated, tag = "11")]
    pub wrote: Vec<String>,
    /// What it tried to reach and did not get, each once. Of scripts, and of what had failed before.
    #[prost(message, repeated, tag = "30")]
    pub tried: Vec<Attempt>,
    /// Why that may lack something, if it may.
    #[prost(string, tag = "31")]
    pub unheard: String,
    /// What exceptions of vx.toml granted it: `network`, `read /PATH`, `write /PATH`, `socket /PATH`.
    #[prost(string, repeated, tag = "32")]
    pub granted: Vec<String>,
    /// Programs of the host that it ran, or looked for, beside those of every key. Of scripts.
    #[prost(string, repeated, tag = "33")]
    pub tools: Vec<String>,
    /// From start of the command until its early output was handed out, microseconds; 0 for none.
    #[prost(uint64, tag = "20")]
    pub early_us: u64,
}

/// One thing that an action tried to reach and did not get, or got by an exception.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct Attempt {
    /// `open`, `write` (an open for that) or `connect`.
    #[prost(string, tag = "1")]
    pub kind: String,
    /// The path, the person's home as `~`; the address; `@` and a name for an abstract socket.
    #[prost(string, tag = "2")]
    pub what: String,
    /// What it was answered, for an error's name; [`GRANTED`] where an exception let it.
    #[prost(string, tag = "3")]
    pub answer: String,
}

/// The answer to what an exception let an action do.
pub const GRANTED: &str = "granted";

impl Named for RunRecord {
    const NAME: &'static str = "vx.RunRecord";
}

/// An output that is there although its action still runs (`vx.EarlyOutput`), carried as auxiliary
/// metadata of the running operation. Its content is in the store; the result names it again, and
/// what the result says counts.
#[derive(Clone, PartialEq, Message)]
pub struct EarlyOutput {
    /// As the result will name it.
    #[prost(message, optional, tag = "1")]
    pub file: Option<v2::OutputFile>,
}

impl Named for EarlyOutput {
    const NAME: &'static str = "vx.EarlyOutput";
}

/// The early output that an operation's metadata tells of.
pub fn early(metadata: &v2::ExecuteOperationMetadata) -> Option<v2::OutputFile> {
    let partial = metadata.partial_execution_metadata.as_ref()?;
    partial.auxiliary_metadata.iter().find_map(any::unpack::<EarlyOutput>)?.file
}

/// Changes the record of a result, if it carries one.
pub fn update(result: &mut v2::ActionResult, change: impl Fn(&mut RunRecord)) {
    let packed = result.execution_metadata.iter_mut().flat_map(|metadata| &mut metadata.auxiliary_metadata);
    for packed in packed {
        if let Some(mut record) = any::unpack::<RunRecord>(packed) {
            change(&mut record);
            *packed = any::pack(&record);
        }
    }
}

/// The record of a result, if it carries one.
pub fn of(result: &v2::ActionResult) -> Option<RunRecord> {
    result.execution_metadata.as_ref()?.auxiliary_metadata.iter().find_map(any::unpack)
}
