//! vx's local calls (`wire/PROTOCOL.md`): what gRPC would copy although both sides share the
//! disk, and whole levels of a graph at once.

use std::{fs::File, os::fd::OwnedFd, path::PathBuf, sync::Arc};

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use serde::{Deserialize, Serialize};
use shared::{
    digest::{Digest, Function},
    fault::{Failure, Fault},
    limits::OPEN_BLOBS,
    service::{Call, Reply, Shutdown},
    wire::call::{CONFIG_INVALID, Error, INVALID_PARAMS, UNKNOWN_METHOD},
};

use super::{edge::Gate, listen::Casd};
use crate::{
    acquire::{Crate, acquire_crates},
    actions::Table,
    store::{Blob, StoreError},
};

/// Blobs up to this size travel in the answer itself: cheaper than a read by the client.
const INLINE_BYTES: u64 = 4 << 10;

#[derive(Deserialize)]
struct Open {
    digests: Vec<Digest>,
}

#[derive(Serialize)]
struct Opened {
    blobs: Vec<Option<Place>>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Place {
    File { fd: usize, offset: u64, size: u64 },
    Inline { inline: String },
}

#[derive(Deserialize)]
struct Put {
    files: Vec<Size>,
    function: String,
}

#[derive(Deserialize)]
struct Size {
    size: u64,
}

#[derive(Serialize)]
struct Stored {
    digests: Vec<Digest>,
}

#[derive(Deserialize)]
struct Get {
    actions: Vec<Digest>,
}

#[derive(Serialize)]
struct Results {
    results: Vec<Option<String>>,
}

#[derive(Deserialize)]
struct Acquire {
    crates: Vec<Wanted>,
}

#[derive(Deserialize)]
struct Wanted {
    name: String,
    version: String,
    checksum: String,
    archive: PathBuf,
}

#[derive(Serialize)]
struct Acquired {
    roots: Vec<Root>,
}

/// A held lease ends with the service.
#[derive(Serialize)]
struct Ended {}

#[derive(Serialize)]
#[serde(untagged)]
enum Root {
    Is { root: Digest },
    Failed { error: String },
}

/// Answers one call.
pub async fn answer(casd: Option<Arc<Casd>>, gate: Gate, shutdown: Shutdown, call: Call) -> Result<Reply, Error> {
    let closed = gate.closed();
    let Some(casd) = casd else {
        return Err(Error::new(
            Fault::Environment.code(),
            closed.unwrap_or_else(|| "the store is not open".to_owned()),
        ));
    };
    if let Some(why) = closed {
        return Err(Error::new(CONFIG_INVALID, why));
    }
    if call.method == "lease.hold" {
        // Who closes the connection drops this call, and the lease with it.
        let _hold = casd.keeper.hold();
        shutdown.requested().await;
        return Reply::new(&Ended {});
    }
    let done = tokio::task::spawn_blocking(move || match call.method.as_str() {
        "blob.open" => open(&casd, call.params()?),
        "blob.put" => put(&casd, call.params()?, call.fds),
        "action.get" => get(&casd, &call.params()?),
        "crate.acquire" => acquire(&casd, call.params()?),
        other => Err(Error::new(UNKNOWN_METHOD, format!("casd has no call {other:?}"))),
    });
    done.await.map_err(|error| Error::new(Fault::Bug.code(), format!("the call ended early: {error}")))?
}

fn open(casd: &Casd, params: Open) -> Result<Reply, Error> {
    if params.digests.len() > OPEN_BLOBS {
        return Err(Error::new(INVALID_PARAMS, format!("blob.open: at most {OPEN_BLOBS} digests a call")));
    }
    let mut files: Vec<Blob> = Vec::new();
    let mut blobs = Vec::with_capacity(params.digests.len());
    for digest in &params.digests {
        let Some(blob) = casd.store.get(digest).map_err(|error| failure(&error))? else {
            blobs.push(None);
            continue;
        };
        if let Some(bytes) = blob.in_memory().filter(|bytes| bytes.len() as u64 <= INLINE_BYTES) {
            blobs.push(Some(Place::Inline { inline: BASE64.encode(bytes) }));
            continue;
        }
        let offset = blob.descriptor().map_or(0, |(_, offset)| offset);
        let size = blob.size();
        let fd = files.iter().position(|file| file.same_file(&blob)).unwrap_or(files.len());
        if fd == files.len() {
            files.push(blob);
        }
        blobs.push(Some(Place::File { fd, offset, size }));
    }
    let clone = |blob: &Blob| -> Option<std::io::Result<OwnedFd>> { Some(blob.descriptor()?.0.try_clone_to_owned()) };
    let fds = files.iter().filter_map(clone).collect::<Result<Vec<_>, _>>();
    let fds = fds.map_err(|source| failure(&StoreError::io("pass a descriptor")(source)))?;
    Reply::with_fds(&Opened { blobs }, fds)
}

fn put(casd: &Casd, params: Put, fds: Vec<OwnedFd>) -> Result<Reply, Error> {
    if params.files.len() != fds.len() {
        let (files, fds) = (params.files.len(), fds.len());
        return Err(Error::new(INVALID_PARAMS, format!("blob.put: {files} files and {fds} descriptors")));
    }
    let function = Function::from_name(&params.function)
        .ok_or_else(|| Error::new(INVALID_PARAMS, "blob.put: function is sha256 or blake3"))?;
    let files = fds.into_iter().map(File::from).zip(params.files.iter().map(|file| file.size)).collect();
    let digests = casd.store.put_files(function, files).into_iter().collect::<Result<Vec<_>, _>>();
    Reply::new(&Stored { digests: digests.map_err(|error| failure(&error))? })
}

fn get(casd: &Casd, params: &Get) -> Result<Reply, Error> {
    let get = |action: &Digest| -> Result<Option<String>, StoreError> {
        let entry = casd.actions.get(Table::Action, action, &*casd.store)?;
        Ok(entry.map(|entry| BASE64.encode(entry.value)))
    };
    let results = params.actions.iter().map(get).collect::<Result<Vec<_>, _>>();
    Reply::new(&Results { results: results.map_err(|error| failure(&error))? })
}

fn acquire(casd: &Casd, params: Acquire) -> Result<Reply, Error> {
    let mut crates = Vec::with_capacity(params.crates.len());
    for wanted in params.crates {
        let checksum = Digest::parse(Function::Sha256, &wanted.checksum, 0)
            .map_err(|error| Error::new(INVALID_PARAMS, format!("crate.acquire: {}: {error}", wanted.name)))?;
        crates.push(Crate {
            name: wanted.name,
            version: wanted.version,
            checksum: *checksum.hash(),
            archive: wanted.archive,
        });
    }
    let roots = acquire_crates(&*casd.store, &casd.actions, &crates).into_iter().map(|root| match root {
        Ok(root) => Root::Is { root },
        Err(error) => Root::Failed { error: error.to_string() },
    });
    Reply::new(&Acquired { roots: roots.collect() })
}

fn failure(error: &StoreError) -> Error {
    let fault = match error {
        StoreError::Mismatch { .. } | StoreError::Size { .. } | StoreError::TooLarge(_) => Fault::Peer,
        _ => Fault::Environment,
    };
    let failure = Failure::new(fault, error.to_string());
    let full = error.is_full().then(|| failure.clone().hint("the disk is full: free some space"));
    full.unwrap_or(failure).into()
}
