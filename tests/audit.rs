//! What scripts try and do not get: a warning where it tells something, the first line where it failed the script, and
//! `vx audit` for all of it.

use crate::{
    kit::{Machine, Project, Who},
    ladder::{TAKEN, permit, take},
};

const TRIES: &str = r#"
    let home = "/home/vx-tester";
    for path in [".ssh/id_ed25519", ".gitconfig", ".not-there"] { let _ = std::fs::read(format!("{home}/{path}")); }
    let _ = std::fs::read("/etc/locale.conf");
    let _ = std::net::TcpStream::connect("192.0.2.1:80");
    let _ = std::os::unix::net::UnixStream::connect("/run/user/UID/bus");
    println!("cargo::rerun-if-changed=build.rs");
    FAILS
"#;

fn project(machine: &Machine, who: Who, name: &str, fails: &str) -> Project {
    machine.write(machine.home().join(".ssh/id_ed25519"), "a key");
    machine.write(machine.home().join(".gitconfig"), "[user]\n");
    let script = TRIES.replace("UID", &who.uid().to_string()).replace("FAILS", fails);
    Project::write(machine, name, "", &script)
}

#[test]
fn refused_attempts_are_told_once_and_on_a_hit_too() {
    for who in [Who::Person, Who::Root] {
        let machine = Machine::with_vx(who);
        let project = project(&machine, who, "curious", "");
        let bus = format!("/run/user/{}/bus", who.uid());
        let expected = format!(
            "warning: mid@1.0.0: its build script tried to open ~/.ssh/id_ed25519 (ENOENT), connect to 192.0.2.1:80 \
             (ENETUNREACH), connect to {bus} (ENOENT) and was refused; `vx audit` tells all\n"
        );
        for build in ["vx build", "vx build", "rm -rf target; vx build"] {
            let done = machine.run_in(&project.path, ["sh", "-c", build]);
            assert_eq!(done.code, 0, "{}", done.stderr);
            assert_eq!(done.stderr.matches("warning").count(), 1, "{who:?} {build}: {}", done.stderr);
            assert!(done.stderr.contains(&expected), "{who:?} {build}: {}", done.stderr);
        }
        machine.until("it is written down", |machine| machine.run_in(&project.path, ["vx", "audit", "mid"]).code == 0);
        let audit = machine.run_in(&project.path, ["vx", "audit", "mid"]).ok();
        for line in [
            "mid v1.0.0 (build script):",
            "  refused open ~/.ssh/id_ed25519 (ENOENT)",
            "  refused open ~/.gitconfig (ENOENT)",
            "  refused connect to 192.0.2.1:80 (ENETUNREACH)",
        ] {
            assert!(audit.lines().any(|one| one == line), "{who:?}: {line}: {audit}");
        }
        assert!(!audit.contains("not-there") && !audit.contains("ld.so"), "{who:?}: {audit}");
        let other = machine.run_in(&project.path, ["vx", "audit", "base"]);
        assert_eq!(other.code, 1, "{}", other.stdout);
        assert!(other.stderr.contains("no script or macro of `base`"), "{}", other.stderr);
    }
}

