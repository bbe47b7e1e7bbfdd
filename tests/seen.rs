//! Inputs are seen: what a build of the workspace's own packages opened is what its key holds, no more and no less. Stale games
//! that fool a look at times or at declared files, and edits that must rebuild nothing.

use std::path::PathBuf;

use crate::kit::{Machine, Who};

/// A workspace in the machine.
struct Workspace<'a> {
    machine: &'a Machine,
    path: PathBuf,
}

fn manifest(name: &str, more: &str) -> String {
    format!("[package]\nname = \"{name}\"\nversion = \"1.0.0\"\nedition = \"2021\"\n{more}")
}

impl<'a> Workspace<'a> {
    fn new(machine: &'a Machine, name: &str, members: &[&str]) -> Self {
        let workspace = Workspace { machine, path: machine.home().join(name) };
        let members: Vec<String> = members.iter().map(|member| format!("\"{member}\"")).collect();
        workspace.file("Cargo.toml", &format!("[workspace]\nmembers = [{}]\nresolver = \"2\"\n", members.join(", ")));
        workspace
    }

    fn file(&self, below: &str, text: &str) {
        self.machine.write(self.path.join(below), text);
    }

    /// A line of shell in its folder.
    fn sh(&self, line: &str) -> String {
        self.machine.run_in(&self.path, ["sh", "-ec", line]).ok()
    }

    /// Builds it; how many units were run.
    #[track_caller]
    fn build(&self) -> u64 {
        let done = self.machine.run_in(&self.path, ["vx", "build"]);
        assert_eq!(done.code, 0, "{}\n{}", done.stderr, self.machine.journal());
        let (counted, _) =
            done.stderr.rsplit_once(" built").unwrap_or_else(|| panic!("no closing line: {}", done.stderr));
        counted.rsplit(' ').next().and_then(|count| count.parse().ok()).expect("a count")
    }

    /// What its program prints now.
    #[track_caller]
    fn says(&self) -> String {
        self.machine.run_in(&self.path, [self.path.join("target/debug/app")]).ok()
    }

    /// Builds it; the units run and what the program prints.
    #[track_caller]
    fn built(&self) -> (u64, String) {
        let ran = self.build();
        (ran, self.says())
    }
}

#[test]
fn content_counts_and_not_its_time() {
    let machine = Machine::with_vx(Who::Person);
    let workspace = Workspace::new(&machine, "ws", &["app"]);
    workspace.file("app/Cargo.toml", &manifest("app", ""));
    workspace.file(
        "app/src/main.rs",
        "mod m;\nfn main() { println!(\"{} {}\", m::M, include_str!(\"../../shared/text\").trim()); }\n",
    );
    workspace.file("app/src/m.rs", "pub const M: u8 = 1;\n");
    workspace.file("app/src/idle.rs", "not a module\n");
    workspace.file("shared/text", "one\n");
    workspace.file("README.md", "read\n");
    assert_eq!(workspace.built(), (1, "1 one\n".to_owned()));
    // The same size, the old time put back.
    workspace.sh("touch -r app/src/m.rs t && echo 'pub const M: u8 = 2;' >app/src/m.rs && touch -r t app/src/m.rs");
    assert_eq!(workspace.built(), (1, "2 one\n".to_owned()));
    // A file elsewhere in the workspace.
    workspace.sh("touch -r shared/text t && echo two >shared/text && touch -r t shared/text && rm t");
    assert_eq!(workspace.built(), (1, "2 two\n".to_owned()));
    // An older file moved over it.
    workspace.sh("echo 'pub const M: u8 = 3;' >old && touch -d 2001-01-01 old && mv old app/src/m.rs");
    assert_eq!(workspace.built(), (1, "3 two\n".to_owned()));
    // Back to what was built before, and things that nobody opened.
    workspace.sh("echo 'pub const M: u8 = 1;' >app/src/m.rs && echo one >shared/text");
    assert_eq!(workspace.built(), (0, "1 one\n".to_owned()));
    workspace.sh("echo more >>README.md && echo more >>app/src/idle.rs && echo '[' >app/src/new.rs && mkdir docs && touch docs/x app/src/.m.rs.swp");
    assert_eq!(workspace.built(), (0, "1 one\n".to_owned()));
    // The module moves: m.rs makes way for m/mod.rs; then both are there, which is an error.
    workspace.sh("mkdir app/src/m && echo 'pub const M: u8 = 4;' >app/src/m/mod.rs && rm app/src/m.rs");
    assert_eq!(workspace.built(), (1, "4 one\n".to_owned()));
    workspace.sh("echo 'pub const M: u8 = 1;' >app/src/m.rs");
    let both = machine.run_in(&workspace.path, ["vx", "build"]);
    assert!(both.code == 101 && both.stderr.contains("E0761"), "{}", both.stderr);
    workspace.sh("rm -r app/src/m");
    assert_eq!(workspace.built(), (0, "1 one\n".to_owned()));
}

