//! `vx test` and `vx bench` beside cargo: the same programs in the same order, the same words about them, the same exit codes.

use std::path::{Path, PathBuf};

use crate::kit::{Done, Machine, Who};

const LIBRARY: &str = r#"
include!(concat!(env!("OUT_DIR"), "/made.rs"));
/// ```
/// assert_eq!(tested::two() + tested::MADE, 9);
/// assert_eq!(std::env::var("SAID").unwrap(), "yes");
/// assert!(std::path::Path::new("tests/fixture.txt").exists());
/// assert!(std::env::var("FAIL_DOC").is_err());
/// ```
/// ```compile_fail
/// let number: i32 = "no";
/// ```
pub fn two() -> i32 {
    2
}
#[cfg(test)]
mod tests {
    #[test]
    fn works() {
        assert_eq!(super::two(), 2);
    }
    #[test]
    fn may_fail() {
        match std::env::var("FAIL_LIB").as_deref() {
            Ok("exit") => std::process::exit(5),
            Ok(_) => panic!("told to"),
            Err(_) => {}
        }
    }
}
"#;
const SCRIPT: &str = r#"
fn main() {
    let made = std::env::var("OUT_DIR").unwrap() + "/made.rs";
    std::fs::write(made, "pub const MADE: i32 = 7;").unwrap();
    println!("cargo::rustc-env=SAID=yes");
}
"#;
const INTEGRATION: &str = r#"
#[test]
fn finds_its_fixture_and_its_program() {
    let root = env!("CARGO_MANIFEST_DIR");
    assert_eq!(std::env::current_dir().unwrap(), std::path::Path::new(root));
    assert!(std::fs::read_to_string(format!("{root}/tests/fixture.txt")).is_ok());
    let said = std::process::Command::new(env!("CARGO_BIN_EXE_tested")).output().unwrap().stdout;
    assert_eq!(said, b"program 2\n");
    assert_eq!(std::env::var("CARGO_BIN_EXE_tested").unwrap(), env!("CARGO_BIN_EXE_tested"));
    std::fs::write(concat!(env!("CARGO_TARGET_TMPDIR"), "/scratch"), "x").unwrap();
}
"#;
const OWN: &str = r#"
fn main() {
    println!("own {:?}", std::env::args().skip(1).collect::<Vec<_>>());
    if let Ok(code) = std::env::var("FAIL_OWN") {
        std::process::exit(code.parse().unwrap());
    }
}
"#;

/// Three packages; `tested` has a library, a program, tests with and without a harness, a benchmark and an example, and `macros`
/// examples of a macro.
fn workspace(machine: &Machine) -> PathBuf {
    let path = machine.home().join("tests");
    let file = |below: &str, text: &str| machine.write(path.join(below), text);
    file("Cargo.toml", "[workspace]\nmembers = [\"tested\", \"other\", \"macros\"]\nresolver = \"2\"\n");
    let manifest = |name: &str| format!("[package]\nname = \"{name}\"\nversion = \"1.0.0\"\nedition = \"2021\"\n");
    let own = "[[test]]\nname = \"own\"\nharness = false\n[[bench]]\nname = \"speed\"\nharness = false\n";
    file("tested/Cargo.toml", &(manifest("tested") + own + "[dev-dependencies]\nother = { path = \"../other\" }\n"));
    file("tested/src/lib.rs", LIBRARY);
    file(
        "tested/src/main.rs",
        "fn main() {\n    println!(\"program {}\", tested::two());\n}\n#[test]\nfn in_program() {}\n",
    );
    file("tested/build.rs", SCRIPT);
    file("tested/tests/integration.rs", INTEGRATION);
    file("tested/tests/fixture.txt", "fixture\n");
    file("tested/tests/own.rs", OWN);
    file("tested/benches/speed.rs", OWN);
    file("tested/examples/shown.rs", "fn main() {\n    other::three();\n}\n");
    file("other/Cargo.toml", &manifest("other"));
    file(
        "other/src/lib.rs",
        "/// ```\n/// assert_eq!(other::three(), 3);\n/// ```\npub fn three() -> i32 {\n    3\n}\n",
    );
    file("macros/Cargo.toml", &(manifest("macros") + "[lib]\nproc-macro = true\n"));
    file(
        "macros/src/lib.rs",
        "use proc_macro::TokenStream;\n/// ```\n/// assert_eq!(macros::four!(), 4);\n/// ```\n#[proc_macro]\n\
         pub fn four(_: TokenStream) -> TokenStream {\n    \"4\".parse().unwrap()\n}\n",
    );
    path
}

