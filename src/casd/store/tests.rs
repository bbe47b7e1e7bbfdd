//! The store's promise under crashes, races and hostile input.

use std::{
    fs::{self, File},
    io::{Read, Write},
    os::{fd::AsFd, unix::fs::FileExt},
    path::Path,
};

use shared::digest::{Digest, Function};

use super::{Disk, Limits, Store, StoreError, disk::remove_checkpoint};

fn open(path: &Path) -> Disk {
    Disk::open(path, Limits::default()).unwrap()
}

fn put(store: &Disk, bytes: &[u8]) -> Digest {
    let digest = Digest::of(Function::Blake3, bytes);
    store.put(vec![(digest, bytes.to_vec())]).pop().unwrap().unwrap();
    digest
}

fn read(store: &Disk, digest: &Digest) -> Option<Vec<u8>> {
    store.get(digest).unwrap().map(|blob| blob.into_bytes().unwrap())
}

fn segment(path: &Path) -> std::path::PathBuf {
    path.join("segments/00000001.seg")
}

#[test]
fn blobs_of_every_size_come_back_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let sizes = [0, 1, 7, 8, 64, 65_536, 65_537, 3_000_000];
    let blobs: Vec<Vec<u8>> = sizes.iter().map(|&n| (0..n).map(|i| (i * 7 % 251) as u8).collect()).collect();
    let check = |store: &Disk| {
        for blob in &blobs {
            assert_eq!(read(store, &Digest::of(Function::Blake3, blob)).as_ref(), Some(blob));
        }
        assert_eq!(store.totals().blobs, sizes.len() as u64 - 1);
    };
    let store = open(dir.path());
    for blob in &blobs {
        put(&store, blob);
    }
    check(&store);
    drop(store);
    // Without a checkpoint (a crash), with one (a clean stop), and again.
    let store = open(dir.path());
    check(&store);
    store.close();
    drop(store);
    assert!(dir.path().join("checkpoint").exists());
    let store = open(dir.path());
    check(&store);
    let more = put(&store, b"after the checkpoint");
    drop(store);
    let store = open(dir.path());
    check_more(&store, &more);
    drop(store);
    remove_checkpoint(dir.path());
    check_more(&open(dir.path()), &more);
}

fn check_more(store: &Disk, more: &Digest) {
    assert!(read(store, more).is_some());
    assert_eq!(store.totals().blobs, 8);
}

#[test]
fn a_segment_torn_at_any_byte_keeps_every_blob_before_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let kept = put(&store, b"kept");
    let first = fs::metadata(segment(dir.path())).unwrap().len() as usize;
    let torn = put(&store, b"torn or not");
    drop(store);
    let whole = fs::read(segment(dir.path())).unwrap();
    let payload_end = first + 64 + 11;
    for cut in first..=whole.len() {
        fs::write(segment(dir.path()), &whole[..cut]).unwrap();
        let store = open(dir.path());
        assert_eq!(read(&store, &kept).as_deref(), Some(&b"kept"[..]), "cut at {cut}");
        assert_eq!(store.contains(&torn), cut >= payload_end, "cut at {cut}");
        let next = put(&store, b"next");
        drop(store);
        let store = open(dir.path());
        assert!(store.contains(&next) && store.contains(&kept), "cut at {cut}");
    }
}

#[test]
fn a_tail_of_other_bytes_is_not_believed() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let kept = put(&store, b"kept");
    let torn = put(&store, &[5; 5000]);
    let last = put(&store, b"behind the damage");
    drop(store);
    let mut bytes = fs::read(segment(dir.path())).unwrap();
    let middle = bytes.len() - 3000;
    bytes[middle..middle + 512].fill(0);
    bytes.extend_from_slice(&[0xaa; 700]);
    fs::write(segment(dir.path()), &bytes).unwrap();
    let store = open(dir.path());
    assert!(store.contains(&kept) && !store.contains(&torn) && store.contains(&last));
    assert_eq!(put(&store, &[5; 5000]), torn);
    assert!(read(&store, &torn).is_some());
}

