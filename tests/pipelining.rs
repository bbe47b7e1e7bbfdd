//! A library's dependents start when its metadata is there, and what comes after that is told as cargo tells it. The order is
//! seen from outside, by the opens of a stand-in for the compiler.

use std::{
    process::{Child, Command, Output},
    thread,
    time::Duration,
};

use crate::kit::{Done, Machine, Opens, Project, SERVICES, Who, sysroot};

/// A toolchain whose rustc opens `CRATE` when it starts and `CRATE.end` when it ends, and for the crate `base` does
/// not end before it is [`released`]. A copy, because links would change the times by which the original is known.
fn telling_toolchain(machine: &Machine) -> (String, Opens) {
    let outside = machine.outside(machine.home().join("telling"));
    let copy = "umask 022; mkdir -p \"$2/bin\"; cp -a \"$1/lib\" \"$2\"; cp \"$1/bin/cargo\" \"$2/bin\"; \
                cp \"$1/bin/rustc\" \"$2/bin/rustc.real\"; cd \"$2/bin\"; mkdir log; cd log; \
                for each in base mid build_script_build app other; do touch $each $each.end; done; \
                printf '%s\\n' '#!/bin/sh' 'at=${0%/*}' '[ -e \"$at/log/${2:-none}\" ] || exec \"$at/rustc.real\" \"$@\"' \
                ': <\"$at/log/$2\"' '\"$at/rustc.real\" \"$@\" || exit' '[ $2 = base ] && (sleep 600; :) 2>/dev/null' \
                ': <\"$at/log/$2.end\"' >../rustc; chmod 755 ../rustc";
    let done = Command::new("sh").args(["-ec", copy, "sh"]).arg(sysroot()).arg(&outside).output().expect("a shell");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let (bin, log) = (machine.home().join("telling/bin").display().to_string(), Opens::of(&outside.join("bin/log")));
    // The first build reads its files to know it by.
    released(machine, start(machine, &project(machine, "warm"), &bin));
    assert!(log.take().ends_with(&["app.end".to_owned()]), "the stand-in is not what runs");
    (bin, log)
}

fn words(bin: &str) -> [String; 3] {
    ["sh".to_owned(), "-c".to_owned(), format!("PATH={bin}:$PATH exec vx build -j 4")]
}

fn build(machine: &Machine, project: &Project, bin: &str) -> Done {
    machine.run_in(&project.path, words(bin))
}

fn start(machine: &Machine, project: &Project, bin: &str) -> Child {
    machine.command_in(&project.path, words(bin)).spawn().expect("nsenter can be started")
}

/// Lets `base` end, as often as it is compiled, until the build has ended well.
#[track_caller]
fn released(machine: &Machine, mut build: Child) -> Output {
    while build.try_wait().expect("it can be waited for").is_none() {
        machine.run(["pkill", "-x", "-f", "sleep 600"]);
        thread::sleep(Duration::from_millis(50));
    }
    let ended = build.wait_with_output().expect("it has ended");
    assert!(ended.status.success(), "{}\n{}", String::from_utf8_lossy(&ended.stderr), machine.journal());
    ended
}

/// `app` links `mid` uses `base`, all libraries but the first.
fn project(machine: &Machine, name: &str) -> Project {
    let project = Project::write(machine, name, name, "");
    machine.run(["rm", &project.path.join("mid/build.rs").display().to_string()]).ok();
    machine.write(project.path.join("mid/src/lib.rs"), "pub fn say() -> String {\n    base::say().to_owned()\n}\n");
    project
}

fn four_slots(machine: &Machine) {
    machine.write(machine.home().join(".config/vx/vx.toml"), "[exec]\nslots = 4\n");
    machine.run(["vxctl", "reload"]).ok();
}

#[test]
fn a_library_that_waits_for_metadata_starts_before_its_dependency_ends() {
    let machine = Machine::with_vx(Who::Person);
    four_slots(&machine);
    let (bin, log) = telling_toolchain(&machine);
    let project = project(&machine, "pipeline");
    let building = start(&machine, &project, &bin);
    machine.until("a dependent has run", |_| log.count("mid.end") == 1);
    released(&machine, building);
    assert_eq!(log.take(), ["base", "mid", "mid.end", "base.end", "app", "app.end"]);
    assert_eq!(machine.run_in(&project.path, ["target/debug/app"]).ok(), "base\n");
    // How long they took is known to the next daemon too.
    let durations = machine.outside(machine.home().join(".local/state/vx/daemon/durations"));
    machine.until("durations are kept", |_| {
        std::fs::read_to_string(&durations).is_ok_and(|text| text.lines().count() > 3)
    });
    let again = build(&machine, &project, &bin);
    assert!(again.stderr.contains("3 units, 3 hits, 0 built"), "{}", again.stderr);
}

