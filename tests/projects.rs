//! Small projects, each with a trick of its own, built by cargo and by vx: the same exit code, the same words, the same files in
//! the target folder, programs that say the same; then again and in a second folder, without running anything.

use std::{collections::BTreeMap, fs, path::Path};

use crate::kit::{Done, Machine, Who};

/// What one project is: files by path below its folder, where and how to build it.
struct Case {
    name: &'static str,
    files: &'static [(&'static str, &'static str)],
    /// Links: what they say, and where they lie.
    links: &'static [(&'static str, &'static str)],
    /// Where the person stands.
    cwd: &'static str,
    /// Words after `build`.
    words: &'static str,
    /// Variables for the build, as `NAME=VALUE`.
    env: &'static [&'static str],
    /// The folder of the outputs.
    outputs: &'static str,
}

const NONE: Case = Case { name: "", files: &[], links: &[], cwd: "", words: "", env: &[], outputs: "target/debug" };

const CASES: &[Case] = &[
    Case {
        name: "a workspace below a name with spaces and letters beyond ASCII, from a member's folder",
        files: &[
            ("wörk späce/Cargo.toml", "[workspace]\nmembers = [\"m ä\"]\nresolver = \"2\"\n"),
            ("wörk späce/m ä/Cargo.toml", "[package]\nname = \"m\"\nversion = \"1.0.0\"\nedition = \"2021\"\n"),
            ("wörk späce/m ä/data file", "data"),
            ("wörk späce/m ä/src/main.rs", "fn main() { let unused = 1; println!(include_str!(\"../data file\")); }\n"),
        ],
        cwd: "wörk späce/m ä",
        outputs: "wörk späce/target/debug",
        ..NONE
    },
    Case {
        name: "path dependencies beside the checkout",
        files: &[
            (
                "ws/Cargo.toml",
                "[package]\nname = \"a\"\nversion = \"1.0.0\"\nedition = \"2021\"\n[dependencies]\nb = { path = \"../b\" }\n",
            ),
            ("ws/src/main.rs", "fn main() { println!(\"{}\", b::b()); }\n"),
            (
                "b/Cargo.toml",
                "[package]\nname = \"b\"\nversion = \"1.0.0\"\nedition = \"2021\"\n[dependencies]\nc = { path = \"../deep/c\" }\n",
            ),
            ("b/src/lib.rs", "pub fn b() -> u8 { let unused = 1; c::c() }\n"),
            ("deep/c/Cargo.toml", "[package]\nname = \"c\"\nversion = \"1.0.0\"\nedition = \"2021\"\n"),
            ("deep/c/src/lib.rs", "pub fn c() -> u8 { 3 }\n"),
        ],
        cwd: "ws",
        outputs: "ws/target/debug",
        ..NONE
    },
    Case {
        name: "links inside a package, to another package, and to nothing",
        files: &[
            ("Cargo.toml", "[workspace]\nmembers = [\"a\", \"b\"]\nresolver = \"2\"\n"),
            ("a/Cargo.toml", "[package]\nname = \"a\"\nversion = \"1.0.0\"\nedition = \"2021\"\n"),
            (
                "a/src/main.rs",
                "mod own;\nmod shared;\nfn main() { println!(\"{} {}\", own::own(), shared::shared()); }\n",
            ),
            ("a/real/own.rs", "pub fn own() -> u8 { 1 }\n"),
            ("b/Cargo.toml", "[package]\nname = \"b\"\nversion = \"1.0.0\"\nedition = \"2021\"\n"),
            ("b/src/lib.rs", "pub mod shared;\n"),
            ("b/src/shared.rs", "pub fn shared() -> u8 { 2 }\n"),
        ],
        links: &[
            ("../real/own.rs", "a/src/own.rs"),
            ("../../b/src/shared.rs", "a/src/shared.rs"),
            ("nowhere", "a/gone"),
        ],
        ..NONE
    },
    Case {
        name: "a script that writes beside the sources and asks for a variable",
        files: &[
            ("Cargo.toml", "[package]\nname = \"a\"\nversion = \"1.0.0\"\nedition = \"2021\"\n"),
            (
                "build.rs",
                "fn main() {\n    std::fs::create_dir_all(\"made/here\").unwrap();\n    std::fs::write(\"made/here/x\", \"x\").unwrap();\n    \
                println!(\"cargo::rerun-if-env-changed=MINE\");\n    println!(\"cargo::warning=MINE={:?}\", std::env::var(\"MINE\"));\n}\n",
            ),
            ("src/main.rs", "fn main() { println!(\"{:?}\", option_env!(\"MINE\")); }\n"),
        ],
        env: &["MINE=5"],
        ..NONE
    },
    Case {
        name: "programs of one name in two packages, and a macro that prints",
        files: &[
            ("Cargo.toml", "[workspace]\nmembers = [\"a\", \"b\", \"mac\"]\nresolver = \"2\"\n"),
            (
                "a/Cargo.toml",
                "[package]\nname = \"a\"\nversion = \"1.0.0\"\nedition = \"2021\"\n[[bin]]\nname = \"x\"\npath = \"x.rs\"\n\
                [dependencies]\nmac = { path = \"../mac\" }\n",
            ),
            ("a/x.rs", "fn main() { println!(\"{}\", mac::two!()); }\n"),
            (
                "b/Cargo.toml",
                "[package]\nname = \"b\"\nversion = \"1.0.0\"\nedition = \"2021\"\n[[bin]]\nname = \"x\"\npath = \"x.rs\"\n",
            ),
            ("b/x.rs", "fn main() { println!(\"2\"); }\n"),
            (
                "mac/Cargo.toml",
                "[package]\nname = \"mac\"\nversion = \"1.0.0\"\nedition = \"2021\"\n[lib]\nproc-macro = true\n",
            ),
            (
                "mac/src/lib.rs",
                "#[proc_macro]\npub fn two(_: proc_macro::TokenStream) -> proc_macro::TokenStream {\n    \
                println!(\"a macro says\");\n    \"2\".parse().unwrap()\n}\n",
            ),
        ],
        ..NONE
    },
    Case {
        name: "warnings of cargo's own come back each time",
        files: &[
            ("Cargo.toml", "[workspace]\nmembers = [\"a\"]\n"),
            (
                "a/Cargo.toml",
                "[package]\nname = \"a\"\nversion = \"1.0.0\"\nedition = \"2021\"\nunknown = 1\n[profile.release]\nlto = true\n",
            ),
            ("a/src/main.rs", "fn main() {}\n"),
            (".cargo/config", "[build]\nrustflags = [\"--cfg=old\"]\n"),
        ],
        ..NONE
    },
    Case {
        name: "a target folder inside the package, under another name",
        files: &[
            ("Cargo.toml", "[package]\nname = \"a\"\nversion = \"1.0.0\"\nedition = \"2021\"\n"),
            ("src/main.rs", "fn main() {}\n"),
            (".cargo/config.toml", "[build]\ntarget-dir = \"out/t\"\n"),
        ],
        outputs: "out/t/debug",
        ..NONE
    },
    Case {
        name: "libraries of many kinds, for others and as a dependency",
        files: &[
            ("Cargo.toml", "[workspace]\nmembers = [\"app\", \"many\", \"shared\"]\nresolver = \"2\"\n"),
            (
                "app/Cargo.toml",
                "[package]\nname = \"app\"\nversion = \"1.0.0\"\nedition = \"2021\"\n[dependencies]\nmany = { path = \"../many\" }\n",
            ),
            ("app/src/main.rs", "fn main() { println!(\"{}\", many::many()); }\n"),
            (
                "many/Cargo.toml",
                "[package]\nname = \"many\"\nversion = \"1.0.0\"\nedition = \"2021\"\n[lib]\ncrate-type = [\"rlib\", \"cdylib\", \"staticlib\"]\n",
            ),
            (
                "many/src/lib.rs",
                "#[unsafe(no_mangle)]\npub extern \"C\" fn many() -> u8 { include_bytes!(\"../Cargo.toml\")[0] }\n",
            ),
            (
                "shared/Cargo.toml",
                "[package]\nname = \"shared\"\nversion = \"1.0.0\"\nedition = \"2021\"\n[lib]\ncrate-type = [\"dylib\"]\n",
            ),
            ("shared/src/lib.rs", "pub fn shared() {}\n"),
        ],
        words: "--workspace",
        ..NONE
    },
    Case {
        name: "a manifest that is no TOML",
        files: &[
            ("Cargo.toml", "[workspace]\nmembers = [\"a\"]\nresolver = \"2\"\n"),
            ("a/Cargo.toml", "[package]\nname = \"a\"\nversion = \"1.0.0\"\nedition = \"2021\"\nbroken = {\n"),
            ("a/src/main.rs", "fn main() {}\n"),
        ],
        ..NONE
    },
    Case {
        name: "configuration that is no TOML",
        files: &[
            ("Cargo.toml", "[package]\nname = \"a\"\nversion = \"1.0.0\"\nedition = \"2021\"\n"),
            ("src/main.rs", "fn main() {}\n"),
            (".cargo/config.toml", "[build\n"),
        ],
        ..NONE
    },
];

