//! What `vx build` says to programs and in other forms, beside cargo's own words, byte by byte: only hashes in file names,
//! the order of lines and whether something was fresh may differ.

use std::path::Path;

use crate::kit::{Done, Machine, Project, Who};

const FILES: [(&str, &str); 14] = [
    (
        "Cargo.toml",
        "[workspace]\nmembers = [\"app\", \"mid\", \"base\", \"mac\", \"many\"]\nresolver = \"2\"\n[profile.dev]\ndebug = 1\n",
    ),
    (
        "app/Cargo.toml",
        "[package]\nname = \"app\"\nversion = \"1.0.0\"\nedition = \"2021\"\n[features]\ndefault = [\"f\"]\nf = []\n\
         [dependencies]\nmid = { path = \"../mid\" }\nmac = { path = \"../mac\" }\n\
         [[bin]]\nname = \"the-app\"\npath = \"src/main.rs\"\nrequired-features = [\"f\"]\n",
    ),
    (
        "app/src/main.rs",
        "fn main() {\n    let unused = 1;\n    println!(\"{}\", mid::say());\n    mac::nothing!();\n}\n",
    ),
    (
        "mid/Cargo.toml",
        "[package]\nname = \"mid\"\nversion = \"1.0.0\"\nedition = \"2021\"\n[dependencies]\nbase = { path = \"../base\" }\n",
    ),
    (
        "mid/src/lib.rs",
        "include!(concat!(env!(\"OUT_DIR\"), \"/made.rs\"));\npub fn say() -> String {\n    let mut x = 1;\n    \
         format!(\"{} {}\", base::say(), env!(\"SCRIPT\"))\n}\n",
    ),
    (
        "mid/build.rs",
        "fn main() {\n    let out = std::env::var(\"OUT_DIR\").unwrap();\n    \
         std::fs::write(format!(\"{out}/made.rs\"), \"fn unused() {}\\n\").unwrap();\n    \
         println!(\"cargo::rustc-env=SCRIPT=ran\");\n    println!(\"cargo::rustc-env=MADE={out}/made.rs\");\n    \
         println!(\"cargo::rustc-link-search=native={out}\");\n    println!(\"cargo::rustc-cfg=made\");\n    \
         println!(\"cargo::rustc-check-cfg=cfg(made)\");\n    println!(\"cargo::warning=hear me in {out}\");\n    \
         eprintln!(\"and me\");\n}\n",
    ),
    ("base/Cargo.toml", "[package]\nname = \"base\"\nversion = \"1.0.0\"\nedition = \"2021\"\n"),
    ("base/src/lib.rs", "pub fn say() -> &'static str {\n    \"base\"\n}\n"),
    (
        "mac/Cargo.toml",
        "[package]\nname = \"mac\"\nversion = \"1.0.0\"\nedition = \"2021\"\n[lib]\nproc-macro = true\n[dependencies]\nbase = { path = \"../base\" }\n",
    ),
    (
        "mac/src/lib.rs",
        "use proc_macro::TokenStream;\n#[proc_macro]\npub fn nothing(_: TokenStream) -> TokenStream {\n    TokenStream::new()\n}\n",
    ),
    (
        "many/Cargo.toml",
        "[package]\nname = \"many\"\nversion = \"1.0.0\"\nedition = \"2021\"\n[lib]\ncrate-type = [\"rlib\", \"cdylib\", \"staticlib\"]\n\
         [dependencies]\nmid = { path = \"../mid\" }\n",
    ),
    ("many/src/lib.rs", "pub use mid::say;\n"),
    ("broken/Cargo.toml", "[package]\nname = \"broken\"\nversion = \"1.0.0\"\nedition = \"2021\"\n[workspace]\n"),
    (
        "broken/src/lib.rs",
        "pub fn say() -> u8 {\n    let unused = 1;\n    \"\\u{1b}[1m a \\\"text\\\"\"\n}\nconst X: &str = include_str!(\"missing\");\n",
    ),
];