/// What differs between any two runs is taken out; lines of tests may come in any order.
fn plain(text: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines() {
        let word = line.split_whitespace().next().unwrap_or_default();
        // A panic's line has the number of its thread.
        if ["Compiling", "Finished", "Locking", "Critical", "thread"].contains(&word) {
            continue;
        }
        let line = line.split("; finished in").next().unwrap_or(line);
        let mut words: Vec<&str> = line.split_inclusive([' ', '-', ')', '`']).collect();
        words.retain(|word| {
            let hash = word.trim_end_matches([' ', ')', '`']);
            !(hash.len() == 16 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()))
        });
        lines.push(words.concat());
    }
    let is_test = |line: &String| line.starts_with("test ") && !line.starts_with("test result");
    for block in lines.split_mut(|line| !is_test(line)) {
        block.sort();
    }
    lines.join("\n")
}

fn both(machine: &Machine, path: &Path, line: &str) -> [(i32, String, String); 2] {
    let (variables, words) = line.rsplit_once("; ").unwrap_or(("", line));
    ["cargo", "vx"].map(|program| {
        let line = format!("{variables} RUST_BACKTRACE=0 {program} {words}");
        let Done { code, stdout, stderr, .. } = machine.run_in(path, ["sh", "-c", &line]);
        (code, plain(&stdout), plain(&stderr))
    })
}

#[test]
fn tests_are_run_as_cargo_runs_them() {
    let machine = Machine::with_vx(Who::Person);
    let path = workspace(&machine);
    for line in [
        "test",
        "test two",
        "test -q",
        "test -p tested --doc",
        "test --no-run --all-targets",
        "test --doc --no-run",
        "test --doc --lib",
        "test -p other -p tested --lib works",
        "bench -- --some",
        "bench --no-run",
        "FAIL_LIB=1; test",
        "FAIL_LIB=1; test -p tested --no-fail-fast",
        // One after the other: what else runs when the program ends is chance.
        "FAIL_LIB=exit RUST_TEST_THREADS=1; test --workspace",
        // And what two examples say at once.
        "FAIL_OWN=3 FAIL_DOC=1 RUST_TEST_THREADS=1; test --no-fail-fast -- --nocapture",
        "FAIL_OWN=3; test -p tested --test own",
        "FAIL_DOC=1; test",
        "FAIL_OWN=4; bench",
    ] {
        let [cargo, vx] = both(&machine, &path, line);
        assert_eq!(cargo, vx, "{line}");
    }
    let [cargo, vx] = both(&machine, &path.join("tested"), "FAIL_LIB=1; test --lib");
    assert_eq!(cargo, vx);
    assert!(vx.0 == 101 && vx.2.contains("to rerun pass `--lib`"), "{vx:?}");
}

#[test]
fn an_interrupt_ends_the_test_and_those_after_it() {
    let machine = Machine::with_vx(Who::Person);
    let path = machine.home().join("slow");
    machine.write(path.join("Cargo.toml"), "[package]\nname = \"slow\"\nversion = \"1.0.0\"\nedition = \"2021\"\n");
    machine.write(path.join("src/lib.rs"), "");
    let waits = "#[test]\nfn waits() {\n    std::fs::write(\"began\", \"\").unwrap();\n    \
                 std::thread::sleep(std::time::Duration::from_secs(600));\n}\n";
    machine.write(path.join("tests/first.rs"), waits);
    machine.write(
        path.join("tests/second.rs"),
        "#[test]\nfn never() {\n    std::fs::write(\"second\", \"\").unwrap();\n}\n",
    );
    let mut running = machine.command_in(&path, ["vx", "test"]).spawn().expect("nsenter can be started");
    machine.until("the first test runs", |machine| machine.outside(path.join("began")).exists());
    machine.sh("kill -INT $(pgrep -x vx)").ok();
    assert_eq!(running.wait().expect("it ends").code(), Some(130));
    assert_eq!(machine.sh("pgrep -x first-[0-9a-f]*").code, 1, "the test is gone");
    assert!(!machine.outside(path.join("second")).exists());
}