#[test]
fn tricks_end_as_cargos_do() {
    let machine = Machine::with_vx(Who::Person);
    for (number, case) in CASES.iter().enumerate() {
        let folder = |of: &str| machine.home().join(format!("case-{number}/{of}"));
        let (cargos, ours, second) = (folder("cargo"), folder("ours"), folder("second"));
        for at in [&cargos, &ours, &second] {
            lay_out(&machine, at, case);
        }
        let by_cargo = build(&machine, "cargo", &cargos, case);
        let by_vx = build(&machine, "vx", &ours, case);
        assert_eq!(by_vx.code, by_cargo.code, "{}:\n{}\n{}", case.name, by_vx.stderr, by_cargo.stderr);
        assert_eq!(by_vx.stdout, by_cargo.stdout, "{}", case.name);
        let said = words(&by_vx, &ours);
        assert_eq!(said, words(&by_cargo, &cargos), "{}", case.name);
        if by_cargo.code != 0 {
            continue;
        }
        let outputs = files(&machine, &ours.join(case.outputs));
        let expected: Vec<String> = files(&machine, &cargos.join(case.outputs)).into_keys().collect();
        assert_eq!(outputs.keys().cloned().collect::<Vec<_>>(), expected, "{}", case.name);
        for name in expected.iter().filter(|name| name.ends_with(".d")) {
            let described = |of: &Path| {
                let text = machine.run(["cat".as_ref(), of.join(case.outputs).join(name).as_os_str()]).ok();
                let text = text.replace(&of.display().to_string(), "@");
                // Which of several files of a stem stands before the colon is chance, in cargo too.
                let (_, paths) = text.split_once(": ").unwrap_or_default();
                let mut paths: Vec<String> = paths.split("@/").map(|path| path.trim().to_owned()).collect();
                paths.sort();
                paths
            };
            assert_eq!(described(&ours), described(&cargos), "{}: {name}", case.name);
        }
        for name in expected.iter().filter(|name| !name.contains('.')) {
            let run = |of: &Path| machine.run_in(of, [of.join(case.outputs).join(name)]).ok();
            assert_eq!(run(&ours), run(&cargos), "{}: {name}", case.name);
        }
        for at in [&ours, &second] {
            let again = build(&machine, "vx", at, case);
            assert!(again.code == 0 && again.stderr.contains(" 0 built"), "{}: {}", case.name, again.stderr);
            assert_eq!(words(&again, at), said, "{}", case.name);
            let found = files(&machine, &at.join(case.outputs));
            for (name, content) in outputs.iter().filter(|(name, _)| !name.ends_with(".d")) {
                assert!(found[name] == *content, "{}: {name} is another one", case.name);
            }
        }
    }
}

