//! A rendered call becomes a REAPI Action: Command, input root, properties, and the blobs that an
//! executor would need beside those that are in the store already.

use std::collections::HashMap;

use shared::{
    client::exec::{Identity, ViewClass},
    digest::{Digest, Function},
    reapi::{
        Message, digest_to_proto, property,
        tree::{DirectoryBuilder, Mode, TreeError},
        v2::{self, command::OutputDirectoryFormat},
    },
};

use crate::{
    cargo::call::{Call, Role},
    live::Checkout,
};

/// The version of rendering, mounts and environment. Bumped by any change in them.
pub const KEY: &str = "11";

/// An output that nobody makes.
const SCRATCH: &str = ".vx-scratch";

/// An Action that is not yet in the store.
#[derive(Debug)]
pub struct Action {
    /// Its digest, the key of its result.
    pub digest: Digest,
    /// Command, Action and the directories made for it.
    pub blobs: HashMap<Digest, Vec<u8>>,
}

/// A subtree or file put at an absolute path of the input root.
#[derive(Clone, Debug)]
pub enum Input {
    /// A Directory by its digest.
    Tree(Digest),
    /// A file.
    File(Digest, Mode),
    /// A folder with nothing in it.
    Folder,
}

/// Builds the Action of a call whose inputs stand at these absolute paths. With a checkout it is
/// one to be executed; without, what of it does not depend on the checkout.
pub fn build(
    call: &Call,
    inputs: &[(String, Input)],
    identity: &Identity,
    live: Option<&Checkout>,
) -> Result<Action, TreeError> {
    let mut root = DirectoryBuilder::new();
    for (path, input) in inputs {
        let path = path.trim_start_matches('/');
        match input {
            Input::Tree(digest) => root.known(path, *digest)?,
            Input::File(digest, mode) => root.file(path, *digest, *mode)?,
            Input::Folder => root.directory(path)?,
        }
    }
    let built = root.build(Function::Blake3);
    let mut blobs: HashMap<Digest, Vec<u8>> = built.directories.into_iter().collect();
    let platform = platform(identity, call, live);
    let command = command(call, platform.clone()).encode_to_vec();
    let command_digest = Digest::of(Function::Blake3, &command);
    blobs.insert(command_digest, command);
    let action = v2::Action {
        command_digest: Some(digest_to_proto(&command_digest)),
        input_root_digest: Some(digest_to_proto(&built.root)),
        platform: Some(platform),
        // What it writes elsewhere is in no result.
        do_not_cache: live.is_some() || call.granted.writes_outside(),
        ..Default::default()
    }
    .encode_to_vec();
    let digest = Digest::of(Function::Blake3, &action);
    blobs.insert(digest, action);
    Ok(Action { digest, blobs })
}

/// Sorted by name, as the API asks.
fn platform(identity: &Identity, call: &Call, live: Option<&Checkout>) -> v2::Platform {
    let places: Vec<String> = call.places.iter().map(|(fixed, real)| format!("{fixed}:{real}")).collect();
    let mut properties = vec![
        (property::JOBSERVER, "make"),
        (property::HOST, identity.host.as_str()),
        (property::KEY, KEY),
        (property::ROOT, "input"),
        (property::TOOLCHAIN, &identity.toolchain),
        (property::VIEW, if identity.view == ViewClass::Fixed { "fixed" } else { "path" }),
    ];
    if identity.view == ViewClass::Process {
        properties.push((property::RUNG, "process"));
    }
    properties.extend(places.iter().map(|place| (property::PLACE, place.as_str())));
    let programs: Vec<String> = call.programs.iter().map(|(path, content)| format!("{content}:{path}")).collect();
    properties.extend(programs.iter().map(|program| (property::TOOL, program.as_str())));
    properties.extend(call.granted.0.iter().map(|(name, value)| (*name, value.as_str())));
    let early = call.outputs.iter().find(|output| output.role == Role::Metadata);
    let early = early.map(|output| call.relative(&output.path));
    properties.extend(early.iter().map(|path| (property::EARLY, path.as_str())));
    let live = live.map(|live| (live.root().to_string_lossy(), live.target_dir().to_string_lossy()));
    if let Some((root, target_dir)) = &live {
        properties.extend([(property::LIVE, root.as_ref()), (property::LIVE_TARGET, target_dir.as_ref())]);
    }
    properties.extend(call.incremental.iter().map(|unit| (property::INCREMENTAL, unit.as_str())));
    properties.sort_unstable();
    let property = |(name, value): (&str, &str)| v2::platform::Property { name: name.into(), value: value.into() };
    v2::Platform { properties: properties.into_iter().map(property).collect() }
}

fn command(call: &Call, platform: v2::Platform) -> v2::Command {
    let mut output_paths: Vec<String> = call.outputs.iter().map(|output| call.relative(&output.path)).collect();
    // An executor makes the parents of outputs writable; that an output is not there is no failure.
    output_paths.extend(call.scratch.iter().map(|folder| call.relative(&format!("{folder}/{SCRATCH}"))));
    output_paths.sort_unstable();
    let variable = |(name, value): (&String, &String)| v2::command::EnvironmentVariable {
        name: name.clone(),
        value: value.clone(),
    };
    #[expect(deprecated, reason = "executors of version 2.1 look for the platform here")]
    v2::Command {
        arguments: std::iter::once(call.program.clone()).chain(call.args.iter().cloned()).collect(),
        environment_variables: call.env.iter().map(variable).collect(),
        output_paths,
        working_directory: call.cwd.clone(),
        platform: Some(platform),
        output_directory_format: OutputDirectoryFormat::TreeAndDirectory as i32,
        ..Default::default()
    }
}
