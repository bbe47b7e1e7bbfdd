//! Reads records back from a file that a crash may have torn: every valid one, and where the
//! last of them ends. What a record means is the caller's.

use std::{fs::File, os::unix::fs::FileExt};

use super::{
    api::StoreError,
    format::{Header, MAGIC, RECORD_HEADER, padded},
};

/// Largest payload of a record that is believed.
const PAYLOAD: usize = 64 << 20;
/// Read at one go.
const WINDOW: usize = 1 << 20;

/// A file read through a window that moves forward.
pub struct Window<'a> {
    file: &'a File,
    length: u64,
    start: u64,
    bytes: Vec<u8>,
}

impl<'a> Window<'a> {
    pub fn new(file: &'a File) -> Result<Self, StoreError> {
        let length = file.metadata().map_err(StoreError::io("stat a log"))?.len();
        Ok(Window { file, length, start: 0, bytes: Vec::new() })
    }

    /// Length of the file when it was opened.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// `length` bytes at `offset`, or `None` where the file ends before.
    fn bytes(&mut self, offset: u64, length: usize) -> Result<Option<&[u8]>, StoreError> {
        if offset + length as u64 > self.length {
            return Ok(None);
        }
        let have = self.start..self.start + self.bytes.len() as u64;
        if offset < have.start || offset + length as u64 > have.end {
            let wanted = (length.max(WINDOW) as u64).min(self.length - offset);
            self.bytes.resize(wanted as usize, 0);
            self.start = offset;
            self.file.read_exact_at(&mut self.bytes, offset).map_err(StoreError::io("read a log"))?;
        }
        let at = (offset - self.start) as usize;
        Ok(Some(&self.bytes[at..at + length]))
    }

    /// Calls `record(offset, header, payload)` for every valid record from `from` on and returns
    /// the end of the last one. Damage costs only what is damaged: the search goes on behind it.
    pub fn records(&mut self, from: u64, mut record: impl FnMut(u64, &Header, &[u8])) -> Result<u64, StoreError> {
        let (mut offset, mut end) = (from, from);
        while let Some(head) = self.bytes(offset, RECORD_HEADER)? {
            let header = if head[..4] == MAGIC { Header::parse(head, offset) } else { None };
            let Some(header) = header.filter(|header| header.payload <= PAYLOAD) else {
                offset += 8;
                continue;
            };
            let whole = match self.bytes(offset + RECORD_HEADER as u64, header.payload)? {
                Some(payload) if header.is_whole(payload) => {
                    record(offset, &header, payload);
                    true
                }
                _ => false,
            };

            offset += if whole { padded(header.payload) as u64 } else { 8 };
            if whole {
                end = offset;
            }
        }
        Ok(end)
    }
}
