//! Eviction, leases and compaction: what is acknowledged and in use is never lost, at no crash.

use std::{
    fs,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use shared::digest::{Digest, Function};

use crate::store::{
    Disk, Limits, Progress, Store, StoreError, Ticket,
    disk::remove_checkpoint,
    format::Stamp,
    index::Place,
    segments::{Append, Body},
};

/// Nothing is leased, and segments are short.
const TIGHT: Limits = Limits { budget: Some(1 << 20), lease: Duration::ZERO, segment_bytes: 256 << 10 };

fn open(path: &Path) -> Disk {
    Disk::open(path, TIGHT).unwrap()
}

fn bytes(n: u32, size: usize) -> Vec<u8> {
    n.to_le_bytes().iter().copied().cycle().take(size).collect()
}

fn digest(n: u32, size: usize) -> Digest {
    Digest::of(Function::Blake3, &bytes(n, size))
}

fn put(store: &Disk, n: u32, size: usize) -> Result<(), StoreError> {
    store.put(vec![(digest(n, size), bytes(n, size))]).pop().unwrap()
}

/// Those of `0..count` that are there and right.
fn there(store: &Disk, count: u32, size: usize) -> Vec<u32> {
    let is = |n: &u32| store.common.index.peek(&digest(*n, size)).is_some();
    let there: Vec<u32> = (0..count).filter(is).collect();
    for n in &there {
        assert_eq!(store.get(&digest(*n, size)).unwrap().unwrap().into_bytes().unwrap(), bytes(*n, size));
    }
    there
}

#[test]
fn what_was_used_longest_ago_goes_first() {
    for size in [5_000, 100_000] {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        let count = 2_000_000 / size as u32;
        for n in 0..count {
            put(&store, n, size).unwrap();
        }
        // Found by a client, read by another: used now.
        assert!(store.contains(&digest(0, size)));
        assert!(store.get(&digest(3, size)).unwrap().is_some());
        let evicted = store.keep_budget();
        assert!(evicted.blobs > 0 && evicted.freed > 0, "{evicted:?}");
        assert!(store.disk_bytes() <= 1 << 20, "{} on disk", store.disk_bytes());
        let left = there(&store, count, size);
        assert_eq!(left[..2], [0, 3]);
        assert!(left[2..].iter().copied().eq(count - left.len() as u32 + 2..count), "{left:?}");
        // The order outlives a restart.
        store.close();
        drop(store);
        let store = open(dir.path());
        store.collect(300_000);
        let rest = there(&store, count, size);
        assert!(!rest.is_empty() && left.ends_with(&rest), "{rest:?} of {left:?}");
    }
}

#[test]
fn what_is_leased_stays() {
    let dir = tempfile::tempdir().unwrap();
    let leasing = Limits { lease: Duration::from_secs(3600), ..TIGHT };
    let store = Disk::open(dir.path(), leasing.clone()).unwrap();
    for n in 0..20 {
        put(&store, n, 100_000).unwrap();
    }
    assert_eq!(store.collect(0).blobs, 0);
    store.close();
    drop(store);
    // Over a clean stop, and over a crash.
    let store = Disk::open(dir.path(), leasing.clone()).unwrap();
    assert_eq!(store.collect(0).blobs, 0);
    drop(store);
    let store = Disk::open(dir.path(), leasing).unwrap();
    assert_eq!(store.collect(0).blobs, 0);
    drop(store);
    let store = open(dir.path());
    let hold = store.hold();
    put(&store, 100, 100_000).unwrap();
    assert!(store.contains(&digest(7, 100_000)));
    assert_eq!(store.collect(0).blobs, 19, "what was put or found under the hold stays");
    drop(hold);
    assert_eq!(store.collect(0).blobs, 2);
}

#[test]
fn an_open_blob_stays_readable_when_it_is_evicted() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for size in [1000, 100_000] {
        put(&store, 1, size).unwrap();
        let blob = store.get(&digest(1, size)).unwrap().unwrap();
        let (fd, offset) = blob.descriptor().unwrap();
        let file = fs::File::from(fd.try_clone_to_owned().unwrap());
        store.collect(0);
        assert!(!store.contains(&digest(1, size)));
        let mut back = vec![0; size];
        std::os::unix::fs::FileExt::read_exact_at(&file, &mut back, offset).unwrap();
        assert_eq!(back, bytes(1, size));
    }
}

#[test]
fn compaction_loses_nothing_at_any_crash() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for n in 0..400 {
        put(&store, n, 4_000).unwrap();
    }
    let kept: Vec<u32> = (0..400).filter(|n| n % 5 == 0).collect();
    for n in (0..400).filter(|n| n % 5 != 0) {
        store.remove(&digest(n, 4_000)).unwrap();
    }
    let segments = || -> Vec<_> {
        let list = fs::read_dir(dir.path().join("segments")).unwrap();
        list.map(|entry| entry.unwrap().path()).map(|path| (path.clone(), fs::read(path).unwrap())).collect()
    };
    let before = segments();
    assert!(before.len() >= 6, "{} segments", before.len());
    let checkpoint = fs::read(dir.path().join("checkpoint")).unwrap();
    let hold = store.hold();
    assert_eq!(there(&store, 400, 4_000), kept);
    let collected = store.collect(0);
    assert!(collected.segments >= 4 && collected.blobs == 0, "{collected:?}");
    assert_eq!(there(&store, 400, 4_000), kept);
    drop((hold, store));
    let after = segments();
    assert!(after.len() < before.len());
    // As each file may be when it dies: copied and not yet removed, with the checkpoint of before, of after, and none.
    let check = |what: &str| {
        let store = open(dir.path());
        let left = there(&store, 400, 4_000);
        assert!(kept.iter().all(|n| left.contains(n)), "{what}: {left:?}");
    };
    check("after");
    remove_checkpoint(dir.path());
    check("no checkpoint");
    fs::write(dir.path().join("checkpoint"), &checkpoint).unwrap();
    check("the checkpoint of before");
    for (path, bytes) in &before {
        if !path.exists() {
            fs::write(path, bytes).unwrap();
            fs::write(dir.path().join("checkpoint"), &checkpoint).unwrap();
            check("one segment not yet removed");
            remove_checkpoint(dir.path());
            check("the same without a checkpoint");
        }
    }
}

