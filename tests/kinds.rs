//! Units of every kind, built and checked, beside cargo: what is said to people and programs, which programs come out and what
//! they do.

use std::path::Path;

use crate::{
    kit::{Done, Machine, Who},
    messages::lines,
};

const FILES: [(&str, &str); 17] = [
    (
        "Cargo.toml",
        "[workspace]\nmembers = [\"dev\", \"mac\"]\n[package]\nname = \"of-all\"\nversion = \"1.0.0\"\nedition = \"2024\"\n\
         [features]\nextra = []\nbroken = []\n[dependencies]\nmac = { path = \"mac\" }\n[dev-dependencies]\ndev = { path = \"dev\" }\n\
         [[test]]\nname = \"own\"\nharness = false\n[[bench]]\nname = \"b\"\nharness = false\n\
         [[test]]\nname = \"extra\"\nrequired-features = [\"extra\"]\n\
         [[bin]]\nname = \"broken\"\nrequired-features = [\"broken\"]\n[[example]]\nname = \"shared\"\ncrate-type = [\"cdylib\"]\n",
    ),
    (
        "build.rs",
        "fn main() {\n    println!(\"cargo::rustc-link-arg-tests=-Wl,--as-needed\");\n    println!(\"cargo::rustc-cfg=scripted\");\n    println!(\"cargo::rustc-check-cfg=cfg(scripted)\");\n}\n",
    ),
    (
        "src/lib.rs",
        "pub fn two() -> u32 {\n    let unused = 1;\n    mac::two!()\n}\n#[cfg(test)]\nmod tests {\n    #[test]\n    \
         fn adds() {\n        let mut only_here = 1;\n        assert_eq!(super::two() + 1, dev::three());\n    }\n}\n",
    ),
    (
        "src/bin/the-bin.rs",
        "fn main() {\n    println!(\"{}\", of_all::two());\n}\n#[test]\nfn main_is_tested() {\n    assert!(cfg!(scripted));\n}\n",
    ),
    ("src/bin/broken.rs", "fn main() -> u8 {}\n"),
    ("src/bin/other.rs", "fn main() {}\n"),
    (
        "tests/it.rs",
        "#[test]\nfn runs() {\n    let out = std::process::Command::new(env!(\"CARGO_BIN_EXE_the-bin\")).output().unwrap();\n    \
         assert_eq!(out.stdout, b\"2\\n\");\n    std::fs::write(concat!(env!(\"CARGO_TARGET_TMPDIR\"), \"/made\"), \"x\").unwrap();\n    \
         assert!(std::path::Path::new(env!(\"CARGO_MANIFEST_DIR\")).join(\"tests/it.rs\").exists());\n}\n",
    ),
    ("tests/own.rs", "fn main() {\n    println!(\"own {} {}\", cfg!(test), dev::three());\n}\n"),
    ("tests/extra.rs", "#[test]\nfn extra() {}\n"),
    ("tests/deep/main.rs", "mod helper;\n#[test]\nfn deep() {\n    assert_eq!(helper::four(), 4);\n}\n"),
    ("tests/deep/helper.rs", "pub fn four() -> u32 {\n    let unused = 4;\n    4\n}\n"),
    ("benches/b.rs", "fn main() {\n    println!(\"bench {}\", cfg!(test));\n}\n"),
    ("examples/an-ex.rs", "fn main() {\n    println!(\"example {}\", dev::three());\n}\n"),
    ("examples/shared.rs", "#[unsafe(no_mangle)]\npub extern \"C\" fn answer() -> u32 {\n    of_all::two()\n}\n"),
    ("dev/Cargo.toml", "[package]\nname = \"dev\"\nversion = \"1.0.0\"\nedition = \"2021\"\n"),
    ("dev/src/lib.rs", "pub fn three() -> u32 {\n    3\n}\n#[test]\nfn is_three() {\n    assert_eq!(three(), 3);\n}\n"),
    (
        "mac/Cargo.toml",
        "[package]\nname = \"mac\"\nversion = \"1.0.0\"\nedition = \"2021\"\n[lib]\nproc-macro = true\n",
    ),
];

const MACRO: &str = "use proc_macro::TokenStream;\n#[proc_macro]\npub fn two(_: TokenStream) -> TokenStream {\n    \
     let unused = 1;\n    \"2\".parse().unwrap()\n}\n#[cfg(test)]\nmod tests {\n    #[test]\n    fn parses() {}\n}\n";

