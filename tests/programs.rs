//! `vx run`: the person's own program beside what cargo does with it, on the descriptors and with the signals of the client.

use std::{
    io::{BufRead, BufReader, Write},
    path::PathBuf,
    process::{Child, Stdio},
};

use nix::sys::signal::Signal;

use crate::kit::{Done, Machine, Who};

const MAIN: &str = r#"
use std::io::Read;
fn main() {
    let args: Vec<_> = std::env::args().collect();
    println!("{args:?} in {}", std::env::current_dir().unwrap().display());
    for name in ["CARGO_MANIFEST_DIR", "CARGO_PKG_NAME", "OWN", "FROM_CONFIG", "FROM_SCRIPT", "OUT_DIR"] {
        println!("{name} {}", std::env::var(name).is_ok());
    }
    println!("{}", std::fs::read_to_string(std::env::var("OUT_DIR").unwrap() + "/made").unwrap());
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).unwrap();
    eprintln!("read {text:?}");
    match args.get(1).map(String::as_str) {
        Some("abort") => std::process::abort(),
        Some(code) => std::process::exit(code.parse().unwrap()),
        None => {}
    }
}
"#;
const SCRIPT: &str = r#"
fn main() {
    println!("cargo::rustc-env=FROM_SCRIPT=1");
    std::fs::write(std::env::var("OUT_DIR").unwrap() + "/made", "made").unwrap();
}
"#;

/// A package with two binaries, of which one is the default, an example and a script.
fn package(machine: &Machine) -> PathBuf {
    let path = machine.home().join("runs");
    let file = |below: &str, text: &str| machine.write(path.join(below), text);
    file("Cargo.toml", "[package]\nname = \"runs\"\nversion = \"1.0.0\"\nedition = \"2021\"\ndefault-run = \"runs\"\n");
    file(".cargo/config.toml", "[env]\nFROM_CONFIG = \"1\"\n");
    file("src/main.rs", MAIN);
    file("src/bin/other.rs", "fn main() {\n    println!(\"other {}\", env!(\"CARGO_BIN_NAME\"));\n}\n");
    file("examples/shown.rs", "fn main() {\n    println!(\"shown\");\n}\n");
    file("build.rs", SCRIPT);
    path
}

/// The same words for both, with something on standard input; standard error from where the program begins.
fn both(machine: &Machine, path: &std::path::Path, words: &str) -> [(i32, String, String); 2] {
    ["cargo", "vx"].map(|program| {
        let line = format!("umask 027; printf in | OWN=1 {program} run {words}");
        let Done { code, stdout, stderr, .. } = machine.run_in(path, ["bash", "-c", &line]);
        let from = stderr.find("     Running").or_else(|| stderr.find("error")).unwrap_or(0);
        // The shell's own words about a signal.
        let to = stderr.find("bash: line").unwrap_or(stderr.len());
        (code, stdout, stderr[from..to].replace("`cargo run`", "`vx run`"))
    })
}

#[test]
fn a_program_is_run_as_cargo_runs_it() {
    let machine = Machine::with_vx(Who::Person);
    let path = package(&machine);
    for words in [
        "",
        "7",
        "-- abort",
        "--bin other",
        "--example shown -- a 'b c'",
        "--bin other --example shown",
        "--release -q 3",
        "--bin 'o*'",
        "-p 'r*'",
    ] {
        let [cargo, vx] = both(&machine, &path, words);
        assert_eq!(cargo, vx, "{words}");
    }
    let [cargo, vx] = both(&machine, &path.join("src"), "--bin runs 0");
    assert_eq!(cargo, vx);
    machine.write(path.join("Cargo.toml"), "[package]\nname = \"runs\"\nversion = \"1.0.0\"\nedition = \"2021\"\n");
    let [cargo, vx] = both(&machine, &path, "");
    assert_eq!(cargo, vx);
    assert!(vx.0 == 101 && vx.2.contains("available binaries: other, runs"), "{vx:?}");
    let triple = "[target.'cfg(unix)']\nrunner = [\"/usr/bin/env\", \"OWN=runner\"]\n";
    machine.write(path.join(".cargo/config.toml"), format!("[env]\nFROM_CONFIG = \"1\"\n{triple}"));
    let [cargo, vx] = both(&machine, &path, "--bin runs 5");
    assert_eq!(cargo, vx);
    assert!(vx.2.contains("Running `/usr/bin/env OWN=runner target/debug/runs 5`"), "{}", vx.2);
}

/// A program that counts the lines it reads, and says which signal it got.
const LISTENER: &str = r#"
use std::io::Write;
extern "C" {
    fn signal(number: i32, handler: extern "C" fn(i32)) -> usize;
    fn umask(mask: u32) -> u32;
    fn write(fd: i32, bytes: *const u8, count: usize) -> isize;
}
extern "C" fn caught(number: i32) {
    // The main thread may be inside of println.
    let text: &[u8] = if number == 15 { b"caught 15\n" } else { b"caught 2\n" };
    unsafe { write(1, text.as_ptr(), text.len()) };
    if number == 15 {
        std::process::exit(9);
    }
}
fn main() {
    unsafe {
        signal(2, caught);
        signal(15, caught);
        println!("umask {:o}", umask(0));
    }
    println!("ready {}", std::process::id());
    for line in std::io::stdin().lines() {
        println!("line {}", line.unwrap());
        std::io::stdout().flush().unwrap();
    }
    loop {
        std::thread::sleep(std::time::Duration::from_secs(1));
    }
}
"#;

struct Talk {
    child: Child,
    said: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Talk {
    fn begin(machine: &Machine, path: &std::path::Path) -> Talk {
        let mut command = machine.command_in(path, ["sh", "-c", "umask 026; exec vx run -q"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("nsenter can be started");
        let said = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        Talk { child, said }
    }

    fn hears(&mut self) -> String {
        self.said.next().expect("it says more").expect("text")
    }

    fn signal(&self, machine: &Machine, signal: Signal) {
        let done = machine.sh(&format!("kill -{} $(pgrep -x vx)", signal.as_str().trim_start_matches("SIG")));
        assert_eq!(done.code, 0, "{}", done.stderr);
    }
}

#[test]
fn a_program_has_the_clients_descriptors_and_signals() {
    let machine = Machine::with_vx(Who::Person);
    let path = machine.home().join("listens");
    machine.write(path.join("Cargo.toml"), "[package]\nname = \"listens\"\nversion = \"1.0.0\"\nedition = \"2021\"\n");
    machine.write(path.join("src/main.rs"), LISTENER);
    let mut talk = Talk::begin(&machine, &path);
    assert_eq!(talk.hears(), "umask 26");
    assert!(talk.hears().starts_with("ready "));
    // It decides itself what an interrupt means, however many come.
    for _ in 0..3 {
        talk.signal(&machine, Signal::SIGINT);
        assert_eq!(talk.hears(), "caught 2");
    }
    let mut input = talk.child.stdin.take().expect("a pipe");
    writeln!(input, "hello").expect("it reads");
    assert_eq!(talk.hears(), "line hello");
    talk.signal(&machine, Signal::SIGTERM);
    assert_eq!(talk.hears(), "caught 15");
    assert_eq!(talk.child.wait().expect("it ends").code(), Some(9));
    // A client that is killed takes its program along.
    let mut talk = Talk::begin(&machine, &path);
    talk.hears();
    let ready = talk.hears();
    let program = ready.trim_start_matches("ready ").to_owned();
    talk.signal(&machine, Signal::SIGKILL);
    let _ended = talk.child.wait();
    machine.until("the program ends with its client", |machine| machine.sh(&format!("kill -0 {program}")).code != 0);
}
