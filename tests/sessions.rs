//! Two people's worth of builds at once: whoever asks, one action runs once. Counted from outside, by the opens of the compiler.

use std::{
    collections::BTreeMap,
    process::{Child, Command},
};

use crate::kit::{Machine, Opens, Project, Who, sysroot};

/// Opens since the last call: of `questions`, and of the others.
fn counted(opens: &Opens) -> (u64, Vec<(String, u64)>) {
    let mut counts = BTreeMap::new();
    for name in opens.take() {
        *counts.entry(name).or_default() += 1;
    }
    (counts.remove("questions").unwrap_or(0), counts.into_iter().collect())
}

/// A toolchain whose rustc is a script that opens one file for each start (the crate's name, or `questions` when it is asked
/// about itself) and goes on as the real one: a copy, because links would change the times by which the original is known.
fn counting_toolchain(machine: &Machine) -> (String, Opens) {
    let outside = machine.outside(machine.home().join("counted"));
    let copy = "umask 022; mkdir -p \"$2/bin\"; cp -a \"$1/lib\" \"$2\"; cp \"$1/bin/cargo\" \"$2/bin\"; \
                cp \"$1/bin/rustc\" \"$2/bin/rustc.real\"; cd \"$2/bin\"; mkdir starts; cd starts; \
                touch questions base mid build_script_build app; \
                printf '%s\\n' '#!/bin/sh' 'case $1 in -vV | -) for=questions ;; *) for=$2 ;; esac' \
                ': <\"${0%/*}/starts/$for\"' 'exec \"${0%/*}/rustc.real\" \"$@\"' >../rustc; chmod 755 ../rustc";
    let done = Command::new("sh").args(["-ec", copy, "sh"]).arg(sysroot()).arg(&outside).output().expect("a shell");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    (machine.home().join("counted/bin").display().to_string(), Opens::of(&outside.join("bin/starts")))
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
fn two_sessions_one_after_the_other_run_each_unit_once() {
    let machine = Machine::with_vx(Who::Person);
    let (bin, opens) = counting_toolchain(&machine);
    // The first build asks the compiler about itself, and reads its files to know it by.
    let warm = Project::write(&machine, "warm", "warm", "");
    ended_well(build(&machine, &warm, &bin));
    let (questions, compiles) = counted(&opens);
    assert!(questions > 0 && compiles.len() == 4, "the stand-in is not what runs: {questions}, {compiles:?}");
    let sleep = "    std::thread::sleep(std::time::Duration::from_secs(3));";
    let one = Project::write(&machine, "one", "shared", sleep);
    let two = Project::write(&machine, "two", "shared", sleep);
    let first = build(&machine, &one, &bin);
    machine.until("the script runs", |machine| machine.run(["pgrep", "-f", "[b]uild-script"]).code == 0);
    let second = build(&machine, &two, &bin);
    let said = [ended_well(first), ended_well(second)];
    let once = ["app", "base", "build_script_build", "mid"].map(|name| (name.to_owned(), 1));
    assert_eq!(counted(&opens).1, once, "{said:#?}");
    for project in [&one, &two] {
        assert_eq!(machine.run_in(&project.path, ["target/debug/app"]).ok(), Project::SAYS);
    }
    // Once everything is there nothing is started at all, not even to ask: again, and in a folder never seen before.
    let three = Project::write(&machine, "three", "shared", sleep);
    machine.run(["cp", "one/Cargo.lock", "three/"]).ok();
    for project in [&two, &three] {
        let said = ended_well(build(&machine, project, &bin));
        assert!(said.contains("5 units, 5 hits, 0 built"), "{said}");
        assert_eq!(counted(&opens), (0, Vec::new()), "{}", project.path.display());
    }
}
