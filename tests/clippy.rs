//! `vx clippy` beside cargo's own: which units are linted and how, what is said, in every form.

use crate::{
    kit::{Done, Machine, Who},
    messages::lines,
};

const FILES: [(&str, &str); 9] = [
    (
        "Cargo.toml",
        "[workspace]\nmembers = [\"app\", \"base\", \"mac\"]\nexclude = [\"not\"]\nresolver = \"2\"\n\
         [workspace.lints.clippy]\nmust_use_candidate = \"warn\"\n",
    ),
    (
        "app/Cargo.toml",
        "[package]\nname = \"app\"\nversion = \"1.0.0\"\nedition = \"2021\"\n[lints]\nworkspace = true\n\
         [dependencies]\nbase = { path = \"../base\" }\nmac = { path = \"../mac\" }\nnot = { path = \"../not\" }\n",
    ),
    (
        "app/src/main.rs",
        "fn main() {\n    let x = base::say(1) == true;\n    mac::nothing!();\n    println!(\"{}\", x && not::not() == false);\n}\n\
         #[cfg(test)]\nmod tests {\n    #[test]\n    fn one() {\n        assert!(base::say(1) == true);\n    }\n}\n",
    ),
    ("app/build.rs", "fn main() {\n    let x = 1;\n    println!(\"cargo::warning={}\", x.clone());\n}\n"),
    ("app/tests/two.rs", "#[test]\nfn two() {\n    assert!(1.clone() == 1);\n}\n"),
    ("base/Cargo.toml", "[package]\nname = \"base\"\nversion = \"1.0.0\"\nedition = \"2021\"\n"),
    (
        "base/src/lib.rs",
        "pub fn say(x: u8) -> bool {\n    let unused = 2;\n    return x > 1;\n}\n\
         #[allow(clippy::all)]\npub fn many(_a: u8, _b: u8, _c: u8) {}\npub fn five(_a: u8, _b: u8, _c: u8, _d: u8, _e: u8) {}\n",
    ),
    (
        "mac/Cargo.toml",
        "[package]\nname = \"mac\"\nversion = \"1.0.0\"\nedition = \"2021\"\n[lib]\nproc-macro = true\n",
    ),
    (
        "mac/src/lib.rs",
        "use proc_macro::TokenStream;\n#[proc_macro]\npub fn nothing(_: TokenStream) -> TokenStream {\n    return TokenStream::new();\n}\n",
    ),
];

fn compare(machine: &Machine, words: &[&str]) -> Done {
    let (cargos, ours) = (machine.home().join("cargo"), machine.home().join("ours"));
    machine.run_in(&cargos, ["rm", "-rf", "target"]).ok();
    let by_cargo = machine.run_in(&cargos, [&["cargo", "clippy"], words].concat());
    let by_vx = machine.run_in(&ours, [&["vx", "clippy"], words].concat());
    let said = |text: &str, at: &std::path::Path| {
        let mut lines = lines(text, at);
        lines.retain(|line| !line.trim_start().starts_with("Checking "));
        // Of a target and its tests whichever ends first says what both have to say.
        lines.retain(|line| !words.contains(&"--all-targets") || !line.contains(" generated "));
        lines
    };
    assert_eq!(by_vx.code, by_cargo.code, "{words:?}: {}", by_vx.stderr);
    assert_eq!(said(&by_vx.stdout, &ours), said(&by_cargo.stdout, &cargos), "{words:?}");
    assert_eq!(said(&by_vx.stderr, &ours), said(&by_cargo.stderr, &cargos), "{words:?}");
    by_vx
}

#[test]
fn members_are_linted_as_cargo_has_them_linted() {
    let machine = Machine::with_vx(Who::Person);
    for copy in ["cargo", "ours"] {
        let write = |path: &str, text: &str| machine.write(machine.home().join(copy).join(path), text);
        FILES.into_iter().for_each(|(path, text)| write(path, text));
        write("not/Cargo.toml", "[package]\nname = \"not\"\nversion = \"1.0.0\"\nedition = \"2021\"\n");
        write("not/src/lib.rs", "pub fn not() -> bool {\n    return true;\n}\n");
    }
    let plain = compare(&machine, &[]);
    assert!(plain.stderr.contains("clippy::bool_comparison"), "{}", plain.stderr);
    assert!(compare(&machine, &[]).stderr.contains(" 0 built"));
    compare(&machine, &["--all-targets"]);
    compare(&machine, &["--message-format", "json", "--all-targets"]);
    compare(&machine, &["-p", "app", "--no-deps"]);
    compare(&machine, &["--workspace", "--", "-W", "clippy::pedantic", "-A", "clippy::needless_return"]);
    // Of one package, or it is left to chance which others are linted before the first that fails.
    assert_eq!(compare(&machine, &["-p", "mac", "--", "-D", "warnings"]).code, 101);
    // Of one package again: what names no place is said once, by whichever unit ends first.
    compare(&machine, &["-p", "mac", "--", "-D", "no-such-lint"]);
    // Its configuration decides, and is seen to be read.
    for copy in ["cargo", "ours"] {
        machine.write(machine.home().join(copy).join("clippy.toml"), "too-many-arguments-threshold = 3\n");
    }
    let strict = compare(&machine, &[]);
    assert!(strict.stderr.contains("too many arguments (5/3)"), "{}", strict.stderr);
    // What it keeps is not rustc's, nor the other way round.
    let ours = machine.home().join("ours");
    let checked = machine.run_in(&ours, ["vx", "check"]);
    assert!(checked.code == 0 && !checked.stderr.contains("clippy"), "{}", checked.stderr);
    machine.write(machine.home().join("clippy.toml"), "");
    machine.run_in(&ours, ["rm", "clippy.toml"]).ok();
    let refused = machine.run_in(&ours, ["vx", "clippy"]);
    assert!(refused.code == 1 && refused.stderr.contains("above the workspace"), "{}", refused.stderr);
}