#[test]
fn a_link_is_followed_and_its_target_counts() {
    let machine = Machine::with_vx(Who::Person);
    let workspace = Workspace::new(&machine, "ws", &["app"]);
    workspace.file("app/Cargo.toml", &manifest("app", ""));
    workspace.file("app/src/main.rs", "#[path = \"../links/m.rs\"]\nmod m;\nfn main() { println!(\"{}\", m::M); }\n");
    workspace.file("shared/one.rs", "pub const M: u8 = 1;\n");
    workspace.file("shared/two.rs", "pub const M: u8 = 2;\n");
    workspace.sh("mkdir app/links && ln -s ../../shared/one.rs app/links/m.rs");
    assert_eq!(workspace.built(), (1, "1\n".to_owned()));
    workspace.sh("ln -sfn ../../shared/two.rs app/links/m.rs");
    assert_eq!(workspace.built(), (1, "2\n".to_owned()));
    workspace.sh("ln -sfn ../../shared/one.rs app/links/m.rs");
    assert_eq!(workspace.built(), (0, "1\n".to_owned()));
    // By the checkout's own place.
    workspace.sh("ln -sfn \"$PWD/shared\" app/links/shared && ln -sfn \"$PWD/app/links/shared/two.rs\" app/links/m.rs");
    assert_eq!(workspace.built(), (1, "2\n".to_owned()));
    workspace.file("shared/two.rs", "pub const M: u8 = 5;\n");
    assert_eq!(workspace.built(), (1, "5\n".to_owned()));
    workspace.sh("ln -sfn ../../shared app/links/shared");
    assert_eq!(workspace.built().1, "5\n");
    workspace.sh("mkdir other && echo 'pub const M: u8 = 6;' >other/two.rs && ln -sfn ../../other app/links/shared");
    assert_eq!(workspace.built(), (1, "6\n".to_owned()));
}

/// A macro that makes one constant of all names and contents in a folder of the workspace, and of `.env` where that is.
const MACRO: &str = r#"
#[proc_macro]
pub fn folder(_: proc_macro::TokenStream) -> proc_macro::TokenStream {
    let root = std::env::var("CARGO_MANIFEST_DIR").unwrap() + "/../";
    let mut names: Vec<_> = std::fs::read_dir(root.clone() + "data").unwrap().map(|e| e.unwrap().path()).collect();
    names.sort();
    let mut text = String::new();
    for path in names {
        text += &format!("{}={} ", path.file_name().unwrap().to_str().unwrap(), std::fs::read_to_string(&path).unwrap().trim());
    }
    text += &std::fs::read_to_string(root + ".env").unwrap_or("none".into());
    format!("{:?}", text.trim()).parse().unwrap()
}
"#;

#[test]
fn what_a_macro_reads_counts() {
    let machine = Machine::with_vx(Who::Person);
    let workspace = Workspace::new(&machine, "ws", &["app", "mac"]);
    workspace.file("mac/Cargo.toml", &manifest("mac", "[lib]\nproc-macro = true\n"));
    workspace.file("mac/src/lib.rs", MACRO);
    workspace.file("app/Cargo.toml", &manifest("app", "[dependencies]\nmac = { path = \"../mac\" }\n"));
    workspace.file("app/src/main.rs", "fn main() { println!(\"{}\", mac::folder!()); }\n");
    workspace.file("data/a", "1\n");
    assert_eq!(workspace.built(), (2, "a=1 none\n".to_owned()));
    workspace.file("data/b", "2\n");
    assert_eq!(workspace.built(), (1, "a=1 b=2 none\n".to_owned()));
    workspace.sh("touch -r data/a t && echo 3 >data/a && touch -r t data/a");
    assert_eq!(workspace.built(), (1, "a=3 b=2 none\n".to_owned()));
    // Asked for and not there before.
    workspace.file(".env", "here");
    assert_eq!(workspace.built(), (1, "a=3 b=2 here\n".to_owned()));
    workspace.sh("rm .env t; rm data/b; echo 1 >data/a");
    assert_eq!(workspace.built(), (0, "a=1 none\n".to_owned()));
}