/// The lines that are the project's, sorted.
pub fn lines(text: &str, at: &Path) -> Vec<String> {
    let own = ["Compiling ", "Finished ", "Critical ", "Fresh ", "Dirty ", "Running ", "Hit ", "Built "];
    let text = text.replace(&at.display().to_string(), "@");
    let plain = |line: &str| line.replace("\u{1b}[1m\u{1b}[92m", "").replace("\u{1b}[0m", "");
    let lines = text.lines().filter(|line| !own.iter().any(|word| plain(line).trim_start().starts_with(word)));
    let mut lines: Vec<String> = lines.map(|line| normal(&line.replace("\"fresh\":true", "\"fresh\":false"))).collect();
    lines.sort();
    lines
}

/// Sixteen hexadecimal digits behind a hyphen become `H`.
fn normal(line: &str) -> String {
    let mut parts = line.split('-');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let is_hash = part.len() >= 16 && part.bytes().take(16).all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        out.push('-');
        out.push_str(if is_hash { "H" } else { "" });
        out.push_str(if is_hash { &part[16..] } else { part });
    }
    out
}

/// Builds by both, each in a copy of its own, and compares both streams.
fn compare(machine: &Machine, folder: &str, words: &[&str]) -> Done {
    let (cargos, ours) = (machine.home().join(format!("cargo{folder}")), machine.home().join(format!("ours{folder}")));
    let line = |program: &'static str| [&[program, "build"], words].concat();
    // Without this cargo would not say it again.
    machine.run_in(&cargos, ["rm", "-rf", "target"]).ok();
    let by_cargo = machine.run_in(&cargos, line("cargo"));
    let by_vx = machine.run_in(&ours, line("vx"));
    assert_eq!(by_vx.code, by_cargo.code, "{words:?}: {}", by_vx.stderr);
    assert_eq!(lines(&by_vx.stdout, &ours), lines(&by_cargo.stdout, &cargos), "{words:?}");
    assert_eq!(lines(&by_vx.stderr, &ours), lines(&by_cargo.stderr, &cargos), "{words:?}");
    by_vx
}

/// Whether a program that reads the messages finds what editors need: macros, programs, what scripts made.
fn look_into_what_is_named(machine: &Machine, form: &str) {
    let ours = machine.home().join("ours");
    machine.run_in(&ours, ["rm", "-rf", "target"]).ok();
    let done = machine.run_in(&ours, ["vx", "build", "--message-format", form]);
    let said = done.stdout.lines().map(|line| serde_json::from_str(line).expect("a message"));
    let said: Vec<serde_json::Value> = said.collect();
    let there = |path: &serde_json::Value| machine.outside(path.as_str().expect("a path")).exists();
    let of = |reason: &str, kind: &str| {
        let is =
            |one: &&serde_json::Value| one["reason"] == reason && (kind.is_empty() || one["target"]["kind"][0] == kind);
        let found: Vec<_> = said.iter().filter(is).cloned().collect();
        assert!(!found.is_empty(), "{form}: no {reason} {kind}");
        found
    };
    for message in of("compiler-artifact", "proc-macro").iter().chain(&of("compiler-artifact", "bin")) {
        assert!(message["filenames"].as_array().expect("a list").iter().all(there), "{form}: {message}");
    }
    for message in of("build-script-executed", "") {
        let made = Path::new(message["out_dir"].as_str().expect("a path")).join("made.rs");
        assert_eq!(machine.run(["cat".as_ref(), made.as_os_str()]).ok(), "fn unused() {}\n", "{form}");
    }
}

