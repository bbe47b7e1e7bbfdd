//! What execd tells an action's first process, and what that reports back. Plain data, written as
//! JSON: the spawner is forked before execd has threads, so nothing else is shared with it.

use std::{fmt, io, time::Duration};

use serde::{Deserialize, Serialize};
use shared::{config::Rung, wire::text::Text};

/// Everything that decides how one payload runs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Job {
    /// The rung it runs on.
    #[serde(with = "rung_name")]
    pub rung: Rung,
    /// Who it is to the host. Told, because in a new user namespace nobody can ask.
    pub outside: Identity,
    /// What `/` is.
    pub root: Root,
    /// What is laid into it, parents first.
    pub mounts: Vec<Mount>,
    /// Program and arguments; never empty.
    pub argv: Vec<Text>,
    /// The whole environment.
    pub env: Vec<(Text, Text)>,
    /// Working directory, absolute as the payload sees it.
    pub cwd: Text,
    /// The place that execd is to watch before the payload starts.
    #[serde(default)]
    pub watched: Option<Text>,
    /// Whether execd hears of its opens and connects.
    #[serde(default)]
    pub heard: bool,
    /// Which network it sees.
    pub network: Network,
    /// Most bytes of one file, 0 for no limit.
    pub file_bytes: u64,
    /// Most processes of the action, 0 for no limit. The kernel holds it against everybody but root.
    pub processes: u64,
}

impl Job {
    /// Whether it is a program of the person's own and no action.
    pub fn is_open(&self) -> bool {
        matches!(self.root, Root::Open { .. })
    }
}

/// A user and group of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The user.
    pub uid: u32,
    /// The group.
    pub gid: u32,
}

impl Identity {
    /// Who runs execd.
    pub fn own() -> Identity {
        Identity { uid: rustix::process::geteuid().as_raw(), gid: rustix::process::getegid().as_raw() }
    }
}

/// What the root of the view is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Root {
    /// Empty, in memory, read-only once it is laid out. The text is an empty directory to mount on.
    Empty(Text),
    /// This directory, writable: an action's own private copy of its input root.
    Private(Text),
    /// The host's own root (rung process).
    Host,
    /// The same, and nothing is taken from the payload: a program of the person's own, which is no
    /// action. The mask for the modes of new files comes along where it is another.
    Open { umask: Option<u32> },
}

/// One piece of the view.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Mount {
    /// A directory in an empty root.
    Dir(Text),
    /// A symbolic link in an empty root.
    Link { at: Text, to: Text },
    /// A host directory or file shown at a place.
    Bind { from: Text, at: Text, access: Access },
    /// A live folder of the host; what is written goes to memory and is thrown away.
    Live(Live),
    /// What stands at `from` in the view, shown at `at` too.
    Again { from: Text, at: Text, access: Access },
    /// Memory, bounded.
    Memory { at: Text, bytes: u64 },
    /// The action's own /proc.
    Proc,
    /// null, zero, full, random, urandom, shm and the links to the own descriptors.
    Devices,
}

/// A live folder of the host in the view, mounted for one action alone.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Live {
    /// On the host.
    pub from: Text,
    /// In the view.
    pub at: Text,
    /// Read-only or writable.
    pub access: Access,
    /// What of it is not shown, below its root.
    pub hidden: Vec<Text>,
    /// Folders to be there, below its root, also over a file.
    pub made: Vec<Text>,
    /// How it is mounted.
    pub layer: Layer,
}

/// How a live folder is mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Layer {
    /// By an overlay of the action's own.
    Own,
    /// As it is, read-only whatever was asked for: with mounts inside it can be no layer, since a
    /// user namespace must not look beneath those.
    Shared,
}

/// How a bind may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Access {
    /// Never writable, recursively.
    ReadOnly,
    /// Writable: only ever an action's own scratch folder.
    Writable,
    /// Never writable, and nothing in it can be run or loaded: what a checkout brought.
    Data,
    /// Writable, and nothing in it can be run or loaded.
    WritableData,
    /// A device node: readable and writable, nothing in it can be run.
    Device,
}

/// Which network a payload sees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Network {
    /// None, not even loopback.
    #[default]
    None,
    /// The host's: `cargo fetch`, and whom an exception of the person's gives it.
    Host,
}

/// What the first process or the payload says, one packet each.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Report {
    /// The first process exists, with this number; a handle of it comes along where there are such.
    Started(u32),
    /// The view is there; the place to watch comes along, and nothing starts before execd says so.
    Laid,
    /// The payload's opens and connects wait for an answer through the descriptor that comes along.
    Heard,
    /// The payload could not be started.
    Failed(Fail),
    /// The payload ended, and nothing of it is left.
    Ended(Ended),
}

/// How it ended and what it used.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Ended {
    /// How the payload ended.
    pub status: Status,
    /// What it and everything it started used.
    pub usage: Usage,
}

/// How a payload ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Status {
    /// By itself, with this code.
    Exited(i32),
    /// By this signal.
    Signalled(i32),
    /// Because execd asked for it.
    Killed,
}

/// Resources used by a payload and everything it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// User and system time together.
    pub cpu: Duration,
    /// The largest resident set of one process.
    pub max_rss_bytes: u64,
}

/// Where starting a payload can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    /// clone with the namespaces of the rung.
    Clone,
    /// Reading the job.
    Job,
    /// Joining the control group.
    Cgroup,
    /// Writing the uid and gid maps.
    Identity,
    /// A mount.
    Mount,
    /// pivot_root and detaching the old root.
    Pivot,
    /// The host name.
    Hostname,
    /// Handing out the place to watch.
    Watch,
    /// fork of the payload.
    Fork,
    /// Entering the working directory.
    WorkingDirectory,
    /// Resource limits.
    Limits,
    /// Landlock.
    Landlock,
    /// The system call filter.
    Filter,
    /// Giving up capabilities.
    Capabilities,
    /// Loading the program: it is not there or cannot be run.
    Program,
}

/// A failed step, with what it was about.
#[derive(Clone, Debug, Serialize, Deserialize, thiserror::Error)]
#[error("{step} {what}: {}", io::Error::from_raw_os_error(*errno))]
pub struct Fail {
    /// The step.
    pub step: Step,
    /// The path or call.
    pub what: String,
    /// The system's answer.
    pub errno: i32,
}

impl Fail {
    /// A failed step.
    pub fn new(step: Step, what: impl fmt::Display, error: impl Into<io::Error>) -> Self {
        Fail { step, what: what.to_string(), errno: error.into().raw_os_error().unwrap_or(libc::EIO) }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Step::Clone => "create namespaces",
            Step::Job => "read the job",
            Step::Cgroup => "join control group",
            Step::Identity => "map user and group",
            Step::Mount => "mount",
            Step::Pivot => "change root",
            Step::Hostname => "set host name",
            Step::Watch => "be watched",
            Step::Fork => "fork",
            Step::WorkingDirectory => "enter working directory",
            Step::Limits => "set limits",
            Step::Landlock => "apply Landlock",
            Step::Filter => "apply the system call filter",
            Step::Capabilities => "give up capabilities",
            Step::Program => "run",
        })
    }
}

mod rung_name {
    use serde::{Deserialize, Deserializer, Serializer};
    use shared::config::Rung;

    pub fn serialize<S: Serializer>(rung: &Rung, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(rung.name())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Rung, D::Error> {
        Rung::deserialize(deserializer)
    }
}
