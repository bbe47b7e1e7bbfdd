//! A real program through everything that is installed: ripgrep from its archive in the registry, with its own lock file, in
//! both profiles, again, and in a second folder.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    kit::{Machine, Who},
    messages,
};

const NAME: &str = "ripgrep-15.2.0";

/// Where cargo keeps the registry for this test run.
fn cargo_home() -> PathBuf {
    let home = || PathBuf::from(std::env::var_os("HOME").expect("HOME is set")).join(".cargo");
    std::env::var_os("CARGO_HOME").map_or_else(home, PathBuf::from)
}

fn cargo(words: &[&str], folder: &std::path::Path, home: &std::path::Path) {
    let done =
        Command::new("cargo").args(words).current_dir(folder).env("CARGO_HOME", home).output().expect("cargo runs");
    assert!(done.status.success(), "cargo {words:?}: {}", String::from_utf8_lossy(&done.stderr));
}

/// Unpacks two checkouts and gives the machine's person a CARGO_HOME with what the lock file names, and no more.
fn checkouts(machine: &Machine) {
    let (home, own) = (cargo_home(), machine.outside(machine.home().join(".cargo")));
    let find = || {
        let caches = fs::read_dir(home.join("registry/cache")).ok()?;
        caches.flatten().map(|cache| cache.path().join(format!("{NAME}.crate"))).find(|path| path.exists())
    };
    // Who has it needs no network.
    let archive = find().or_else(|| {
        cargo(&["info", "-q", "ripgrep@15.2.0"], &machine.outside(machine.home()), &home);
        find()
    });
    let archive = archive.expect("cargo has fetched the archive");
    for checkout in ["one", "two"] {
        let into = machine.outside(machine.home().join(checkout));
        fs::create_dir_all(&into).expect("a folder");
        let done = Command::new("tar")
            .arg("-xzf")
            .arg(&archive)
            .arg("-C")
            .arg(&into)
            .args(["--strip-components", "1"])
            .status();
        assert!(done.expect("tar runs").success());
    }
    let one = machine.outside(machine.home().join("one"));
    cargo(&["fetch", "--locked"], &one, &home);
    let copy = "umask 022; mkdir -p \"$2/registry/cache\"; flock \"$1/.package-cache\" cp -a \"$1/registry/index\" \"$2/registry/\"; cd \"$1/registry/cache\"; \
                sed -n 's/^name = \"\\(.*\\)\"/\\1/p; s/^version = \"\\(.*\\)\"/\\1/p' \"$3/Cargo.lock\" | paste -d- - - | \
                while read -r crate; do for file in */\"$crate\".crate; do if [ -e \"$file\" ]; then \
                mkdir -p \"$2/registry/cache/${file%/*}\"; cp \"$file\" \"$2/registry/cache/$file\"; fi; done; done";
    let done =
        Command::new("bash").args(["-ec", copy, "bash"]).arg(&home).arg(&own).arg(&one).output().expect("a shell");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let owner = format!("{0}:{0}", Who::Person.uid());
    let done = Command::new("chown").args(["-R", &owner]).arg(machine.outside(machine.home())).status();
    assert!(done.expect("chown runs").success());
}

/// Actions that the executor has run since its start.
fn ran(machine: &Machine) -> u64 {
    let said = machine.run(["vxctl", "status", "--json"]).ok();
    let status: serde_json::Value = serde_json::from_str(&said).expect("status is JSON");
    let services = status["services"].as_array().expect("a list of services");
    let exec = services.iter().find(|service| service["name"] == "vx-execd").expect("the executor is listed");
    exec["status"]["ran"].as_u64().unwrap_or_else(|| panic!("no `ran` in {exec}"))
}

#[test]
fn ripgrep_cold_again_and_in_a_second_folder() {
    let machine = Machine::with_vx(Who::Person);
    checkouts(&machine);
    let (one, two) = (machine.home().join("one"), machine.home().join("two"));
    for (profile, words) in
        [("debug", &["vx", "build", "--locked"][..]), ("release", &["vx", "build", "--locked", "--release"])]
    {
        let cold = machine.run_in(&one, words);
        assert_eq!(cold.code, 0, "{}\n{}", cold.stderr, machine.journal());
        let found =
            machine.run_in(&one, [&format!("target/{profile}/rg"), "--count-matches", "fn main", "crates"]).ok();
        assert!(found.contains("crates/core/main.rs:1"), "{found}");
        let before = ran(&machine);
        for folder in [&one, &two] {
            let done = machine.run_in(folder, words);
            assert!(done.code == 0 && done.stderr.contains(", 0 built"), "{}", done.stderr);
        }
        assert_eq!(ran(&machine), before, "something was run although everything was there");
        machine.run(["cmp", &format!("one/target/{profile}/rg"), &format!("two/target/{profile}/rg")]).ok();
    }
    let said = |program: &str, at: &Path| {
        let done = machine.run_in(at, [program, "build", "--locked", "--message-format", "json"]);
        assert_eq!(done.code, 0, "{}", done.stderr);
        messages::lines(&done.stdout, at)
    };
    assert_eq!(said("vx", &one), said("cargo", &two), "messages for programs are cargo's");
    asks_cargo(&machine, &two);
}

/// A script of the person's own that asks cargo about packages is answered as outside.
fn asks_cargo(machine: &Machine, folder: &Path) {
    let script = "fn main() {\n    let cargo = std::env::var(\"CARGO\").unwrap();\n    \
                  let said = std::process::Command::new(cargo).args([\"metadata\", \"--format-version\", \"1\"]).output().unwrap();\n    \
                  assert!(said.status.success(), \"{}\", String::from_utf8_lossy(&said.stderr));\n    \
                  let packages = String::from_utf8_lossy(&said.stdout).matches(\"manifest_path\").count();\n    \
                  println!(\"cargo::rerun-if-changed=build.rs\\ncargo::warning=packages: {packages}\");\n}\n";
    machine.write(folder.join("build.rs"), script);
    let metadata = machine.run_in(folder, ["cargo", "metadata", "--format-version", "1"]).ok();
    let packages = format!("packages: {}", metadata.matches("manifest_path").count());
    for state in ["made", "kept"] {
        let done = machine.run_in(folder, ["vx", "check", "--locked", "--message-format", "short"]);
        assert!(done.code == 0 && done.stderr.contains(&packages), "{}", done.stderr);
        assert!(!done.stderr.contains("tried to"), "{}", done.stderr);
        assert!(state == "made" || done.stderr.contains(" 0 built"), "{}", done.stderr);
    }
    let tried = machine.run_in(folder, ["vx", "audit", "ripgrep"]).ok();
    assert!(tried.contains("granted read ") && tried.contains("/.cargo/registry"), "{tried}");
}