#[test]
fn readers_and_writers_never_miss_what_is_compacted() {
    let dir = tempfile::tempdir().unwrap();
    let store = Disk::open(dir.path(), Limits { lease: Duration::from_secs(3600), ..TIGHT }).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0..4 {
                for n in 0..150 {
                    put(&store, 1000 * (round + 1) + n, 3_000).unwrap();
                    store.remove(&digest(1000 * (round + 1) + n, 3_000)).unwrap();
                }
                for n in 0..50 {
                    put(&store, n, 3_000).unwrap();
                }
                store.collect(0);
            }
            done.store(true, Ordering::Relaxed);
        });
        for n in 0..50 {
            put(&store, n, 3_000).unwrap();
        }
        while !done.load(Ordering::Relaxed) {
            assert_eq!(there(&store, 50, 3_000).len(), 50);
        }
    });
    assert!(store.dead_segments().iter().any(|segment| segment.number > 3));
}

#[test]
fn a_blob_uploaded_again_while_it_is_evicted_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (store, done) = (&store, &done);
        scope.spawn(move || {
            while !done.load(Ordering::Relaxed) {
                store.collect(0);
            }
        });
        for round in 0..60 {
            for size in [500, 70_000] {
                let hold = store.hold();
                put(store, round % 3, size).unwrap();
                let blob = store.get(&digest(round % 3, size)).unwrap();
                assert!(blob.is_some(), "acknowledged, leased and gone");
                drop(hold);
            }
        }
        done.store(true, Ordering::Relaxed);
    });
}

#[test]
fn verify_finds_what_stamps_do_not_say() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for n in 0..10 {
        put(&store, n, 1_000).unwrap();
        put(&store, n, 100_000).unwrap();
    }
    let clean = store.verify(&Progress::default());
    assert_eq!((clean.blobs, clean.corrupt, clean.bytes), (20, 0, 1_010_000));
    // A bit flipped below the file system: same inode, size and times, as far as the store was told.
    let file = store.common.folder.blob(&digest(4, 100_000));
    let mut flipped = bytes(4, 100_000);
    flipped[50_000] ^= 0x10;
    fs::remove_file(&file).unwrap();
    fs::write(&file, &flipped).unwrap();
    let stamp = Stamp::of(&fs::metadata(&file).unwrap());
    let used = store.common.uses.tick();
    store.common.index.insert(digest(4, 100_000), Place::File(stamp), used);
    let segment = dir.path().join("segments/00000001.seg");
    let whole = fs::read(&segment).unwrap();
    let at = whole.windows(1000).position(|window| window == bytes(7, 1_000)).unwrap();
    let raw = fs::File::options().write(true).open(&segment).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&raw, &[0xff], at as u64 + 500).unwrap();
    let found = store.verify(&Progress::default());
    assert_eq!((found.blobs, found.corrupt, found.unreadable), (18, 2, 0));
    let mut named = found.named;
    named.sort_by_key(Digest::size);
    assert_eq!(named, [digest(7, 1_000), digest(4, 100_000)]);
    for (n, size) in [(7, 1_000), (4, 100_000)] {
        assert!(store.get(&digest(n, size)).unwrap().is_none());
        put(&store, n, size).unwrap();
    }
    assert_eq!(store.verify(&Progress::default()).corrupt, 0);
    let stopped = Progress::default();
    stopped.end();
    assert!(store.verify(&stopped).stopped);
}

#[test]
fn after_a_power_cut_recent_files_are_hashed() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    put(&store, 1, 100_000).unwrap();
    store.close();
    drop(store);
    let store = open(dir.path());
    put(&store, 2, 100_000).unwrap();
    put(&store, 3, 100_000).unwrap();
    let file = store.common.folder.blob(&digest(2, 100_000));
    // The disk said that it had written this.
    fs::remove_file(&file).unwrap();
    fs::write(&file, vec![0; 100_000]).unwrap();
    let stamp = Stamp::of(&fs::metadata(&file).unwrap());
    let append = Append { digest: digest(2, 100_000), body: Body::File(stamp) };
    let ticket = Ticket::default();
    store.segments.submit(vec![append], ticket.clone());
    ticket.wait().unwrap();
    drop(store);
    fs::write(dir.path().join("RUNNING"), "another boot").unwrap();
    let store = open(dir.path());
    assert_eq!(there(&store, 4, 100_000), [1, 3]);
    assert!(!file.exists());
}

#[test]
fn format_1_is_converted() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    put(&store, 1, 1_000).unwrap();
    put(&store, 2, 100_000).unwrap();
    store.close();
    drop(store);
    fs::write(dir.path().join("FORMAT"), "1\n").unwrap();
    fs::write(dir.path().join("checkpoint"), "of format 1").unwrap();
    let store = open(dir.path());
    assert!(store.folder().set_aside.is_none());
    assert!(store.contains(&digest(1, 1_000)) && store.contains(&digest(2, 100_000)));
    assert_eq!(fs::read_to_string(dir.path().join("FORMAT")).unwrap(), "2\n");
}