#[test]
fn members_and_what_they_inherit_are_looked_for_at_each_build() {
    let machine = Machine::with_vx(Who::Person);
    let home = machine.home().to_owned();
    let package = |version: &str| format!("[package]\nname = \"a\"\n{version}\nedition = \"2021\"\n");
    let inherited =
        |version: &str| format!("[workspace]\nmembers = [\"d\"]\n[workspace.package]\nversion = \"{version}\"\n");
    for (path, text) in [
        ("ws/Cargo.toml", "[workspace]\nresolver = \"2\"\nmembers = [\"a\", \"deep/*/*\"]\n".to_owned()),
        ("ws/a/Cargo.toml", package("version = \"1.0.0\"") + "[dependencies]\nd = { path = \"../../other/d\" }\n"),
        ("ws/a/src/main.rs", "fn main() { println!(\"{}\", d::d()); }\n".to_owned()),
        ("ws/deep/none/README", String::new()),
        ("other/Cargo.toml", inherited("1.0.1")),
        ("other/d/Cargo.toml", package("version.workspace = true").replace("\"a\"", "\"d\"")),
        ("other/d/src/lib.rs", "pub fn d() -> &'static str { env!(\"CARGO_PKG_VERSION\") }\n".to_owned()),
    ] {
        machine.write(home.join(path), &text);
    }
    let root = home.join("ws");
    let says = |program: &str| {
        machine.run_in(&root, ["vx", "build", "--workspace"]).ok();
        machine.run_in(&root, [format!("target/debug/{program}")]).ok()
    };
    assert_eq!(says("a"), "1.0.1\n");
    machine.write(home.join("other/Cargo.toml"), inherited("1.0.2"));
    assert_eq!(says("a"), "1.0.2\n", "the other workspace's manifest decides too");
    for new in ["one", "two"] {
        let at = root.join(format!("deep/{new}/{new}"));
        machine.write(at.join("Cargo.toml"), package("version = \"1.0.0\"").replace("\"a\"", &format!("{new:?}")));
        machine.write(at.join("src/main.rs"), format!("fn main() {{ println!({new:?}); }}\n"));
        assert_eq!(says(new), format!("{new}\n"), "a member that a pattern finds");
    }
}

