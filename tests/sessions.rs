//! Two people's worth of builds at once: whoever asks, one action runs once. Counted from outside, by the opens of the compiler.

use std::{
    path::Path,
    process::{Child, Command},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

use crate::kit::{Machine, Project, Who, sysroot};

/// Counts the opens of one file. The kernel merges equal events that nobody has read yet, so a thread reads at once.
struct Counter {
    count: Arc<AtomicU64>,
}

impl Counter {
    fn of(file: &Path) -> Counter {
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC).expect("an inotify instance");
        inotify.add_watch(file, AddWatchFlags::IN_OPEN | AddWatchFlags::IN_DELETE_SELF).expect("the file is there");
        let count = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&count);
        // It ends with the file itself, which the machine takes along.
        thread::spawn(move || {
            while let Ok(events) = inotify.read_events() {
                let opens = events.iter().filter(|event| event.mask.contains(AddWatchFlags::IN_OPEN)).count();
                counted.fetch_add(opens as u64, Ordering::SeqCst);
                if events.iter().any(|event| event.mask.contains(AddWatchFlags::IN_IGNORED)) {
                    break;
                }
            }
        });
        Counter { count }
    }

    /// Opens since the last call.
    fn take(&self) -> u64 {
        self.count.swap(0, Ordering::SeqCst)
    }
}

/// What a toolchain's rustc was started for.
struct Counters {
    /// To compile.
    compiles: Counter,
    /// To say something about itself.
    questions: Counter,
}

/// A toolchain whose rustc is a script that opens one file for each start and goes on as the real one: a folder of its own, the
/// libraries linked, not copied.
fn counting_toolchain(machine: &Machine) -> (String, Counters) {
    let outside = machine.outside(machine.home().join("counted"));
    let copy = "cp -al \"$1/.\" \"$2\"; cd \"$2/bin\"; cp rustc rustc.real; rm rustc; echo 1 >compiles; echo 1 >questions; \
                printf '%s\\n' '#!/bin/sh' 'case $1 in -vV | -) for=questions ;; *) for=compiles ;; esac' \
                ': <\"${0%/*}/$for\"' 'exec \"${0%/*}/rustc.real\" \"$@\"' >rustc; chmod 755 rustc";
    let done = Command::new("sh").args(["-ec", copy, "sh"]).arg(sysroot()).arg(&outside).output().expect("a shell");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let count = |name: &str| Counter::of(&outside.join("bin").join(name));
    let counters = Counters { compiles: count("compiles"), questions: count("questions") };
    (machine.home().join("counted/bin").display().to_string(), counters)
}

fn build(machine: &Machine, project: &Project, bin: &str) -> Child {
    let line = format!("PATH={bin}:$PATH exec vx build");
    machine.command_in(&project.path, ["sh", "-c", &line]).spawn().expect("nsenter can be started")
}

fn ended_well(child: Child) -> String {
    let output = child.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    said
}

#[test]
fn two_sessions_a_second_apart_run_each_unit_once() {
    let machine = Machine::with_vx(Who::Person);
    let (bin, counters) = counting_toolchain(&machine);
    // The first build asks the compiler about itself, and reads its files to know it by.
    let warm = Project::write(&machine, "warm", "warm", "");
    ended_well(build(&machine, &warm, &bin));
    let (compiles, questions) = (counters.compiles.take(), counters.questions.take());
    assert!(compiles >= Project::COMPILES && questions > 0, "the stand-in is not what runs: {compiles}, {questions}");
    let sleep = "    std::thread::sleep(std::time::Duration::from_secs(3));";
    let one = Project::write(&machine, "one", "shared", sleep);
    let two = Project::write(&machine, "two", "shared", sleep);
    let first = build(&machine, &one, &bin);
    thread::sleep(Duration::from_secs(1));
    let second = build(&machine, &two, &bin);
    let said = [ended_well(first), ended_well(second)];
    assert_eq!(counters.compiles.take(), Project::COMPILES, "{said:#?}");
    for project in [&one, &two] {
        assert_eq!(machine.run_in(&project.path, ["target/debug/app"]).ok(), Project::SAYS);
    }
    // Once everything is there nothing is started at all, not even to ask: again, and in a folder never seen before.
    counters.questions.take();
    let three = Project::write(&machine, "three", "shared", sleep);
    machine.run(["cp", "one/Cargo.lock", "three/"]).ok();
    for project in [&two, &three] {
        let said = ended_well(build(&machine, project, &bin));
        assert!(said.contains("5 units, 5 hits, 0 built"), "{said}");
        assert_eq!((counters.compiles.take(), counters.questions.take()), (0, 0), "{}", project.path.display());
    }
}
