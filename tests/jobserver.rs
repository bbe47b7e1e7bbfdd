//! Slots that nobody uses are lent to what runs, in cargo's way: build scripts and what they start take them as make's tokens.

use crate::kit::{Machine, Project, Who};

fn with_slots(slots: u32) -> Machine {
    let machine = Machine::with_vx(Who::Person);
    machine.write(machine.home().join(".config/vx/vx.toml"), format!("[exec]\nslots = {slots}\n"));
    machine.run(["vxctl", "reload"]).ok();
    machine
}

/// Reads all tokens that there can be and gives none back; a later script finds as many again.
#[test]
fn a_script_takes_every_free_slot_and_loses_none() {
    let machine = with_slots(4);
    let script = r#"
    let flags = std::env::var("CARGO_MAKEFLAGS").expect("a jobserver");
    let fds = flags.split("--jobserver-auth=").nth(1).expect("its descriptors");
    let (tokens, _) = fds.split_once(',').expect("two of them");
    let mut tokens = std::fs::File::open(format!("/proc/self/fd/{tokens}")).expect("a pipe");
    std::io::Read::read_exact(&mut tokens, &mut [0; 3]).expect("three tokens");
    println!("cargo::warning=jobs {}", std::env::var("NUM_JOBS").unwrap());"#;
    for name in ["first", "second"] {
        let project = Project::write(&machine, name, name, script);
        let built = machine.run_in(&project.path, ["vx", "build"]);
        assert!(built.code == 0 && built.stderr.contains("jobs 4"), "{}", built.stderr);
    }
}

/// make takes part, with no more jobs at once than there are slots.
#[test]
fn make_runs_as_wide_as_there_are_slots() {
    let machine = with_slots(3);
    let script = r#"
    let out = std::env::var("OUT_DIR").unwrap();
    // The first three wait for one another, for a minute at most.
    let wait = "n=0; until [ $$(grep -c start log) -ge 3 ] || [ $$n -ge 600 ]; do sleep 0.1; n=$$((n + 1)); done";
    let recipe = format!("\t@echo start >>log; {wait}; sleep 0.3; echo end >>log\n");
    let rules: String = (0..8).map(|job| format!("job{job}:\n{recipe}")).collect();
    std::fs::write(format!("{out}/Makefile"), format!("all: job0 job1 job2 job3 job4 job5 job6 job7\n{rules}")).unwrap();
    let flags = std::env::var("CARGO_MAKEFLAGS").expect("a jobserver");
    let make = std::process::Command::new("make").current_dir(&out).env("MAKEFLAGS", flags).output().expect("make");
    println!("cargo::warning=make said [{}]", String::from_utf8_lossy(&make.stderr).trim().replace('\n', " "));
    let log = std::fs::read_to_string(format!("{out}/log")).unwrap();
    let (mut now, mut most) = (0, 0);
    for line in log.lines() {
        now += if line == "start" { 1 } else { -1 };
        most = most.max(now);
    }
    println!("cargo::warning=at most {most}, lines {}", log.lines().count());"#;
    let project = Project::write(&machine, "made", "made", script);
    let built = machine.run_in(&project.path, ["vx", "build"]);
    assert!(built.code == 0 && built.stderr.contains("make said []"), "{}", built.stderr);
    assert!(built.stderr.contains("at most 3, lines 16"), "{}", built.stderr);
}