#[test]
fn every_form_of_messages_is_cargos() {
    let machine = Machine::with_vx(Who::Person);
    for copy in ["cargo", "ours"] {
        for (path, text) in FILES {
            machine.write(machine.home().join(copy).join(path), text);
        }
    }
    let forms = [
        "human",
        "short",
        "json",
        "json-render-diagnostics",
        "json,json-diagnostic-rendered-ansi",
        "json-diagnostic-short",
        "json-diagnostic-short,json-render-diagnostics",
    ];
    for form in forms {
        for (folder, code) in [("", 0), ("/broken", 101)] {
            let done = compare(&machine, folder, &["--message-format", form]);
            assert_eq!(done.code, code, "{form} of {folder}: {}", done.stderr);
        }
        if form.contains("json") {
            look_into_what_is_named(&machine, form);
        }
        // All of it again, from what was kept.
        let found = compare(&machine, "", &["--message-format", form]);
        assert!(found.stderr.contains(" 0 built"), "{form}: {}", found.stderr);
    }
    compare(&machine, "", &["--message-format", "json", "--release", "-p", "many", "-p", "app"]);
    compare(&machine, "", &["--message-format", "json,short"]);
    compare(&machine, "", &["--quiet", "--verbose"]);
    compare(&machine, "", &["--quiet"]);
    compare(&machine, "", &["--color", "always"]);
}

#[test]
fn a_second_checkout_is_named_by_its_own_place() {
    let machine = Machine::with_vx(Who::Person);
    for copy in ["one", "deeper/two"] {
        for (path, text) in FILES {
            machine.write(machine.home().join(copy).join(path), text);
        }
        let at = machine.home().join(copy);
        let said = machine.run_in(&at, ["vx", "check", "--workspace", "--message-format", "json"]).ok();
        let own = format!("file://{}", at.display());
        for line in said.lines() {
            let message: serde_json::Value = serde_json::from_str(line).expect("a message");
            let id = message["package_id"].as_str().unwrap_or(&own);
            assert!(id.contains(&own), "{copy}: {line}");
        }
    }
}

#[test]
fn what_scripts_print_is_shown_to_who_asks_twice() {
    let machine = Machine::with_vx(Who::Person);
    for copy in ["cargo", "ours"] {
        for (path, text) in FILES {
            machine.write(machine.home().join(copy).join(path), text);
        }
    }
    let of_script = |text: &str, at: &Path| {
        let mut lines = lines(text, at);
        lines.retain(|line| line.starts_with("[mid 1.0.0] "));
        lines
    };
    let (cargos, ours) = (machine.home().join("cargo"), machine.home().join("ours"));
    let by_cargo = machine.run_in(&cargos, ["cargo", "build", "-vv"]);
    for run in ["first", "second"] {
        let by_vx = machine.run_in(&ours, ["vx", "build", "-vv"]);
        assert_eq!(by_vx.code, 0, "{}", by_vx.stderr);
        assert_eq!(of_script(&by_vx.stdout, &ours), of_script(&by_cargo.stdout, &cargos), "{run}");
        assert_eq!(of_script(&by_vx.stderr, &ours), ["[mid 1.0.0] and me"], "{run}");
    }
    let once = machine.run_in(&ours, ["vx", "build", "-v"]);
    assert!(once.stderr.contains("         Hit app v1.0.0 (bin \"the-app\")"), "{}", once.stderr);
    assert!(!once.stderr.contains("and me"), "{}", once.stderr);
}

#[test]
fn a_script_that_panics_is_told_of_as_by_cargo() {
    let machine = Machine::with_vx(Who::Person);
    let (cargos, ours) = (machine.home().join("cargo"), machine.home().join("ours"));
    for at in [&cargos, &ours] {
        machine.write(at.join("Cargo.toml"), "[package]\nname = \"fails\"\nversion = \"1.0.0\"\nedition = \"2024\"\n");
        machine.write(at.join("src/lib.rs"), "");
        let script = "fn main() {\n    println!(\"cargo::warning=careful\\n\\nout\");\n    eprintln!(\"err\\n\");\n    panic!(\"oh\");\n}\n";
        machine.write(at.join("build.rs"), script);
    }
    for (variable, words) in [
        ("RUST_BACKTRACE=0", "build"),
        ("RUST_BACKTRACE=1", "build"),
        ("RUST_BACKTRACE=1", "check --release"),
        ("A=b", "build"),
    ] {
        let told = |program: &'static str, at: &Path| {
            let line = ["env", "-u", "RUST_BACKTRACE", variable, program].into_iter().chain(words.split(' '));
            let done = machine.run_in(at, line);
            assert_eq!((done.code, done.stdout.as_str()), (101, ""), "{words}: {}", done.stderr);
            // A panic's line has the number of its thread.
            lines(&done.stderr, at).into_iter().filter(|line| !line.contains("thread 'main'")).collect::<Vec<_>>()
        };
        assert_eq!(told("vx", &ours), told("cargo", &cargos), "{variable} {words}");
    }
}

