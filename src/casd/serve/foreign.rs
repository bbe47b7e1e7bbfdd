//! What a client that came by TCP may not do: store a result for one of vx's own Actions. Whoever
//! could would decide what the person's next build is made of. Keys of vx's own that are no Actions
//! (records of what was opened, kept plans) are hashes of texts, and no text is an Action here.

use shared::{
    digest::{Digest, Function},
    reapi::{Message, property, v2},
    service::Peer,
};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use super::trees;
use crate::store::Store;

/// Whether this client may store a result of that action.
pub fn check_update(store: &dyn Store, peer: Peer, action: &Digest) -> Result<(), Status> {
    if peer == Peer::Local {
        return Ok(());
    }
    // The API has clients upload the Action and its Command first; here it is looked at.
    let read = |digest: &Digest| trees::read_bytes(store, digest)?.ok_or_else(|| missing(digest));
    let message = |_| Status::invalid_argument(format!("{action} is no Action"));
    let decoded = v2::Action::decode(&*read(action)?).map_err(message)?;
    let command = decoded.command_digest.as_ref();
    let command = super::edge::digest(action.function(), command)?;
    let command = v2::Command::decode(&*read(&command)?).map_err(message)?;
    #[expect(deprecated, reason = "clients of API 2.0 send the platform in the Command")]
    let platforms = decoded.platform.iter().chain(command.platform.iter());
    let own = platforms.flat_map(|platform| &platform.properties).find(|one| one.name == property::KEY);
    if own.is_some() {
        return Err(Status::permission_denied(format!(
            "{action} is an Action of vx itself ({}): its results come by the Unix socket only",
            property::KEY
        )));
    }
    Ok(())
}

fn missing(digest: &Digest) -> Status {
    let subject = match digest.function() {
        Function::Sha256 => format!("blobs/{}/{}", digest.hex(), digest.size()),
        Function::Blake3 => format!("blobs/blake3/{}/{}", digest.hex(), digest.size()),
    };
    let what = format!("{digest} is not here: by TCP a result is stored after its Action and Command");
    let mut details = ErrorDetails::new();
    details.add_precondition_failure_violation("MISSING", subject, "");
    Status::with_error_details(Code::FailedPrecondition, what, details)
}