/// What is asked for, and how it ends.
const WORDS: [(&str, i32); 25] = [
    ("check", 0),
    ("check --all-targets", 0),
    ("check --tests", 0),
    ("check --lib --test it --message-format json", 0),
    ("check --bin the-bin --tests --message-format json", 0),
    ("check --benches --release", 0),
    ("check --examples -F extra", 0),
    ("check --profile test", 0),
    ("check --workspace --all-targets --message-format json", 0),
    ("check -p mac --lib", 0),
    ("check --test extra", 101),
    ("check --test *t* --bin o* --message-format json", 101),
    ("check --test i* --bin o* --message-format json", 0),
    ("check --bin nothing", 101),
    ("build --tests", 0),
    ("build --examples --bins", 0),
    ("build --benches", 0),
    ("build --workspace --all-targets --message-format json", 0),
    ("build --release --test it", 0),
    ("build -F broken --bins --keep-going --message-format json", 101),
    ("check -F broken --all-targets --keep-going -j default", 101),
    ("build --target host-tuple --test it --bins --message-format json", 0),
    ("check --all-targets --target host-tuple --target-dir target/of-its-own", 0),
    ("check --target nothing-like-it --message-format json", 101),
    ("build --bench b --bin other --message-format json", 0),
];

fn lay_out(machine: &Machine, copies: &[&str]) {
    for copy in copies {
        let at = machine.home().join(copy);
        for (path, text) in FILES.into_iter().chain([("mac/src/lib.rs", MACRO)]) {
            machine.write(at.join(path), text);
        }
    }
}

/// The lines about the project, standard output's and standard error's.
fn said(done: &Done, at: &Path) -> (Vec<String>, Vec<String>) {
    // Whether anything else still ran when a unit failed is chance.
    let own = |line: &String| !line.contains("Checking ") && !line.contains("build failed, waiting for other jobs");
    // Which of two units with one warning comes first is chance, in cargo too.
    let count = |line: String| match line.split_once(" generated ") {
        Some((unit, count)) => format!("{unit} {}", count.split(" (").next().unwrap_or_default()),
        None => line,
    };
    let told = |text: &str| lines(text, at).into_iter().filter(own).map(count).collect();
    (told(&done.stdout), told(&done.stderr))
}

/// The programs that messages name, with what they say; times of tests are not theirs.
fn programs(machine: &Machine, at: &Path, stdout: &str) -> Vec<(String, String)> {
    let messages = stdout.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let mut said: Vec<(String, String)> = messages
        .filter_map(|message| {
            let program = message["executable"].as_str()?.to_owned();
            let done = machine.run_in(at, [program]);
            let text = done.stdout.split("; finished in").next().unwrap_or_default().to_owned();
            let folder = message["target"]["name"].as_str().unwrap_or_default().to_owned();
            Some((folder, format!("{} {text}", done.code)))
        })
        .collect();
    said.sort();
    said
}

#[test]
fn every_kind_of_unit_is_cargos() {
    let machine = Machine::with_vx(Who::Person);
    lay_out(&machine, &["cargo", "ours", "second"]);
    let (cargos, ours) = (machine.home().join("cargo"), machine.home().join("ours"));
    for (words, code) in WORDS {
        let line = |program: &'static str| std::iter::once(program).chain(words.split(' '));
        machine.run_in(&cargos, ["rm", "-rf", "target"]).ok();
        let by_cargo = machine.run_in(&cargos, line("cargo"));
        let by_vx = machine.run_in(&ours, line("vx"));
        assert_eq!((by_vx.code, by_cargo.code), (code, code), "{words}: {}\n{}", by_vx.stderr, by_cargo.stderr);
        let (out, err) = said(&by_vx, &ours);
        let (cargos_out, cargos_err) = said(&by_cargo, &cargos);
        assert_eq!(out, cargos_out, "{words}");
        assert_eq!(err, cargos_err, "{words}");
        if words.contains("json") && words.starts_with("build") {
            let run = programs(&machine, &ours, &by_vx.stdout);
            assert_eq!(run, programs(&machine, &cargos, &by_cargo.stdout), "{words}");
            // A macro's tests load the compiler's own libraries, which only who runs them can point at.
            assert!(run.iter().all(|(name, said)| name == "mac" || said.starts_with("0 ")), "{words}: {run:?}");
        }
        if code == 0 {
            let again = machine.run_in(&ours, line("vx"));
            assert!(words.contains("json") || again.stderr.contains(" 0 built"), "{words}: {}", again.stderr);
            assert_eq!(said(&again, &ours), (out, err), "{words}, found");
        }
    }
}

#[test]
fn only_tests_that_name_their_place_are_built_for_another_checkout() {
    let machine = Machine::with_vx(Who::Person);
    lay_out(&machine, &["ours", "second"]);
    let (ours, second) = (machine.home().join("ours"), machine.home().join("second"));
    machine.run_in(&ours, ["vx", "build", "--all-targets"]).ok();
    let done = machine.run_in(&second, ["vx", "build", "--all-targets", "-v"]);
    let built: Vec<&str> = done.stderr.lines().filter(|line| line.trim_start().starts_with("Built ")).collect();
    assert!(built.len() == 1 && built[0].contains("test \"it\""), "{}", done.stderr);
    let program = machine.sh("ls second/target/debug/deps/it-* | head -1").ok();
    // It starts its own checkout's program, and looks into its own folder.
    machine.run_in(&ours, ["rm", "-rf", "target", "tests"]).ok();
    machine.run_in(&second, [program.trim().replace("second/", "")]).ok();
}
