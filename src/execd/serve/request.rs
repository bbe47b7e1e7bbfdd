//! An Action as a client asks for it: read from the store with its Command, checked before
//! anything is done, and handed inward as plain data.

use std::time::Duration;

use shared::{
    client::cas::{Opened, read_at},
    config::Rung,
    digest::Digest,
    reapi::{self, MTIME, Message, UNIX_MODE, property, protobuf, v2},
    service::Peer,
};
use tonic::Code;
use v2::command::OutputDirectoryFormat;

use crate::{
    action::{LONGEST, Request},
    collect::{Format, Said},
    executor::Executor,
    refusal::Refusal,
    view::{
        Command, Style,
        paths::{self, Kind, Output},
    },
};

/// Largest Action or Command that is read.
const MESSAGE_BYTES: u64 = 16 << 20;

/// Which instance of the API a client addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instance {
    /// The one there is, whatever it is called.
    Plain,
    /// `vx-root=input`: the same, for clients that want their input root as `/` and cannot set
    /// platform properties (BuildStream).
    InputRoot,
}

impl Instance {
    /// By its name.
    pub fn of(name: &str) -> Instance {
        match name.split_once('=') {
            Some((property::ROOT, "input")) => Instance::InputRoot,
            _ => Instance::Plain,
        }
    }
}

/// Reads an action and its command.
pub async fn read(executor: &Executor, peer: Peer, instance: Instance, digest: Digest) -> Result<Request, Refusal> {
    let action: v2::Action = fetch(executor, &[digest]).await?.remove(0).decode()?;
    let parse = |what: &str, given: Option<&v2::Digest>| {
        reapi::digest_from_proto(digest.function(), given)
            .map_err(|err| Refusal::new(Code::InvalidArgument, format!("the action's {what}: {err}")))
    };
    let (command, root) =
        (parse("command", action.command_digest.as_ref())?, parse("input root", action.input_root_digest.as_ref())?);
    // Both are asked for so that both are named if both are missing; the stage reads the root.
    let command: v2::Command = fetch(executor, &[command, root]).await?.remove(0).decode()?;
    let own = style(peer, executor.ladder.rung, &action, &command)?;
    let by_instance = instance == Instance::InputRoot && own == Style::Foreign;
    let style = if by_instance { Style::ForeignRoot } else { own };
    let timeout = timeout(action.timeout.as_ref())?;
    let format = match OutputDirectoryFormat::try_from(command.output_directory_format) {
        Ok(OutputDirectoryFormat::DirectoryOnly) => Format::Directories,
        Ok(OutputDirectoryFormat::TreeAndDirectory) => Format::Both,
        Ok(OutputDirectoryFormat::TreeOnly) | Err(_) => Format::Tree,
    };
    let said = said(&command.output_node_properties)?;
    let command = self::command(command)?;
    let early = early(&style, &command)?;
    // What a live folder held is not in the Action, nor is the instance.
    let cacheable = !action.do_not_cache && !style.shows_live(executor.ladder.rung) && !by_instance;
    Ok(Request { digest, command, root, style, timeout, format, said, early, cacheable })
}

/// The output that `vx-early` names.
fn early(style: &Style, command: &Command) -> Result<Option<Output>, Refusal> {
    let Style::Fixed { early: Some(early), .. } = style else { return Ok(None) };
    match command.outputs.iter().find(|output| output.declared == *early) {
        Some(output) => Ok(Some(output.clone())),
        None => Err(Refusal::new(Code::InvalidArgument, format!("vx-early={early} is no declared output"))),
    }
}

/// The Action's properties win over the Command's.
#[allow(deprecated, reason = "clients of API 2.0 send the platform in the Command")]
fn style(peer: Peer, rung: Rung, action: &v2::Action, command: &v2::Command) -> Result<Style, Refusal> {
    let platform = action.platform.as_ref().or(command.platform.as_ref());
    let properties = platform.iter().flat_map(|platform| &platform.properties);
    if let Some(own) = properties.clone().find(|property| peer == Peer::Tcp && is_local(property)) {
        let what = format!("the platform property {} is for clients of the Unix socket, not for TCP", own.name);
        return Err(Refusal::new(Code::PermissionDenied, what));
    }
    let properties = properties.map(|property| (property.name.as_str(), property.value.as_str()));
    Ok(Style::of(properties, rung)?)
}

/// A property that nobody here can tell is refused, as the API has it.
fn said(names: &[String]) -> Result<Said, Refusal> {
    let mut said = Said::default();
    for name in names {
        match name.as_str() {
            MTIME => said.mtime = true,
            UNIX_MODE => said.unix_mode = true,
            other => {
                let what = format!("the node property {other:?} is unknown; {MTIME} and {UNIX_MODE} are told");
                return Err(Refusal::new(Code::InvalidArgument, what));
            }
        }
    }
    Ok(said)
}

/// Where `output_paths` is set the older two are ignored.
#[allow(deprecated, reason = "clients of API 2.0 send only the older two")]
fn command(command: v2::Command) -> Result<Command, Refusal> {
    if command.arguments.first().is_none_or(String::is_empty) {
        return Err(Refusal::new(Code::InvalidArgument, "the command has no arguments"));
    }
    let cwd = paths::working_directory(&command.working_directory)?;
    let outputs = if command.output_paths.is_empty() {
        let files = command.output_files.into_iter().map(|path| (path, Kind::File));
        let directories = command.output_directories.into_iter().map(|path| (path, Kind::Directory));
        paths::outputs(&cwd, files.chain(directories))?
    } else {
        paths::outputs(&cwd, command.output_paths.into_iter().map(|path| (path, Kind::Any)))?
    };
    let environment = command.environment_variables.into_iter();
    let environment = environment.map(|variable| (variable.name, variable.value)).collect();
    Ok(Command { arguments: command.arguments, environment, cwd, outputs })
}

/// Whether a property is for vx's own Actions, which name places and tools of this machine.
fn is_local(property: &v2::platform::Property) -> bool {
    property.name.starts_with("vx-") && property.name != property::ROOT
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_action_without_a_timeout_gets_the_longest() {
        let given = |seconds, nanos| timeout(Some(&protobuf::Duration { seconds, nanos }));
        assert_eq!(timeout(None).ok(), Some(LONGEST));
        assert_eq!(given(2, 500_000_000).ok(), Some(Duration::from_millis(2500)));
        for (seconds, nanos) in [(-1, 0), (0, -1), (1, 1_000_000_000), (LONGEST.as_secs() as i64, 1), (i64::MAX, 0)] {
            assert_eq!(given(seconds, nanos).map_err(|refusal| refusal.code), Err(Code::InvalidArgument));
        }
    }
}
