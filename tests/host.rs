//! What build scripts see of the machine they run on, and that it is in their keys: programs that they run, folders that
//! vx.toml shows, files that it counts.

use crate::kit::{Machine, Project, Who};

/// Folders of this machine alone, which its administrator fills.
fn machine() -> Machine {
    let machine = Machine::with_vx(Who::Person);
    for folder in ["/usr/local/bin", "/opt"] {
        machine.run_as_root(&["mount", "-t", "tmpfs", "none", folder]).ok();
    }
    machine
}

fn install(machine: &Machine, path: &str, text: &str) {
    let line = format!("mkdir -p $(dirname {path}) && printf '{text}' >{path} && chmod 755 {path}");
    machine.run_as_root(&["sh", "-c", &line]).ok();
}

const RUNS: &str = r#"
    let said = std::process::Command::new("vx-tool").output();
    let said = said.map_or("nothing".to_owned(), |done| String::from_utf8(done.stdout).unwrap());
    println!("cargo::warning=it said {said}");
    println!("cargo::rerun-if-changed=build.rs");
"#;

#[test]
fn a_program_that_a_script_ran_is_in_its_key() {
    let machine = machine();
    let member = Project::write(&machine, "member", "", RUNS).path;
    // A package outside the workspace is no live one.
    let other = Project::write(&machine, "other", "other", RUNS).path;
    machine.write(other.join("app/Cargo.toml"), "[package]\nname = \"app\"\nversion = \"1.0.0\"\nedition = \"2021\"\n[workspace]\n[dependencies]\nmid = { path = \"../mid\" }\n");
    machine.sh("cd other && rm Cargo.toml").ok();
    for path in [member, other.join("app")] {
        let build = || {
            let done = machine.run_in(&path, ["sh", "-c", "rm -rf target; vx build"]);
            assert_eq!(done.code, 0, "{}", done.stderr);
            done.stderr
        };
        let says = |text: &str, built: &str, why: &str| {
            let said = build();
            assert!(said.contains(&format!("it said {text}")), "{why}: {said}");
            assert!(said.contains(built), "{why}: {said}");
        };
        machine.run_as_root(&["rm", "-f", "/usr/local/bin/vx-tool"]).ok();
        says("nothing", " built", "it is not there");
        says("nothing", ", 0 built", "a hit");
        install(&machine, "/usr/local/bin/vx-tool", "#!/bin/sh\\necho one\\n");
        says("one", " built", "it is there");
        says("one", ", 0 built", "a hit");
        install(&machine, "/usr/local/bin/vx-tool", "#!/bin/sh\\necho two\\n");
        says("two", " built", "another one");
        let why = machine.run_in(&path, ["vx", "why", "mid"]).stdout;
        assert!(why.contains("the system's /usr/local/bin/vx-tool changed"), "{why}");
        install(&machine, "/usr/local/bin/vx-tool", "#!/bin/sh\\necho one\\n");
        says("one", ", 0 built", "the first one again");
        machine.run_as_root(&["rm", "/usr/local/bin/vx-tool"]).ok();
        says("nothing", "built", "gone again");
    }
}

#[test]
fn vx_toml_shows_and_counts_more_of_the_machine() {
    let machine = machine();
    let configure = |text: &str| {
        machine.write(machine.home().join(".config/vx/vx.toml"), text);
        machine.run(["vxctl", "reload"]).ok();
    };
    install(&machine, "/opt/sdk/bin/vx-tool", "#!/bin/sh\\ncat /opt/sdk/version\\n");
    install(&machine, "/opt/sdk/version", "1.0");
    install(&machine, "/opt/other/version", "other");
    let script = format!("{RUNS}\nassert!(std::fs::read(\"/opt/other/version\").is_err());");
    let project = Project::write(&machine, "sdk", "", &script);
    let build = || {
        let done = machine.run_in(&project.path, ["sh", "-c", "rm -rf target; vx build"]);
        assert_eq!(done.code, 0, "{}", done.stderr);
        done.stderr
    };
    assert!(build().contains("it said nothing"));
    configure("[host]\nshow = [\"/opt/sdk\"]\n");
    let said = build();
    assert!(said.contains("it said 1.0"), "{said}");
    assert!(build().contains(", 0 built"));
    install(&machine, "/opt/sdk/version", "2.0");
    let said = build();
    assert!(said.contains("it said 2.0"), "{said}");

    configure("[host]\ntools = [\"/usr/local/bin/data\"]\n");
    build();
    assert!(build().contains(", 0 built"));
    install(&machine, "/usr/local/bin/data", "one");
    let said = build();
    assert!(!said.contains(" 0 built"), "a file that counts is there: {said}");
    for wrong in ["~/sdk", "sdk", "/etc/x", "/tmp/x", "/vx/x"] {
        machine.write(machine.home().join(".config/vx/vx.toml"), format!("[host]\nshow = [{wrong:?}]\n"));
        let done = machine.run(["vxctl", "reload"]);
        assert!(done.code == 3 && done.stderr.contains(wrong), "{wrong}: {}", done.stderr);
    }
}

#[test]
fn looking_up_a_name_is_heard() {
    let machine = Machine::with_vx(Who::Person);
    let script = "use std::net::ToSocketAddrs; assert!((\"vx.example.org\", 443).to_socket_addrs().is_err());";
    let project = Project::write(&machine, "names", "", script);
    let done = machine.run_in(&project.path, ["vx", "build"]);
    assert_eq!(done.code, 0, "{}", done.stderr);
    let says = "mid@1.0.0: its build script tried to look up a host's name (ENETUNREACH) and was refused";
    assert!(done.stderr.contains(says), "{}", done.stderr);
}
