//! What actions open of a live checkout, and write into their own view of it: one inotify instance for all of them, with watches on
//! every folder of each action's own mount, set from outside before its payload starts. The kernel
//! names no process; that a mount belongs to one action alone is what tells whose open it was.

use std::{
    collections::HashMap,
    io,
    mem::MaybeUninit,
    os::fd::{AsRawFd, OwnedFd},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::{
    fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags},
    io::Errno,
};
use shared::limits;

use crate::observed::Seen;

/// Watches taken away between two looks at the queue: each leaves an event in it.
const REMOVED_AT_ONCE: usize = 1000;

/// All watches of this executor; cheap to clone.
#[derive(Clone, Debug)]
pub struct Watcher(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// Or why there is none.
    inotify: Result<OwnedFd, String>,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    /// By watch descriptor: whose it is, and the folder. A folder that is shown as it is has one
    /// watch for all.
    folders: HashMap<i32, Vec<(u64, String)>>,
    runs: HashMap<u64, Seen>,
    next: u64,
}

/// One action under watch.
#[derive(Debug)]
pub struct Watch {
    watcher: Watcher,
    run: u64,
    descriptors: Vec<i32>,
    /// Keeps the mount alive: at its end the kernel would put two events a folder into the queue.
    place: OwnedFd,
}

impl Watcher {
    /// Begins to listen.
    pub fn start() -> Watcher {
        let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)
            .map_err(|err| format!("no inotify instance: {}", io::Error::from(err)));
        let watcher = Watcher(Arc::new(Shared { inotify, table: Mutex::default() }));
        let listening = watcher.clone();
        // A thread: the queue is bounded, and a busy runtime must not make it overflow.
        let started = std::thread::Builder::new().name("vx-execd-seen".to_owned()).spawn(move || listening.listen());
        if let Err(err) = started {
            tracing::warn!(%err, "nobody listens for what actions open between their ends");
        }
        watcher
    }

    /// Watches folders below `place`, and folders beside it, each under the name it is reported by.
    pub fn begin(&self, place: OwnedFd, folders: &[String], beside: &[(PathBuf, String)]) -> Watch {
        let root = format!("/proc/self/fd/{}", place.as_raw_fd());
        let mut table = self.table();
        let run = table.next;
        table.next += 1;
        let mut seen = Seen::default();
        let mut descriptors = Vec::with_capacity(folders.len() + beside.len());
        let inside = folders.iter().map(|folder| (Path::new(&root).join(folder).join("."), folder));
        let beside = beside.iter().map(|(path, folder)| (path.clone(), folder));
        match &self.0.inotify {
            Err(why) => seen.unseen = Some(why.clone()),
            Ok(inotify) => {
                for (path, folder) in inside.chain(beside) {
                    match inotify::add_watch(inotify, &path, watched()) {
                        Ok(descriptor) => {
                            table.folders.entry(descriptor).or_default().push((run, folder.clone()));
                            descriptors.push(descriptor);
                        }
                        // Gone by now, or closed to this user and so to the action.
                        Err(Errno::NOENT | Errno::NOTDIR | Errno::ACCESS) => {}
                        Err(Errno::NOSPC) => seen.lack("the system's watches ran out (fs.inotify.max_user_watches)"),
                        Err(err) => seen.lack(&format!("{folder}: {}", io::Error::from(err))),
                    }
                }
            }
        }
        table.runs.insert(run, seen);
        Watch { watcher: self.clone(), run, descriptors, place }
    }

    /// Takes events off the queue as they come.
    fn listen(&self) {
        let Ok(inotify) = &self.0.inotify else { return };
        loop {
            let mut fds = [PollFd::new(std::os::fd::AsFd::as_fd(inotify), PollFlags::POLLIN)];
            let _interrupted = poll(&mut fds, PollTimeout::NONE);
            self.table().drain(inotify);
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// Takes all that is in the queue now.
    fn drain(&mut self, inotify: &OwnedFd) {
        let mut buffer = [MaybeUninit::uninit(); 64 << 10];
        let mut reader = Reader::new(inotify, &mut buffer);
        while let Ok(event) = reader.next() {
            let flags = event.events();
            if flags.contains(ReadFlags::QUEUE_OVERFLOW) {
                self.runs.values_mut().for_each(|seen| seen.lack("the kernel's queue of events overflowed"));
            }
            for (run, folder) in self.folders.get(&event.wd()).into_iter().flatten() {
                let Some(seen) = self.runs.get_mut(run) else { continue };
                match event.file_name().map(|name| name.to_str()) {
                    _ if flags.contains(ReadFlags::IGNORED) => {}
                    Some(Err(_)) => seen.lack("a name that is not UTF-8 was opened"),
                    Some(Ok(name)) => note(seen, flags, &join(folder, name)),
                    None => note(seen, flags, folder),
                }
            }
        }
    }
}

fn watched() -> WatchFlags {
    let writes = WatchFlags::CREATE | WatchFlags::CLOSE_WRITE | WatchFlags::MOVED_TO;
    WatchFlags::OPEN | WatchFlags::ACCESS | WatchFlags::ONLYDIR | writes
}

fn note(seen: &mut Seen, flags: ReadFlags, path: &str) {
    if flags.intersects(ReadFlags::CREATE | ReadFlags::CLOSE_WRITE | ReadFlags::MOVED_TO) {
        if seen.wrote.len() < limits::WRITTEN_PATHS {
            seen.wrote.insert(path.to_owned());
        }
        return;
    }
    let set = match (flags.contains(ReadFlags::ISDIR), flags) {
        (false, flags) if flags.contains(ReadFlags::OPEN) => &mut seen.opened,
        // Opening a folder shows nothing of it; reading it does.
        (true, flags) if flags.contains(ReadFlags::ACCESS) => &mut seen.listed,
        _ => return,
    };
    if !set.contains(path) {
        set.insert(path.to_owned());
    }
    if set.len() > limits::SEEN_PATHS {
        set.clear();
        seen.lack(&format!("it opened more than {} files", limits::SEEN_PATHS));
    }
}

impl Watch {
    /// What was seen, once the action is over.
    pub fn end(self) -> Seen {
        let mut table = self.watcher.table();
        if let Ok(inotify) = &self.watcher.0.inotify {
            table.drain(inotify);
        }
        let mut seen = table.runs.remove(&self.run).unwrap_or_default();
        drop(table);
        // What is gone again was only passing.
        let place = format!("/proc/self/fd/{}", self.place.as_raw_fd());
        seen.wrote.retain(|path| Path::new(&place).join(path).symlink_metadata().is_ok());
        seen
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let Ok(inotify) = &self.watcher.0.inotify else { return };
        for some in self.descriptors.chunks(REMOVED_AT_ONCE) {
            let mut table = self.watcher.table();
            for descriptor in some {
                let Some(runs) = table.folders.get_mut(descriptor) else { continue };
                runs.retain(|(run, _)| *run != self.run);
                if runs.is_empty() {
                    table.folders.remove(descriptor);
                    let _gone_already = inotify::remove_watch(inotify, *descriptor);
                }
            }
            table.drain(inotify);
        }
        self.watcher.table().runs.remove(&self.run);
    }
}

fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}
