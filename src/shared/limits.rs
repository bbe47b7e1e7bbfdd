//! Every bound of the product, named, with its reason. A queue, frame, list or retry without a
//! bound from here is a mistake.

use std::time::Duration;

/// Longest line on the client protocol and in local calls: a whole unit graph of a large
/// workspace is under 4 MiB.
pub const LINE_BYTES: usize = 16 << 20;
/// Most descriptors on one message; the kernel's own limit is 253.
pub const DESCRIPTORS_A_MESSAGE: usize = 250;
/// Sessions at once; a person with many agents stays far below.
pub const SESSIONS: u64 = 256;
/// Connections at once to casd or execd.
pub const CONNECTIONS: usize = 512;
/// Blobs up to this size are inlined in batch calls and stored in segments.
pub const SMALL_BLOB_BYTES: u64 = 64 << 10;
/// Libraries of which it is remembered what they were compiled against; the store has them for longer.
pub const WRAPPED_LIBRARIES: usize = 65_536;
/// The same of notes on calls that cargo made through vx.
pub const WRAPPED_NOTES: usize = 65_536;
/// Programs of which it is remembered which variables they name; the store has them for longer.
pub const MENTIONING_PROGRAMS: usize = 4096;
/// Folders of a live checkout that are watched for one action; each costs the kernel a kilobyte.
pub const WATCHED_FOLDERS: usize = 200_000;
/// Files and folders in the record of one action: no compiler opens more, and a script that does
/// is run each time.
pub const SEEN_PATHS: usize = 50_000;
/// Files that one action wrote beside its sources and that are named.
pub const WRITTEN_PATHS: usize = 100;
/// Runs that ended, of which it is remembered when; more do not end between a look-up and the run that it leads to.
pub const ENDED_RUNS: usize = 1024;
/// Records of one static Action: ways in which runs of it depended on a checkout.
pub const RECORDS: usize = 8;
/// All of them together, as they are stored.
pub const RECORD_BYTES: usize = 1 << 20;
/// Workspaces of which the last build's keys are remembered for `vx why`.
pub const WHY_WORKSPACES: usize = 64;
/// Units of one workspace that are so remembered; a large one has a few thousand.
pub const WHY_UNITS: usize = 20_000;
/// How often a unit is run again because its sources changed meanwhile.
pub const CHANGED_RUNS: u32 = 2;
/// What an action may write into a live checkout; it is held in memory and thrown away.
pub const LIVE_WRITE_BYTES: u64 = 512 << 20;
/// Data in one batch call: under gRPC's default message limit of 4 MiB, with room for overhead.
pub const BATCH_BYTES: u64 = 3 << 20;
/// What a server or client decodes at most: a batch of tiny blobs carries 80 bytes of overhead each.
pub const MESSAGE_BYTES: usize = 16 << 20;
/// One ByteStream message.
pub const CHUNK_BYTES: usize = 512 << 10;
/// Longest path component in a tree (Linux NAME_MAX).
pub const NAME_BYTES: usize = 255;
/// Most nodes in one input tree.
pub const TREE_NODES: usize = 1_000_000;
/// Deepest input tree.
pub const TREE_DEPTH: usize = 128;
/// Captured standard output or error of one action; what is longer ends the action.
pub const STREAM_BYTES: usize = 64 << 20;
/// Streams up to this size come back inside the ActionResult.
pub const INLINE_STREAM_BYTES: usize = 64 << 10;
/// How long a client waits for the first byte of an answer to a connect: a cold hardened start
/// takes a tenth of a second, a crash loop is retried each second.
pub const CONNECT_WAIT: Duration = Duration::from_secs(20);
/// How long a build waits for casd or execd to come back after a crash.
pub const RESTART_WAIT: Duration = Duration::from_secs(60);
/// How long a service finishes what runs after SIGTERM; the unit's TimeoutStopSec is 5 s more.
pub const DRAIN: Duration = Duration::from_secs(20);
/// How long a control call may take.
pub const CONTROL_WAIT: Duration = Duration::from_secs(5);
/// Control connections at once; each is one vxctl.
pub const CONTROL_CONNECTIONS: usize = 16;
/// How long a service waits before it looks for a session bus again that was missing or went away.
pub const BUS_RETRY: Duration = Duration::from_secs(30);
/// How often one run survives a restart of the daemon: a daemon that this very run kills must not
/// be started by it for ever.
pub const RESTARTS: u32 = 10;
/// What a crate archive may unpack to, unless it is large itself (cargo's own bound).
pub const ARCHIVE_BYTES: u64 = 512 << 20;
/// How many times its own size a large archive may unpack to (cargo's own bound).
pub const ARCHIVE_RATIO: u64 = 20;
/// Entries in a crate archive; the largest published ones have some ten thousand.
pub const ARCHIVE_ENTRIES: usize = 200_000;
/// Large blobs that are received at once over gRPC; each holds a thread.
pub const UPLOADS: usize = 64;
/// Operations that run or wait for a slot; Bazel's widest build asks for some hundreds at once.
pub const OPERATIONS: usize = 10_000;
/// Operations in one answer of ListOperations.
pub const OPERATIONS_PAGE: usize = 200;
/// Longest WaitOperation; a client that wants more asks again.
pub const OPERATION_WAIT: Duration = Duration::from_secs(3600);
/// Early outputs that one build's dispatcher has not looked at yet; who brings more waits.
pub const EARLY_OUTPUTS: usize = 64;
/// All output files of one action together: no build of one unit comes near it.
pub const OUTPUT_BYTES: u64 = 32 << 30;
/// Opens and connects of one action that are looked at; a compiler's many are let by after these.
pub const HEARD_CALLS: usize = 20_000;
/// Refused attempts that are told of one action.
pub const HEARD_ATTEMPTS: usize = 64;
/// Units whose incremental state is kept, over all checkouts.
pub const INCREMENTAL_UNITS: usize = 1024;
/// Durations of units that the daemon remembers; two for each unit.
pub const DURATIONS: usize = 16_384;
/// Digests in one `blob.open`: each may need a descriptor on the answer.
pub const OPEN_BLOBS: usize = 200;
/// How long an interrupted upload is kept for its client to resume.
pub const UPLOAD_KEPT: Duration = Duration::from_secs(10 * 60);
/// How long a service that was told to drain finishes what runs: longer than any one action of a build takes.
pub const DRAIN_ASKED: Duration = Duration::from_secs(600);
/// How long vxctl waits for a job of the service manager: a stop takes TimeoutStopSec at most, a start TimeoutStartSec.
pub const JOB_WAIT: Duration = Duration::from_secs(60);
/// Lines of the log that a service remembers, for places without a journal.
pub const LOG_LINES: usize = 1000;
/// What one remembered line keeps.
pub const LOG_LINE_BYTES: usize = 4 << 10;
/// What all remembered lines keep.
pub const LOG_BYTES: usize = 512 << 10;
/// Messages on their way to the journal. A stopped journal fills this and then loses messages, counted, and stalls nobody.
pub const LOG_QUEUE: usize = 4096;
/// How long a service that leaves waits for the journal to take its last messages.
pub const LOG_FLUSH: Duration = Duration::from_millis(500);
/// How long casd does not evict what was used, unless vx.toml says otherwise: longer than it takes
/// from FindMissingBlobs or an action result to the last action of a build that relies on it.
pub const CAS_LEASE: Duration = Duration::from_secs(60 * 60);
/// Signals on their way to one program; a person presses no more keys than it takes.
pub const SIGNALS: usize = 16;
/// Corrupt blobs that a verification names; the rest is counted.
pub const CORRUPT_NAMED: usize = 1000;
/// Files and folders that one action may hold in its scratch folders; a whole LLVM makes some ten thousand.
pub const SCRATCH_FILES: u64 = 2 << 20;
/// Parts of documentation that are merged at once: those of fifty crates are 13 MB.
pub const DOC_PARTS_BYTES: u64 = 1 << 30;
/// Programs of the host that one action is known to have run.
pub const TOOLS: usize = 512;
/// Exceptions in vx.toml; who has more has no sandbox.
pub const EXCEPTIONS: usize = 256;
