//! cargo with vx as its `RUSTC_WRAPPER`: what cargo builds is right each time, and what was compiled of other people's packages
//! comes from the store, in another target folder, checkout or subcommand.

use std::path::{Path, PathBuf};

use crate::kit::{Done, Machine, Who};

/// Packages of a registry: a library, one with a script, a macro, a program.
const PACKAGES: [(&str, &[(&str, &str)]); 4] = [
    ("base", &[("Cargo.toml", ""), ("src/lib.rs", "pub fn say() -> &'static str {\n    file!()\n}\n")]),
    (
        "gene",
        &[
            ("Cargo.toml", "[dependencies]\nbase = \"1\"\n"),
            (
                "build.rs",
                "fn main() {\n    let out = std::env::var(\"OUT_DIR\").unwrap();\n    std::fs::write(format!(\"{out}/g.rs\"), \
                 \"pub fn made() -> u32 { 7 }\").unwrap();\n    std::fs::write(format!(\"{out}/data\"), \"in the folder\").unwrap();\n    \
                 println!(\"cargo::rustc-env=BY_SCRIPT=set\");\n    println!(\"cargo::rerun-if-changed=build.rs\");\n}\n",
            ),
            (
                "src/lib.rs",
                "include!(concat!(env!(\"OUT_DIR\"), \"/g.rs\"));\npub fn say() -> String {\n    let unused = 1;\n    \
                 format!(\"{} {} {} {:?} {}\", base::say(), made(), env!(\"BY_SCRIPT\"), option_env!(\"NAMED\"), data())\n}\n\
                 fn data() -> String {\n    std::fs::read_to_string(concat!(env!(\"OUT_DIR\"), \"/data\")).unwrap()\n}\n",
            ),
        ],
    ),
    (
        "macr",
        &[
            ("Cargo.toml", "[lib]\nproc-macro = true\n"),
            (
                "src/lib.rs",
                "#[proc_macro]\npub fn two(_: proc_macro::TokenStream) -> proc_macro::TokenStream {\n    \"2\".parse().unwrap()\n}\n\
                 #[proc_macro]\npub fn seen(_: proc_macro::TokenStream) -> proc_macro::TokenStream {\n    \
                 format!(\"{:?}\", std::env::var(\"OF_CONFIG\").unwrap_or_default()).parse().unwrap()\n}\n\
                 #[proc_macro]\npub fn wait(seconds: proc_macro::TokenStream) -> proc_macro::TokenStream {\n    \
                 std::thread::sleep(std::time::Duration::from_secs(seconds.to_string().parse().unwrap()));\n    seconds\n}\n",
            ),
        ],
    ),
    (
        "tool",
        &[
            ("Cargo.toml", "[dependencies]\nbase = \"1\"\nmacr = \"1\"\n"),
            ("src/main.rs", "fn main() {\n    println!(\"tool {} {}\", base::say().len(), macr::two!());\n}\n"),
        ],
    ),
];

/// Lays the packages out as a registry that cargo finds without a network.
fn registry(machine: &Machine) {
    for (name, files) in PACKAGES {
        for (path, text) in files {
            let head = format!("[package]\nname = \"{name}\"\nversion = \"1.0.0\"\nedition = \"2021\"\n");
            let text = if *path == "Cargo.toml" { head + text } else { (*text).to_owned() };
            machine.write(machine.home().join(format!("made/{name}-1.0.0")).join(path), text);
        }
        let dependency = |one: &str| {
            format!(
                r#"{{"name":"{one}","req":"^1","features":[],"optional":false,"default_features":true,"target":null,"kind":"normal"}}"#
            )
        };
        let manifest = files[0].1;
        let dependencies: Vec<_> = ["base", "macr"]
            .iter()
            .filter(|one| manifest.contains(&format!("{one} = ")))
            .map(|one| dependency(one))
            .collect();
        let index = format!("reg/index/{}/{}", &name[..2], &name[2..]);
        let line = format!(
            r#"{{"name":"{name}","vers":"1.0.0","deps":[{}],"cksum":"'$sum'","features":{{}},"yanked":false}}"#,
            dependencies.join(",")
        );
        let pack = format!(
            "mkdir -p {index} && tar -C made -czf reg/{name}-1.0.0.crate {name}-1.0.0 && \
             sum=$(sha256sum reg/{name}-1.0.0.crate | cut -d' ' -f1) && echo '{line}' >{index}/{name}"
        );
        machine.sh(&pack).ok();
    }
    machine.write(
        machine.home().join(".cargo/config.toml"),
        format!(
            "[source.crates-io]\nreplace-with = \"local\"\n[source.local]\nlocal-registry = \"{}/reg\"\n",
            machine.home().display()
        ),
    );
}

