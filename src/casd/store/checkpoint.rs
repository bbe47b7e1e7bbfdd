//! The index on disk as it was at one position of the segments, so that a start need not read
//! them all. It may be absent or damaged: then the segments say everything.

use std::{collections::BTreeMap, fs, io};

use shared::digest::Digest;

use super::{
    api::StoreError,
    folder::Folder,
    format::{Kind, Stamp, crc32, function_byte, function_from_byte, u32_at, u64_at},
    index::{Index, Place},
};

const MAGIC: [u8; 8] = *b"vxIDX\0\0\x01";
const HEAD: usize = 40;
const ENTRY: usize = 68;

/// A point in the sequence of all segments: everything before it is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    pub number: u64,
    pub offset: u64,
}

/// Writes the checkpoint of `index` as it is at `position`.
pub fn write(folder: &Folder, index: &Index, position: Position) -> Result<(), StoreError> {
    let entries = index.entries();
    let mut out = Vec::with_capacity(HEAD + ENTRY * entries.len());
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&position.number.to_le_bytes());
    out.extend_from_slice(&position.offset.to_le_bytes());
    out.extend_from_slice(&(entries.len() as u64).to_le_bytes());
    out.resize(HEAD, 0);
    for (digest, place) in entries {
        let (kind, place) = encode_place(place);
        out.extend_from_slice(&[kind as u8, function_byte(digest.function()), 0, 0]);
        out.extend_from_slice(&digest.size().to_le_bytes());
        out.extend_from_slice(digest.hash());
        out.extend_from_slice(&place);
    }
    let crc = crc32(&[&out[..32], &out[HEAD..]]);
    out[32..36].copy_from_slice(&crc.to_le_bytes());
    folder.replace(&folder.checkpoint(), &out).map_err(StoreError::io("write the checkpoint"))
}

/// Fills an index from the checkpoint, if it is whole and fits the segments that are there
/// (`segments`: number to length).
pub fn load(folder: &Folder, segments: &BTreeMap<u64, u64>) -> Option<(Index, Position)> {
    let bytes = match fs::read(folder.checkpoint()) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => {
            tracing::warn!(%error, "the checkpoint cannot be read; ignoring it, all segments are read");
            return None;
        }
    };
    let found = parse(&bytes).filter(|(position, _)| segments.get(&position.number) >= Some(&position.offset));
    let Some((position, entries)) = found else {
        tracing::warn!("the checkpoint is damaged; ignoring it, all segments are read");
        return None;
    };
    let index = Index::default();
    for (digest, place) in entries {
        if let Place::Segment { number, offset } = place
            && segments.get(&number).is_none_or(|length| offset + digest.size() > *length)
        {
            continue;
        }
        index.insert(digest, place);
    }
    Some((index, position))
}

fn parse(bytes: &[u8]) -> Option<(Position, Vec<(Digest, Place)>)> {
    let (head, entries) = bytes.split_at_checked(HEAD)?;
    let count = usize::try_from(u64_at(head, 24)?).ok()?;
    if head[..8] != MAGIC
        || entries.len() != count.checked_mul(ENTRY)?
        || crc32(&[&head[..32], entries]) != u32_at(head, 32)?
    {
        return None;
    }
    let position = Position { number: u64_at(head, 8)?, offset: u64_at(head, 16)? };
    let entries = entries.chunks_exact(ENTRY).map(parse_entry).collect::<Option<_>>()?;
    Some((position, entries))
}

fn parse_entry(entry: &[u8]) -> Option<(Digest, Place)> {
    let hash = entry[12..44].try_into().ok()?;
    let digest = Digest::new(function_from_byte(entry[1])?, hash, u64_at(entry, 4)?);
    let place = match entry[0] {
        1 => Place::Segment { number: u64_at(entry, 44)?, offset: u64_at(entry, 52)? },
        2 => Place::File(Stamp::decode(&entry[44..])?),
        _ => return None,
    };
    Some((digest, place))
}

fn encode_place(place: Place) -> (Kind, [u8; Stamp::BYTES]) {
    match place {
        Place::Segment { number, offset } => {
            let mut bytes = [0; Stamp::BYTES];
            bytes[..8].copy_from_slice(&number.to_le_bytes());
            bytes[8..16].copy_from_slice(&offset.to_le_bytes());
            (Kind::Blob, bytes)
        }
        Place::File(stamp) => (Kind::File, stamp.encode()),
    }
}
