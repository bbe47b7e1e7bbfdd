//! cargo's configuration as it is said on the command line, set by variables and written in files: what builds come of it, beside
//! cargo's own; that a plan is kept, and that no build follows one of what another was told or of where another lies.

use std::path::Path;

use crate::{
    kit::{Done, Machine, Who},
    messages::lines,
};

const MAIN: &str = "fn main() {\n    println!(\"{:?} {} {}\", option_env!(\"SET\"), cfg!(said), cfg!(debug_assertions));\n    \
    println!(\"{:?}\", std::env::var(\"SET\"));\n}\n#[test]\nfn has_it() {\n    assert_eq!(option_env!(\"SET\"), Some(\"t\"));\n}\n";

/// The variable of a call, and its words.
const CALLS: [(&str, &str); 36] = [
    ("", "run"),
    ("", "run --config build.rustflags=[\"--cfg\",\"said\"]"),
    ("CARGO_BUILD_RUSTFLAGS=--cap-lints=allow", "run --config build.rustflags=[\"--cfg\",\"said\"]"),
    ("", "run --config env.SET=\"said\""),
    ("SET=own", "run --config env.SET=\"said\""),
    ("SET=own", "run --config env.SET.value=\"said\" --config env.SET.force=true"),
    ("", "run --config conf/own.toml"),
    ("", "run --config ../outer/outer.toml --config env.SET.relative=false"),
    ("CARGO_PROFILE_DEV_OPT_LEVEL=2", "run --config profile.dev.opt-level=1"),
    ("", "run --config profile.dev.debug-assertions=false"),
    ("", "run --config target.'cfg(unix)'.runner=\"conf/wrap said\""),
    ("", "build --config target.'cfg(unix)'.linker=\"no-linker\""),
    ("", "build --config build.target-dir=\"target/said\""),
    ("", "check --config build.target=\"host-tuple\""),
    ("", "test --config env.SET=\"t\""),
    ("", "check --config nonsense"),
    ("", "check --config build={jobs=1}"),
    ("", "check --config registry.token=\"x\""),
    ("", "check --config conf/bad.toml"),
    ("", "check --config build.rustflags=1"),
    // Words without their values, and in front of the word.
    ("", "build --bin"),
    ("", "run --example"),
    ("", "check -p"),
    ("", "test --exclude x"),
    ("", "build --target="),
    ("", "build --bin absent"),
    ("", "check -p absent"),
    ("", "-q --locked --color never run"),
    ("", "-v -q check"),
    // Variables that make no sense.
    ("CARGO_TERM_VERBOSE=x", "check"),
    ("CARGO_TERM_PROGRESS_WIDTH=x", "check"),
    ("CARGO_TERM_PROGRESS_WHEN=always", "check"),
    ("CARGO_BUILD_JOBS=x", "check"),
    ("CARGO_BUILD_JOBS=0", "check --config build.jobs=1"),
    ("CARGO_BUILD_TARGET=", "check"),
    ("", "doc --config build.rustdocflags=[\"--html-in-header\",\"absent.html\"]"),
];

fn said(done: &Done, at: &Path) -> Vec<String> {
    let is_told = |line: &String| !["Checking ", "Documenting ", "finished in"].iter().any(|word| line.contains(word));
    lines(&format!("{}{}", done.stdout, done.stderr), at).into_iter().filter(is_told).collect()
}

fn lay_out(machine: &Machine, name: &str) -> std::path::PathBuf {
    let at = machine.home().join(name).join("inner");
    let file = |path: &str, text: &str| machine.write(at.join(path), text);
    file(
        "Cargo.toml",
        "[package]\nname = \"said\"\nversion = \"1.0.0\"\nedition = \"2024\"\n[lints.rust]\nunexpected_cfgs = \"allow\"\n",
    );
    file("src/main.rs", MAIN);
    file(".cargo/config.toml", "build.rustflags = [\"--cfg\", \"file\"]\n[env]\nOTHER = \"file\"\n");
    file(
        "conf/own.toml",
        "env.SET = \"own\"\n[target.'cfg(unix)']\nrunner = [\"conf/wrap\", \"own\"]\n[profile.dev]\nopt-level = 1\n",
    );
    file("conf/bad.toml", "a =");
    file("conf/wrap", "#!/bin/sh\necho \"wrapped $1\"\nshift\nexec \"$@\"\n");
    file("../outer/outer.toml", "include = [\"included.toml\"]\n");
    file("../outer/included.toml", "env.SET = { value = \"outer\", relative = true }\n");
    machine.sh(&format!("chmod +x {name}/inner/conf/wrap")).ok();
    at
}

