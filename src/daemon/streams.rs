//! The standard output and error of results: in the message where they are small, else fetched
//! from the store, those of many results together.

use std::collections::HashMap;

use shared::{
    client::cas::{Opened, read_at},
    digest::{Digest, Function},
    fault::{Failure, Fault},
    reapi::{digest_from_proto, v2},
};

use crate::services::{Services, persist};

/// What a result says on its streams.
#[derive(Debug, Default)]
pub struct Streams {
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
}

/// The streams of results, in their order; `None` where the store has lost one.
pub async fn of(services: &Services, results: &[&v2::ActionResult]) -> Result<Vec<Option<Streams>>, Failure> {
    let mut digests = Vec::new();
    for result in results {
        digests.extend(lacking(&result.stdout_raw, result.stdout_digest.as_ref()));
        digests.extend(lacking(&result.stderr_raw, result.stderr_digest.as_ref()));
    }
    let read = read_many(services, &digests).await?;
    let stream = |raw: &[u8], digest: Option<&v2::Digest>| match lacking(raw, digest) {
        None => Some(raw.to_vec()),
        Some(digest) => read.get(&digest).cloned(),
    };
    let streams = |result: &&v2::ActionResult| {
        Some(Streams {
            stdout: stream(&result.stdout_raw, result.stdout_digest.as_ref())?,
            stderr: stream(&result.stderr_raw, result.stderr_digest.as_ref())?,
        })
    };
    Ok(results.iter().map(streams).collect())
}

/// Blobs by digest; absent ones are left out.
pub async fn read_many(services: &Services, digests: &[Digest]) -> Result<HashMap<Digest, Vec<u8>>, Failure> {
    if digests.is_empty() {
        return Ok(HashMap::new());
    }
    let (opened, fds) = persist(async || services.cas.open(digests).await).await?;
    let mut read = HashMap::new();
    for (digest, opened) in digests.iter().zip(opened) {
        match opened {
            None => {}
            Some(Opened::Inline(bytes)) => drop(read.insert(*digest, bytes)),
            Some(Opened::File { fd, offset, size }) => {
                let bytes = read_at(&fds[fd], offset, size)
                    .map_err(|err| Failure::new(Fault::Environment, format!("store: {digest}: {err}")))?;
                read.insert(*digest, bytes);
            }
        }
    }
    Ok(read)
}

/// The blob to fetch for a stream, when its bytes are not in the message.
fn lacking(raw: &[u8], digest: Option<&v2::Digest>) -> Option<Digest> {
    if !raw.is_empty() {
        return None;
    }
    digest_from_proto(Function::Blake3, digest).ok().filter(|digest| digest.size() > 0)
}