fn app(machine: &Machine, name: &str) -> PathBuf {
    let path = machine.home().join(name);
    machine.write(
        path.join("Cargo.toml"),
        "[package]\nname = \"app\"\nversion = \"1.0.0\"\nedition = \"2021\"\n[dependencies]\ngene = \"1\"\nmacr = \"1\"\n",
    );
    machine.write(path.join("src/main.rs"), "fn main() {\n    println!(\"{} {}\", gene::say(), macr::two!());\n}\n");
    machine.write(path.join("tests/it.rs"), "#[test]\nfn two() {\n    assert_eq!(macr::two!(), 2);\n}\n");
    path
}

fn cargo(machine: &Machine, folder: &Path, variables: &str, words: &str) -> Done {
    let env = ["env"].into_iter().chain(variables.split_whitespace());
    machine.run_in(folder, env.chain(["cargo"]).chain(words.split_whitespace()))
}

/// Hits, built and plain so far.
fn counts(machine: &Machine) -> [u64; 3] {
    let status = machine.run(["vxctl", "status", "--json"]).ok();
    let status: serde_json::Value = serde_json::from_str(&status).expect("JSON");
    let text = status.to_string();
    ["wrapped_hits", "wrapped_built", "wrapped_plain"].map(|key| {
        let at = text.split_once(&format!("\"{key}\":")).map_or("0", |(_, rest)| rest);
        at.split(|one: char| !one.is_ascii_digit()).next().and_then(|digits| digits.parse().ok()).unwrap_or(0)
    })
}

const WRAPPED: &str = "RUSTC_WRAPPER=vx";

#[test]
fn other_peoples_packages_come_from_the_store() {
    let machine = Machine::with_vx(Who::Person);
    registry(&machine);
    let [one, two] = ["one", "two"].map(|name| app(&machine, name));
    let says = |folder: &Path, named: &str| {
        let said = machine.run_in(folder, ["target/debug/app"]).ok();
        assert!(said.ends_with(&format!("/base-1.0.0/src/lib.rs 7 set {named} in the folder 2\n")), "{said}");
        assert!(said.starts_with(&format!("{}/.cargo/registry/src/", machine.home().display())), "{said}");
    };
    cargo(&machine, &one, WRAPPED, "build").ok();
    says(&one, "None");
    // Two libraries, a macro, a script; the package that looks into its OUT_DIR runs again there.
    assert_eq!(counts(&machine), [0, 4, 1], "{}", machine.journal());
    let again = cargo(&machine, &one, WRAPPED, "build -v");
    assert!(again.stderr.contains("Fresh gene") && !again.stderr.contains("Compiling"), "{}", again.stderr);
    assert_eq!(counts(&machine), [0, 4, 1]);
    // A person's edit of what is in the target folder does not reach the store.
    machine.sh("for file in one/target/debug/deps/libbase-*; do chmod u+w $file; echo spoilt >$file; done").ok();
    cargo(&machine, &one, WRAPPED, "clean").ok();
    cargo(&machine, &one, WRAPPED, "build").ok();
    says(&one, "None");
    assert_eq!(counts(&machine), [4, 4, 2]);
    machine.run(["systemctl", "--user", "stop", "vx.service"]).ok();
    // Elsewhere all but what looks into its own target folder.
    cargo(&machine, &two, WRAPPED, "build").ok();
    machine.sh("mv one gone").ok();
    says(&two, "None");
    assert_eq!(counts(&machine), [3, 1, 1]);
    let installed = cargo(&machine, machine.home(), WRAPPED, "install --offline --debug tool --root installed");
    assert_eq!(installed.code, 0, "{}", installed.stderr);
    assert!(machine.run(["installed/bin/tool"]).ok().starts_with("tool "));
    assert_eq!(counts(&machine), [5, 2, 1], "{}", machine.journal());
}