#[test]
fn what_is_said_on_the_command_line_is_followed_as_cargo_does() {
    let machine = Machine::with_vx(Who::Person);
    let (cargos, ours) = (lay_out(&machine, "cargo"), lay_out(&machine, "ours"));
    // The second time everything is known, of other configurations too.
    for round in ["first", "second"] {
        for (variable, words) in CALLS {
            let line = |program: &'static str| {
                let set = (!variable.is_empty()).then_some(variable);
                ["env"].into_iter().chain(set).chain([program]).chain(words.split(' ')).collect::<Vec<_>>()
            };
            machine.run_in(&cargos, ["rm", "-rf", "target"]).ok();
            let by_cargo = machine.run_in(&cargos, line("cargo"));
            let by_vx = machine.run_in(&ours, line("vx"));
            let what = format!("{round}: {variable} {words}");
            assert_eq!(by_vx.code, by_cargo.code, "{what}: {}\n{}", by_vx.stderr, by_cargo.stderr);
            assert_eq!(said(&by_vx, &ours), said(&by_cargo, &cargos), "{what}");
        }
    }
    machine.run_in(&ours, ["test", "-x", "target/said/debug/said"]).ok();
}

#[test]
fn what_vx_cannot_follow_is_refused_by_name() {
    let machine = Machine::with_vx(Who::Person);
    let at = lay_out(&machine, "ours");
    for (word, named) in [
        ("build.rustc=\"other\"", "`build.rustc`"),
        ("unstable.build-std=[\"std\"]", "`unstable.build-std`"),
        ("registry.credential-provider=\"x\"", "`registry.credential-provider` in --config"),
    ] {
        for program in ["build", "fetch", "clean"] {
            let done = machine.run_in(&at, ["vx", program, "--config", word]);
            assert!(done.code == 101 && done.stderr.contains(named), "{program} {word}: {}", done.stderr);
        }
    }
}

#[test]
fn a_variable_of_the_person_wins_over_env_in_a_plan_that_is_known() {
    let machine = Machine::with_vx(Who::Person);
    let at = lay_out(&machine, "ours");
    machine.write(at.join(".cargo/config.toml"), "env.SET = \"file\"\n");
    for (variable, says) in [("A=b", "file"), ("SET=own", "own"), ("A=b", "file")] {
        let done = machine.run_in(&at, ["env", variable, "vx", "run", "-q"]).ok();
        assert_eq!(done, format!("Some(\"{says}\") false true\nOk(\"{says}\")\n"));
    }
}

/// A workspace with a member `m` and a package `b` beside it, which says `says`.
fn beside(machine: &Machine, folder: &str, says: &str) -> std::path::PathBuf {
    let at = machine.home().join(folder);
    let file = |path: &str, text: &str| machine.write(at.join(path), text);
    let manifest = |name: &str| format!("[package]\nname = \"{name}\"\nversion = \"1.0.0\"\nedition = \"2024\"\n");
    file("w/Cargo.toml", "[workspace]\nmembers = [\"m\"]\nresolver = \"3\"\n");
    file("w/m/Cargo.toml", &format!("{}[dependencies]\nb = {{ path = \"../../b\" }}\n", manifest("m")));
    file("w/m/src/main.rs", "fn main() {\n    println!(\"{}\", b::SAYS);\n}\n");
    file("b/Cargo.toml", &manifest("b"));
    file("b/src/lib.rs", &format!("pub const SAYS: &str = \"{says}\";\n"));
    at.join("w")
}

/// Folders in which cargo was asked something.
fn asked(machine: &Machine) -> usize {
    machine
        .sh("find ~ -path '*/query/*' -name .rustc_info.json 2>/dev/null | wc -l")
        .ok()
        .trim()
        .parse()
        .expect("a number")
}

#[test]
fn a_plan_is_kept_whatever_its_folder_is_called() {
    let machine = Machine::with_vx(Who::Person);
    let lay_out = |name: &str| {
        let at = machine.home().join(name);
        let manifest = "[package]\nname = \"m\"\nversion = \"1.0.0\"\nedition = \"2024\"\ndescription = \"it\"\n";
        machine.write(at.join("Cargo.toml"), manifest);
        machine.write(at.join("src/main.rs"), "fn main() {\n    println!(env!(\"CARGO_PKG_DESCRIPTION\"));\n}\n");
        // A lock file as cargo writes it stays as it is.
        machine.run_in(&at, ["cargo", "generate-lockfile"]).ok();
        at
    };
    let plain = lay_out("plain");
    let build = |at: &Path| machine.run_in(at, ["vx", "build", "--message-format", "json"]).ok();
    build(&plain);
    assert_eq!(asked(&machine), 1);
    for name in ["with a space", "größer als/ein Ä", "(it's) + more & all!"] {
        let at = lay_out(name);
        let ours = build(&at);
        assert_eq!(asked(&machine), 1, "{name}");
        machine.run_in(&at, ["rm", "-rf", "target"]).ok();
        let cargos = machine.run_in(&at, ["cargo", "build", "--message-format", "json"]).ok();
        assert_eq!(lines(&ours, &at), lines(&cargos, &at), "{name}");
    }
}

