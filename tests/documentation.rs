//! `vx doc` beside cargo's own: the same files, warnings, lines and exit codes; each crate documented once.

use std::path::Path;

use crate::{
    kit::{Done, Machine, Who},
    messages::lines,
};

const FILES: [(&str, &str); 11] = [
    (
        "Cargo.toml",
        "[workspace]\nmembers = [\"app\", \"base\", \"mac\"]\nexclude = [\"not\"]\nresolver = \"2\"\n\
         [workspace.lints.rustdoc]\nbare_urls = \"warn\"\n",
    ),
    (
        "app/Cargo.toml",
        "[package]\nname = \"app\"\nversion = \"1.0.0\"\nedition = \"2021\"\n[lints]\nworkspace = true\n\
         [[bin]]\nname = \"app-tool\"\npath = \"src/main.rs\"\n\
         [dependencies]\nbase = { path = \"../base\" }\nmac = { path = \"../mac\" }\nnot = { path = \"../not\" }\n",
    ),
    (
        "app/src/lib.rs",
        "//! Uses [`base::Thing`] and [`not::Far`], see [nowhere].\n\
         #![doc = include_str!(\"../NOTES.md\")]\n#[cfg(made)]\npub fn made() {}\n\
         #[derive(mac::Made)]\npub struct App;\n\
         impl base::Speak for App {\n    fn say(&self) -> u8 { 1 }\n}\npub use base::Thing;\npub type Own = Thing<App>;\n",
    ),
    ("app/NOTES.md", "Notes, and http://example.org\n"),
    (
        "app/build.rs",
        "fn main() {\n    println!(\"cargo::rustc-check-cfg=cfg(made)\");\n    println!(\"cargo::rustc-cfg=made\");\n}\n",
    ),
    ("app/src/main.rs", "//! The tool.\n/// Not public.\nfn secret() {}\nfn main() {\n    secret()\n}\n"),
    ("base/Cargo.toml", "[package]\nname = \"base\"\nversion = \"1.0.0\"\nedition = \"2021\"\n"),
    (
        "base/src/lib.rs",
        "//! Base.\n/// A thing.\npub struct Thing<T>(pub T);\n/// Speaks.\npub trait Speak {\n    /// Says it.\n    fn say(&self) -> u8;\n}\n\
         impl<T> Speak for Thing<T> {\n    fn say(&self) -> u8 { 2 }\n}\npub struct Old;\nstruct Hidden;\n\
         #[macro_export]\nmacro_rules! pair { ($a:expr,  $b : expr) => { ($a, $b) }; }\n",
    ),
    (
        "mac/Cargo.toml",
        "[package]\nname = \"mac\"\nversion = \"1.0.0\"\nedition = \"2021\"\n[lib]\nproc-macro = true\n",
    ),
    (
        "mac/src/lib.rs",
        "//! Macros.\nextern crate proc_macro;\n/// Derives nothing.\n#[proc_macro_derive(Made)]\n\
         pub fn made(_: proc_macro::TokenStream) -> proc_macro::TokenStream {\n    Default::default()\n}\n",
    ),
    (".cargo/config.toml", "[build]\nrustdocflags = [\"--cfg\", \"documented\"]\n"),
];

struct Pair {
    machine: Machine,
}

impl Pair {
    fn new() -> Pair {
        let pair = Pair { machine: Machine::with_vx(Who::Person) };
        FILES.into_iter().for_each(|(path, text)| pair.write(path, text));
        pair.write("not/Cargo.toml", "[package]\nname = \"not\"\nversion = \"1.0.0\"\nedition = \"2021\"\n");
        pair.write("not/src/lib.rs", "//! Not of the workspace.\n/// Far.\npub struct Far;\n");
        pair
    }

    /// Into both copies.
    fn write(&self, path: &str, text: &str) {
        for copy in ["cargo", "ours"] {
            self.machine.write(self.machine.home().join(copy).join(path), text);
        }
    }

    fn said(text: &str, at: &Path) -> Vec<String> {
        let mut lines = lines(text, at);
        lines.retain(|line| !["Checking ", "Documenting "].iter().any(|word| line.trim_start().starts_with(word)));
        lines
    }

    /// Documents with both, from nothing with cargo, and compares words and files.
    fn compare(&self, words: &[&str]) -> Done {
        let machine = &self.machine;
        let (cargos, ours) = (machine.home().join("cargo"), machine.home().join("ours"));
        machine.run_in(&cargos, ["rm", "-rf", "target"]).ok();
        let by_cargo = machine.run_in(&cargos, [&["cargo", "doc", "--offline"], words].concat());
        let by_vx = machine.run_in(&ours, [&["vx", "doc", "--offline"], words].concat());
        assert_eq!(by_vx.code, by_cargo.code, "{words:?}: {}", by_vx.stderr);
        assert_eq!(Self::said(&by_vx.stdout, &ours), Self::said(&by_cargo.stdout, &cargos), "{words:?}");
        assert_eq!(Self::said(&by_vx.stderr, &ours), Self::said(&by_cargo.stderr, &cargos), "{words:?}");
        if by_vx.code == 0 {
            self.same("target/doc");
        }
        by_vx
    }

