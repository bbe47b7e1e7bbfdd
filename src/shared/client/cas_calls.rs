//! The params and results of casd's local calls (`wire/PROTOCOL.md`), as its client reads and
//! writes them.

use base64::{Engine, prelude::BASE64_STANDARD};
use prost::Message;
use serde::{Deserialize, Serialize};

use super::cas::{CasError, CrateArchive, Opened};
use crate::{digest::Digest, reapi::v2};

#[derive(Serialize)]
pub struct Digests<'a> {
    pub digests: &'a [Digest],
}

#[derive(Deserialize)]
pub struct OpenAnswer {
    pub blobs: Vec<Option<BlobPlace>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
pub enum BlobPlace {
    File { fd: usize, offset: u64, size: u64 },
    Inline { inline: String },
}

#[derive(Serialize)]
pub struct PutParams {
    pub files: Vec<PutFile>,
    pub function: &'static str,
}

#[derive(Serialize)]
pub struct PutFile {
    pub size: u64,
}

#[derive(Deserialize)]
pub struct PutAnswer {
    pub digests: Vec<Digest>,
}

#[derive(Serialize)]
pub struct ActionsParams<'a> {
    pub actions: &'a [Digest],
}

#[derive(Deserialize)]
pub struct ActionsAnswer {
    pub results: Vec<Option<String>>,
}

#[derive(Serialize)]
pub struct CratesParams<'a> {
    pub crates: &'a [CrateArchive],
}

#[derive(Deserialize)]
pub struct CratesAnswer {
    pub roots: Vec<CrateAnswer>,
}

#[derive(Deserialize)]
#[serde(untagged)]
pub enum CrateAnswer {
    Root { root: Digest },
    Error { error: String },
}

pub fn read_place(place: BlobPlace, fds: usize, before: usize) -> Result<Opened, CasError> {
    match place {
        BlobPlace::Inline { inline } => match BASE64_STANDARD.decode(inline) {
            Ok(bytes) => Ok(Opened::Inline(bytes)),
            Err(err) => Err(CasError::Answer(err.to_string())),
        },
        BlobPlace::File { fd, offset, size } if fd < fds => Ok(Opened::File { fd: before + fd, offset, size }),
        BlobPlace::File { fd, .. } => Err(CasError::Answer(format!("descriptor {fd} of {fds}"))),
    }
}

pub fn decode_result(text: &str) -> Result<v2::ActionResult, CasError> {
    let bytes = BASE64_STANDARD.decode(text).map_err(|err| CasError::Answer(err.to_string()))?;
    v2::ActionResult::decode(bytes.as_slice()).map_err(|err| CasError::Answer(err.to_string()))
}
