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
const MODES: [&[&str]; 5] =
    [&[], &["--release"], &["check", "--all-targets"], &["test"], &["--target=x86_64-unknown-linux-gnu"]];

/// `benches/calls`: the projects of its list, all modes of each; says what differs and goes on.
#[test]
#[ignore = "benches/calls runs it"]
fn every_project() {
    let only = std::env::var("CALLS_OF").unwrap_or_default();
    let only: Vec<&str> = only.split_whitespace().collect();
    let list = include_str!("../benches/calls.list").lines().filter(|line| !line.starts_with('#'));
    let listed = list.filter_map(|line| line.split_once(' '));
    let (mut equal, mut total, mut projects, mut refused) = (0, 0, 0, 0);
    for (name, version) in listed.filter(|(name, _)| only.is_empty() || only.contains(name)) {
        let project = Project::fetched(name, version);
        let mut compared = 0;
        for words in MODES {
            let outcome = match Recording::try_of(&project, words) {
                Ok(recording) => compare::all(&project, &recording, words),
                Err(said) => {
                    println!("{name} {words:?}: cargo says {}", said.trim());
                    refused += 1;
                    continue;
                }
            };
            println!("{name} {words:?}: {} of {} calls equal", outcome.equal, outcome.total);
            outcome.differences.iter().for_each(|one| println!("{one}\n"));
            (equal, total, compared) = (equal + outcome.equal, total + outcome.total, compared + 1);
        }
        projects += usize::from(compared > 0);
        project.forget();
    }
    println!("{equal} of {total} calls equal in {projects} projects");
    assert_eq!((equal, refused), (total, 0), "calls that are equal, and builds that cargo refused");
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
