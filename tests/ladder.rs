//! Every rung of the sandbox, reached by taking away what the next one needs for real: what builds there, what is refused and
//! in which words.

use crate::kit::{Machine, Who};

/// What a manager takes from execd so that a rung is the highest left.
pub const TAKEN: [(&str, &str); 4] = [
    ("full", ""),
    // A group that holds others' processes cannot be divided.
    ("namespaces", "ExecStart=\nExecStart=/bin/sh -c 'sleep infinity & exec %h/.local/libexec/vx/vx-execd'\n"),
    ("landlock", "RestrictNamespaces=yes\n"),
    (
        "process",
        "RestrictNamespaces=yes\nSystemCallFilter=~landlock_create_ruleset\nSystemCallErrorNumber=EOPNOTSUPP\n",
    ),
];

/// Takes it, by a drop-in to the service's unit.
pub fn take(machine: &Machine, settings: &str) {
    let unit = machine.home().join(".config/systemd/user/vx-execd.service.d/taken.conf");
    machine.write(unit, format!("[Service]\n{settings}"));
    machine.run(["systemctl", "--user", "daemon-reload"]).ok();
    machine.run(["systemctl", "--user", "stop", "vx-execd.service"]).ok();
}

/// Lowers the minimum.
pub fn permit(machine: &Machine, rung: &str) {
    machine.write(machine.home().join(".config/vx/vx.toml"), format!("[sandbox]\nminimum = \"{rung}\"\n"));
    machine.run(["systemctl", "--user", "stop", "vx.service", "vx-execd.service"]).ok();
}

/// A program with a build script, a macro that reads a file, a generated module and an included text.
fn project(machine: &Machine, name: &str, salt: &str) -> std::path::PathBuf {
    let path = machine.home().join(name);
    let file = |below: &str, text: &str| machine.write(path.join(below), text.replace("SALT", salt));
    file("Cargo.toml", "[workspace]\nmembers = [\"app\", \"shout\"]\nresolver = \"2\"\n");
    let manifest = |name: &str, more: &str| {
        format!("[package]\nname = \"{name}\"\nversion = \"1.0.0\"\nedition = \"2021\"\n{more}")
    };
    file("app/Cargo.toml", &manifest("app", "[dependencies]\nshout = { path = \"../shout\" }\n"));
    file("app/words.txt", "words");
    file(
        "app/build.rs",
        "// SALT\nfn main() {\n    let out = std::env::var(\"OUT_DIR\").unwrap();\n    \
         let text = std::env::current_dir().unwrap().join(\"words.txt\");\n    \
         std::fs::write(format!(\"{out}/made.rs\"), format!(\"pub const MADE: &str = include_str!({text:?});\")).unwrap();\n    \
         println!(\"cargo::rerun-if-changed=words.txt\");\n    println!(\"cargo::rustc-env=PLACE={out}\");\n}\n",
    );
    file(
        "app/src/main.rs",
        "mod made {\n    include!(concat!(env!(\"OUT_DIR\"), \"/made.rs\"));\n}\nfn main() {\n    let unused = 1;\n    \
         println!(\"{} {} {} {}\", made::MADE, include_str!(\"../words.txt\"), shout::shout!(), file!());\n    \
         println!(\"{}\", env!(\"CARGO_MANIFEST_DIR\"));\n}\n",
    );
    file("shout/Cargo.toml", &manifest("shout", "[lib]\nproc-macro = true\n"));
    file(
        "shout/src/lib.rs",
        "// SALT\n#[proc_macro]\npub fn shout(_: proc_macro::TokenStream) -> proc_macro::TokenStream {\n    \
         \"\\\"SHOUT\\\"\".parse().unwrap()\n}\n",
    );
    path
}

