//! The index on disk as it was at one position of the segments, so that a start need not read
//! them all. It may be absent or damaged: then the segments say everything.

use std::{collections::BTreeMap, fs, io};

use shared::digest::Digest;

use super::{
    api::StoreError,
    folder::Folder,
    format::{Kind, Stamp, crc32, function_byte, function_from_byte, u32_at, u64_at},
    index::{Entry, Index, Place},
    uses::{MARKS, Mark, Saved},
};

const MAGIC: [u8; 8] = *b"vxIDX\0\0\x02";
const HEAD: usize = 192;
const ENTRY: usize = 76;

/// A point in the sequence of all segments: everything before it is durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    pub number: u64,
    pub offset: u64,
}

/// What a checkpoint holds.
#[derive(Default)]
pub struct Checkpoint {
    pub index: Index,
    pub position: Position,
    pub saved: Saved,
}

/// Writes the checkpoint of `index` as it is at `position`.
pub fn write(folder: &Folder, index: &Index, position: Position, saved: &Saved) -> Result<(), StoreError> {
    let entries = index.entries();
    let mut out = Vec::with_capacity(HEAD + ENTRY * entries.len());
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&position.number.to_le_bytes());
    out.extend_from_slice(&position.offset.to_le_bytes());
    out.extend_from_slice(&(entries.len() as u64).to_le_bytes());
    out.extend_from_slice(&[0; 8]);
    for number in [saved.counter, saved.floor, saved.saved_at] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    let unused = std::iter::repeat_n(&Mark { age_s: 0, counter: 0 }, MARKS.saturating_sub(saved.marks.len()));
    for mark in unused.chain(&saved.marks).take(MARKS) {
        out.extend_from_slice(&mark.age_s.to_le_bytes());
        out.extend_from_slice(&mark.counter.to_le_bytes());
    }
    for entry in entries {
        let (kind, place) = encode_place(entry.place);
        out.extend_from_slice(&[kind as u8, function_byte(entry.digest.function()), 0, 0]);
        out.extend_from_slice(&entry.digest.size().to_le_bytes());
        out.extend_from_slice(entry.digest.hash());
        out.extend_from_slice(&place);
        out.extend_from_slice(&entry.used.to_le_bytes());
    }
    let crc = crc32(&[&out[..32], &out[36..]]);
    out[32..36].copy_from_slice(&crc.to_le_bytes());
    folder.replace(&folder.checkpoint(), &out).map_err(StoreError::io("write the checkpoint"))
}

/// Reads the checkpoint, if it is whole and fits the segments that are there
/// (`segments`: number to length).
pub fn load(folder: &Folder, segments: &BTreeMap<u64, u64>) -> Option<Checkpoint> {
    let bytes = match fs::read(folder.checkpoint()) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => {
            tracing::warn!(%error, "the checkpoint cannot be read; ignoring it, all segments are read");
            return None;
        }
    };
    // Its segment may have been compacted since; then the scan begins with the next one.
    let fits = |position: Position| match segments.get(&position.number) {
        Some(length) => *length >= position.offset,
        None => segments.range(position.number..).next().is_some(),
    };
    let Some((position, saved, entries)) = parse(&bytes).filter(|(position, ..)| fits(*position)) else {
        tracing::warn!("the checkpoint is damaged; ignoring it, all segments are read");
        return None;
    };
    let index = Index::default();
    for entry in entries {
        if let Place::Segment { number, offset } = entry.place
            && segments.get(&number).is_none_or(|length| offset + entry.digest.size() > *length)
        {
            continue;
        }
        index.insert(entry.digest, entry.place, entry.used);
    }
    Some(Checkpoint { index, position, saved })
}

fn parse(bytes: &[u8]) -> Option<(Position, Saved, Vec<Entry>)> {
    let (head, entries) = bytes.split_at_checked(HEAD)?;
    let count = usize::try_from(u64_at(head, 24)?).ok()?;
    if head[..8] != MAGIC
        || entries.len() != count.checked_mul(ENTRY)?
        || crc32(&[&head[..32], &head[36..], entries]) != u32_at(head, 32)?
    {
        return None;
    }
    let position = Position { number: u64_at(head, 8)?, offset: u64_at(head, 16)? };
    let mark = |at: usize| Some(Mark { age_s: u64_at(head, at)?, counter: u64_at(head, at + 8)? });
    let mut marks = (64..HEAD).step_by(16).map(mark).collect::<Option<Vec<_>>>()?;
    marks.retain(|mark| *mark != Mark::default());
    let saved = Saved { counter: u64_at(head, 40)?, floor: u64_at(head, 48)?, saved_at: u64_at(head, 56)?, marks };
    let entries = entries.chunks_exact(ENTRY).map(parse_entry).collect::<Option<_>>()?;
    Some((position, saved, entries))
}

fn parse_entry(entry: &[u8]) -> Option<Entry> {
    let hash = entry[12..44].try_into().ok()?;
    let digest = Digest::new(function_from_byte(entry[1])?, hash, u64_at(entry, 4)?);
    let place = match entry[0] {
        1 => Place::Segment { number: u64_at(entry, 44)?, offset: u64_at(entry, 52)? },
        2 => Place::File(Stamp::decode(&entry[44..])?),
        _ => return None,
    };
    Some(Entry { digest, place, used: u64_at(entry, 68)? })
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