#[test]
fn a_git_dependency_and_vendored_sources_may_lie_anywhere() {
    let machine = Machine::with_vx(Who::Person);
    let manifest = |name: &str| format!("[package]\nname = \"{name}\"\nversion = \"1.0.0\"\nedition = \"2021\"\n");
    let home = machine.home();
    machine.write(home.join("repo/Cargo.toml"), manifest("r"));
    let library = "pub fn r() -> u8 { 7 }\n\
                   pub fn text() -> String { std::fs::read_to_string(concat!(env!(\"CARGO_MANIFEST_DIR\"), \"/text\")).unwrap() }\n";
    machine.write(home.join("repo/src/lib.rs"), library);
    machine.write(home.join("repo/text"), "its own");
    let commit = "cd repo && git init -q . && git add -A && git -c user.name=n -c user.email=e@e commit -q -m m";
    machine.sh(commit).ok();
    let dependency = |kind: &str| format!("[{kind}]\nr = {{ git = \"file://{}\" }}\n", home.join("repo").display());
    let manifest = manifest("app") + &dependency("dependencies") + &dependency("build-dependencies");
    machine.write(home.join("app/Cargo.toml"), manifest);
    machine.write(home.join("app/build.rs"), "fn main() { println!(\"cargo::rustc-env=TEXT={}\", r::text()); }\n");
    machine.write(home.join("app/src/main.rs"), "fn main() { println!(\"{} {}\", r::r(), env!(\"TEXT\")); }\n");
    let app = home.join("app");
    let first = machine.run_in(&app, ["vx", "build"]);
    assert_eq!(first.code, 0, "{}", first.stderr);
    assert_eq!(machine.run_in(&app, ["target/debug/app"]).ok(), "7 its own\n");
    machine.sh("cp -a app offline && cd offline && rm -r target && mkdir .cargo && cargo vendor ../vendor >config.toml && mv config.toml .cargo/").ok();
    machine.sh("rm -rf repo .cargo/git").ok();
    let vendored = machine.run_in(&home.join("offline"), ["vx", "build"]);
    assert_eq!(vendored.code, 0, "{}", vendored.stderr);
    assert_eq!(machine.run_in(&home.join("offline"), ["target/debug/app"]).ok(), "7 its own\n");
    machine.write(home.join("vendor/r/text"), "another");
    let edited = ["vx", "cargo"].map(|program| machine.run_in(&home.join("offline"), [program, "build"]));
    for edited in edited {
        let says = "vendor/r/text` has changed:\nexpected: ";
        assert!(edited.code == 101 && edited.stderr.contains(says), "{}", edited.stderr);
    }
}

#[test]
fn a_crate_that_names_its_folder_gets_the_persons_own() {
    let machine = Machine::with_vx(Who::Person);
    let script =
        "fn main() { println!(\"cargo::rustc-env=SAID={}\", std::env::var(\"CARGO_MANIFEST_DIR\").unwrap()); }\n";
    let main = "fn main() {\n    let x = concat!(env!(\"CARGO_MANIFEST_DIR\"), \"/x\");\n    \
                println!(\"{x} {} {}\", env!(\"SAID\"), std::fs::read_to_string(x).unwrap());\n    \
                println!(include_str!(concat!(env!(\"CARGO_MANIFEST_DIR\"), \"/x\")));\n}\n";
    for (name, text) in [("one", "1"), ("two", "2")] {
        let path = machine.home().join(name);
        machine.write(path.join("Cargo.toml"), "[workspace]\nmembers = [\"in/a\"]\nresolver = \"2\"\n");
        let manifest = "[package]\nname = \"a\"\nversion = \"1.0.0\"\nedition = \"2021\"\n";
        machine.write(path.join("in/a/Cargo.toml"), manifest);
        machine.write(path.join("in/a/build.rs"), script);
        machine.write(path.join("in/a/src/main.rs"), main);
        machine.write(path.join("in/a/x"), text);
        let done = machine.run_in(&path, ["vx", "build"]);
        assert_eq!(done.code, 0, "{}", done.stderr);
        let package = path.join("in/a").display().to_string();
        let says = format!("{package}/x {package} {text}\n{text}\n");
        assert_eq!(machine.run_in(&path, ["target/debug/a"]).ok(), says);
        let again = machine.run_in(&path, ["vx", "build"]);
        assert!(again.stderr.contains(" 0 built"), "{}", again.stderr);
    }
}