#[test]
fn what_a_script_leaves_beside_its_sources_is_named() {
    let machine = Machine::with_vx(Who::Person);
    let script = "
        std::fs::write(\"old.rs\", \"another\").unwrap();
        std::fs::create_dir_all(\"made/here\").unwrap();
        std::fs::write(\"passing\", \"\").unwrap();
        std::fs::remove_file(\"passing\").unwrap();
        std::fs::remove_dir_all(std::env::var(\"OUT_DIR\").unwrap()).unwrap();";
    let project = Project::write(&machine, "untidy", "", script);
    machine.write(project.path.join("mid/old.rs"), "as it was");
    for build in ["vx build", "rm -rf target; vx build"] {
        let done = machine.run_in(&project.path, ["sh", "-c", build]);
        let says = "warning: mid@1.0.0: its build script wrote mid/made, mid/old.rs in the workspace, where vx keeps nothing: \
                    OUT_DIR is for that\n";
        assert!(done.code == 0 && done.stderr.contains(says), "{}", done.stderr);
        assert_eq!(machine.run_in(&project.path, ["cat", "mid/old.rs"]).ok(), "as it was");
    }
    machine.until("it is written down", |machine| machine.run_in(&project.path, ["vx", "audit", "mid"]).code == 0);
    let audit = machine.run_in(&project.path, ["vx", "audit", "mid"]).ok();
    assert!(audit.contains("  wrote   mid/old.rs (not kept)\n") && !audit.contains("wrote   mid/passing"), "{audit}");
}

#[test]
fn a_script_that_asks_git_of_a_repository_above_is_named() {
    let machine = Machine::with_vx(Who::Person);
    let script = "
        let out = std::process::Command::new(\"git\").args([\"rev-parse\", \"--git-dir\"]).output().unwrap();
        println!(\"cargo::rustc-env=DIR={}\", String::from_utf8(out.stdout).unwrap().trim());";
    let project = Project::write(&machine, "repo/ws", "", script);
    let says = "mid@1.0.0: its build script asked git, which sees no repository: vx shows none above the workspace\n";
    for (set_up, is_named) in [("true", false), ("git init -q ..", true), ("git init -q .", false)] {
        let done = machine.run_in(&project.path, ["sh", "-ec", &format!("{set_up}; vx build")]);
        assert!(done.code == 0 && done.stderr.contains(says) == is_named, "{set_up}: {}", done.stderr);
    }
}

#[test]
fn what_failed_a_script_heads_the_error() {
    let machine = Machine::with_vx(Who::Person);
    let project = project(&machine, Who::Person, "failing", "panic!(\"no network\");");
    let done = machine.run_in(&project.path, ["vx", "build"]);
    assert_eq!(done.code, 101, "{}", done.stderr);
    let first =
        done.stderr.find("error: mid@1.0.0: its build script tried to open ~/.ssh/id_ed25519 (ENOENT), connect to");
    let cargos = done.stderr.find("error: failed to run custom build command");
    assert!(first.is_some() && first < cargos, "{}", done.stderr);
}

#[test]
fn common_tools_are_no_news() {
    let machine = Machine::with_vx(Who::Person);
    let script = r##"
        use std::process::Command;
        std::fs::write(std::env::var("OUT_DIR").unwrap() + "/a.c", "#include <stdio.h>\nint a(void) { return puts(\"a\"); }\n").unwrap();
        let out = std::env::var("OUT_DIR").unwrap();
        assert!(Command::new("cc").args(["-c", "-o", &format!("{out}/a.o"), &format!("{out}/a.c")]).status().unwrap().success());
        assert!(Command::new("rustc").arg("-vV").status().unwrap().success());
        let _ = Command::new("git").args(["describe", "--always"]).status();
        let _ = Command::new("perl").args(["-e", "print 1"]).status();
        let _ = Command::new("sh").args(["-lc", "date; id; locale"]).status();
    "##;
    machine.write(machine.home().join(".gitconfig"), "[user]\n");
    machine.write(machine.home().join(".profile"), "\n");
    let project = Project::write(&machine, "plain", "", script);
    let done = machine.run_in(&project.path, ["vx", "build"]);
    assert_eq!(done.code, 0, "{}", done.stderr);
    assert!(!done.stderr.contains("warning"), "{}", done.stderr);
}

#[test]
fn landlock_hears_of_files() {
    let machine = Machine::with_vx(Who::Person);
    permit(&machine, "landlock");
    take(&machine, TAKEN[2].1);
    let project = project(&machine, Who::Person, "curious", "");
    let done = machine.run_in(&project.path, ["vx", "build"]);
    assert_eq!(done.code, 0, "{}", done.stderr);
    assert!(done.stderr.contains("tried to open ~/.ssh/id_ed25519 (EACCES) and was refused"), "{}", done.stderr);
}

#[test]
fn a_failed_compiler_call_is_heard_when_it_is_repeated() {
    let machine = Machine::with_vx(Who::Person);
    machine.write(machine.home().join(".ssh/id_ed25519"), "a key");
    let path = machine.home().join("macros");
    let file = |below: &str, text: &str| machine.write(path.join(below), text);
    file("Cargo.toml", "[workspace]\nmembers = [\"app\", \"steal\"]\nresolver = \"2\"\n");
    let manifest = |name: &str, more: &str| {
        format!("[package]\nname = \"{name}\"\nversion = \"1.0.0\"\nedition = \"2021\"\n{more}")
    };
    file("app/Cargo.toml", &manifest("app", "[dependencies]\nsteal = { path = \"../steal\" }\n"));
    file("app/src/main.rs", "steal::steal!();\nfn main() {}\n");
    file("steal/Cargo.toml", &manifest("steal", "[lib]\nproc-macro = true\n"));
    file(
        "steal/src/lib.rs",
        "#[proc_macro]\npub fn steal(_: proc_macro::TokenStream) -> proc_macro::TokenStream {\n    \
         std::fs::read(\"/home/vx-tester/.ssh/id_ed25519\").unwrap();\n    Default::default()\n}\n",
    );
    let heading = "error: app@1.0.0: its compiler with macros tried to open ~/.ssh/id_ed25519 (ENOENT)";
    for heard in [false, true] {
        let done = machine.run_in(&path, ["vx", "build"]);
        assert_eq!(done.code, 101, "{}", done.stderr);
        assert_eq!(done.stderr.contains(heading), heard, "{}", done.stderr);
    }
}
