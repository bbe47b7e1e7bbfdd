//! Uploads under way, and interrupted ones that their client may resume: by resource name, for a
//! while, and only so many. What they hold is the store's `Upload`; the protocol is `bytestream`'s.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use shared::limits::{UPLOAD_KEPT, UPLOADS};
use tonic::Status;

use crate::store::Upload;

/// Uploads by resource name.
#[derive(Default)]
pub struct Uploads {
    slots: Mutex<HashMap<String, Slot>>,
    serial: AtomicU64,
}

struct Slot {
    /// Of two streams with one name only the later one may resume or be asked about.
    serial: u64,
    /// Unpacked bytes that came.
    received: Arc<AtomicU64>,
    state: State,
}

enum State {
    Running,
    Interrupted(Upload),
}

/// An upload under way; dropped, it is forgotten.
pub struct Running {
    uploads: Arc<Uploads>,
    name: String,
    serial: u64,
    received: Arc<AtomicU64>,
}

impl Uploads {
    /// Begins the upload of that name at 0, or goes on with an interrupted one.
    pub fn begin(self: &Arc<Self>, name: &str, offset: u64) -> Result<(Running, Option<Upload>), Status> {
        let mut slots = self.lock();
        let kept = if offset == 0 { None } else { Some(resume(&mut slots, name, offset)?) };
        let serial = self.serial.fetch_add(1, Ordering::Relaxed);
        let received = Arc::new(AtomicU64::new(offset));
        slots.insert(name.to_owned(), Slot { serial, received: received.clone(), state: State::Running });
        Ok((Running { uploads: self.clone(), name: name.to_owned(), serial, received }, kept))
    }

    /// How much of an upload came.
    pub fn received(&self, name: &str) -> Option<u64> {
        self.lock().get(name).map(|slot| slot.received.load(Ordering::Relaxed))
    }

    /// Gives up what nobody sends to: the disk is full.
    pub fn drop_interrupted(&self) {
        self.lock().retain(|_, slot| matches!(slot.state, State::Running));
    }

    fn forget(&self, name: &str, serial: u64) {
        let mut slots = self.lock();
        if slots.get(name).is_some_and(|slot| slot.serial == serial) {
            slots.remove(name);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes an interrupted upload out, if it goes on at `offset`.
fn resume(slots: &mut HashMap<String, Slot>, name: &str, offset: u64) -> Result<Upload, Status> {
    let slot =
        slots.get(name).ok_or_else(|| Status::invalid_argument("no upload of this name is known: begin at 0"))?;
    if matches!(slot.state, State::Running) {
        return Err(Status::unavailable("another stream sends to this name: ask how far it is, and try again"));
    }
    let received = slot.received.load(Ordering::Relaxed);
    if received != offset {
        return Err(Status::invalid_argument(format!("write_offset is {offset} where {received} is next")));
    }
    match slots.remove(name).map(|slot| slot.state) {
        Some(State::Interrupted(upload)) => Ok(upload),
        _ => Err(Status::invalid_argument("no upload of this name is known: begin at 0")),
    }
}

impl Running {
    /// Says how far it is.
    pub fn progress(&self, received: u64) {
        self.received.store(received, Ordering::Relaxed);
    }

    /// Keeps what came for the client to resume. Needs the runtime.
    pub fn keep(self, upload: Upload) {
        self.progress(upload.received());
        let mut slots = self.uploads.lock();
        let Some(slot) = slots.get_mut(&self.name).filter(|slot| slot.serial == self.serial) else { return };
        slot.state = State::Interrupted(upload);
        // The slot outlives this; a later serial is what `forget` of the drop below does not know.
        let serial = self.uploads.serial.fetch_add(1, Ordering::Relaxed);
        slot.serial = serial;
        let kept = slots.iter().filter(|(_, slot)| !matches!(slot.state, State::Running));
        if kept.clone().count() > UPLOADS
            && let Some(oldest) = kept.min_by_key(|(_, slot)| slot.serial).map(|(name, _)| name.clone())
        {
            slots.remove(&oldest);
        }
        drop(slots);
        let (uploads, name) = (self.uploads.clone(), self.name.clone());
        tokio::spawn(async move {
            tokio::time::sleep(UPLOAD_KEPT).await;
            uploads.forget(&name, serial);
        });
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.uploads.forget(&self.name, self.serial);
    }
}

#[cfg(test)]
mod tests {
    use shared::digest::{Digest, Function};

    use super::*;
    use crate::store::{Disk, Limits, Store};

    fn code<T>(result: Result<T, Status>) -> Option<tonic::Code> {
        result.err().map(|status| status.code())
    }

    #[tokio::test]
    async fn only_the_last_stream_of_a_name_is_resumed_where_it_stopped() {
        let dir = tempfile::tempdir().unwrap();
        let store = Disk::open(dir.path(), Limits::default()).unwrap();
        let bytes = vec![7; 100_000];
        let digest = Digest::of(Function::Blake3, &bytes);
        let uploads = Arc::new(Uploads::default());
        assert_eq!(code(uploads.begin("a", 5)), Some(tonic::Code::InvalidArgument));
        let (first, _) = uploads.begin("a", 0).unwrap();
        let (second, _) = uploads.begin("a", 0).unwrap();
        let mut upload = store.upload(digest).unwrap();
        upload.write(&bytes[..10]).unwrap();
        first.keep(upload);
        assert_eq!(uploads.received("a"), Some(0), "the second one's");
        assert_eq!(code(uploads.begin("a", 10)), Some(tonic::Code::Unavailable));
        let mut upload = store.upload(digest).unwrap();
        upload.write(&bytes[..60_000]).unwrap();
        second.keep(upload);
        assert_eq!(uploads.received("a"), Some(60_000));
        assert_eq!(code(uploads.begin("a", 59_999)), Some(tonic::Code::InvalidArgument));
        let (third, kept) = uploads.begin("a", 60_000).unwrap();
        let mut upload = kept.unwrap();
        upload.write(&bytes[60_000..]).unwrap();
        store.finish(upload).unwrap();
        drop(third);
        assert_eq!(uploads.received("a"), None);
        assert!(store.contains(&digest));
    }

    #[tokio::test]
    async fn only_so_many_interrupted_ones_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let store = Disk::open(dir.path(), Limits::default()).unwrap();
        let uploads = Arc::new(Uploads::default());
        for n in 0..UPLOADS + 5 {
            let (running, _) = uploads.begin(&n.to_string(), 0).unwrap();
            running.keep(store.upload(Digest::of(Function::Blake3, &n.to_le_bytes())).unwrap());
        }
        assert_eq!(uploads.lock().len(), UPLOADS);
        assert!(uploads.received("4").is_none() && uploads.received("5").is_some());
        uploads.drop_interrupted();
        assert!(uploads.lock().is_empty());
    }
}