#[test]
fn an_out_dir_that_a_program_looks_into_is_there() {
    let machine = Machine::with_vx(Who::Person);
    let manifest = |name: &str| format!("[package]\nname = \"{name}\"\nversion = \"1.0.0\"\nedition = \"2021\"\n");
    let script = "fn main() {\n    let out = std::env::var(\"OUT_DIR\").unwrap();\n    \
                  std::fs::write(format!(\"{out}/made.rs\"), \"pub fn made() -> u8 { 4 }\").unwrap();\n    \
                  std::fs::copy(\"text\", format!(\"{out}/data\")).unwrap();\n    \
                  println!(\"cargo::rerun-if-changed=text\\ncargo::rustc-env=DATA={out}/data\");\n}\n";
    let library = "include!(concat!(env!(\"OUT_DIR\"), \"/made.rs\"));\n\
                   pub fn data() -> String { std::fs::read_to_string(concat!(env!(\"OUT_DIR\"), \"/data\")).unwrap() }\n\
                   pub fn place() -> &'static str { env!(\"DATA\") }\n";
    let build = |path: &Path, words: &[&str]| {
        let done = machine.run_in(path, [&["vx", "build"], words].concat());
        assert_eq!(done.code, 0, "{}", done.stderr);
        done.stderr
    };
    for (name, text, words, target) in
        [("one", "1", &[][..], "target"), ("two", "2", &["--target-dir", "../elsewhere"], "../elsewhere")]
    {
        let path = machine.home().join("places").join(name);
        machine.write(path.join("Cargo.toml"), "[workspace]\nmembers = [\"a\", \"b\", \"c\"]\nresolver = \"2\"\n");
        machine.write(path.join("a/Cargo.toml"), manifest("a"));
        machine.write(path.join("a/build.rs"), script);
        machine.write(path.join("a/text"), text);
        machine.write(path.join("a/src/lib.rs"), library);
        machine.write(path.join("b/Cargo.toml"), manifest("b") + "[dependencies]\na = { path = \"../a\" }\n");
        machine.write(
            path.join("b/src/main.rs"),
            "fn main() { print!(\"{} {} {}\", a::made(), a::data(), a::place()); }\n",
        );
        // This one's is asked for by the compiler alone.
        machine.write(path.join("c/Cargo.toml"), manifest("c"));
        machine.write(path.join("c/build.rs"), script);
        machine.write(path.join("c/text"), "same");
        machine.write(
            path.join("c/src/main.rs"),
            "include!(concat!(env!(\"OUT_DIR\"), \"/made.rs\"));\nfn main() { println!(\"{}\", made()); }\n",
        );
        for state in ["made", "kept"] {
            let said = build(&path, words);
            assert!(said.contains(" 0 built") == (state == "kept"), "{said}");
            assert!(
                !said.contains("Compiling c ") || name == "one",
                "a second checkout compiles what names no place: {said}"
            );
            let says = machine.run_in(&path, [format!("{target}/debug/b")]).ok();
            let place = says.strip_prefix(&format!("4 {text} ")).expect("a number and a text");
            assert_eq!(machine.run(["cat", place]).ok(), text, "{place}");
        }
        machine.write(path.join("a/text"), "other");
        build(&path, words);
        assert!(machine.run_in(&path, [format!("{target}/debug/b")]).ok().starts_with("4 other "));
        machine.write(path.join("a/text"), text);
    }
}

/// Grammars and templates are compiled in so: the macro names the file by its whole path.
#[test]
fn a_text_that_a_macro_includes_is_no_matter_of_the_place() {
    let machine = Machine::with_vx(Who::Person);
    let manifest = |name: &str, more: &str| {
        format!("[package]\nname = \"{name}\"\nversion = \"1.0.0\"\nedition = \"2021\"\n{more}")
    };
    let mac = "#[proc_macro]\npub fn text(_: proc_macro::TokenStream) -> proc_macro::TokenStream {\n    \
               let path = std::env::var(\"CARGO_MANIFEST_DIR\").unwrap() + \"/src/text.pest\";\n    \
               format!(\"include_str!({path:?})\").parse().unwrap()\n}\n";
    let build = |name: &str| {
        let path = machine.home().join(name);
        let file = |below: &str, text: &str| machine.write(path.join(below), text);
        file("Cargo.toml", "[workspace]\nmembers = [\"mac\", \"lib\", \"app\"]\nresolver = \"2\"\n");
        file("mac/Cargo.toml", &manifest("mac", "[lib]\nproc-macro = true\n"));
        file("mac/src/lib.rs", mac);
        file("lib/Cargo.toml", &manifest("lib", "[dependencies]\nmac = { path = \"../mac\" }\n"));
        file("lib/src/lib.rs", "#[inline]\npub fn text() -> &'static str {\n    mac::text!()\n}\n");
        file("lib/src/text.pest", "a text");
        file("app/Cargo.toml", &manifest("app", "[dependencies]\nlib = { path = \"../lib\" }\n"));
        file("app/src/main.rs", "fn main() { print!(\"{}\", lib::text()); }\n");
        let done = machine.run_in(&path, ["vx", "build"]);
        assert_eq!(done.code, 0, "{}", done.stderr);
        assert_eq!(machine.run_in(&path, ["target/debug/app"]).ok(), "a text");
        (path, done.stderr)
    };
    build("one");
    let (two, said) = build("two");
    assert!(said.contains(" 0 built"), "{said}");
    machine.write(two.join("lib/src/text.pest"), "another");
    machine.run_in(&two, ["vx", "build"]).ok();
    assert_eq!(machine.run_in(&two, ["target/debug/app"]).ok(), "another");
}