#[test]
fn a_record_inside_a_blob_is_not_a_record() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut forged = vec![0; 8];
    let victim = put(&store, b"victim");
    super::encode_record(&mut forged, 8, super::Kind::Gone, &victim, &[]);
    let outer = put(&store, &forged);
    drop(store);
    let mut bytes = fs::read(segment(dir.path())).unwrap();
    let at = bytes.windows(32).rposition(|window| window == outer.hash()).unwrap();
    bytes[at] ^= 1;
    fs::write(segment(dir.path()), &bytes).unwrap();
    let store = open(dir.path());
    assert!(store.contains(&victim) && !store.contains(&outer));
}

#[test]
fn a_flipped_bit_is_never_served_and_the_next_upload_mends_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let (small, large) = (b"a small blob".to_vec(), vec![9; 200_000]);
    let digests = [put(&store, &small), put(&store, &large)];
    let bytes = fs::read(segment(dir.path())).unwrap();
    let at = bytes.windows(small.len()).position(|window| window == small).unwrap();
    File::options().write(true).open(segment(dir.path())).unwrap().write_all_at(b"A", at as u64).unwrap();
    let file = store.folder().blob(&digests[1]);
    let mut damaged = large.clone();
    damaged[77_777] ^= 1;
    std::thread::sleep(std::time::Duration::from_millis(10));
    fs::remove_file(&file).unwrap();
    fs::write(&file, &damaged).unwrap();
    for (digest, bytes) in digests.iter().zip([&small, &large]) {
        assert!(read(&store, digest).is_none());
        assert!(!store.contains(digest));
        put(&store, bytes);
        assert_eq!(read(&store, digest).as_ref(), Some(bytes));
    }
    drop(store);
    let store = open(dir.path());
    assert!(read(&store, &digests[0]).is_some() && read(&store, &digests[1]).is_some());
}

#[test]
fn a_file_whose_stamp_changed_is_hashed_and_served_when_right() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let large = vec![3; 100_000];
    let digest = put(&store, &large);
    let file = store.folder().blob(&digest);
    fs::remove_file(&file).unwrap();
    fs::write(&file, &large).unwrap();
    assert_eq!(read(&store, &digest), Some(large));
}

#[test]
fn an_unrecorded_file_is_hashed_at_start() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let good = vec![1; 70_000];
    let digest = Digest::of(Function::Sha256, &good);
    let wrong = Digest::of(Function::Sha256, &vec![2; 70_000]);
    fs::write(store.folder().blob(&digest), &good).unwrap();
    fs::write(store.folder().blob(&wrong), &good).unwrap();
    fs::write(store.folder().temps().join("left"), b"over").unwrap();
    drop(store);
    let store = open(dir.path());
    assert_eq!(read(&store, &digest), Some(good));
    assert!(!store.contains(&wrong) && !store.folder().blob(&wrong).exists());
    assert_eq!(fs::read_dir(store.folder().temps()).unwrap().count(), 0);
}

#[test]
fn the_size_and_the_function_are_part_of_the_name() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let digest = put(&store, b"abc");
    for other in [
        Digest::new(Function::Blake3, *digest.hash(), 4),
        Digest::new(Function::Sha256, *digest.hash(), 3),
        Digest::new(Function::Blake3, *Digest::empty(Function::Blake3).hash(), 3),
        Digest::new(Function::Blake3, *digest.hash(), 0),
        Digest::new(Function::Blake3, *digest.hash(), u64::MAX),
    ] {
        assert!(!store.contains(&other));
        assert!(store.get(&other).unwrap().is_none());
        let error = store.put(vec![(other, b"abc".to_vec())]).pop().unwrap();
        assert!(matches!(error, Err(StoreError::Mismatch { .. })));
    }
    assert!(matches!(store.upload(Digest::new(Function::Blake3, [0; 32], u64::MAX)), Err(StoreError::TooLarge(_))));
    assert!(store.contains(&Digest::empty(Function::Sha256)));
    assert_eq!(read(&store, &Digest::empty(Function::Sha256)), Some(vec![]));
}

#[test]
fn many_writers_of_the_same_blobs_all_succeed() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let blobs: Vec<Vec<u8>> =
        (0..40usize).map(|n| vec![n as u8; if n % 8 == 0 { 90_000 } else { n * 11 + 1 }]).collect();
    std::thread::scope(|scope| {
        for shift in 0..8 {
            let (store, blobs) = (&store, &blobs);
            scope.spawn(move || {
                for n in 0..blobs.len() {
                    put(store, &blobs[(n + shift * 5) % blobs.len()]);
                }
            });
        }
    });
    assert_eq!(store.totals().blobs, 40);
    drop(store);
    let store = open(dir.path());
    for blob in &blobs {
        assert!(read(&store, &Digest::of(Function::Blake3, blob)).is_some());
    }
    // Each small blob was appended once.
    let small: u64 =
        blobs.iter().map(|blob| if blob.len() < 65_536 { (blob.len() as u64 + 71) & !7 } else { 88 }).sum();
    assert_eq!(fs::metadata(segment(dir.path())).unwrap().len(), 16 + small);
}

