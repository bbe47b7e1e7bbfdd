//! The records of FORMAT.md as bytes: written, parsed, padded. No files here.

use shared::digest::{Digest, Function};

/// Length of a record's header.
pub const RECORD_HEADER: usize = 64;
/// Length of the head of a segment and of `actions.log`.
pub const FILE_HEAD: usize = 16;
/// Length of one digest in a closure.
pub const CLOSURE_DIGEST: usize = 41;
pub const MAGIC: [u8; 4] = *b"vxR\x01";

/// What a record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    Blob = 1,
    File = 2,
    Gone = 3,
    Action = 16,
    Crate = 17,
    Forget = 18,
}

impl Kind {
    fn from_byte(byte: u8) -> Option<Self> {
        [Kind::Blob, Kind::File, Kind::Gone, Kind::Action, Kind::Crate, Kind::Forget]
            .into_iter()
            .find(|kind| *kind as u8 == byte)
    }
}

/// A parsed record header.
#[derive(Clone, Copy, Debug)]
pub struct Header {
    pub kind: Kind,
    pub digest: Digest,
    pub payload: usize,
    crc: u32,
    head: [u8; 60],
}

impl Header {
    /// Parses the header that lies at `offset` of its file; `None` when there is none.
    /// The CRC is complete only with the payload: see [`Header::is_whole`].
    pub fn parse(bytes: &[u8], offset: u64) -> Option<Self> {
        let head: [u8; 60] = bytes.get(..60)?.try_into().ok()?;
        let crc = u32_at(bytes, 60)?;
        if head[..4] != MAGIC || u64_at(&head, 48)? != offset {
            return None;
        }
        let kind = Kind::from_byte(head[4])?;
        let hash = head[16..48].try_into().ok()?;
        let digest = Digest::new(function_from_byte(head[5])?, hash, u64_at(&head, 8)?);
        let payload = usize::try_from(u32_at(&head, 56)?).ok()?;
        if kind == Kind::Blob && (payload as u64 != digest.size() || crc32(&[&head]) != crc) {
            return None;
        }
        Some(Header { kind, digest, payload, crc, head })
    }

    /// Whether the payload is the one that was written: by CRC, for a blob by its digest.
    pub fn is_whole(&self, payload: &[u8]) -> bool {
        match self.kind {
            Kind::Blob => Digest::of(self.digest.function(), payload) == self.digest,
            _ => crc32(&[&self.head, payload]) == self.crc,
        }
    }
}

/// Appends a record that will lie at `offset` of its file.
pub fn encode_record(out: &mut Vec<u8>, offset: u64, kind: Kind, digest: &Digest, payload: &[u8]) {
    let start = out.len();
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&[kind as u8, function_byte(digest.function()), 0, 0]);
    out.extend_from_slice(&digest.size().to_le_bytes());
    out.extend_from_slice(digest.hash());
    out.extend_from_slice(&offset.to_le_bytes());
    out.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    let crc = match kind {
        Kind::Blob => crc32(&[&out[start..]]),
        _ => crc32(&[&out[start..], payload]),
    };
    out.extend_from_slice(&crc.to_le_bytes());
    out.extend_from_slice(payload);
    out.resize(start + padded(payload.len()), 0);
}

/// Length of a whole record with a payload of `payload` bytes.
pub fn padded(payload: usize) -> usize {
    (RECORD_HEADER + payload).next_multiple_of(8)
}

/// The head of a segment or of `actions.log`.
pub fn write_file_head(word: &[u8; 5], number: u64) -> [u8; FILE_HEAD] {
    let mut head = [0; FILE_HEAD];
    head[..5].copy_from_slice(word);
    head[7] = 1;
    head[8..].copy_from_slice(&number.to_le_bytes());
    head
}

pub fn function_byte(function: Function) -> u8 {
    match function {
        Function::Sha256 => 1,
        Function::Blake3 => 2,
    }
}

pub fn function_from_byte(byte: u8) -> Option<Function> {
    match byte {
        1 => Some(Function::Sha256),
        2 => Some(Function::Blake3),
        _ => None,
    }
}

pub fn crc32(parts: &[&[u8]]) -> u32 {
    let mut crc = flate2::Crc::new();
    for part in parts {
        crc.update(part);
    }
    crc.sum()
}

pub fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

pub fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// When a file was last changed, and which file it is: what a later change cannot leave alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    pub inode: u64,
    pub ctime_s: i64,
    pub ctime_ns: u32,
}

impl Stamp {
    pub const BYTES: usize = 24;

    pub fn of(meta: &std::fs::Metadata) -> Self {
        use std::os::unix::fs::MetadataExt;
        Stamp { inode: meta.ino(), ctime_s: meta.ctime(), ctime_ns: meta.ctime_nsec() as u32 }
    }

    pub fn encode(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..8].copy_from_slice(&self.inode.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.ctime_s.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.ctime_ns.to_le_bytes());
        bytes
    }

    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let ctime_s = i64::from_le_bytes(bytes.get(8..16)?.try_into().ok()?);
        Some(Stamp { inode: u64_at(bytes, 0)?, ctime_s, ctime_ns: u32_at(bytes, 16)? })
    }
}