const SCRIPT: &str = r#"
fn main() {
    println!("cargo::rerun-if-changed=maybe");
    let flag = std::fs::read_to_string("../flag").unwrap_or_default();
    let more = if flag.trim() == "on" { std::fs::read_to_string("../more").unwrap() } else { "off".into() };
    let names = std::fs::read_dir("data").unwrap().count();
    println!("cargo::rustc-env=SAYS={} {} {}", more.trim(), names, std::path::Path::new("maybe").exists());
}
"#;

#[test]
fn what_a_script_reads_lists_and_declares_counts() {
    let machine = Machine::with_vx(Who::Person);
    let workspace = Workspace::new(&machine, "ws", &["app"]);
    workspace.file("app/Cargo.toml", &manifest("app", ""));
    workspace.file("app/build.rs", SCRIPT);
    workspace.file("app/src/main.rs", "fn main() { println!(env!(\"SAYS\")); }\n");
    workspace.file("app/data/a", "");
    workspace.file("flag", "off\n");
    workspace.file("more", "one\n");
    assert_eq!(workspace.built(), (3, "off 1 false\n".to_owned()));
    // Not read yet: no reason to run, but that `maybe` was asked for and is not there.
    workspace.file("more", "two\n");
    assert_eq!(workspace.built().0, 1);
    workspace.file("flag", "on\n");
    assert_eq!(workspace.built(), (2, "two 1 false\n".to_owned()));
    // Read since.
    workspace.file("more", "three\n");
    assert_eq!(workspace.built(), (2, "three 1 false\n".to_owned()));
    workspace.file("app/data/b", "");
    assert_eq!(workspace.built(), (2, "three 2 false\n".to_owned()));
    // Declared, and absent until now.
    workspace.file("app/maybe", "");
    assert_eq!(workspace.built(), (2, "three 2 true\n".to_owned()));
    assert_eq!(workspace.built().0, 0);
    workspace.sh("rm app/maybe app/data/b; echo off >flag");
    assert_eq!(workspace.built(), (1, "off 1 false\n".to_owned()));
}

/// By the name of something that never is, scripts ask to be run each time.
#[test]
fn a_script_that_asks_for_what_is_not_there_is_run_each_time() {
    let machine = Machine::with_vx(Who::Person);
    let workspace = Workspace::new(&machine, "absent", &["app"]);
    workspace.file("app/Cargo.toml", &manifest("app", ""));
    workspace.file("app/src/main.rs", "fn main() {\n    print!(\"{}\", env!(\"SIZE\"));\n}\n");
    let script = "fn main() {\n    println!(\"cargo::rerun-if-changed=always\");\n    \
                  println!(\"cargo::rustc-env=SIZE={}\", std::fs::metadata(\"data\").unwrap().len());\n}\n";
    workspace.file("app/build.rs", script);
    workspace.file("app/data", "1");
    assert_eq!(workspace.built(), (3, "1".into()));
    assert_eq!(workspace.built(), (1, "1".into()), "the script alone");
    workspace.file("app/data", "123");
    assert_eq!(workspace.built(), (2, "3".into()));
    workspace.file("app/always", "");
    assert_eq!(workspace.built(), (1, "3".into()));
    assert_eq!(workspace.built(), (0, "3".into()), "it is there");
}