#[test]
fn own_packages_come_from_the_store_where_they_are_compiled_whole() {
    let machine = Machine::with_vx(Who::Person);
    registry(&machine);
    let at = app(&machine, "app");
    let main = |text: &str| {
        let says = "println!(\"{} {}{} {:?}\", include_str!(\"../note\"), macr::two!(), macr::seen!(), option_env!(\"NAMED\"))";
        machine.write(at.join("src/main.rs"), format!("fn main() {{\n    let unused = 1;\n    {text}{says};\n}}\n"));
    };
    let build = |variables: &str, says: &str| {
        let before = counts(&machine);
        cargo(&machine, &at, WRAPPED, "clean").ok();
        let built = cargo(&machine, &at, &format!("{WRAPPED} CARGO_INCREMENTAL=0 {variables}"), "build");
        assert_eq!(built.code, 0, "{}", built.stderr);
        assert!(
            built.stderr.contains("unused variable: `unused`") && built.stderr.contains("src/main.rs:2:9"),
            "{}",
            built.stderr
        );
        assert_eq!(machine.run_in(&at, ["target/debug/app"]).ok(), says);
        let after = counts(&machine);
        [0, 1, 2].map(|one| after[one] - before[one])
    };
    machine.write(at.join("note"), "one");
    // There from the start: a macro may have asked for any name on its way.
    machine.write(at.join(".cargo/config.toml"), "");
    main("");
    assert_eq!(build("", "one 2 None\n"), [0, 5, 0], "{}", machine.journal());
    machine.write(at.join(".cargo/config.toml"), "[env]\nOF_CONFIG = \"c\"\n");
    let of_config = build("", "one 2c None\n");
    assert!(of_config[1] >= 1 && of_config[2] == 0, "{of_config:?}");
    machine.write(at.join(".cargo/config.toml"), "");
    assert_eq!(build("", "one 2 None\n"), [5, 0, 0], "{}", machine.journal());
    machine.write(at.join("note"), "two");
    assert_eq!(build("", "two 2 None\n"), [4, 1, 0]);
    main("print!(\"edited \");");
    assert_eq!(build("", "edited two 2 None\n"), [4, 1, 0]);
    assert_eq!(build("NAMED=x", "edited two 2 Some(\"x\")\n"), [3, 2, 0]);
    machine.write(at.join("note"), "one");
    main("");
    machine.run(["systemctl", "--user", "stop", "vx.service"]).ok();
    machine.write(at.join("beside"), "nobody reads this");
    machine.write(at.join("README.md"), "nor this");
    let again = build("", "one 2 None\n");
    assert!(again[2] == 0 && again[0] >= 4, "{again:?}");
    cargo(&machine, &at, &format!("{WRAPPED} CARGO_INCREMENTAL=0"), "test").ok();
    let before = counts(&machine);
    cargo(&machine, &at, WRAPPED, "clean").ok();
    let tested = cargo(&machine, &at, &format!("{WRAPPED} CARGO_INCREMENTAL=0"), "test").ok();
    assert!(tested.contains("test two ... ok"), "{tested}");
    let after = counts(&machine);
    assert!(after[1] == before[1] && after[2] == before[2] && after[0] > before[0] + 5, "{before:?} {after:?}");
}

#[test]
fn edits_variables_and_errors_are_as_with_cargo_alone() {
    let machine = Machine::with_vx(Who::Person);
    registry(&machine);
    let [ours, theirs] = ["ours", "theirs"].map(|name| app(&machine, name));
    let both = |variables: &str, words: &str| {
        let wrapped = cargo(&machine, &ours, &format!("{WRAPPED} {variables}"), words);
        let alone = cargo(&machine, &theirs, variables, words);
        assert_eq!(wrapped.code, alone.code, "{words}\n{}\n{}", wrapped.stderr, alone.stderr);
        let plain = |text: &str, at: &Path| {
            let text = text.replace(&*at.to_string_lossy(), "P");
            let is_chance = |line: &str| ["Finished", "test result", "Unpacking"].iter().any(|one| line.contains(one));
            let mut lines: Vec<String> = text.lines().filter(|line| !is_chance(line)).map(str::to_owned).collect();
            lines.sort();
            lines
        };
        assert_eq!(plain(&wrapped.stderr, &ours), plain(&alone.stderr, &theirs), "{words}");
        assert_eq!(plain(&wrapped.stdout, &ours), plain(&alone.stdout, &theirs), "{words}");
    };
    both("", "run");
    both("NAMED=two", "run");
    both("NAMED=two", "build --message-format json -q --offline --keep-going -p base");
    both("", "run");
    both("", "test");
    let write = |text: &str| [&ours, &theirs].map(|at| machine.write(at.join("src/main.rs"), text));
    write("fn main() {\n    println!(\"{}\", gene::say() + 1);\n}\n");
    both("", "build");
    both("", "check");
    write("fn main() {\n    let warned = 1;\n    println!(\"{} edited\", gene::say());\n}\n");
    both("", "run");
    both("", "check");
    both("CARGO_INCREMENTAL=0", "run --release");
    both("RUSTFLAGS=-Ctarget-cpu=native", "run");
}

