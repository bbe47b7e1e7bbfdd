//! One blob on its way in, piece by piece: hashed as it comes, visible to nobody before it is
//! whole and right. It may wait between two pieces for as long as its owner keeps it.

use std::os::unix::fs::FileExt;

use shared::{
    digest::{Digest, Hasher},
    limits::SMALL_BLOB_BYTES,
};

use super::{
    api::StoreError,
    files::{Large, Temp},
    folder::Folder,
};

/// A blob on its way in. Dropped, it leaves nothing behind.
pub struct Upload {
    expected: Digest,
    received: u64,
    target: Target,
}

enum Target {
    Memory(Vec<u8>),
    File(Temp, Box<Hasher>),
}

/// All of it came.
pub enum Whole {
    /// Not yet compared with its digest.
    Small(Digest, Vec<u8>),
    /// Compared.
    Large(Large),
}

impl Upload {
    pub fn begin(folder: &Folder, expected: Digest) -> Result<Self, StoreError> {
        let target = if expected.size() <= SMALL_BLOB_BYTES {
            Target::Memory(Vec::with_capacity(expected.size() as usize))
        } else {
            let temp = Temp::new(folder).map_err(StoreError::io("make a file"))?;
            Target::File(temp, Box::new(Hasher::new(expected.function())))
        };
        Ok(Upload { expected, received: 0, target })
    }

    /// Takes the next bytes.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        let (expected, end) = (self.expected.size(), self.received + bytes.len() as u64);
        if end > expected {
            return Err(StoreError::Size { expected, actual: end });
        }
        match &mut self.target {
            Target::Memory(buffer) => buffer.extend_from_slice(bytes),
            Target::File(temp, hasher) => {
                temp.file.write_all_at(bytes, self.received).map_err(StoreError::io("write a blob"))?;
                hasher.update(bytes);
            }
        }
        self.received = end;
        Ok(())
    }

    /// How many bytes came.
    pub fn received(&self) -> u64 {
        self.received
    }

    pub fn end(self) -> Result<Whole, StoreError> {
        let expected = self.expected;
        if self.received != expected.size() {
            return Err(StoreError::Size { expected: expected.size(), actual: self.received });
        }
        match self.target {
            Target::Memory(bytes) => Ok(Whole::Small(expected, bytes)),
            Target::File(temp, hasher) => {
                let actual = hasher.finish();
                if actual != expected {
                    return Err(StoreError::Mismatch { expected, actual });
                }
                Ok(Whole::Large(Large { digest: expected, temp }))
            }
        }
    }
}