#[test]
fn what_scripts_and_macros_are_made_of_finds_its_own_files() {
    let machine = Machine::with_vx(Who::Person);
    let manifest = |name: &str, more: &str| {
        format!("[package]\nname = \"{name}\"\nversion = \"1.0.0\"\nedition = \"2021\"\n{more}")
    };
    let makes = "fn main() {\n    let out = std::env::var(\"OUT_DIR\").unwrap();\n    \
                 std::fs::copy(\"text\", format!(\"{out}/data\")).unwrap();\n    \
                 println!(\"cargo::rerun-if-changed=text\");\n}\n";
    let reads = "std::fs::read_to_string(concat!(env!(\"OUT_DIR\"), \"/data\")).unwrap() + \
                 &std::fs::read_to_string(concat!(env!(\"CARGO_MANIFEST_DIR\"), \"/text\")).unwrap()";
    for name in ["one", "two"] {
        let path = machine.home().join(name);
        let file = |below: &str, text: &str| machine.write(path.join(below), text);
        file(
            "Cargo.toml",
            "[workspace]\nmembers = [\"data\", \"by-script\", \"mac\", \"by-macro\"]\nresolver = \"2\"\n",
        );
        for made in ["data", "mac"] {
            file(&format!("{made}/build.rs"), makes);
            file(&format!("{made}/text"), name);
        }
        file("data/Cargo.toml", &manifest("data", ""));
        file("data/src/lib.rs", &format!("pub fn data() -> String {{ {reads} }}\n"));
        file("by-script/Cargo.toml", &manifest("by-script", "[build-dependencies]\ndata = { path = \"../data\" }\n"));
        file("by-script/build.rs", "fn main() { println!(\"cargo::rustc-env=DATA={}\", data::data()); }\n");
        file("by-script/src/main.rs", "fn main() { print!(env!(\"DATA\")); }\n");
        file("mac/Cargo.toml", &manifest("mac", "[lib]\nproc-macro = true\n"));
        let text = format!(
            "#[proc_macro]\npub fn data(_: proc_macro::TokenStream) -> proc_macro::TokenStream {{\n    let text = {reads};\n    \
             format!(\"{{text:?}}\").parse().unwrap()\n}}\n"
        );
        file("mac/src/lib.rs", &text);
        file("by-macro/Cargo.toml", &manifest("by-macro", "[dependencies]\nmac = { path = \"../mac\" }\n"));
        file("by-macro/src/main.rs", "fn main() { print!(\"{}\", mac::data!()); }\n");
        for text in [name, "other"] {
            file("data/text", text);
            file("mac/text", text);
            let done = machine.run_in(&path, ["vx", "build"]);
            assert_eq!(done.code, 0, "{}", done.stderr);
            for program in ["by-script", "by-macro"] {
                let says = machine.run_in(&path, [format!("target/debug/{program}")]).ok();
                assert_eq!(says, format!("{text}{text}"), "{program}");
            }
        }
        let again = machine.run_in(&path, ["vx", "build"]);
        assert!(again.stderr.contains(" 0 built"), "{}", again.stderr);
    }
}

#[test]
fn what_lies_beside_the_workspace_in_its_repository_is_found_and_counts() {
    let machine = Machine::with_vx(Who::Person);
    let manifest = |name: &str, more: &str| {
        format!("[package]\nname = \"{name}\"\nversion = \"1.0.0\"\nedition = \"2021\"\n{more}")
    };
    machine.write(machine.home().join("secret"), "secret");
    for name in ["one", "two"] {
        let repository = machine.home().join(name);
        let file = |below: &str, text: &str| machine.write(repository.join(below), text);
        file("schema/included", "included");
        file("schema/read/by-script", "");
        file("schema/by-macro", "macro");
        file("back/Cargo.toml", "[workspace]\nmembers = [\"a\", \"mac\"]\nresolver = \"2\"\n");
        file("back/a/Cargo.toml", &manifest("a", "[dependencies]\nmac = { path = \"../mac\" }\n"));
        let script = "fn main() {\n    let names = std::fs::read_dir(\"../../schema/read\").unwrap();\n    \
                      let names: Vec<_> = names.map(|one| one.unwrap().file_name().into_string().unwrap()).collect();\n    \
                      println!(\"cargo::rustc-env=NAMES={}\", names.join(\",\"));\n    \
                      println!(\"cargo::rerun-if-changed=../../schema/read\");\n}\n";
        file("back/a/build.rs", script);
        file(
            "back/a/src/main.rs",
            "fn main() { println!(\"{} {} {}\", include_str!(\"../../../schema/included\"), env!(\"NAMES\"), mac::text!()); }\n",
        );
        file("back/mac/Cargo.toml", &manifest("mac", "[lib]\nproc-macro = true\n"));
        let text = "#[proc_macro]\npub fn text(_: proc_macro::TokenStream) -> proc_macro::TokenStream {\n    \
                    let text = std::fs::read_to_string(\"../schema/by-macro\").unwrap();\n    format!(\"{text:?}\").parse().unwrap()\n}\n";
        file("back/mac/src/lib.rs", text);
        machine.run_in(&repository, ["git", "init", "-q"]).ok();
        let root = repository.join("back");
        let built = |says: &str| {
            let done = machine.run_in(&root, ["vx", "build"]);
            assert_eq!(done.code, 0, "{}", done.stderr);
            assert_eq!(machine.run_in(&root, ["target/debug/a"]).ok(), format!("{says}\n"));
            done.stderr
        };
        let first = built("included by-script macro");
        assert!(name == "one" || first.contains(" 0 built"), "{first}");
        assert!(built("included by-script macro").contains(" 0 built"));
        file("schema/included", "other");
        built("other by-script macro");
        file("schema/by-macro", "new");
        built("other by-script new");
        machine.sh(&format!("mv {name}/schema/read/by-script {name}/schema/read/moved")).ok();
        built("other moved new");
        // What a link leads to elsewhere is not of the repository.
        machine.sh(&format!("rm {name}/schema/included; ln -s ../../secret {name}/schema/included")).ok();
        let refused = machine.run_in(&root, ["vx", "build"]);
        assert!(refused.code == 101 && refused.stderr.contains("is outside of the workspace"), "{}", refused.stderr);
    }
}