#[test]
fn a_wrapper_is_a_compiler_to_whoever_asks() {
    let machine = Machine::with_vx(Who::Person);
    registry(&machine);
    let at = app(&machine, "app");
    let rustc = "/run/kit/toolchain/bin/rustc";
    for words in
        ["-vV", "--print cfg", "--print=sysroot", "--version", "--unheard-of", "-", "nothing.rs --crate-name x"]
    {
        let ask =
            |front: &str| machine.sh(&format!("echo 'fn main() {{ let x: u8 = \"\"; }}' | {front} {rustc} {words}"));
        let (wrapped, alone) = (ask("vx"), ask(""));
        assert_eq!((wrapped.code, wrapped.stdout, wrapped.stderr), (alone.code, alone.stdout, alone.stderr), "{words}");
    }
    machine.write(at.join(".cargo/config.toml"), "[build]\nrustc-wrapper = \"vx\"\nrustc-workspace-wrapper = \"vx\"\n");
    machine.run(["systemctl", "--user", "stop", "vx.service"]).ok();
    cargo(&machine, &at, "", "build").ok();
    assert_eq!(counts(&machine), [0, 4, 1], "{}", machine.journal());
    let own = machine.run_in(&at, ["env", WRAPPED, "vx", "build"]);
    assert!(own.code == 0 && !own.stderr.contains("is ignored"), "{}", own.stderr);
}

#[test]
fn services_may_be_lost_and_calls_interrupted() {
    let machine = Machine::with_vx(Who::Person);
    registry(&machine);
    let at = app(&machine, "app");
    let variables = ["env", WRAPPED, "CARGO_INCREMENTAL=0"];
    let runs = |machine: &Machine| machine.run(["vxctl", "status"]).stdout.contains("1 session, 1 action");
    let main = |text: &str| {
        machine.write(at.join("src/main.rs"), format!("fn main() {{\n    println!(\"{{}}\", {text});\n}}\n"))
    };
    main("gene::say().len() + macr::two!()");
    machine.run_in(&at, variables.into_iter().chain(["cargo", "build"])).ok();
    for service in ["vx-execd", "vx-casd", "vx"] {
        main(&format!("macr::wait!(6) + {}", service.len()));
        let build =
            machine.command_in(&at, variables.into_iter().chain(["cargo", "build"])).spawn().expect("cargo runs");
        machine.until("the call runs", runs);
        machine.run(["systemctl", "--user", "kill", "-s", "KILL", &format!("{service}.service")]).ok();
        let built = build.wait_with_output().expect("it ends");
        assert!(built.status.success(), "{service}: {}\n{}", String::from_utf8_lossy(&built.stderr), machine.journal());
        assert_eq!(machine.run_in(&at, ["target/debug/app"]).ok(), format!("{}\n", 6 + service.len()));
    }
    main("macr::wait!(3600)");
    let build = machine.command_in(&at, variables.into_iter().chain(["cargo", "build"])).spawn().expect("cargo runs");
    machine.until("the call runs", runs);
    // As a terminal does it, to all in front of it.
    machine.sh("kill -INT $(pidof cargo) $(pidof vx)").ok();
    assert!(!build.wait_with_output().expect("it ends").status.success());
    machine.until("nothing runs", |machine| machine.run(["vxctl", "status"]).stdout.contains("0 sessions, 0 actions"));
    let executor = machine.run(["vxctl", "status", "--json"]).ok();
    assert!(executor.contains("\"actions\": 0") && !executor.contains("\"actions\": 1"), "{executor}");
}