    /// File for file.
    fn same(&self, folder: &str) {
        let home = self.machine.home();
        let difference =
            self.machine.run_in(home, ["diff", "-r", &format!("cargo/{folder}"), &format!("ours/{folder}")]);
        assert_eq!(difference.code, 0, "{folder}: {}", difference.stdout.chars().take(4000).collect::<String>());
    }
}

#[test]
fn pages_are_those_that_cargo_writes() {
    let pair = Pair::new();
    let machine = &pair.machine;
    let (cargos, ours) = (machine.home().join("cargo"), machine.home().join("ours"));
    let first = pair.compare(&[]);
    assert!(first.stderr.contains("unresolved link to `nowhere`"), "{}", first.stderr);
    assert!(
        first.stderr.contains(" Documenting base v1.0.0") && first.stderr.contains(" Generated "),
        "{}",
        first.stderr
    );
    assert!(machine.run_in(&ours, ["test", "-f", "target/doc/app/fn.made.html"]).code == 0, "a script's cfg is lost");
    assert!(machine.run_in(&ours, ["test", "-f", "target/doc/not/struct.Far.html"]).code == 0);
    // Again, and elsewhere: nothing runs, all is said again.
    assert!(pair.compare(&[]).stderr.contains(" 0 built"));
    machine.sh("cp -r ours elsewhere && rm -rf elsewhere/target").ok();
    let elsewhere = machine.home().join("elsewhere");
    let again = machine.run_in(&elsewhere, ["vx", "doc"]);
    assert!(again.code == 0 && again.stderr.contains(" 0 built"), "{}", again.stderr);
    assert!(again.stderr.contains("unresolved link to `nowhere`"), "{}", again.stderr);
    machine.run_in(machine.home(), ["diff", "-r", "ours/target/doc", "elsewhere/target/doc"]).ok();
    // Pages of another rustc go whole, as with cargo.
    let notes = [&cargos, &ours].map(|at| at.join("target/.rustdoc_fingerprint.json"));
    assert_eq!(machine.run_in(&ours, ["cmp".as_ref(), notes[0].as_os_str(), notes[1].as_os_str()]).code, 0);
    machine.write(&notes[1], "{\"rustc_vv\":\"rustc 1.0.0\"}");
    machine.write(ours.join("target/doc/gone/index.html"), "");
    pair.compare(&[]);
    // Another word in a comment, another item: only who shows it is documented again, stale pages go.
    pair.write(
        "base/src/lib.rs",
        &FILES[7].1.replace("/// A thing.", "/// Another thing.").replace("pub struct Old;\n", ""),
    );
    let edited = pair.compare(&[]);
    assert!(
        !edited.stderr.contains("Documenting mac") && edited.stderr.contains("Documenting base"),
        "{}",
        edited.stderr
    );
    assert!(machine.run_in(&ours, ["test", "-e", "target/doc/base/struct.Old.html"]).code == 1);
    pair.write("app/NOTES.md", "Other notes, and http://example.org\n");
    let noted = pair.compare(&[]);
    assert!(noted.stderr.contains("Documenting app") && !noted.stderr.contains("Documenting base"), "{}", noted.stderr);
    // What earlier calls left stays among it, and pages lead there.
    for (copy, program) in [("cargo", "cargo"), ("ours", "vx")] {
        let at = machine.home().join(copy);
        machine.run_in(&at, ["rm", "-rf", "target"]).ok();
        for words in [&["-p", "base"][..], &["-p", "mac"], &["-p", "app", "--no-deps"]] {
            machine.run_in(&at, [&[program, "doc", "--offline"], words].concat()).ok();
        }
    }
    pair.same("target/doc");
    assert_eq!(machine.run_in(&ours, ["grep", "-q", "\"base\"", "target/doc/crates.js"]).code, 0);
}

