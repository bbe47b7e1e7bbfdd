//! What a store promises: the trait, its errors, and a blob that can be read.
//! How blobs lie on disk is `disk`'s, what a client sees of an error is `serve`'s.

use std::{
    fs::File,
    io,
    os::{fd::AsFd, fd::BorrowedFd, unix::fs::FileExt},
    sync::Arc,
};

use shared::digest::{Digest, Function};

use super::upload::Upload;

/// Why a blob could not be stored, read or removed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// The bytes are not the ones that the digest names.
    #[error("the bytes sent have the digest {actual}, not {expected}")]
    Mismatch { expected: Digest, actual: Digest },
    /// More or fewer bytes than the digest or the call said.
    #[error("{actual} bytes were sent where {expected} were announced")]
    Size { expected: u64, actual: u64 },
    /// The blob is larger than this store takes.
    #[error("a blob of {0} bytes is more than this store takes")]
    TooLarge(u64),
    /// The file system said no.
    #[error("{what}: {source}")]
    Io { what: &'static str, source: Arc<io::Error> },
    /// There is no room beside the reserve, and nothing that may be evicted.
    #[error("the file system of the store is full: {0}")]
    Full(String),
    /// The folder is not one this program may use.
    #[error("{0}")]
    Folder(String),
    /// The store is being closed.
    #[error("the store is closing")]
    Closed,
}

impl StoreError {
    /// Wraps an I/O error with what was being done.
    pub fn io(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| StoreError::Io { what, source: Arc::new(source) }
    }

    /// Whether space or inodes ran out.
    pub fn is_full(&self) -> bool {
        use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
        match self {
            StoreError::Full(_) => true,
            StoreError::Io { source, .. } => matches!(source.kind(), StorageFull | QuotaExceeded | FileTooLarge),
            _ => false,
        }
    }
}

/// What a store can do; what is advertised to clients comes from here.
#[derive(Clone, Debug)]
pub struct Capabilities {
    pub functions: &'static [Function],
    pub max_blob_bytes: u64,
}

/// What a store holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    pub blobs: u64,
    pub bytes: u64,
}

/// A set of blobs by digest.
pub trait Store: Send + Sync {
    /// The blob, or `None` when it is not there (or was found damaged and dropped).
    fn get(&self, digest: &Digest) -> Result<Option<Blob>, StoreError>;

    /// Stores blobs. Each is compared with its digest; `Ok` means that it will survive a power cut.
    fn put(&self, blobs: Vec<(Digest, Vec<u8>)>) -> Vec<Result<(), StoreError>>;

    /// Stores copies of files of the given lengths and says their digests; durable like `put`.
    fn put_files(&self, function: Function, files: Vec<(File, u64)>) -> Vec<Result<Digest, StoreError>>;

    /// Begins to receive one blob piece by piece; nothing is visible before `finish`.
    fn upload(&self, expected: Digest) -> Result<Upload, StoreError>;

    /// Compares what came with the expected digest and stores it durably.
    fn finish(&self, upload: Upload) -> Result<(), StoreError>;

    /// Those of `digests` that are not there. Touches no file.
    fn find_missing(&self, digests: &[Digest]) -> Vec<Digest>;

    /// Whether a blob is there. Touches no file.
    fn contains(&self, digest: &Digest) -> bool {
        self.find_missing(std::slice::from_ref(digest)).is_empty()
    }

    /// Forgets a blob.
    #[cfg_attr(not(test), expect(dead_code, reason = "only tests name a blob to be forgotten"))]
    fn remove(&self, digest: &Digest) -> Result<(), StoreError>;

    /// What this store can do.
    fn capabilities(&self) -> Capabilities;

    /// What this store holds.
    fn totals(&self) -> Totals;
}

/// A blob that was there when it was asked for; stays readable when it is removed meanwhile.
#[derive(Debug)]
pub struct Blob {
    size: u64,
    /// All bytes, where they had to be read anyway.
    bytes: Option<Vec<u8>>,
    /// The file that holds them, and where they begin in it.
    file: Option<(Arc<File>, u64)>,
}

impl Blob {
    /// A blob in memory, and where it lies on disk.
    pub fn small(bytes: Vec<u8>, file: Option<(Arc<File>, u64)>) -> Self {
        Blob { size: bytes.len() as u64, bytes: Some(bytes), file }
    }

    /// A blob that is a file of its own.
    pub fn large(file: File, size: u64) -> Self {
        Blob { size, bytes: None, file: Some((Arc::new(file), 0)) }
    }

    /// Its size in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// All its bytes, where they are in memory already.
    pub fn in_memory(&self) -> Option<&[u8]> {
        self.bytes.as_deref()
    }

    /// The descriptor that holds it and the offset in it; `None` for the empty blob.
    pub fn descriptor(&self) -> Option<(BorrowedFd<'_>, u64)> {
        self.file.as_ref().map(|(file, offset)| (file.as_fd(), *offset))
    }

    /// Whether two blobs lie in the same open file.
    pub fn same_file(&self, other: &Blob) -> bool {
        matches!((&self.file, &other.file), (Some((a, _)), Some((b, _))) if Arc::ptr_eq(a, b))
    }

    /// Up to `length` bytes from `offset`.
    pub fn read(&self, offset: u64, length: usize) -> Result<Vec<u8>, StoreError> {
        let length = usize::try_from(self.size.saturating_sub(offset)).unwrap_or(usize::MAX).min(length);
        if let Some(bytes) = &self.bytes {
            let start = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
            return Ok(bytes[start..start + length].to_vec());
        }
        let Some((file, start)) = &self.file else { return Ok(Vec::new()) };
        let mut bytes = vec![0; length];
        file.read_exact_at(&mut bytes, start + offset).map_err(StoreError::io("read a blob"))?;
        Ok(bytes)
    }

    /// All its bytes.
    pub fn into_bytes(self) -> Result<Vec<u8>, StoreError> {
        match self.bytes {
            Some(bytes) => Ok(bytes),
            None => self.read(0, usize::try_from(self.size).unwrap_or(usize::MAX)),
        }
    }
}