#[test]
fn an_upload_is_visible_only_when_it_is_whole_and_right() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for bytes in [vec![1; 1000], vec![2; 1_000_000]] {
        let digest = Digest::of(Function::Sha256, &bytes);
        let mut half = store.upload(digest).unwrap();
        half.write(&bytes[..500]).unwrap();
        assert!(matches!(store.finish(half), Err(StoreError::Size { .. })));
        let mut long = store.upload(digest).unwrap();
        long.write(&bytes).unwrap();
        assert!(matches!(long.write(b"x"), Err(StoreError::Size { .. })));
        drop(long);
        let mut wrong = store.upload(digest).unwrap();
        wrong.write(&vec![0; bytes.len()]).unwrap();
        assert!(matches!(store.finish(wrong), Err(StoreError::Mismatch { .. })));
        assert!(!store.contains(&digest));
        let mut right = store.upload(digest).unwrap();
        for chunk in bytes.chunks(333) {
            right.write(chunk).unwrap();
        }
        store.finish(right).unwrap();
        assert_eq!(read(&store, &digest), Some(bytes));
    }
}

#[test]
fn files_are_stored_from_descriptors() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir.path().join("cas"));
    let mut files = Vec::new();
    for (name, size) in [("a", 10usize), ("b", 300_000), ("c", 0), ("d", 300_000)] {
        let path = dir.path().join(name);
        fs::write(&path, vec![b'x'; size]).unwrap();
        files.push((File::open(path).unwrap(), size as u64));
    }
    files.push((File::open(dir.path().join("a")).unwrap(), 11));
    files.push((File::open(dir.path().join("b")).unwrap(), 300_001));
    let results = store.put_files(Function::Blake3, files);
    for (result, size) in results.iter().zip([10, 300_000, 0, 300_000]) {
        assert_eq!(*result.as_ref().unwrap(), Digest::of(Function::Blake3, &vec![b'x'; size]));
    }
    assert!(results[4].is_err() && results[5].is_err());
    assert_eq!(store.totals().blobs, 2);
}

#[test]
fn a_removed_blob_stays_away_and_an_open_one_stays_readable() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let (small, large) = (put(&store, b"small"), put(&store, &[4; 80_000]));
    let held = store.get(&large).unwrap().unwrap();
    store.remove(&small).unwrap();
    store.remove(&large).unwrap();
    assert_eq!(store.find_missing(&[small, large]).len(), 2);
    let mut file = File::from(held.descriptor().unwrap().0.as_fd().try_clone_to_owned().unwrap());
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes, [4; 80_000]);
    assert!(file.write_all(b"no").is_err(), "the descriptor handed out is read-only");
    drop(store);
    let store = open(dir.path());
    assert_eq!(store.totals().blobs, 0);
}

#[test]
fn one_store_a_folder_and_only_known_formats() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let digest = put(&store, b"old");
    assert!(
        matches!(Disk::open(dir.path(), Limits::default()), Err(StoreError::Folder(text)) if text.contains("in use"))
    );
    drop(store);
    fs::write(dir.path().join("FORMAT"), "3\n").unwrap();
    assert!(
        matches!(Disk::open(dir.path(), Limits::default()), Err(StoreError::Folder(text)) if text.contains("format 3"))
    );
    fs::write(dir.path().join("FORMAT"), "0\n").unwrap();
    let store = open(dir.path());
    assert!(!store.contains(&digest));
    let aside = store.folder().set_aside.clone().unwrap();
    assert!(aside.join("segments/00000001.seg").exists());
}

#[test]
fn a_folder_of_somebody_else_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("letter.txt"), "dear").unwrap();
    assert!(
        matches!(Disk::open(dir.path(), Limits::default()), Err(StoreError::Folder(text)) if text.contains("letter.txt"))
    );
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}
