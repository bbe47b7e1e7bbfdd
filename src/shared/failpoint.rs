//! Recorded places where a service can be made to kill itself, for tests of crashes. Only a build with the feature
//! `failpoints` looks whether one is armed; elsewhere all of this is empty. What a death costs is the tests' question.

use std::{fs, time::Duration};

use rustix::process::{Signal, getpid, kill_process};

use crate::{FAILPOINTS, paths};

/// How soon after an acknowledgement its service dies: the client has read it by then.
const SOON: Duration = Duration::from_millis(30);

/// A recorded place. It is armed by a file of its name in the folder that `VX_FAILPOINTS` names, which holds how many times the
/// place is passed first, and is gone once the service died there.
#[derive(Clone, Copy, Debug)]
pub enum Point {
    /// casd has acknowledged blobs.
    BlobAcknowledged,
    /// casd has written half of a group to a segment.
    SegmentTorn,
    /// casd has been given a result, and has not written it.
    BeforeResult,
    /// casd has written half of a result.
    ResultTorn,
    /// execd has handed out an output of an action that still runs.
    Announced,
    /// execd has stored an action's files, and has not named them.
    MidCapture,
    /// execd has everything of an action stored but the result.
    Captured,
    /// The daemon has written a file beside its place in the target folder.
    BeforeRename,
    /// The daemon has put it there and holds the lock still.
    AfterRename,
}

impl Point {
    fn name(self) -> &'static str {
        match self {
            Point::BlobAcknowledged => "blob-acknowledged",
            Point::SegmentTorn => "segment-torn",
            Point::BeforeResult => "before-result",
            Point::ResultTorn => "result-torn",
            Point::Announced => "announced",
            Point::MidCapture => "mid-capture",
            Point::Captured => "captured",
            Point::BeforeRename => "before-rename",
            Point::AfterRename => "after-rename",
        }
    }

    fn is_armed(self) -> bool {
        if !FAILPOINTS {
            return false;
        }
        let Some(file) = paths::failpoints().map(|folder| folder.join(self.name())) else { return false };
        let Ok(text) = fs::read_to_string(&file) else { return false };
        match text.trim().parse::<u32>() {
            Ok(left @ 1..) => fs::write(&file, (left - 1).to_string()).is_err(),
            // Once: who removes it dies, the next instance does not.
            _ => fs::remove_file(&file).is_ok(),
        }
    }
}

/// Ends this process as `kill -9` does, where the point is armed.
pub fn reach(point: Point) {
    reach_after(point, || ());
}

/// The same after `last`, which leaves half-done what the death interrupts.
pub fn reach_after(point: Point, last: impl FnOnce()) {
    if point.is_armed() {
        last();
        die();
    }
}

/// The same a moment later, when a client knows what was answered.
pub fn reach_soon(point: Point) {
    if point.is_armed() {
        std::thread::spawn(|| {
            std::thread::sleep(SOON);
            die();
        });
    }
}

fn die() {
    // It cannot fail for the own process; the signal is there before the call returns.
    let _ = kill_process(getpid(), Signal::KILL);
}
