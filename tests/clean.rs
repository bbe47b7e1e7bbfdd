//! `vx clean` and `vx fetch` beside cargo's: the same words and exit codes, the same files gone, and nothing else.

use std::path::Path;

use crate::kit::{Done, Machine, Project, Who};

/// What is left in the target folder, by name.
fn left(machine: &Machine, project: &Path) -> String {
    let files = machine.run_in(project, ["sh", "-c", "find target -type f -o -type l 2>/dev/null | sort"]);
    // cargo notes there what it knows of rustc; names of outputs hold other hashes.
    let files = files.ok();
    files
        .lines()
        .filter(|file| !file.contains(".rustc_info") && !file.contains('-'))
        .map(|file| file.to_owned() + "\n")
        .collect()
}

fn run(machine: &Machine, project: &Path, program: &str, words: &str) -> Done {
    machine.run_in(project, [program].into_iter().chain(words.split_whitespace()))
}

/// Counts and sizes differ with the intermediate files that only cargo keeps.
fn shape(text: &str, project: &Path) -> String {
    let text = text.replace(&*project.to_string_lossy(), "P");
    text.split_whitespace()
        .map(|word| if word.starts_with(|c: char| c.is_ascii_digit()) { "N" } else { word })
        .collect::<Vec<_>>()
        .join(" ")
}

#[test]
fn a_clean_removes_what_cargos_would() {
    let machine = Machine::with_vx(Who::Person);
    let [ours, theirs] = ["ours", "theirs"].map(|name| Project::write(&machine, name, "clean", "").path);
    for words in [
        "clean --dry-run",
        "clean -p mid",
        "clean -p mid --release",
        "clean --workspace",
        "clean --doc",
        "clean --doc -p mid",
        "clean --release -v",
        "clean --profile=unknown",
        "clean -p nobody",
        "clean --profile dev",
        "clean",
        "clean -q",
        "clean --manifest-path nowhere/Cargo.toml",
        "clean --unknown",
    ] {
        for release in ["", " --release"] {
            run(&machine, &ours, "vx", &format!("build -q{release}")).ok();
            run(&machine, &theirs, "cargo", &format!("build -q --offline{release}")).ok();
        }
        let (vx, cargo) = (run(&machine, &ours, "vx", words), run(&machine, &theirs, "cargo", words));
        assert_eq!(vx.code, cargo.code, "{words}\n{}\n{}", vx.stderr, cargo.stderr);
        if !words.contains("unknown") {
            assert_eq!(shape(&vx.stderr, &ours), shape(&cargo.stderr, &theirs), "{words}");
        }
        assert_eq!(left(&machine, &ours), left(&machine, &theirs), "{words}");
    }
    run(&machine, &ours, "vx", "clean").ok();
    assert!(!machine.outside(ours.join("target")).exists());
    let again = run(&machine, &ours, "vx", "build");
    assert!(again.stderr.contains("5 units, 5 hits"), "{}", again.stderr);
}

#[test]
fn nothing_but_a_target_folder_is_removed() {
    let machine = Machine::with_vx(Who::Person);
    let project = Project::write(&machine, "ours", "precious", "").path;
    machine.write(machine.home().join("letters/to-you"), "dear");
    for dir in ["..", ".", "../letters", "/"] {
        let refused = run(&machine, &project, "vx", &format!("clean --target-dir {dir}"));
        assert_eq!(refused.code, 101, "{dir}: {}", refused.stderr);
        assert!(refused.stderr.starts_with("error: cannot clean"), "{}", refused.stderr);
    }
    machine.write(project.join(".cargo/config.toml"), "[build]\ntarget-dir = \"../letters\"\n");
    for words in ["clean", "clean -p mid", "clean --release"] {
        assert_eq!(run(&machine, &project, "vx", words).code, 101, "{words}");
    }
    assert!(machine.outside(machine.home().join("letters/to-you")).exists());
    assert!(machine.outside(project.join("Cargo.toml")).exists());
}

#[test]
fn a_fetch_says_what_cargos_says() {
    let machine = Machine::with_vx(Who::Person);
    let [ours, theirs] = ["ours", "theirs"].map(|name| Project::write(&machine, name, "fetch", "").path);
    for words in [
        "fetch",
        "fetch -q --locked",
        "fetch --manifest-path nowhere/Cargo.toml",
        "fetch --target x86_64-unknown-linux-gnu",
    ] {
        let (vx, cargo) = (run(&machine, &ours, "vx", words), run(&machine, &theirs, "cargo", words));
        assert_eq!((vx.code, shape(&vx.stderr, &ours)), (cargo.code, shape(&cargo.stderr, &theirs)), "{words}");
    }
    assert!(machine.outside(ours.join("Cargo.lock")).exists());
    let missing = "[package]\nname = \"ours\"\nversion = \"1.0.0\"\n[dependencies]\ngone = { path = \"gone\" }\n";
    for project in [&ours, &theirs] {
        machine.write(project.join("Cargo.toml"), missing);
    }
    let (vx, cargo) = (run(&machine, &ours, "vx", "fetch"), run(&machine, &theirs, "cargo", "fetch"));
    assert_eq!((vx.code, shape(&vx.stderr, &ours)), (cargo.code, shape(&cargo.stderr, &theirs)));
}