#[test]
fn the_commit_counts_for_who_reads_it() {
    let machine = Machine::with_vx(Who::Person);
    let workspace = Workspace::new(&machine, "ws", &["app", "other"]);
    workspace.file("app/Cargo.toml", &manifest("app", "[dependencies]\nother = { path = \"../other\" }\n"));
    // The usual words of such scripts; the commit counts by itself.
    let script = "fn main() {\n    println!(\"cargo::rerun-if-changed=build.rs\");\n    \
        println!(\"cargo::rerun-if-changed=../.git/HEAD\\ncargo::rerun-if-changed=../.git/refs/heads/main\");\n    \
        let out = std::process::Command::new(\"git\").args([\"rev-parse\", \"HEAD\"]).output().unwrap();\n    \
        println!(\"cargo::rustc-env=COMMIT={}\", String::from_utf8(out.stdout).unwrap().trim());\n    \
        assert!(!std::fs::read_to_string(\"../.git/config\").unwrap().contains(\"secret\"));\n}\n";
    workspace.file("app/build.rs", script);
    workspace.file("app/src/main.rs", "fn main() { println!(\"{}\", env!(\"COMMIT\")); other::other(); }\n");
    workspace.file("other/Cargo.toml", &manifest("other", ""));
    workspace.file("other/build.rs", "fn main() { println!(\"cargo::rerun-if-changed=build.rs\"); }\n");
    workspace.file("other/src/lib.rs", "pub fn other() {}\n");
    workspace.file(".gitignore", "target\n");
    let commit =
        "git add -A && git -c user.name=n -c user.email=e@e commit -q --allow-empty -m m && git rev-parse HEAD";
    let secret = "git config http.extraheader secret && git config remote.origin.url https://secret@host/";
    let first = workspace.sh(&format!("git init -q -b main . && {secret} && {commit}"));
    assert_eq!(workspace.built(), (6, first.clone()));
    let second = workspace.sh(commit);
    assert_ne!(first, second);
    assert_eq!(workspace.built(), (2, second.clone()), "the script that reads the commit, and what it is for");
    workspace.sh("git pack-refs --all && git tag of-no-matter-to-vx && git tag -d of-no-matter-to-vx");
    assert_eq!(workspace.built(), (0, second));
    workspace.sh("git reset -q --soft HEAD~1");
    assert_eq!(workspace.built(), (0, first.clone()));
    // A worktree has its own HEAD, whose branch the script could read too, and shares all else.
    workspace.sh("git worktree add -q ../tree -b side");
    let tree = Workspace { machine: &machine, path: machine.home().join("tree") };
    assert_eq!(tree.built(), (1, first));
}

#[test]
fn what_git_calls_dirty_counts_for_who_asks_it() {
    let machine = Machine::with_vx(Who::Person);
    let workspace = Workspace::new(&machine, "ws", &["app", "other"]);
    workspace.file("app/Cargo.toml", &manifest("app", ""));
    workspace.file(
        "app/build.rs",
        "fn main() {\n    println!(\"cargo::rerun-if-changed=build.rs\");\n    \
         let git = |words: &[&str]| std::process::Command::new(\"git\").args(words).output().unwrap();\n    \
         let out = git(&[\"describe\", \"--tags\", \"--dirty\"]).stdout;\n    \
         let quiet = git(&[\"diff-index\", \"--quiet\", \"HEAD\"]).status.success();\n    \
         assert!(std::path::Path::new(\"../.git/logs/HEAD\").exists());\n    \
         println!(\"cargo::rustc-env=SAYS={} {quiet}\", String::from_utf8(out).unwrap().trim());\n}\n",
    );
    workspace.file("app/src/main.rs", "fn main() { println!(env!(\"SAYS\")); }\n");
    workspace.file("other/Cargo.toml", &manifest("other", ""));
    workspace.file("other/src/lib.rs", "pub fn other() {}\n");
    workspace.file(".gitignore", "target\nCargo.lock\n");
    let commit = "git add -A && git -c user.name=n -c user.email=e@e commit -q -m m";
    workspace.sh(&format!("git init -q -b main . && {commit} && git tag v1"));
    assert_eq!(workspace.built().1, "v1 true\n");
    workspace.sh("cp -r . ../clone");
    workspace.sh("touch app/src/main.rs && git status >/dev/null");
    assert_eq!(workspace.built(), (0, "v1 true\n".to_owned()), "new stamps are no change");
    // Nothing of another member is opened by git while its stamp is the one in the index.
    workspace.sh("echo >>other/src/lib.rs");
    assert_eq!(workspace.built().1, "v1-dirty false\n");
    workspace.sh("git checkout -q other && rm other/src/lib.rs && touch -d '-1 day' other && echo 'pub fn o() {}' >other/src/lib.rs");
    assert_eq!(workspace.built().1, "v1-dirty false\n");
    workspace.sh(commit);
    assert_eq!(workspace.sh("git describe --tags --dirty"), workspace.built().1.replace(" true", ""));
    workspace.sh("git checkout -q v1 && git status >/dev/null");
    assert_eq!(workspace.built().1, "v1 true\n");
    let clone = Workspace { machine: &machine, path: machine.home().join("clone") };
    clone.sh("git status >/dev/null");
    assert_eq!(clone.built(), (0, "v1 true\n".to_owned()));
}

