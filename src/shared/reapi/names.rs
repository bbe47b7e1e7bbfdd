//! What is said about the API in more than one program: vx's platform properties, digests and hash
//! functions as the API writes them, names that may stand in a tree.

use super::{semver::SemVer, v2};
use crate::digest::{Digest, DigestError, Function};

/// The header in which a client may say who asks, and for what.
pub const REQUEST_METADATA: &str = "build.bazel.remote.execution.v2.requestmetadata-bin";

/// Platform properties of vx's own Actions.
pub mod property {
    /// `input`: the input root is `/` and nothing else is shown.
    pub const ROOT: &str = "vx-root";
    /// The version of rendering, mounts and environment; part of every key.
    pub const KEY: &str = "vx-key";
    /// The identity of the toolchain mounted at /vx/toolchain.
    pub const TOOLCHAIN: &str = "vx-toolchain";
    /// The identity of the host's C tools, which are then shown.
    pub const HOST: &str = "vx-host";
    /// `/vx/…:/REAL/PLACE`, any number of times: what lies below the first is shown at the second
    /// too, for a unit whose output holds its own place.
    pub const PLACE: &str = "vx-place";
    /// The root of the person's workspace, shown as it is at /vx/ws and watched. Only on the own
    /// socket, and never cached under this Action.
    pub const LIVE: &str = "vx-live";
    /// The target folder of that workspace, which is not shown.
    pub const LIVE_TARGET: &str = "vx-live-target";
    /// The path of one output, as it is declared: handed out while the action runs, once its
    /// standard error says in rustc's words that it is there.
    pub const EARLY: &str = "vx-early";
    /// The name of a unit that writes incremental state to /vx/incremental: what it left there when
    /// it last ran well for the same checkout is there again.
    pub const INCREMENTAL: &str = "vx-incremental";
    /// `make`: free slots are lent to the action as tokens of a jobserver, and NUM_JOBS, where it
    /// is set, says how many slots there are.
    pub const JOBSERVER: &str = "vx-jobserver";
    /// `fixed` or `path`: how the action sees its inputs.
    pub const VIEW: &str = "vx-view";
    /// `host`: the action sees this machine's network, by an exception of the person's.
    pub const NETWORK: &str = "vx-network";
    /// `HASH:/PATH`, any number of times: a path of this machine that the action sees read-only, by
    /// an exception. The hash is the client's word for what is there, for the key alone.
    pub const READ: &str = "vx-read";
    /// `HASH:../WAY`, any number of times: what lies beside the live workspace, by the way from its root,
    /// seen read-only where that leads in the view. The hash is as above.
    pub const BESIDE: &str = "vx-beside";
    /// A folder of this machine that the action may write to, by an exception. Its result is not stored.
    pub const WRITE: &str = "vx-write";
    /// A socket of this machine that the action may connect to, by an exception.
    pub const SOCKET: &str = "vx-socket";
    /// `HASH:/PATH`, any number of times: a program of the host that the action ran before, with its
    /// content. For the key alone.
    pub const TOOL: &str = "vx-tool";
    /// `process`, with `vx-view=path` alone: nothing keeps the action from the rest of the machine,
    /// so that its result serves such executors only.
    pub const RUNG: &str = "vx-rung";
}

/// The versions of the API that are spoken, lowest and highest. Bazel 4 stops at a server whose
/// lowest is above 2.0.
pub fn api_versions() -> (SemVer, SemVer) {
    let version = |minor| SemVer { major: 2, minor, ..Default::default() };
    (version(0), version(3))
}

/// A digest as the API writes it.
pub fn digest_to_proto(digest: &Digest) -> v2::Digest {
    v2::Digest { hash: digest.hex(), size_bytes: i64::try_from(digest.size()).unwrap_or(i64::MAX) }
}

/// A digest as the API writes it, parsed. An absent one is a hash of the wrong form.
pub fn digest_from_proto(function: Function, digest: Option<&v2::Digest>) -> Result<Digest, DigestError> {
    let digest = digest.ok_or_else(|| DigestError::Hash(String::new()))?;
    Digest::parse(function, &digest.hash, digest.size_bytes)
}

/// The API's number of a hash function.
pub fn function_to_proto(function: Function) -> i32 {
    match function {
        Function::Sha256 => v2::digest_function::Value::Sha256 as i32,
        Function::Blake3 => v2::digest_function::Value::Blake3 as i32,
    }
}

/// The hash function that a request names; unset means SHA-256, since BLAKE3 has the same length
/// and must be named. `None` for one that is not offered.
pub fn function_from_proto(value: i32) -> Option<Function> {
    match v2::digest_function::Value::try_from(value).ok()? {
        v2::digest_function::Value::Unknown | v2::digest_function::Value::Sha256 => Some(Function::Sha256),
        v2::digest_function::Value::Blake3 => Some(Function::Blake3),
        _ => None,
    }
}

/// A name that may stand in a tree (facts of the API and of the file system): one component, not
/// empty, `.` or `..`, without `/` or NUL, at most 255 bytes.
pub fn is_component(name: &str) -> bool {
    !name.is_empty()
        && name != "."
        && name != ".."
        && name.len() <= crate::limits::NAME_BYTES
        && !name.bytes().any(|b| b == b'/' || b == 0)
}