#[test]
fn words_are_those_of_cargo_doc() {
    let pair = Pair::new();
    let (machine, ours) = (&pair.machine, pair.machine.home().join("ours"));
    for words in [
        &["-p", "base", "--document-private-items"][..],
        &["-p", "app", "--bins"],
        &["-p", "app", "--lib", "--release"],
        &["-p", "app", "--no-deps", "--lib"],
        &["--message-format", "json", "-p", "base"],
        &["-p", "nobody"],
        &["-p", "base", "--bin", "nothing"],
        &["-q", "-p", "app"],
    ] {
        machine.run_in(&ours, ["rm", "-rf", "target"]).ok();
        pair.compare(words);
    }
    // What is denied fails as it does there, and leaves no half of it.
    pair.write("base/src/lib.rs", "//! See [nowhere].\n#![deny(rustdoc::broken_intra_doc_links)]\n");
    assert_eq!(pair.compare(&["-p", "base"]).code, 101);
    // No crate gets at what is unstable, though its rustdoc is called so.
    pair.write("base/src/lib.rs", "//! Base.\n#![feature(box_patterns)]\n");
    let unstable = pair.compare(&["-p", "base"]);
    assert!(unstable.code == 101 && unstable.stderr.contains("E0554"), "{}", unstable.stderr);
    pair.write("base/src/lib.rs", FILES[7].1);
    let flags =
        |flags: &str| machine.run_in(&ours, ["env", &format!("RUSTDOCFLAGS={flags}"), "vx", "doc", "-p", "mac"]);
    let refused = flags("--enable-index-page");
    assert!(refused.code == 101 && refused.stderr.contains("`--enable-index-page`"), "{}", refused.stderr);
    let other = machine.run_in(&ours, ["env", "RUSTDOC=/bin/true", "vx", "doc"]);
    assert!(other.code == 101 && other.stderr.contains("`RUSTDOC` names a rustdoc"), "{}", other.stderr);
    let other = machine.run_in(&ours, ["env", "CARGO_BUILD_RUSTDOC=/bin/true", "vx", "test", "--doc", "-p", "base"]);
    assert!(other.code == 101 && other.stderr.contains("`CARGO_BUILD_RUSTDOC` names a rustdoc"), "{}", other.stderr);
    assert_eq!(flags("--html-in-header app/NOTES.md").code, 0);
    assert_eq!(machine.run_in(&ours, ["grep", "-q", "Notes, and", "target/doc/mac/index.html"]).code, 0);
    // The person's browser is theirs, with their variables and what they read.
    machine.write(machine.home().join("show"), "#!/bin/sh\necho \"shown $1 $WHOSE\"\n");
    machine.sh("chmod +x show").ok();
    let open = machine.run_in(&ours, ["env", "WHOSE=mine", "BROWSER=../show", "vx", "doc", "-p", "mac", "--open"]);
    let page = ours.join("target/doc/mac/index.html").display().to_string();
    assert_eq!((open.code, open.stdout), (0, format!("shown {page} mine\n")), "{}", open.stderr);
    assert!(open.stderr.contains(&format!("Opening {page}")), "{}", open.stderr);
    // A clean takes it away.
    machine.run_in(&ours, ["vx", "clean", "--doc"]).ok();
    assert_eq!(machine.run_in(&ours, ["test", "-e", "target/doc"]).code, 1);
}

#[test]
fn names_that_collide_are_told() {
    let pair = Pair::new();
    let machine = &pair.machine;
    pair.write("app/src/lib.rs", "//! App.\n");
    pair.write("app/Cargo.toml", "[package]\nname = \"app\"\nversion = \"1.0.0\"\nedition = \"2021\"\n");
    let (cargos, ours) = (machine.home().join("cargo"), machine.home().join("ours"));
    let said = |words: &[&str]| {
        let by =
            |program: &'static str, at: &Path| machine.run_in(at, [&[program, "doc", "--offline"], words].concat());
        let (theirs, own) = (by("cargo", &cargos), by("vx", &ours));
        assert_eq!(own.code, theirs.code, "{}", own.stderr);
        assert_eq!(Pair::said(&own.stderr, &ours), Pair::said(&theirs.stderr, &cargos));
        own
    };
    // A program of the library's name is left out, unless it is asked for.
    assert!(!said(&["-p", "app"]).stderr.contains("collision"));
    assert!(said(&["-p", "app", "--lib", "--bins"]).stderr.contains("output filename collision at"));
    let pages = |at: &Path| machine.run_in(at, ["sh", "-c", "cd target/doc && find app src -type f | sort"]).ok();
    assert_eq!(pages(&ours), pages(&cargos));
    assert!(pages(&ours).contains("fn.secret.html"), "{}", pages(&ours));
    pair.write(
        "base/Cargo.toml",
        "[package]\nname = \"base\"\nversion = \"1.0.0\"\nedition = \"2021\"\n[lib]\nname = \"app\"\n",
    );
    let error = said(&["-p", "app", "-p", "base"]);
    assert!(error.code == 101 && error.stderr.contains("document output filename collision"), "{}", error.stderr);
}