#[test]
fn a_second_checkout_is_all_hits_and_target_folders_do_not_matter() {
    let machine = Machine::with_vx(Who::Person);
    let names = ["one", "two"];
    for name in names {
        let workspace = Workspace::new(&machine, name, &["app", "mac"]);
        workspace.file("mac/Cargo.toml", &manifest("mac", "[lib]\nproc-macro = true\n"));
        workspace.file("mac/src/lib.rs", MACRO);
        workspace.file("app/Cargo.toml", &manifest("app", "[dependencies]\nmac = { path = \"../mac\" }\n"));
        workspace.file(
            "app/build.rs",
            "fn main() { println!(\"cargo::rustc-env=N={}\", std::fs::read_dir(\"..\").unwrap().count()); }\n",
        );
        workspace.file("app/src/main.rs", "fn main() { println!(\"{} {}\", mac::folder!(), env!(\"N\")); }\n");
        workspace.file("data/a", "1\n");
        workspace.file(".cargo/config.toml", "[build]\ntarget-dir = \"out/t\"\n");
    }
    let at = |name: &str| Workspace { machine: &machine, path: machine.home().join(name) };
    at("one").sh("cargo generate-lockfile -q && cp Cargo.lock ../two/");
    assert_eq!(at("one").build(), 4);
    for name in ["one", "two", "two"] {
        assert_eq!(at(name).build(), 0, "{name}");
    }
    let cmp = machine.run(["cmp", "one/out/t/debug/app", "two/out/t/debug/app"]);
    assert_eq!(cmp.code, 0, "{}", cmp.stdout);
}

#[test]
fn an_edit_during_the_run_is_not_kept_under_the_wrong_name() {
    let machine = Machine::with_vx(Who::Person);
    let workspace = Workspace::new(&machine, "ws", &["app"]);
    workspace.file("app/Cargo.toml", &manifest("app", ""));
    let script = "fn main() {\n    println!(\"cargo::rerun-if-changed=build.rs\");\n    \
        let text = std::fs::read_to_string(\"../text\").unwrap();\n    \
        if text.trim() == \"one\" { std::process::Command::new(\"sleep\").arg(\"171.25\").status().unwrap(); }\n    \
        println!(\"cargo::rustc-env=SAYS={}\", text.trim());\n}\n";
    workspace.file("app/build.rs", script);
    workspace.file("app/src/main.rs", "fn main() { println!(env!(\"SAYS\")); }\n");
    workspace.file("text", "one\n");
    let sleep = |program: &str| machine.run([program, "-x", "-f", "sleep 171.25"]).code == 0;
    let built_beside = |meanwhile: &str| {
        let mut build = machine.command_in(&workspace.path, ["vx", "build"]).spawn().expect("vx starts");
        machine.until("the script has read the text", |_| sleep("pgrep"));
        workspace.sh(meanwhile);
        assert!(sleep("pkill"), "it did not wait");
        assert!(build.wait().expect("it ends").success());
        workspace.says()
    };
    let edit = "touch -r text t && echo two >text && touch -r t text && rm t";
    assert_eq!(built_beside(edit), "two\n", "run again with what is there");
    assert_eq!(workspace.built(), (0, "two\n".to_owned()));
    workspace.file("text", "one\n");
    // It reads again: nothing was kept under the old text.
    assert_eq!(built_beside("true"), "one\n");
}