#[test]
fn a_project_builds_on_every_rung() {
    for who in [Who::Person, Who::Root] {
        let machine = Machine::with_vx(who);
        permit(&machine, "process");
        let mut said = Vec::new();
        for (rung, settings) in TAKEN {
            take(&machine, settings);
            let path = project(&machine, &format!("on-{rung}"), "");
            let done = machine.run_in(&path, ["vx", "build"]);
            assert_eq!(done.code, 0, "{who:?} {rung}: {}\n{}", done.stderr, machine.journal());
            let status = machine.run(["vxctl", "status"]).ok();
            assert!(status.contains(&format!("rung {rung}")) || status.contains(rung), "{who:?} {rung}: {status}");
            let says = machine.run_in(&path, ["target/debug/app"]).ok();
            let place = path.join("app").display().to_string();
            assert_eq!(says, format!("words words SHOUT app/src/main.rs\n{place}\n"), "{who:?} {rung}");
            assert!(done.stderr.contains("app/src/main.rs:5"), "{who:?} {rung}: {}", done.stderr);
            assert!(
                !done.stderr.contains("vx/exec") && !done.stderr.contains("/vx/"),
                "{who:?} {rung}: {}",
                done.stderr
            );
            let dep_info = machine.run_in(&path, ["cat", "target/debug/app.d"]).ok();
            assert!(dep_info.contains(&format!("{}/app/src/main.rs", path.display())), "{who:?} {rung}: {dep_info}");
            let documented = machine.run_in(&path, ["vx", "doc", "-q"]);
            assert_eq!(documented.code, 0, "{who:?} {rung}: {}", documented.stderr);
            machine.run_in(&path, ["grep", "-q", "\"shout\"", "target/doc/crates.js"]).ok();
            said.push((rung, done.stderr));
        }
        // A result of one view class serves no other; of namespaces and full it does.
        for (rung, compiled) in [("full", true), ("namespaces", false), ("landlock", true), ("process", true)] {
            let (_, stderr) = said.iter().find(|(one, _)| *one == rung).expect("it was built");
            assert_eq!(stderr.contains("Compiling shout"), compiled, "{who:?} {rung}: {stderr}");
        }
    }
}

/// What else may stand in the way of namespaces, with the words by which the person hears of it.
const REFUSALS: [(&str, &str, &str); 3] = [
    (
        "user.max_user_namespaces",
        "ExecStart=\nExecStart=unshare --user --map-current-user --keep-caps sh -c 'echo 0 \
         >/proc/sys/user/max_user_namespaces; exec %h/.local/libexec/vx/vx-execd'\n",
        "user.max_user_namespaces",
    ),
    (
        "mounts",
        "SystemCallFilter=~mount umount2 pivot_root open_tree move_mount mount_setattr fsopen\nSystemCallErrorNumber=EPERM\n",
        "mount",
    ),
    ("namespaces", "RestrictNamespaces=yes\n", "user namespaces are refused"),
];

#[test]
fn whatever_refuses_namespaces_the_next_rung_is_reached_and_says_why() {
    let machine = Machine::with_vx(Who::Person);
    for (name, settings, words) in REFUSALS {
        take(&machine, settings);
        let path = project(&machine, name, name);
        let done = machine.run_in(&path, ["vx", "build"]);
        assert_eq!(done.code, 0, "{name}: {}\n{}", done.stderr, machine.journal());
        let status = machine.run(["vxctl", "status", "--json"]).ok();
        assert!(status.contains("landlock") && status.contains(words), "{name}: {status}");
    }
}

#[test]
fn below_the_minimum_nothing_runs_and_the_cure_is_named() {
    let machine = Machine::with_vx(Who::Person);
    let (rung, settings) = TAKEN[3];
    take(&machine, settings);
    let path = project(&machine, "refused", "");
    let done = machine.run_in(&path, ["vx", "build"]);
    assert_ne!(done.code, 0);
    for words in [
        "the sandbox reached only rung process, and sandbox.minimum is landlock",
        "Landlock",
        "[sandbox] minimum = \"process\"",
        "vxctl reload",
    ] {
        assert!(done.stderr.contains(words), "{words}: {}", done.stderr);
    }
    permit(&machine, rung);
    machine.run_in(&path, ["vx", "build"]).ok();
}
