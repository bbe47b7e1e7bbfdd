//! `vx build` as a person meets it: what it prints and exits with, beside cargo where cargo has a word on it, and what the
//! thin client does and does not do.

use std::path::Path;

use crate::kit::{Machine, Project, Who};

/// Cargo's own words about a failed build: everything but what was compiled, how long it took, and what ran beside it then.
fn words(stderr: &str) -> Vec<&str> {
    let own = ["Compiling ", "Finished ", "Critical ", "warning: build failed, waiting"];
    stderr.lines().filter(|line| !own.iter().any(|word| line.trim_start().starts_with(word))).collect()
}

#[test]
fn a_build_again_and_in_a_second_folder() {
    for who in [Who::Root, Who::Person] {
        let machine = Machine::with_vx(who);
        let one = Project::write(&machine, "one", "", "");
        let first = machine.run_in(&one.path, ["vx", "build"]);
        assert_eq!(first.code, 0, "{}", first.stderr);
        assert!(first.stderr.contains("5 units, 0 hits, 5 built"), "{}", first.stderr);
        assert_eq!(machine.run_in(&one.path, ["target/debug/app"]).ok(), Project::SAYS);
        let again = machine.run_in(&one.path, ["vx", "build"]);
        assert!(again.code == 0 && again.stderr.contains("5 units, 5 hits, 0 built"), "{}", again.stderr);
        let two = Project::write(&machine, "elsewhere/two", "", "");
        let second = machine.run_in(&two.path, ["vx", "build"]);
        assert!(second.code == 0 && second.stderr.contains("5 units, 5 hits, 0 built"), "{}", second.stderr);
        machine.run(["cmp", "one/target/debug/app", "elsewhere/two/target/debug/app"]).ok();
    }
}

#[test]
fn a_compile_error_ends_as_cargos_does() {
    let machine = Machine::with_vx(Who::Person);
    let project = Project::write(&machine, "broken", "", "");
    machine.write(
        project.path.join("base/src/lib.rs"),
        "pub fn say() -> &'static str {\n    let unused = 1;\n    42\n}\n",
    );
    let cargos = machine.run_in(&project.path, ["cargo", "build", "--target-dir", "../cargos"]);
    let ours = machine.run_in(&project.path, ["vx", "build"]);
    assert_eq!((cargos.code, ours.code), (101, 101));
    assert_eq!(words(&ours.stderr), words(&cargos.stderr));
    let quiet = machine.run_in(&project.path, ["vx", "build", "-q"]);
    assert_eq!(quiet.code, 101);
    assert!(quiet.stderr.contains("mismatched types"), "{}", quiet.stderr);
    machine.write(project.path.join("base/src/lib.rs"), "pub fn say() -> &'static str {\n    \"base\"\n}\n");
    machine.run_in(&project.path, ["vx", "build"]).ok();
}

#[test]
fn warnings_come_back_on_a_hit() {
    let machine = Machine::with_vx(Who::Person);
    let project = Project::write(&machine, "warns", "", "    println!(\"cargo::warning=from the script\");");
    machine.write(
        project.path.join("base/src/lib.rs"),
        "pub fn say() -> &'static str {\n    let unused = 1;\n    \"base\"\n}\n",
    );
    let first = machine.run_in(&project.path, ["vx", "build"]);
    let again = machine.run_in(&project.path, ["vx", "build"]);
    assert_eq!((first.code, again.code), (0, 0));
    for said in [&first.stderr, &again.stderr] {
        assert!(said.contains("unused variable: `unused`") && said.contains("base/src/lib.rs:2:9"), "{said}");
        assert!(said.contains("warning: mid@1.0.0: from the script"), "{said}");
    }
}

#[test]
fn words_that_are_not_there_are_refused_by_name() {
    let machine = Machine::with_vx(Who::Person);
    let bild = machine.run(["vx", "bild"]);
    assert_eq!(bild.code, 64);
    assert!(bild.stderr.contains("'bild'"), "{}", bild.stderr);
    let option = machine.run(["vx", "build", "--timings"]);
    assert_eq!(option.code, 1, "cargo's word ends as cargo does");
    assert!(option.stderr.contains("'--timings'"), "{}", option.stderr);
    assert!(machine.run(["vx", "--help"]).ok().contains("build"));
    let nowhere = machine.run_in(Path::new("/"), ["vx", "build"]);
    assert_eq!(nowhere.code, 101);
    assert!(nowhere.stderr.contains("could not find `Cargo.toml`"), "{}", nowhere.stderr);
}