/// rustc prints the lines that an error points at in another package where it finds them, and counts columns there.
#[test]
fn lines_of_other_packages_are_shown() {
    let machine = Machine::with_vx(Who::Person);
    let home = machine.home();
    let manifest = |name: &str| format!("[package]\nname = \"{name}\"\nversion = \"1.0.0\"\nedition = \"2021\"\n");
    for of in ["repo", "beside"] {
        machine.write(home.join(of).join("Cargo.toml"), manifest(of));
        machine.write(home.join(of).join("src/lib.rs"), "mod deep;\npub use deep::number;\n");
        machine.write(home.join(of).join("src/deep.rs"), "/// Two.\n    pub fn number(of: u8) -> u8 {\n    of\n}\n");
    }
    let commit = "cd repo && git init -q . && git add -A && git -c user.name=n -c user.email=e@e commit -q -m m";
    machine.sh(commit).ok();
    let needs = format!(
        "[dependencies]\nbeside = {{ path = \"../beside\" }}\nrepo = {{ git = \"file://{}\" }}\n",
        home.join("repo").display()
    );
    for copy in ["cargo", "ours"] {
        machine.write(home.join(copy).join("Cargo.toml"), manifest("app") + &needs);
        let main = "fn main() {\n    beside::number();\n    repo::number(\"x\");\n}\n";
        machine.write(home.join(copy).join("src/main.rs"), main);
    }
    for form in ["human", "json"] {
        let done = compare(&machine, "", &["--message-format", form]);
        assert!(done.code == 101 && (done.stderr + &done.stdout).contains("pub fn number(of: u8) -> u8 {"), "{form}");
    }
    let main = "fn main() {\n    beside::number(1);\n    repo::number(2);\n}\n";
    machine.write(home.join("ours/src/main.rs"), main);
    for built in ["1 built", "0 built"] {
        let done = machine.run_in(&home.join("ours"), ["vx", "build"]);
        assert!(done.code == 0 && done.stderr.contains(built), "{}", done.stderr);
    }
}

#[test]
fn what_a_future_rust_will_reject_is_named_as_cargo_names_it() {
    let machine = Machine::with_vx(Who::Person);
    let project = Project::write(&machine, "future", "", "");
    let falls_back = "#![allow(dependency_on_unit_never_type_fallback)]\nfn made<T: Default>() -> Result<T, ()> {\n    \
        Ok(T::default())\n}\npub fn say() -> &'static str {\n    let _ = (|| -> Result<(), ()> {\n        made()?;\n        Ok(())\n    })();\n    \"said\"\n}\n";
    machine.write(project.path.join("base/src/lib.rs"), falls_back);
    let warned = |words: &[&str]| {
        let done = machine.run_in(&project.path, words);
        assert_eq!(done.code, 0, "{}", done.stderr);
        let warns = |line: &&str| line.contains("rejected by a future version of Rust");
        done.stderr.lines().find(warns).map(str::to_owned)
    };
    let by_cargo = warned(&["cargo", "check", "--target-dir", "by-cargo"]);
    // The second time it is a hit.
    for _ in 0..2 {
        assert_eq!(warned(&["vx", "check"]), by_cargo);
    }
    let never = "--config=future-incompat-report.frequency=\"never\"";
    assert_eq!(warned(&["vx", "check", never]), None);
}