#[test]
fn links_out_of_the_workspace_are_followed_in_its_repository() {
    let machine = Machine::with_vx(Who::Person);
    let repository = machine.home().join("repo");
    let file = |below: &str, text: &str| machine.write(repository.join(below), text);
    file("ws/Cargo.toml", "[workspace]\nmembers = [\"a\", \"linked\"]\nresolver = \"2\"\n");
    file("ws/a/Cargo.toml", "[package]\nname = \"a\"\nversion = \"1.0.0\"\nedition = \"2021\"\n");
    file(
        "ws/a/src/main.rs",
        "mod m;\n#[path = \"folder/n.rs\"]\nmod n;\nfn main() { println!(\"{}{}{}\", m::M, n::N, env!(\"D\")); }\n",
    );
    file("shared/m.rs", "pub const M: u8 = 1;\n");
    file("shared/n.rs", "pub const N: u8 = 2;\n");
    file("shared/d", "3");
    file("member/Cargo.toml", "[package]\nname = \"b\"\nversion = \"1.0.0\"\nedition = \"2021\"\n");
    file("member/src/main.rs", "fn main() {}\n");
    let links = "ln -s ../../../shared/m.rs a/src/m.rs; ln -s ../../../shared a/src/folder; ln -s ../../shared a/data; ln -s ../member linked";
    let root = repository.join("ws");
    machine.run_in(&root, ["sh", "-ec", links]).ok();
    let refused = machine.run_in(&root, ["vx", "build", "--keep-going"]);
    for what in ["repo/shared/m.rs", "repo/member/src/main.rs"] {
        let says = format!("{what}` is outside of the workspace, and vx shows it nothing else");
        assert!(refused.code == 101 && refused.stderr.contains(&says), "{what}: {}", refused.stderr);
    }
    machine.run_in(&repository, ["git", "init", "-q"]).ok();
    file(
        "ws/a/build.rs",
        "fn main() { println!(\"cargo::rustc-env=D={}\", std::fs::read_to_string(\"data/d\").unwrap()); }\n",
    );
    let says = || {
        let done = machine.run_in(&root, ["vx", "build"]);
        assert_eq!(done.code, 0, "{}", done.stderr);
        machine.run_in(&root, ["target/debug/a"]).ok()
    };
    assert_eq!(says(), "123\n");
    file("shared/m.rs", "pub const M: u8 = 4;\n");
    file("shared/n.rs", "pub const N: u8 = 5;\n");
    assert_eq!(says(), "453\n");
    file("shared/d", "6");
    assert_eq!(says(), "456\n");
}

#[test]
fn targets_beside_the_workspace_are_built_in_its_repository() {
    let machine = Machine::with_vx(Who::Person);
    let said = ["cargo", "vx"].map(|program| {
        let at = machine.home().join(program);
        let manifest = "[package]\nname = \"a\"\nversion = \"1.0.0\"\nedition = \"2021\"\n[lib]\npath = \"../shared/lib.rs\"\n\
                        [[bin]]\nname = \"a\"\npath = \"../shared/main.rs\"\n";
        machine.write(at.join("ws/Cargo.toml"), manifest);
        machine.write(at.join("shared/lib.rs"), "//! Says.\nmod sub;\npub use sub::said;\n");
        machine.write(at.join("shared/sub.rs"), "pub fn said() -> &'static str { env!(\"SAID\") }\n");
        let main = "fn main() {\n    let unused = 1;\n    println!(\"{} 1\", a::said());\n}\n";
        machine.write(at.join("shared/main.rs"), main);
        machine.run_in(&at, ["git", "init", "-q", "."]).ok();
        let ws = at.join("ws");
        let run = |word: &str| machine.run_in(&ws, ["env", "SAID=so", program, word]);
        let mut said = Vec::new();
        for number in [1, 2] {
            machine.write(at.join("shared/main.rs"), main.replace(" 1\\\"", &format!(" {number}\\\"")));
            for word in ["run", "doc"] {
                let done = run(word);
                assert_eq!(done.code, 0, "{program} {word}: {}", done.stderr);
                let lines = words(&done, &at).into_iter().filter(|line| !line.contains("ocument"));
                said.push((done.stdout, lines.collect::<Vec<_>>()));
            }
        }
        machine.run(["test".as_ref(), "-f".as_ref(), ws.join("target/doc/a/index.html").as_os_str()]).ok();
        said
    });
    assert_eq!(said[0], said[1]);
}

