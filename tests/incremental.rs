//! What rustc keeps between two compilations of a crate of the workspace is there again for the same checkout, and for no other.
//! Seen from outside: a stand-in for the compiler tells whether it found some.

use std::{path::Path, process::Command};

use crate::kit::{Done, Machine, Project, Who, sysroot};

/// A toolchain whose rustc says as a warning what it finds when it compiles the crate `app`.
fn telling_toolchain(machine: &Machine) -> String {
    let outside = machine.outside(machine.home().join("telling"));
    let copy = "umask 022; mkdir -p \"$2/bin\"; cp -a \"$1/lib\" \"$2\"; cp \"$1/bin/cargo\" \"$2/bin\"; \
                cp \"$1/bin/rustc\" \"$2/bin/rustc.real\"; \
                printf '%s\\n' '#!/bin/sh' 'if [ \"$2\" = app ]; then' '    found=none' \
                '    case $* in *incremental=*) found=empty ;; esac' \
                '    [ \"$(ls /vx/incremental 2>/dev/null)\" = \"\" ] || found=state' '    echo \"found $found\" >&2' 'fi' \
                'exec \"${0%/*}/rustc.real\" \"$@\"' >\"$2/bin/rustc\"; chmod 755 \"$2/bin/rustc\"";
    let done = Command::new("sh").args(["-ec", copy, "sh"]).arg(sysroot()).arg(&outside).output().expect("a shell");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    machine.home().join("telling/bin").display().to_string()
}

fn edit(machine: &Machine, project: &Path, text: &str) {
    let main = format!("// {text}\nfn main() {{\n    println!(\"{text} {{}}\", mid::say());\n}}\n");
    machine.write(project.join("app/src/main.rs"), main);
}

#[test]
fn a_crate_of_the_workspace_goes_on_where_its_last_good_compilation_ended() {
    let machine = Machine::with_vx(Who::Person);
    let bin = telling_toolchain(&machine);
    let one = Project::write(&machine, "one", "one", "").path;
    let build = |project: &Path, before: &str| -> Done {
        machine.run_in(project, ["sh", "-c", &format!("PATH={bin}:$PATH {before} exec vx build")])
    };
    let found = |project: &Path, what: &str| {
        let done = build(project, "");
        assert!(done.code == 0 && done.stderr.contains(&format!("found {what}")), "{what}: {}", done.stderr);
    };
    found(&one, "empty");
    edit(&machine, &one, "second");
    found(&one, "state");
    assert_eq!(machine.run_in(&one, ["target/debug/app"]).ok(), "second base ran\n");
    // A compilation that failed leaves what was there.
    edit(&machine, &one, "\", nothing, \"");
    assert_eq!(build(&one, "").code, 101);
    edit(&machine, &one, "third");
    found(&one, "state");
    assert_eq!(machine.run_in(&one, ["target/debug/app"]).ok(), "third base ran\n");
    // Another checkout has none of it, though the results are everybody's.
    machine.run(["cp", "-r", "one", "two"]).ok();
    let two = machine.home().join("two");
    machine.run(["rm", "-r", "two/target"]).ok();
    let again = build(&two, "");
    assert!(again.stderr.contains("5 units, 5 hits, 0 built"), "{}", again.stderr);
    edit(&machine, &two, "other");
    found(&two, "empty");
    // It outlives its service, and who does not want it has none.
    machine.run(["systemctl", "--user", "restart", "vx-execd.service"]).ok();
    edit(&machine, &one, "fourth");
    found(&one, "state");
    edit(&machine, &one, "fifth");
    let without = build(&one, "CARGO_INCREMENTAL=0");
    assert!(without.code == 0 && without.stderr.contains("found none"), "{}", without.stderr);
    assert_eq!(machine.run_in(&one, ["target/debug/app"]).ok(), "fifth base ran\n");
}