#[test]
fn a_package_beside_the_checkout_is_that_of_this_checkout() {
    let machine = Machine::with_vx(Who::Person);
    let (one, two) = (beside(&machine, "one", "first"), beside(&machine, "two", "second"));
    for _ in 0..2 {
        for (at, says) in [(&one, "first\n"), (&two, "second\n")] {
            assert_eq!(machine.run_in(at, ["vx", "run", "-q"]).ok(), says);
        }
        // What is known is then read from the store.
        machine.run(["systemctl", "--user", "stop", "vx.service"]).ok();
    }
}

/// Configuration above the checkout and in CARGO_HOME, as people keep it: in parts, and by links into another folder.
#[test]
fn what_the_persons_configuration_includes_or_links_to_counts() {
    let machine = Machine::with_vx(Who::Person);
    let above = machine.home().join("above");
    machine.write(above.join("in/Cargo.toml"), "[package]\nname = \"app\"\nversion = \"1.0.0\"\nedition = \"2021\"\n");
    machine.write(above.join("in/src/main.rs"), MAIN);
    machine.write(above.join(".cargo/config.toml"), "include = [\"more.toml\"]\n");
    let says = |more: &str, tool: &str| {
        machine.write(above.join(".cargo/more.toml"), more);
        machine.run_in(&above.join("in"), [tool, "run", "-q"]).ok()
    };
    for more in ["[build]\nrustflags = [\"--cfg\", \"said\"]\n", "[profile.dev]\ndebug-assertions = false\n"] {
        assert_eq!(says(more, "vx"), says(more, "cargo"), "{more}");
    }
    machine.sh("mkdir -p ~/dotfiles ~/.cargo && ln -s ../dotfiles/cargo.toml ~/.cargo/config.toml").ok();
    for more in ["[profile.dev]\ndebug-assertions = true\n", "[profile.dev]\ndebug-assertions = false\n"] {
        machine.write(machine.home().join("dotfiles/cargo.toml"), more);
        assert_eq!(says("", "vx"), says("", "cargo"), "{more}");
    }
    // A checkout's leads nowhere but in its repository.
    machine.write(above.join("in/.cargo/x"), "");
    machine.sh("cd ~/above/in/.cargo && ln -s ../../../dotfiles/cargo.toml config.toml").ok();
    let refused = machine.run_in(&above.join("in"), ["vx", "run", "-q"]);
    assert_eq!(refused.code, 101, "{}", refused.stderr);
    assert!(refused.stderr.contains(".cargo/config.toml leads out of the workspace"), "{}", refused.stderr);
    machine
        .sh("cd ~/above && git init -q && mkdir conf && cd in/.cargo && ln -sf ../../conf/cargo.toml config.toml")
        .ok();
    let (said, includes) = ("[profile.dev]\ndebug-assertions = true\n", "include = [\"../../conf/said.toml\"]\n");
    machine.write(above.join("conf/said.toml"), "[profile.dev]\ndebug-assertions = false\n");
    for shared in [said, "[profile.dev]\ndebug-assertions = false\n"] {
        machine.write(above.join("conf/cargo.toml"), shared);
        assert_eq!(says("", "vx"), says("", "cargo"), "{shared}");
    }
    machine.sh("rm ~/above/in/.cargo/config.toml").ok();
    machine.write(above.join("in/.cargo/config.toml"), includes);
    assert_eq!(says("", "vx"), says("", "cargo"));
}

#[test]
fn warnings_about_manifests_are_said_once_where_words_are_refused() {
    let machine = Machine::with_vx(Who::Person);
    let at = lay_out(&machine, "odd");
    machine
        .write(at.join("Cargo.toml"), "[package]\nname = \"said\"\nversion = \"1.0.0\"\nedition = \"2024\"\nodd = 1\n");
    for words in ["build --bin absent", "check -p absent", "build --bin", "build --profile absent"] {
        let line = |program: &'static str| [program].into_iter().chain(words.split(' ')).collect::<Vec<_>>();
        let (by_cargo, by_vx) = (machine.run_in(&at, line("cargo")), machine.run_in(&at, line("vx")));
        assert_eq!((by_vx.code, by_cargo.code), (101, 101), "{words}");
        assert_eq!(said(&by_vx, &at), said(&by_cargo, &at), "{words}");
    }
}