#[test]
fn a_file_outside_of_the_workspace_is_named() {
    let machine = Machine::with_vx(Who::Person);
    let path = machine.home().join("ws");
    machine.write(path.join("Cargo.toml"), "[workspace]\nmembers = [\"a\"]\nresolver = \"2\"\n");
    machine.write(machine.home().join("README.md"), "read me");
    machine.write(path.join("a/Cargo.toml"), "[package]\nname = \"a\"\nversion = \"1.0.0\"\nedition = \"2021\"\n");
    machine.write(path.join("a/src/main.rs"), "fn main() { println!(include_str!(\"../../../README.md\")); }\n");
    let done = machine.run_in(&path, ["vx", "build"]);
    assert_eq!(done.code, 101);
    assert!(done.stderr.contains("README.md` is outside of the workspace"), "{}", done.stderr);
    // The lines that the error prints are all that is needed.
    let lines = done.stderr.lines().skip_while(|line| *line != "[[sandbox.exception]]");
    let lines: Vec<&str> = lines.take_while(|line| !line.is_empty()).collect();
    let configure = |text: &str| {
        machine.write(machine.home().join(".config/vx/vx.toml"), text);
        machine.run(["vxctl", "reload"]).ok();
    };
    configure(&lines.join("\n"));
    assert_eq!(machine.run_in(&path, ["vx", "run", "-q"]).ok(), "read me\n");
    assert!(machine.run_in(&path, ["vx", "build"]).stderr.contains(" 0 built"));
    machine.write(machine.home().join("README.md"), "read me too");
    assert_eq!(machine.run_in(&path, ["vx", "run", "-q"]).ok(), "read me too\n");
    assert!(machine.run(["vxctl", "status"]).ok().contains("read /home"), "it is shown");
    configure("");
    assert_eq!(machine.run_in(&path, ["vx", "build"]).code, 101);
    // A script's are by the same way where it looks for them.
    let script = "fn main() { println!(\"cargo::rustc-env=READ={}\", std::fs::read_to_string(\"../../README.md\").unwrap()); }\n";
    machine.write(path.join("a/build.rs"), script);
    machine.write(path.join("a/src/main.rs"), "fn main() { println!(env!(\"READ\")); }\n");
    assert_eq!(machine.run_in(&path, ["vx", "build"]).code, 101);
    configure(&lines.join("\n").replace("macros", "script"));
    assert_eq!(machine.run_in(&path, ["vx", "run", "-q"]).ok(), "read me too\n");
}

fn lay_out(machine: &Machine, at: &Path, case: &Case) {
    for (path, text) in case.files {
        machine.write(at.join(path), text);
    }
    for (to, link) in case.links {
        machine.run(["ln".as_ref(), "-s".as_ref(), Path::new(to).as_os_str(), at.join(link).as_os_str()]).ok();
    }
}

fn build(machine: &Machine, program: &str, at: &Path, case: &Case) -> Done {
    let words = ["env"].into_iter().chain(case.env.iter().copied()).chain([program, "build"]);
    machine.run_in(&at.join(case.cwd), words.chain(case.words.split_whitespace()))
}

/// What a build says of the project: not what was compiled, nor how long it took. Sorted, since the order is time's.
fn words(done: &Done, at: &Path) -> Vec<String> {
    let own = ["Compiling ", "Finished ", "Critical ", "Locking ", "Blocking "];
    // cargo lets it.
    let lost = "where vx keeps nothing: OUT_DIR is for that";
    let said = done.stderr.replace(&at.display().to_string(), "@");
    let lines = said.lines().filter(|line| !own.iter().any(|word| line.trim_start().starts_with(word)));
    let lines = lines.filter(|line| !line.ends_with(lost));
    let mut lines: Vec<String> = lines.map(str::to_owned).collect();
    lines.sort();
    lines
}

/// The files of a folder by name.
fn files(machine: &Machine, folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries =
        fs::read_dir(machine.outside(folder)).expect("a folder of outputs").map(|entry| entry.expect("an entry"));
    let named = entries.filter(|entry| entry.path().is_file()).map(|entry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        (name, fs::read(entry.path()).expect("an output"))
    });
    named.filter(|(name, _)| !name.starts_with('.')).collect()
}
