//! Which files of one folder are opened, in order: how a test sees from outside what starts in a sandbox. What the opens mean
//! is the test's.

use std::{
    fs,
    path::Path,
    sync::{Arc, Mutex, MutexGuard},
    thread,
    time::{Duration, Instant},
};

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

/// A file that nobody else opens.
const MARK: &str = ".mark";

/// The names of a folder's files in the order in which they are opened.
pub struct Opens {
    names: Arc<Mutex<Vec<String>>>,
    marks: tempfile::TempDir,
}

impl Opens {
    /// Listens from now on. The kernel merges equal events that nobody has read yet, so a thread reads at once.
    pub fn of(folder: &Path) -> Opens {
        let marks = tempfile::tempdir().expect("a folder");
        fs::write(marks.path().join(MARK), "").expect("a file");
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC).expect("an inotify instance");
        for folder in [folder, marks.path()] {
            let events = AddWatchFlags::IN_OPEN | AddWatchFlags::IN_DELETE_SELF;
            inotify.add_watch(folder, events).expect("the folder is there");
        }
        let names = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&names);
        // It ends with either folder.
        thread::spawn(move || {
            while let Ok(events) = inotify.read_events() {
                let opened = events.iter().filter(|event| !event.mask.contains(AddWatchFlags::IN_ISDIR));
                let opened = opened.filter_map(|event| Some(event.name.as_ref()?.to_string_lossy().into_owned()));
                heard.lock().expect("no holder panics").extend(opened);
                if events.iter().any(|event| event.mask.contains(AddWatchFlags::IN_IGNORED)) {
                    break;
                }
            }
        });
        Opens { names, marks }
    }

    /// How often a file was opened since the last [`Opens::take`], as far as is known now.
    pub fn count(&self, name: &str) -> usize {
        self.lock().iter().filter(|one| *one == name).count()
    }

    /// All since the last call, however far behind the thread is.
    pub fn take(&self) -> Vec<String> {
        drop(fs::File::open(self.marks.path().join(MARK)).expect("the mark"));
        let since = Instant::now();
        while self.count(MARK) == 0 {
            assert!(since.elapsed() < Duration::from_secs(60), "nobody reads what was opened");
            thread::sleep(Duration::from_millis(1));
        }
        let mut names = std::mem::take(&mut *self.lock());
        names.retain(|name| name != MARK);
        names
    }

    fn lock(&self) -> MutexGuard<'_, Vec<String>> {
        self.names.lock().expect("no holder panics")
    }
}