/// Who joins a running action hears of what it has handed out before.
#[test]
fn a_second_build_joins_after_the_metadata_was_handed_out() {
    let machine = Machine::with_vx(Who::Person);
    four_slots(&machine);
    let (bin, log) = telling_toolchain(&machine);
    let (one, two) = (project(&machine, "joined"), project(&machine, "joining"));
    // Beside both workspaces, for what lies in one is keyed by what a run of it opened, which nobody knows before its end.
    machine.sh("mv joined/base shared; rm -r joining/base; sed -i 's/, \"base\"//' jo*/Cargo.toml").ok();
    machine.sh("sed -i 's|../base|../../shared|' jo*/mid/Cargo.toml").ok();
    let other = "pub fn say() -> String {\n    format!(\"{}!\", base::say())\n}\n";
    machine.write(two.path.join("mid/src/lib.rs"), other);
    let first = start(&machine, &one, &bin);
    machine.until("the metadata is handed out", |_| log.count("mid.end") == 1);
    let second = start(&machine, &two, &bin);
    machine.until("the second has it too", |_| log.count("mid.end") == 2);
    released(&machine, first);
    released(&machine, second);
    let names = log.take();
    let base = names.iter().position(|name| name == "base.end").expect("it ended");
    assert_eq!(names.iter().filter(|name| *name == "base").count(), 1, "{names:?}");
    assert_eq!(names[..base].iter().filter(|name| *name == "mid").count(), 2, "{names:?}");
    assert_eq!(machine.run_in(&two.path, ["target/debug/app"]).ok(), "base!\n");
}

/// Whatever is lost while a dependent runs on what its dependency has handed out, the build goes on and ends well.
#[test]
fn a_build_survives_each_service_killed_after_the_metadata_was_handed_out() {
    let machine = Machine::with_vx(Who::Person);
    four_slots(&machine);
    let (bin, log) = telling_toolchain(&machine);
    for service in &SERVICES {
        let project = project(&machine, service.socket);
        machine.write(
            project.path.join("mid/src/lib.rs"),
            "pub fn say() -> String {\n    let unused = 1;\n    base::say().to_owned()\n}\n",
        );
        let building = start(&machine, &project, &bin);
        machine.until("a dependent has run", |_| log.count("mid.end") == 1);
        machine.run(["systemctl", "--user", "kill", "--signal=KILL", &format!("{}.service", service.unit)]).ok();
        let ended = released(&machine, building);
        let said = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(machine.run_in(&project.path, ["target/debug/app"]).ok(), "base\n");
        assert!(said.matches("Finished").count() == 1 && !said.contains("error"), "{said}");
        // A new daemon does not know what the old one had said; nobody else makes it say things twice.
        let most = if service.unit == "vx" { 2 } else { 1 };
        assert!((1..=most).contains(&said.matches("unused variable").count()), "{} killed:\n{said}", service.program);
        let names = log.take();
        assert!(names.ends_with(&["app".to_owned(), "app.end".to_owned()]), "{names:?}");
    }
}

/// An error that comes up only while code is generated, after the metadata: the dependents have begun by then.
#[test]
fn a_failure_after_the_metadata_ends_as_cargos_does() {
    let machine = Machine::with_vx(Who::Person);
    four_slots(&machine);
    let project = project(&machine, "late");
    machine.write(
        project.path.join("base/src/lib.rs"),
        "struct Check<const N: usize>;\nimpl<const N: usize> Check<N> {\n    const OK: () = assert!(N > 1, \"too few\");\n}\n\
         pub fn say() -> &'static str {\n    let () = Check::<0>::OK;\n    \"base\"\n}\n",
    );
    let run = |program: &str| machine.run_in(&project.path, [program, "build", "--message-format=human", "-j", "4"]);
    let (cargo, vx) = (run("cargo"), machine.run_in(&project.path, ["vx", "build", "-j", "4"]));
    assert_eq!((cargo.code, vx.code), (101, 101), "{}\n{}", cargo.stderr, vx.stderr);
    for words in ["error[E0080]", "too few", "error: could not compile `base` (lib) due to 1 previous error"] {
        assert!(cargo.stderr.contains(words) && vx.stderr.contains(words), "{words}:\n{}\n{}", cargo.stderr, vx.stderr);
    }
    assert_eq!(vx.stderr.matches("too few").count(), cargo.stderr.matches("too few").count(), "{}", vx.stderr);
    // What was built on that metadata meanwhile helps the next build.
    machine.run_in(&project.path, ["sed", "-i", "s/::<0>/::<2>/", "base/src/lib.rs"]).ok();
    machine.run_in(&project.path, ["vx", "build"]).ok();
    assert_eq!(machine.run_in(&project.path, ["target/debug/app"]).ok(), "base\n");
}
