//! The content-addressed store: blobs by digest, verified on the way in, never changed in place.
//! `api` holds the promise, the rest keeps it on disk (FORMAT.md); protocols are `serve`'s.
//! Blocking std code throughout: callers bring their own threads.

mod api;
mod checkpoint;
mod commit;
mod disk;
mod evict;
mod files;
mod folder;
mod format;
mod index;
mod scan;
mod segments;
mod space;
mod sync;
#[cfg(test)]
mod tests;
mod upload;
mod uses;
mod verify;

pub use api::{Blob, Store, StoreError};
pub use commit::{Committer, Job, Ticket};
pub use disk::{Disk, Hold};
pub use evict::Evicted;
pub use folder::Folder;
pub use format::{
    CLOSURE_DIGEST, FILE_HEAD, Header, Kind, RECORD_HEADER, encode_record, function_byte, function_from_byte, padded,
    u32_at, u64_at, write_file_head,
};
pub use index::DigestMap;
pub use scan::Window;
pub use space::Limits;
pub use upload::Upload;
pub use verify::{Progress, Verified};
