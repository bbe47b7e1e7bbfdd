//! The files in a target folder are the person's own: nothing that is done to them reaches the store or another checkout, also
//! where the executor moved what it had captured.

use std::{fs, os::unix::fs::MetadataExt};

use crate::kit::{Machine, Project, Who};

#[test]
fn a_program_that_was_moved_into_place_is_nobody_elses() {
    let machine = Machine::with_vx(Who::Person);
    let one = Project::write(&machine, "one", "one", "").path;
    machine.run_in(&one, ["vx", "build"]).ok();
    let program = machine.outside(one.join("target/debug/app"));
    let meta = fs::metadata(&program).expect("it was placed");
    assert!(meta.len() > 256 << 10, "large enough to be moved: {}", meta.len());
    assert_eq!((meta.nlink(), meta.mode() & 0o7777), (1, 0o755));
    // In the executor's stage it is no more.
    let left = machine.run(["sh", "-c", &format!("find .cache/vx/exec/stage/x -size {}c | wc -l", meta.len())]);
    assert_eq!(left.ok().trim(), "0");
    // Spoilt in place: another checkout gets what was built, and so does this one.
    machine
        .run_in(
            &one,
            ["sh", "-c", "cp target/debug/app ../app.kept; printf spoilt | dd of=target/debug/app conv=notrunc"],
        )
        .ok();
    machine.run(["cp", "-r", "one", "two"]).ok();
    let two = machine.home().join("two");
    machine.run(["rm", "-r", "two/target"]).ok();
    for folder in [&two, &one] {
        let done = machine.run_in(folder, ["vx", "build"]);
        assert!(done.stderr.contains("5 hits, 0 built"), "{}", done.stderr);
        machine.run_in(folder, ["cmp", "target/debug/app", "../app.kept"]).ok();
    }
}
