//! The rendered calls beside cargo's own: real projects are built by cargo under a recording
//! RUSTC_WRAPPER, planned and rendered by the daemon's code, and every call is compared:
//! arguments in order, working folder, variables with their values. `record` makes the
//! recordings, `compare` holds the list of allowed differences with their reasons.

// The daemon lints this code; here only a part of it is called.
#[allow(dead_code, unused_imports, clippy::all)]
#[path = "../src/daemon/cargo/mod.rs"]
mod cargo;

mod compare;
mod fixture;
mod record;

use record::{Project, Recording};

/// Builds, renders, compares, and says how many of how many calls are equal.
fn assert_same(project: &Project, words: &[&str], least: usize) {
    let recording = Recording::of(project, words);
    let outcome = compare::all(project, &recording, words);
    println!("{} {words:?}: {} of {} calls equal", project.name, outcome.equal, outcome.total);
    assert!(
        outcome.differences.is_empty(),
        "{} of {} calls equal; the first that differ:\n{}",
        outcome.equal,
        outcome.total,
        outcome.differences.iter().take(3).cloned().collect::<Vec<_>>().join("\n\n")
    );
    assert!(outcome.total >= least, "only {} calls were recorded", outcome.total);
}

/// What each of the many projects is asked for.
const MODES: [&[&str]; 7] = [
    &[],
    &["--release"],
    &["check", "--all-targets"],
    &["clippy", "--all-targets"],
    &["test"],
    &["--target=x86_64-unknown-linux-gnu"],
    &["doc"],
];

/// `benches/calls`: the projects of its list, all modes of each; says what differs, and goes on whatever happens to one.
#[test]
#[ignore = "benches/calls runs it"]
fn every_project() {
    let only = std::env::var("CALLS_OF").unwrap_or_default();
    let only: Vec<&str> = only.split_whitespace().collect();
    let list = include_str!("../benches/calls.list").lines().filter(|line| !line.starts_with('#'));
    let listed = list.filter_map(|line| {
        let mut words = line.split(' ');
        Some((words.next()?, words.next()?, words.collect::<Vec<_>>()))
    });
    let keeps = std::env::var_os("CALLS_KEEP").is_some();
    let (mut equal, mut total, mut projects, mut refused, mut different) = (0, 0, 0, 0, 0);
    for (name, version, options) in listed.filter(|(name, ..)| only.is_empty() || only.contains(name)) {
        let project = match survived(|| Project::fetched(name, version)) {
            Ok(project) => project,
            Err(said) => {
                println!("{name}: {}", said.trim());
                refused += 1;
                continue;
            }
        };
        let mut compared = 0;
        for words in MODES.map(|words| [words, &options].concat()) {
            let outcome = survived(|| {
                Recording::try_of(&project, &words).map(|recording| compare::all(&project, &recording, &words))
            });
            match outcome {
                Ok(outcome) => {
                    println!("{name} {words:?}: {} of {} calls equal", outcome.equal, outcome.total);
                    outcome.differences.iter().for_each(|one| println!("{one}\n"));
                    (equal, total, compared) = (equal + outcome.equal, total + outcome.total, compared + 1);
                    // A call of cargo's that was never rendered is one that differs.
                    different += outcome.differences.len();
                }
                Err(said) => {
                    println!("{name} {words:?}: not compared: {}", said.trim());
                    refused += 1;
                }
            }
        }
        projects += usize::from(compared > 0);
        if !keeps {
            project.forget();
        }
    }
    println!("{equal} of {total} calls equal in {projects} projects");
    assert_eq!(
        (equal, different, refused),
        (total, 0, 0),
        "calls that are equal, differences, and builds that cargo refused or that went wrong"
    );
}

/// What it does, or how it panicked: one project is not to stop the others.
fn survived<T>(does: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(does)).unwrap_or_else(|_| Err("a panic, above".to_owned()))
}

#[test]
fn ripgrep_dev() {
    assert_same(&Project::from_registry("ripgrep", "15.2.0"), &[], 50);
}

#[test]
fn ripgrep_release() {
    assert_same(&Project::from_registry("ripgrep", "15.2.0"), &["--release"], 50);
}

#[test]
fn fd_find() {
    assert_same(&Project::from_registry("fd-find", "10.5.0"), &[], 60);
}

#[test]
fn hyperfine() {
    assert_same(&Project::from_registry("hyperfine", "1.20.0"), &[], 90);
}

#[test]
fn ripgrep_checked() {
    assert_same(&Project::from_registry("ripgrep", "15.2.0"), &["check"], 50);
}

#[test]
fn fd_find_tests() {
    assert_same(&Project::from_registry("fd-find", "10.5.0"), &["test"], 60);
}

#[test]
fn hyperfine_documented() {
    assert_same(&Project::from_registry("hyperfine", "1.20.0"), &["doc"], 120);
}

#[test]
fn fixture_linted() {
    assert_same(&fixture::project(), &["clippy", "--workspace", "--exclude", "uses-dy", "--all-targets"], 25);
}

#[test]
fn fixture_documented() {
    let words = ["doc", "--workspace", "--exclude", "uses-dy"];
    assert_same(&fixture::project(), &words, 20);
    let alone = ["--no-deps", "--document-private-items", "--release", "--target=x86_64-unknown-linux-gnu"];
    assert_same(&fixture::project(), &[words.as_slice(), &alone].concat(), 15);
}

#[test]
fn fixture_with_all_targets() {
    let words = ["--workspace", "--exclude", "uses-dy", "--all-targets"];
    assert_same(&fixture::project(), &words, 25);
    assert_same(&fixture::project(), &[&["check"], words.as_slice()].concat(), 25);
    assert_same(&fixture::project(), &["check", "-p", "app", "--tests", "--release"], 15);
    assert_same(&fixture::project(), &["test", "-p", "app", "-p", "macros"], 15);
    assert_same(&fixture::project(), &["bench", "-p", "app"], 15);
}

/// With `--target`, and be it the host's own, scripts and macros get no flags of the person's.
#[test]
fn fixture_for_targets() {
    let words = ["-p", "app", "-p", "macros"];
    assert_same(&fixture::project(), &[words.as_slice(), &["--target=x86_64-unknown-linux-gnu"]].concat(), 15);
    let check = ["check", "--all-targets", "--target=x86_64-unknown-linux-gnu", "--target=x86_64-unknown-linux-musl"];
    assert_same(&fixture::project(), &[check.as_slice(), &words].concat(), 25);
}

#[test]
fn fixture_workspace() {
    assert_same(&fixture::project(), &["--workspace", "--exclude", "uses-dy"], 15);
}

#[test]
fn fixture_custom_profile() {
    assert_same(&fixture::project(), &["--profile=fast", "-p", "app", "--features", "extra"], 10);
}

#[test]
fn fixture_dylib_of_another_package() {
    assert_same(&fixture::project(), &["--release", "-p", "uses-dy"], 2);
}