/// Each way in which an output comes to hold the place of its checkout without rustc's knowing.
#[test]
fn what_holds_its_place_holds_the_persons_own() {
    let machine = Machine::with_vx(Who::Person);
    let code = |body: &str| {
        format!(
            "#[proc_macro]\npub fn place(_: proc_macro::TokenStream) -> proc_macro::TokenStream {{\n    {body}\n}}\n"
        )
    };
    for name in ["one", "two"] {
        let workspace = Workspace::new(&machine, name, &["app", "mac", "plain"]);
        workspace.file("mac/Cargo.toml", &manifest("mac", "[lib]\nproc-macro = true\n"));
        workspace.file(
            "mac/src/lib.rs",
            &code("format!(\"({:?}, {:?})\", std::env::var(\"CARGO_MANIFEST_DIR\").unwrap(), std::env::current_dir().unwrap()).parse().unwrap()"),
        );
        workspace.file("plain/Cargo.toml", &manifest("plain", "[dependencies]\nmac = { path = \"../mac\" }\n"));
        workspace.file("plain/src/lib.rs", "pub fn plain() -> &'static str { file!() }\n");
        let dependencies = "[dependencies]\nmac = { path = \"../mac\" }\nplain = { path = \"../plain\" }\n";
        workspace.file("app/Cargo.toml", &manifest("app", dependencies));
        let script = "fn main() {\n    println!(\"cargo::rerun-if-changed=build.rs\");\n    \
            let text = format!(\"pub const DATA: &str = {:?};\", std::env::current_dir().unwrap().join(\"data\"));\n    \
            std::fs::write(std::env::var(\"OUT_DIR\").unwrap() + \"/made.rs\", text).unwrap();\n}\n";
        workspace.file("app/build.rs", script);
        let main = "include!(concat!(env!(\"OUT_DIR\"), \"/made.rs\"));\nfn main() {\n    let (dir, cwd) = mac::place!();\n    \
            println!(\"{dir} {cwd} {DATA} {}\", plain::plain());\n}\n";
        workspace.file("app/src/main.rs", main);
    }
    let at = |name: &str| Workspace { machine: &machine, path: machine.home().join(name) };
    let says = |name: &str| {
        let path = at(name).path.display().to_string();
        format!("{path}/app {path} {path}/app/data plain/src/lib.rs\n")
    };
    assert_eq!(at("one").built().1, says("one"));
    // What names no place is shared: the macro, the plain library and the script's program.
    assert_eq!(at("two").built(), (2, says("two")));
    for name in ["one", "two"] {
        assert_eq!(at(name).built(), (0, says(name)));
    }
}

#[test]
fn why_names_what_changed_also_after_a_restart() {
    let machine = Machine::with_vx(Who::Person);
    let workspace = Workspace::new(&machine, "ws", &["app", "base"]);
    workspace.file("app/Cargo.toml", &manifest("app", "[dependencies]\nbase = { path = \"../base\" }\n"));
    workspace.file("app/src/main.rs", "fn main() { println!(\"{} {:?}\", base::B, option_env!(\"MINE\")); }\n");
    workspace.file("base/Cargo.toml", &manifest("base", ""));
    workspace.file("base/build.rs", "fn main() { println!(\"cargo::rerun-if-changed=data\"); }\n");
    workspace.file("base/data/a", "");
    workspace.file("base/src/lib.rs", "pub const B: u8 = 1;\n");
    let why = |words: &str| machine.run_in(&workspace.path, ["sh", "-c", &format!("vx why {words}")]);
    assert_eq!(why("app").code, 1, "nothing was built yet");
    workspace.build();
    assert!(why("app bin").ok().contains("built\n  first build here\n"));
    workspace.file("base/src/lib.rs", "pub const B: u8 = 2;\n");
    let verbose = machine.run_in(&workspace.path, ["vx", "build", "-v"]);
    assert!(verbose.stderr.contains(": base/src/lib.rs changed\n"), "{}", verbose.stderr);
    machine.run(["systemctl", "--user", "stop", "vx.service"]).ok();
    assert_eq!(why("base lib").ok(), "base v1.0.0 (lib): built\n  base/src/lib.rs changed\n");
    assert_eq!(why("app").ok(), "app v1.0.0 (bin \"app\"): built\n  base v1.0.0 (lib) changed\n");
    assert_eq!(why("build script of base run").ok(), "base v1.0.0 (build script run): hit: its result was found\n");
    workspace.file("base/data/b", "");
    workspace.build();
    let said = why("").ok();
    assert!(
        said.starts_with("base v1.0.0 (build script run): built\n") && said.contains("base/data/b is new\n"),
        "{said}"
    );
    let done = machine.run_in(&workspace.path, ["env", "MINE=5", "vx", "build"]);
    assert_eq!(done.code, 0, "{}", done.stderr);
    assert!(why("app").ok().contains("variable MINE changed"), "{}", why("app").stdout);
    let none = why("nothing-of-this-name");
    assert_eq!((none.code, none.stdout.as_str()), (1, ""));
}
