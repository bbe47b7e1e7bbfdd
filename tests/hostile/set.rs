//! A set of hostile build scripts and macros, each a small package that `vx build` builds: what it gets, whether it is named, and
//! that the machine is afterwards what it was. `cargo test --test tests hostile::set -- --nocapture` prints what came of each.

use std::fmt::Write as _;

use super::Doors;
use crate::{
    kit::{Machine, Who},
    ladder::{TAKEN, take},
};

/// What of a package is hostile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Script,
    Macro,
}
use Part::{Macro, Script};

/// Name, part, what it does as the body of a function that says what came of it; what it says on `full` and on `landlock`; and
/// what of it the person reads, where anything was refused that says something about who tried. What begins with `!` are words of
/// the error with which the build ends.
type Row = (&'static str, Part, &'static str, [&'static str; 2], &'static str);

const SET: &[Row] = &[
    // Reading.
    ("read-key", Script, r#"said(fs::read(home(".ssh/id_ed25519")))"#, ["ENOENT", "EACCES"], "open ~/.ssh/id_ed25519"),
    ("read-key-in-macro", Macro, r#"said(fs::read(home(".ssh/id_ed25519")))"#, ["ENOENT", "EACCES"], ""),
    (
        "read-credentials",
        Script,
        r#"said(fs::read(home(".cargo/credentials.toml")))"#,
        ["ENOENT", "EACCES"],
        "open ~/.cargo/credentials.toml",
    ),
    ("list-home", Script, r#"said(fs::read_dir(home("")))"#, ["ENOENT", "EACCES"], ""),
    (
        "read-other-checkout",
        Script,
        r#"said(fs::read(home("other/secret.rs")))"#,
        ["ENOENT", "EACCES"],
        "open ~/other/secret.rs",
    ),
    (
        "read-by-cat",
        Script,
        r#"Command::new("cat").arg(home(".ssh/id_ed25519")).output().unwrap().status.to_string()"#,
        ["exit status: 1", "exit status: 1"],
        "open ~/.ssh/id_ed25519",
    ),
    (
        "read-secret-variable",
        Script,
        r#"std::env::var("DEPLOY_TOKEN").unwrap_or("unset".into())"#,
        ["unset", "unset"],
        "",
    ),
    (
        "read-secret-variable-in-macro",
        Macro,
        r#"std::env::var("DEPLOY_TOKEN").unwrap_or("unset".into())"#,
        ["unset", "unset"],
        "",
    ),
    (
        "read-environments",
        Script,
        r#"
        let found = (1..40_000).filter_map(|pid| fs::read(format!("/proc/{pid}/environ")).ok());
        format!("{} of others", found.filter(|text| text.windows(12).any(|at| at == b"DEPLOY_TOKEN")).count())"#,
        ["0 of others", "0 of others"],
        "",
    ),
    (
        "link-to-password-file",
        Script,
        r#"
        std::os::unix::fs::symlink("/etc/passwd", out("passwd")).unwrap();
        said(fs::read_to_string(out("passwd")).map(|text| assert!(!text.contains("daemon:"))))"#,
        ["open", "EACCES"],
        "",
    ),
    // Writing.
    (
        "write-bashrc",
        Script,
        r#"said(OpenOptions::new().append(true).open(home(".bashrc")))"#,
        ["ENOENT", "EACCES"],
        "write ~/.bashrc",
    ),
    (
        "write-bashrc-in-macro",
        Macro,
        r#"said(OpenOptions::new().append(true).open(home(".bashrc")))"#,
        ["ENOENT", "EACCES"],
        "",
    ),
    ("write-autostart", Script, r#"said(fs::create_dir_all(home(".config/autostart")))"#, ["EROFS", "EACCES"], ""),
    ("write-own-sources", Script, r#"said(fs::write("src/lib.rs", "compile_error!();"))"#, ["open", "open"], ""),
    (
        "write-cargo-config",
        Script,
        r#"said(fs::create_dir(".cargo").and_then(|()| fs::write(".cargo/config.toml", "broken")))"#,
        ["open", "open"],
        "",
    ),
    (
        "write-cargo-config-in-macro",
        Macro,
        r#"said(fs::create_dir(".cargo").and_then(|()| fs::write(".cargo/config.toml", "broken")))"#,
        ["EROFS", "EACCES"],
        "",
    ),
    (
        "write-hook",
        Script,
        r#"said(fs::create_dir_all(".git/hooks").and_then(|()| fs::write(".git/hooks/pre-commit", "rm -rf /")))"#,
        ["open", "open"],
        "",
    ),
    (
        "write-toolchain",
        Script,
        r#"
        let path = std::env::var("PATH").unwrap();
        said(OpenOptions::new().write(true).open(format!("{}/rustc", path.split(':').next().unwrap())))"#,
        ["EACCES", "EACCES"],
        "",
    ),
    ("write-system", Script, r#"said(fs::write("/usr/local/bin/ls", "evil"))"#, ["EROFS", "EACCES"], ""),
    (
        "remove-everything",
        Script,
        r#"Command::new("sh").args(["-c", "rm -rf /home ~ /usr/local/bin /vx/toolchain 2>/dev/null; echo done"]).output().unwrap(); "tried".into()"#,
        ["tried", "tried"],
        "",
    ),
    (
        "pipes-and-sockets-as-outputs",
        Script,
        r#"
        Command::new("mkfifo").arg(out("pipe")).status().unwrap();
        said(std::os::unix::net::UnixListener::bind(out("socket")))"#,
        ["open", "EPERM"],
        "",
    ),
    // Connecting.
    (
        "connect",
        Script,
        r#"said(TcpStream::connect("192.0.2.1:80"))"#,
        ["ENETUNREACH", "EPERM"],
        "connect to 192.0.2.1:80",
    ),
    ("connect-in-macro", Macro, r#"said(TcpStream::connect("127.0.0.1:PORT"))"#, ["ENETUNREACH", "EPERM"], ""),
    (
        "connect-to-this-machine",
        Script,
        r#"said(TcpStream::connect("127.0.0.1:PORT"))"#,
        ["ENETUNREACH", "EPERM"],
        "connect to 127.0.0.1:PORT",
    ),
    (
        "look-up-a-name",
        Script,
        r#"
        use std::net::ToSocketAddrs;
        ("vx.example.org", 80).to_socket_addrs().map_or("none".into(), |_| "open".into())"#,
        ["none", "none"],
        "look up a host's name",
    ),
    (
        "send-a-datagram",
        Script,
        r#"said(UdpSocket::bind("0.0.0.0:0").and_then(|socket| socket.send_to(b"key", "192.0.2.1:53")))"#,
        ["ENETUNREACH", "EPERM"],
        "connect to 192.0.2.1:53",
    ),
    (
        "listen",
        Script,
        r#"said(TcpListener::bind("0.0.0.0:0").and_then(|door| TcpStream::connect(door.local_addr()?)))"#,
        ["ENETUNREACH", "EPERM"],
        "",
    ),
    (
        "ask-the-session-bus",
        Script,
        r#"said(UnixStream::connect("/run/user/UID/bus"))"#,
        ["ENOENT", "EPERM"],
        "connect to /run/user/UID/bus",
    ),
    (
        "ask-the-agent",
        Script,
        r#"said(UnixStream::connect(home("agent.sock")))"#,
        ["ENOENT", "EPERM"],
        "connect to /home/vx-tester/agent.sock",
    ),
    ("ask-the-agent-in-macro", Macro, r#"said(UnixStream::connect(home("agent.sock")))"#, ["ENOENT", "EPERM"], ""),
    (
        "have-vx-run-it",
        Script,
        r#"said(UnixStream::connect("/run/user/UID/vx/exec.sock"))"#,
        ["ENOENT", "EPERM"],
        "connect to /run/user/UID/vx/exec.sock",
    ),
    // Staying.
    (
        "outlive",
        Script,
        r#"said(Command::new("setsid").args(["-f", "sleep", "SLEEP"]).status())"#,
        ["open", "open"],
        "",
    ),
    (
        "outlive-in-macro",
        Macro,
        r#"said(Command::new("setsid").args(["-f", "sleep", "SLEEP"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status())"#,
        ["open", "open"],
        "",
    ),
    ("hold-the-output-open", Script, r#"said(Command::new("sleep").arg("SLEEP").spawn())"#, ["open", "open"], ""),
    (
        "kill-everybody",
        Script,
        r#"Command::new("sh").args(["-c", "kill -9 -1; kill -9 $PPID"]).status().unwrap().to_string()"#,
        ["!signal: 9", "!signal: 9"],
        "",
    ),
    // Filling.
    (
        "fill-the-disk",
        Script,
        r#"
        let megabyte = vec![1_u8; 1 << 20];
        for number in 0.. { if fs::write(out(&number.to_string()), &megabyte).is_err() { std::thread::sleep(std::time::Duration::from_millis(50)); } }
        String::new()"#,
        ["!held more on disk than it may", "!held more on disk than it may"],
        "",
    ),
    (
        "fill-the-disk-in-macro",
        Macro,
        r#"
        let (megabyte, tmp) = (vec![1_u8; 1 << 20], std::env::temp_dir());
        for number in 0.. { if fs::write(tmp.join(number.to_string()), &megabyte).is_err() { break; } }
        String::new()"#,
        ["!held more on disk than it may", "!held more on disk than it may"],
        "",
    ),
    (
        "fill-memory",
        Script,
        r#"
        let mut all = Vec::new();
        loop { all.push(vec![1_u8; 16 << 20]); }"#,
        ["!used more memory than it may", "!used more memory than it may"],
        "",
    ),
    (
        "fill-memory-in-macro",
        Macro,
        r#"
        let mut all = Vec::new();
        loop { all.push(vec![1_u8; 16 << 20]); }"#,
        ["!used more memory than it may", "!used more memory than it may"],
        "",
    ),
    (
        "fill-memory-by-children",
        Script,
        r#"
        let perl = "my $x = 'x' x (100 << 20); sleep 600";
        let children: Vec<_> = (0..12).map(|_| Command::new("perl").args(["-e", perl]).spawn().unwrap()).collect();
        for mut child in children { let _ = child.wait(); }
        String::new()"#,
        ["!used more memory than it may", "!used more memory than it may"],
        "",
    ),
    (
        "fill-unnamed-files-in-memory",
        Script,
        r#"
        extern "C" { fn memfd_create(name: *const u8, flags: u32) -> i32; }
        use std::{io::Write, os::fd::FromRawFd};
        let mut file = unsafe { fs::File::from_raw_fd(memfd_create(b"x\0".as_ptr(), 0)) };
        let megabyte = vec![1_u8; 1 << 20];
        loop { if file.write_all(&megabyte).is_err() { std::thread::sleep(std::time::Duration::from_millis(50)); } }"#,
        ["!used more memory than it may", "!used more memory than it may"],
        "",
    ),
    (
        "fill-shared-memory",
        Script,
        r#"
        let megabyte = vec![1_u8; 1 << 20];
        said((0..4096).try_for_each(|number| fs::write(format!("/dev/shm/{number}"), &megabyte)))"#,
        ["ENOSPC", "EACCES"],
        "",
    ),
    (
        "fill-the-checkout",
        Script,
        r#"
        let megabyte = vec![1_u8; 1 << 20];
        said((0..4096).try_for_each(|number| fs::write(format!("junk-{number}"), &megabyte)))"#,
        ["ENOSPC", "!held more on disk than it may"],
        "",
    ),
    (
        "flood-the-terminal",
        Script,
        r#"
        let line = "x".repeat(1 << 20);
        for _ in 0..200 { println!("{line}"); }
        String::new()"#,
        ["!wrote more output than is kept", "!wrote more output than is kept"],
        "",
    ),
];

/// What each of them has at hand.
const PRELUDE: &str = r#"
#[allow(unused_imports)]
use std::{fs::{self, OpenOptions}, net::{TcpListener, TcpStream, UdpSocket}, os::unix::net::UnixStream, process::{Command, Stdio}};
#[allow(dead_code)]
fn home(below: &str) -> String { format!("/home/vx-tester/{below}") }
#[allow(dead_code)]
fn out(below: &str) -> String { format!("{}/{below}", std::env::var("OUT_DIR").unwrap()) }
#[allow(dead_code)]
fn said<T>(done: std::io::Result<T>) -> String {
    let names = [(1, "EPERM"), (2, "ENOENT"), (11, "EAGAIN"), (13, "EACCES"), (28, "ENOSPC"), (30, "EROFS"), (101, "ENETUNREACH")];
    let Err(err) = done else { return "open".to_owned() };
    let name = names.iter().find(|(number, _)| err.raw_os_error() == Some(*number));
    name.map_or_else(|| err.to_string(), |(_, name)| (*name).to_owned())
}
#[allow(unreachable_code)]
fn attempt() -> String {
"#;

fn write(machine: &Machine, name: &str, part: Part, body: &str) -> std::path::PathBuf {
    let path = machine.home().join("set").join(name);
    let file = |below: &str, text: &str| machine.write(path.join(below), text);
    let manifest = |name: &str, more: &str| {
        format!("[package]\nname = \"{name}\"\nversion = \"1.0.0\"\nedition = \"2021\"\n{more}")
    };
    let attempt = format!("{PRELUDE}{body}\n}}\n");
    match part {
        Script => {
            file("Cargo.toml", &manifest(name, "[workspace]\n"));
            file("src/lib.rs", "pub fn whole() {}\n");
            let main = "fn main() {\n    println!(\"cargo::rerun-if-changed=build.rs\");\n    println!(\"cargo::warning=outcome {}\", attempt());\n}\n";
            file("build.rs", &format!("{attempt}{main}"));
        }
        Macro => {
            file("Cargo.toml", &manifest(name, "[dependencies]\nevil = { path = \"evil\" }\n[workspace]\n"));
            file("src/main.rs", "fn main() {\n    println!(\"outcome {}\", evil::attempt!());\n}\n");
            file("evil/Cargo.toml", &manifest("evil", "[lib]\nproc-macro = true\n"));
            let main = "#[proc_macro]\npub fn attempt(_: proc_macro::TokenStream) -> proc_macro::TokenStream {\n    format!(\"{:?}\", attempt_it()).parse().unwrap()\n}\n";
            file("evil/src/lib.rs", &format!("{}{main}", attempt.replace("fn attempt()", "fn attempt_it()")));
        }
    }
    path
}

/// Everything of the person's and the machine's that could have changed: names, modes, and of all but folders, in some of which
/// builds make a target folder, sizes and times.
fn state(machine: &Machine) -> String {
    let found = "find ~ -path ~/.cache -prune -o -path ~/.local/state -prune -o -path ~/.cargo -prune -o -name target -prune -o -name Cargo.lock -prune -o \
                 -type d -printf '%p %m\\n' -o -printf '%p %m %s %T@\\n' | sort; ls -A /dev/shm /usr/local/bin; cat ~/.cargo/credentials.toml; echo shared: $(ipcs -m -q -s | grep -c 0x)";
    machine.sh(found).stdout
}

fn build(machine: &Machine, row: &Row, rung: usize, port: &str) -> Result<(), String> {
    let (name, part, body, expected, named) = *row;
    let uid = Who::Person.uid().to_string();
    let fill = |text: &str| text.replace("PORT", port).replace("UID", &uid);
    let sleep = format!("81{rung}.25");
    let path = write(machine, name, part, &fill(body).replace("SLEEP", &sleep));
    let before = state(machine);
    let done = machine.run_in(&path, ["sh", "-c", "DEPLOY_TOKEN=t0ken vx build"]);
    let mut wrong = String::new();
    let mut check = |holds: bool, what: &str| {
        if !holds {
            let _ = write!(wrong, "\n  {what}");
        }
    };
    let outcome = match expected[rung].strip_prefix('!') {
        Some(words) => {
            check(done.code == 101, "the build has to fail");
            check(done.stderr.contains(words), words);
            check(done.stderr.contains(name) || done.stderr.contains("evil"), "its name is not there");
            words.to_owned()
        }
        None => {
            check(done.code == 0, "the build has to end well");
            let said = match part {
                Script => done.stderr.clone(),
                Macro => machine.run_in(&path, [format!("target/debug/{name}")]).stdout,
            };
            let said =
                said.lines().filter_map(|line| line.split_once("outcome ")).map(|(_, outcome)| outcome.to_owned());
            let said = said.collect::<Vec<_>>().join(" ");
            check(said == expected[rung], &format!("{said:?} and not {:?}", expected[rung]));
            said
        }
    };
    // Sockets are refused before they are heard of on `landlock`.
    if !named.is_empty() && (rung == 0 || !named.contains("connect") && !named.contains("name")) {
        check(done.stderr.contains(&fill(named)), &format!("nobody reads that it tried to {named}"));
    }
    let after = state(machine);
    let lines = |text: &str| text.lines().map(ToOwned::to_owned).collect::<std::collections::BTreeSet<_>>();
    let (before, after) = (lines(&before), lines(&after));
    let differs: Vec<&String> = before.symmetric_difference(&after).take(5).collect();
    check(differs.is_empty(), &format!("the machine is another one: {differs:?}"));
    check(machine.run(["pgrep", "-x", "-f", &format!("sleep {sleep}")]).code == 1, "a process outlived it");
    println!("| {name} | {part:?} | {outcome} | {named} |");
    if wrong.is_empty() { Ok(()) } else { Err(format!("{name} on {}:{wrong}\n{}", TAKEN[rung * 2].0, done.stderr)) }
}

#[test]
fn each_is_denied_or_bounded_and_the_machine_is_as_before() {
    let machine = Machine::with_vx(Who::Person);
    let home = |below: &str| machine.home().join(below);
    machine.write(home(".config/vx/vx.toml"), "[exec]\nscratch_bytes = 209715200\nmemory_bytes = 838860800\n");
    for name in [".ssh/id_ed25519", ".cargo/credentials.toml", ".bashrc", "other/secret.rs"] {
        machine.write(home(name), "precious");
    }
    let doors = Doors::open(&machine);
    let port = doors.tcp.local_addr().expect("it is bound").port().to_string();
    let mut wrong = Vec::new();
    for rung in [0, 1] {
        take(&machine, TAKEN[rung * 2].1);
        machine.run(["systemctl", "--user", "start", "vx-execd.service"]).ok();
        let execd = machine.property("vx-execd.service", "MainPID");
        println!("\n{}:\n| name | part | what it says | what is said of it |\n|---|---|---|---|", TAKEN[rung * 2].0);
        wrong.extend(SET.iter().filter_map(|row| build(&machine, row, rung, &port).err()));
        assert_eq!(machine.property("vx-execd.service", "MainPID"), execd, "execd was ended");
        machine.until("scratch folders are gone", |machine| {
            machine.sh("ls -A ~/.cache/vx/exec/scratch").stdout.is_empty()
        });
    }
    assert!(doors.nobody_came(), "somebody came through a door");
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), 2 * SET.len(), wrong.join("\n"));
}