#[test]
fn an_interrupt_cancels_what_runs() {
    let machine = Machine::with_vx(Who::Person);
    let sleep = "    std::thread::sleep(std::time::Duration::from_secs(600));";
    let project = Project::write(&machine, "slow", "", sleep);
    let build = machine.command_in(&project.path, ["vx", "build"]).spawn().expect("nsenter can be started");
    machine.until("the build script runs", |machine| machine.run(["pgrep", "-f", "[b]uild-script"]).code == 0);
    machine.run(["pkill", "-INT", "-x", "vx"]).ok();
    let ended = build.wait_with_output().expect("it ends");
    assert_eq!(ended.status.code(), Some(130), "{}", String::from_utf8_lossy(&ended.stderr));
    machine
        .until("no process of the action is left", |machine| machine.run(["pgrep", "-f", "[b]uild-script"]).code == 1);
    let quick = Project::write(&machine, "quick", "q", "");
    assert!(machine.run_in(&quick.path, ["vx", "build"]).code == 0, "{}", machine.journal());
}

#[test]
fn a_client_that_is_killed_cancels_too() {
    let machine = Machine::with_vx(Who::Person);
    let sleep = "    std::thread::sleep(std::time::Duration::from_secs(600));";
    let project = Project::write(&machine, "slow", "", sleep);
    let build = machine.command_in(&project.path, ["vx", "build"]).spawn().expect("nsenter can be started");
    machine.until("the build script runs", |machine| machine.run(["pgrep", "-f", "[b]uild-script"]).code == 0);
    machine.run(["pkill", "-KILL", "-x", "vx"]).ok();
    machine
        .until("no process of the action is left", |machine| machine.run(["pgrep", "-f", "[b]uild-script"]).code == 1);
    build.wait_with_output().expect("it ends");
}

#[test]
fn what_runs_is_shown_on_a_terminal_that_can_show_it() {
    let machine = Machine::with_vx(Who::Person);
    let on_terminal = |salt: &str, variables: &str, words: &str| {
        let sleep = "    std::thread::sleep(std::time::Duration::from_secs(1));";
        let project = Project::write(&machine, salt, salt, sleep);
        let line = format!("script -qec 'stty cols 40 rows 10; {variables} vx build {words}' /dev/null");
        machine.run_in(&project.path, ["sh", "-c", &line]).ok()
    };
    let shown = on_terminal("shown", "TERM=xterm", "");
    let painted: Vec<&str> = shown.split("\u{1b}[K").filter(|part| part.contains("    Building")).collect();
    assert!(!painted.is_empty() && shown.contains("mid v1.0.0 (build scr"), "{shown:?}");
    for line in painted {
        let line = line.rsplit('\n').next().unwrap_or_default();
        let (_, line) = line.rsplit_once("Building").expect("the head");
        assert!("    Building".len() + line.replace("\u{1b}[0m", "").chars().count() < 40, "{line:?}");
    }
    assert!(shown.contains("\u{1b}[1m\u{1b}[92m    Finished"), "{shown:?}");
    let plain = on_terminal("plain", "TERM=xterm NO_COLOR=1", "");
    assert!(plain.contains("    Building ") && !plain.contains("\u{1b}[1m"), "{plain:?}");
    for (salt, variables, words) in [
        ("dumb", "TERM=dumb", ""),
        ("never", "TERM=xterm CARGO_TERM_PROGRESS_WHEN=never", ""),
        ("quiet", "TERM=xterm", "-q"),
        ("ci", "TERM=xterm CI=1", "--color never"),
    ] {
        let said = on_terminal(salt, variables, words);
        assert!(!said.contains("Building"), "{salt}: {said:?}");
    }
}

#[test]
fn the_client_makes_no_process() {
    let machine = Machine::with_vx(Who::Person);
    let project = Project::write(&machine, "traced", "", "");
    let trace = "strace -f -o ../trace -e trace=fork,vfork,clone,clone3,execve,execveat vx build";
    let done = machine.run_in(&project.path, ["sh", "-c", trace]);
    assert_eq!(done.code, 0, "{}", done.stderr);
    let calls = machine.run(["cat", "trace"]).ok();
    let calls: Vec<&str> = calls.lines().filter(|line| !line.contains("+++ exited")).collect();
    assert_eq!(calls.len(), 1, "only strace's own start of vx: {calls:#?}");
    assert!(calls[0].contains("execve("), "{calls:#?}");
}

#[test]
fn closed_descriptors_are_not_mistaken_for_sockets() {
    let machine = Machine::with_vx(Who::Person);
    assert_eq!(machine.sh("vx ping <&- 2>&-").ok().trim(), machine.sh("vx ping").ok().trim());
    assert_eq!(machine.sh("vx ping <&- >&- 2>&-; echo $?").ok().trim(), "0");
    let project = Project::write(&machine, "closed", "", "");
    assert_eq!(
        machine.sh(&format!("cd {} && vx build <&- >&- 2>&-; echo $?", project.path.display())).ok().trim(),
        "0"
    );
}
