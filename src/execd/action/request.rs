//! An Action as it is asked for: read from the store with its Command, and checked before anything
//! is done.

use std::time::Duration;

use shared::{
    client::cas::{Opened, read_at},
    digest::Digest,
    reapi::{self, Message, protobuf, v2},
};
use tonic::Code;

use crate::{
    executor::Executor,
    refusal::Refusal,
    view::{self, Style},
};

/// Largest Action or Command that is read.
const MESSAGE_BYTES: u64 = 16 << 20;
/// The longest time an action may ask for, and what one gets that does not ask.
pub const LONGEST: Duration = Duration::from_secs(24 * 3600);
/// An action that was read and makes sense.
#[derive(Debug)]
pub struct Request {
    /// Its digest.
    pub digest: Digest,
    pub command: v2::Command,
    pub root: Digest,
    pub style: Style,
    pub timeout: Duration,
    /// Whether its result may be stored, looked up and shared.
    pub cacheable: bool,
}

/// Reads an action and its command, and checks all that can be checked before anything is done.
pub async fn read(executor: &Executor, digest: Digest) -> Result<Request, Refusal> {
    let action: v2::Action = fetch(executor, &[digest]).await?.remove(0).decode()?;
    let parse = |what: &str, given: Option<&v2::Digest>| {
        reapi::digest_from_proto(digest.function(), given)
            .map_err(|err| Refusal::new(Code::InvalidArgument, format!("the action's {what}: {err}")))
    };
    let (command, root) =
        (parse("command", action.command_digest.as_ref())?, parse("input root", action.input_root_digest.as_ref())?);
    // Both are asked for so that both are named if both are missing; the stage reads the root.
    let command: v2::Command = fetch(executor, &[command, root]).await?.remove(0).decode()?;
    if command.arguments.first().is_none_or(String::is_empty) {
        return Err(Refusal::new(Code::InvalidArgument, "the command has no arguments"));
    }
    let style = Style::of(&action, &command)?;
    view::paths::outputs(&command)?;
    let timeout = timeout(action.timeout.as_ref())?;
    Ok(Request { digest, command, root, style, timeout, cacheable: !action.do_not_cache })
}

struct Blob {
    digest: Digest,
    bytes: Vec<u8>,
}

impl Blob {
    fn decode<M: Message + Default>(self) -> Result<M, Refusal> {
        M::decode(self.bytes.as_slice())
            .map_err(|err| Refusal::new(Code::InvalidArgument, format!("{} does not decode: {err}", self.digest)))
    }
}

async fn fetch(executor: &Executor, digests: &[Digest]) -> Result<Vec<Blob>, Refusal> {
    if let Some(large) = digests.iter().find(|digest| digest.size() > MESSAGE_BYTES) {
        return Err(Refusal::new(Code::InvalidArgument, format!("{large} is larger than {MESSAGE_BYTES} bytes")));
    }
    let (opened, fds) = executor.cas.open(digests).await?;
    let (mut blobs, mut missing) = (Vec::with_capacity(digests.len()), Vec::new());
    for (&digest, opened) in digests.iter().zip(opened) {
        let bytes = match opened {
            None if digest.is_empty() => Vec::new(),
            None => {
                missing.push(digest);
                continue;
            }
            Some(Opened::Inline(bytes)) => bytes,
            Some(Opened::File { fd, offset, size }) => read_at(&fds[fd], offset, size)
                .map_err(|err| Refusal::new(Code::Internal, format!("{digest} cannot be read: {err}")))?,
        };
        blobs.push(Blob { digest, bytes });
    }
    if missing.is_empty() { Ok(blobs) } else { Err(Refusal::missing(missing)) }
}

fn timeout(given: Option<&protobuf::Duration>) -> Result<Duration, Refusal> {
    let invalid = |what: String| Err(Refusal::new(Code::InvalidArgument, what));
    let Some(given) = given else { return Ok(LONGEST) };
    match (u64::try_from(given.seconds), u32::try_from(given.nanos)) {
        (Ok(0), Ok(0)) => Ok(LONGEST),
        (Ok(seconds), Ok(nanos)) if nanos < 1_000_000_000 => match Duration::new(seconds, nanos) {
            asked if asked <= LONGEST => Ok(asked),
            asked => invalid(format!("a timeout of {} s is over the most of {} s", asked.as_secs(), LONGEST.as_secs())),
        },
        _ => invalid("the timeout is no time".to_owned()),
    }
}
