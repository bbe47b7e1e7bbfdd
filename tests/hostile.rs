//! A hostile set of actions on every rung of the sandbox, and what comes of each: the promise of SANDBOX.md as one table.
//! `cargo test --test tests hostile -- --nocapture` prints it.

mod set;

use std::{
    fs,
    io::ErrorKind,
    net::TcpListener,
    os::{
        linux::net::SocketAddrExt,
        unix::{
            fs::PermissionsExt,
            net::{SocketAddr, UnixDatagram, UnixListener},
        },
    },
};

use crate::{
    kit::{Machine, Who},
    ladder::{TAKEN, permit, take},
};

/// The attempts, each in C.
const SOURCE: &str = include_str!("hostile/hostile.c");

/// Attempt, and its outcome on `full`, `namespaces`, `landlock` and `process`; `*` is for the kernel to say. Where an open door
/// leads nowhere, the last word says why.
const TABLE: &[(&str, [&str; 4], &str)] = &[
    ("read_key", ["ENOENT", "ENOENT", "EACCES", "open"], ""),
    ("read_shadow", ["ENOENT", "ENOENT", "EACCES", "EACCES"], ""),
    ("read_machine_id", ["ENOENT", "ENOENT", "EACCES", "*"], ""),
    ("list_home", ["ENOENT", "ENOENT", "EACCES", "open"], ""),
    ("read_checkout", ["ENOENT", "ENOENT", "EACCES", "open"], "another checkout"),
    ("read_by_link", ["ENOENT", "ENOENT", "EACCES", "open"], ""),
    ("link_key", ["ENOENT", "ENOENT", "EXDEV", "open"], "a hard link as output"),
    ("write_home", ["ENOENT", "ENOENT", "EACCES", "open"], ""),
    ("write_usr", ["EROFS", "EROFS", "EACCES", "EACCES"], ""),
    ("write_tmp", ["open", "open", "EACCES", "open"], "its own /tmp above"),
    ("write_shm", ["open", "open", "EACCES", "open"], "its own memory above"),
    ("write_inputs", ["open", "open", "open", "open"], "its own copy"),
    ("write_dependency", ["ENOENT", "ENOENT", "ENOENT", "ENOENT"], "a run has none below it"),
    ("write_toolchain", ["EROFS", "EROFS", "EACCES", "EACCES"], ""),
    ("truncate_file", ["ENOENT", "ENOENT", "EACCES", "open"], ""),
    ("truncate_by_open", ["ENOENT", "ENOENT", "EACCES", "open"], ""),
    ("chmod_key", ["ENOENT", "ENOENT", "open", "open"], "Landlock knows no modes"),
    ("tcp", ["ENETUNREACH", "ENETUNREACH", "EPERM", "open"], ""),
    ("udp", ["ENETUNREACH", "ENETUNREACH", "EPERM", "open"], ""),
    ("agent", ["ENOENT", "ENOENT", "EPERM", "open"], "a path socket in the home"),
    ("session_bus", ["ENOENT", "ENOENT", "EPERM", "open"], ""),
    ("store_socket", ["ENOENT", "ENOENT", "EPERM", "open"], "vx's own"),
    ("manager_socket", ["ENOENT", "ENOENT", "EPERM", "open"], "systemd's"),
    ("abstract_socket", ["ECONNREFUSED", "ECONNREFUSED", "EPERM", "open"], ""),
    ("datagram_pair", ["ENOENT", "ENOENT", "EPERM", "open"], "a pair's end sent elsewhere"),
    ("vsock", ["EPERM", "EPERM", "EPERM", "*"], ""),
    ("netlink", ["open", "open", "EPERM", "open"], "its own network above"),
    ("see_execd", ["ENOENT", "ENOENT", "EACCES", "open"], ""),
    ("signal_execd", ["ENOENT", "ENOENT", "EPERM", "open"], ""),
    ("trace_execd", ["ENOENT", "ENOENT", "EPERM", "*"], ""),
    ("environ_of_execd", ["ENOENT", "ENOENT", "EACCES", "*"], ""),
    ("root_of_execd", ["ENOENT", "ENOENT", "EACCES", "*"], ""),
    ("shared_memory", ["ENOENT", "ENOENT", "EPERM", "open"], "System V's, by its key"),
    ("type_ahead", ["EPERM", "EPERM", "EPERM", "*"], "TIOCSTI"),
    ("keyring", ["EPERM", "EPERM", "EPERM", "*"], ""),
    ("uring", ["EPERM", "EPERM", "EPERM", "*"], ""),
    ("fault_handler", ["EPERM", "EPERM", "EPERM", "*"], "userfaultfd"),
    ("bpf", ["EPERM", "EPERM", "EPERM", "*"], ""),
    ("perf", ["EPERM", "EPERM", "EPERM", "*"], ""),
    ("mounts", ["EPERM", "EPERM", "EPERM", "EPERM"], ""),
    ("namespaces", ["EPERM", "EPERM", "EPERM", "*"], ""),
    ("namespaces_by_clone", ["EPERM", "EPERM", "EPERM", "*"], ""),
    ("change_root", ["EPERM", "EPERM", "EPERM", "EPERM"], ""),
    ("by_handle", ["EPERM", "EPERM", "EPERM", "*"], ""),
    ("clocks", ["EPERM", "EPERM", "EPERM", "EPERM"], ""),
    ("more_processes", ["EPERM", "EPERM", "EPERM", "EPERM"], "a limit raised"),
    ("large_file", ["EFBIG", "EFBIG", "EFBIG", "EFBIG"], "over 8 GiB"),
    ("device", ["EPERM", "EPERM", "EPERM", "EPERM"], "as output"),
    ("pipe_output", ["open", "open", "open", "open"], "left out of the result"),
    ("x32_call", ["ENOSYS", "ENOSYS", "ENOSYS", "*"], ""),
    ("call_of_32_bit", ["SIGSYS", "SIGSYS", "SIGSYS", "*"], ""),
    ("bomb", ["EAGAIN", "EAGAIN", "EAGAIN", "EAGAIN"], "forks until refused"),
    ("outlive", ["open", "open", "open", "open"], "killed at the action's end"),
];

/// A package whose script compiles the attempts and runs them with a word.
fn project(machine: &Machine, name: &str, word: &str, salt: &str) -> std::path::PathBuf {
    let path = machine.home().join(name);
    let file = |below: &str, text: &str| machine.write(path.join(below), text);
    file("Cargo.toml", &format!("[package]\nname = \"{name}\"\nversion = \"1.0.0\"\nedition = \"2021\"\n"));
    file("src/lib.rs", "pub fn whole() {}\n");
    file("hostile.c", SOURCE);
    file("attempts.h", &TABLE.iter().map(|(name, ..)| format!("TRY({name})\n")).collect::<String>());
    let script = r#"// SALT
        use std::process::Command;
        fn main() {
            let program = std::env::var("OUT_DIR").unwrap() + "/hostile";
            assert!(Command::new("cc").args(["-w", "-o", &program, "hostile.c"]).status().unwrap().success());
            let done = Command::new(&program).arg("WORD").envs([ENVS]).output().unwrap();
            for line in String::from_utf8_lossy(&done.stdout).lines() { println!("cargo::warning=tried {line}"); }
            print!("{}", if done.stdout.len() > 1 << 20 { "x".repeat(80 << 20) } else { String::new() });
            assert!(done.status.success(), "{}", done.status);
        }"#;
    file("build.rs", &script.replace("WORD", word).replace("ENVS", salt).replace("SALT", salt));
    path
}

/// The doors outside, and whether anybody came through.
struct Doors {
    tcp: TcpListener,
    agent: UnixListener,
    datagram: UnixDatagram,
    abstract_name: String,
    by_name: UnixListener,
}

impl Doors {
    fn open(machine: &Machine) -> Doors {
        let outside = |name: &str| machine.outside(machine.home().join(name));
        let (agent, datagram) = (outside("agent.sock"), outside("datagram.sock"));
        for path in [&agent, &datagram] {
            let _first = fs::remove_file(path);
        }
        // Of this machine: other tests open theirs meanwhile, and such names are the host's.
        let abstract_name = format!("vx-hostile-{}", outside("").display().to_string().replace('/', "-"));
        let by_name = SocketAddr::from_abstract_name(&abstract_name).expect("a name");
        let doors = Doors {
            tcp: TcpListener::bind("127.0.0.1:0").expect("a port"),
            agent: UnixListener::bind(&agent).expect("a socket"),
            datagram: UnixDatagram::bind(&datagram).expect("a socket"),
            by_name: UnixListener::bind_addr(&by_name).expect("an abstract socket"),
            abstract_name,
        };
        for path in [&agent, &datagram] {
            fs::set_permissions(path, fs::Permissions::from_mode(0o777)).expect("a socket that all may use");
        }
        doors.tcp.set_nonblocking(true).expect("a listener");
        doors.agent.set_nonblocking(true).expect("a listener");
        doors.datagram.set_nonblocking(true).expect("a listener");
        doors.by_name.set_nonblocking(true).expect("a listener");
        doors
    }

    fn nobody_came(&self) -> bool {
        let none = |err: Option<std::io::Error>| err.is_some_and(|err| err.kind() == ErrorKind::WouldBlock);
        none(self.tcp.accept().err())
            && none(self.agent.accept().err())
            && none(self.by_name.accept().err())
            && none(self.datagram.recv(&mut [0; 1]).err())
    }
}

#[test]
fn every_attempt_ends_as_the_table_says() {
    let machine = Machine::with_vx(Who::Greedy);
    permit(&machine, "process");
    let mut found = vec![["-".to_owned(), "-".to_owned(), "-".to_owned(), "-".to_owned()]; TABLE.len()];
    for (column, (rung, settings)) in TAKEN.iter().enumerate() {
        take(&machine, settings);
        for (name, text) in [(".ssh/id_ed25519", "a key"), ("other/secret.rs", "secret"), ("precious", "precious")] {
            machine.write(machine.home().join(name), text);
        }
        machine.sh("chmod 600 ~/.ssh/id_ed25519; perl -e 'shmget(0x7678, 4096, 01600) or die'; rm -f ~/evil").ok();
        let doors = Doors::open(&machine);
        let sleep = format!("71{column}.5");
        machine.run(["systemctl", "--user", "start", "vx-execd.service"]).ok();
        let execd = machine.property("vx-execd.service", "MainPID");
        let port = doors.tcp.local_addr().expect("it is bound").port();
        let envs = format!(
            "(\"HOSTILE_UID\", \"{}\"), (\"HOSTILE_PORT\", \"{}\"), (\"HOSTILE_ABSTRACT\", \"{}\"), (\"HOSTILE_SLEEP\", \"{sleep}\"), \
             (\"HOSTILE_EXECD\", \"{execd}\")",
            Who::Greedy.uid(),
            port,
            doors.abstract_name
        );
        let path = project(&machine, &format!("hostile-{rung}"), "all", &envs);
        let done = machine.run_in(&path, ["vx", "build"]);
        assert_eq!(done.code, 0, "{rung}: {}\n{}", done.stderr, machine.journal());
        for line in done.stderr.lines().filter_map(|line| line.split_once(": tried ")) {
            let (name, outcome) = line.1.split_once(' ').expect("a name and an outcome");
            let row = TABLE.iter().position(|(one, ..)| *one == name).expect("a name of the table");
            found[row][column] = outcome.trim().to_owned();
        }
        assert_eq!(
            machine.run(["pgrep", "-x", "-f", &format!("sleep {sleep}")]).code,
            1,
            "{rung}: a process outlived it"
        );
        let _only_on_the_lowest = fs::remove_file(format!("/tmp/evil-{port}"));
        let evil =
            machine.sh("find ~ /usr/evil /run/kit/toolchain/bin -name 'evil*' 2>/dev/null; cat ~/precious").stdout;
        assert!(*rung == "process" || evil == "precious" && doors.nobody_came(), "{rung}: {evil}");
        let sources = machine.run_in(&path, ["cat", "src/lib.rs"]).ok();
        assert_eq!(sources, "pub fn whole() {}\n", "{rung}");
        machine.run(["ipcrm", "-M", "0x7678"]).ok();
        keeps_serving(&machine, rung);
    }
    print(&found);
    let agrees = |found: &str, expected: &str| expected == "*" || found == expected;
    let wrong: Vec<String> = TABLE
        .iter()
        .zip(&found)
        .filter(|((_, expected, _), found)| {
            !found.iter().zip(expected).all(|(found, expected)| agrees(found, expected))
        })
        .map(|((name, expected, _), found)| format!("{name}: {found:?} and not {expected:?}"))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Actions that kill or flood whatever they reach end alone.
fn keeps_serving(machine: &Machine, rung: &str) {
    let before = machine.property("vx-execd.service", "MainPID");
    // Below Landlock it would be the machine's own processes.
    let words: &[&str] = if rung == "process" { &["flood"] } else { &["kill-everybody", "flood"] };
    for word in words {
        let path = project(machine, &format!("{word}-{rung}"), word, "");
        let done = machine.run_in(&path, ["vx", "build"]);
        assert_eq!(done.code, 101, "{rung} {word}: {}", done.stderr);
    }
    assert_eq!(machine.property("vx-execd.service", "MainPID"), before, "{rung}: it was the service that ended");
}

fn print(found: &[[String; 4]]) {
    println!("| attempt | full | namespaces | landlock | process | |\n|---|---|---|---|---|---|");
    for ((name, _, note), [full, namespaces, landlock, process]) in TABLE.iter().zip(found) {
        println!("| {name} | {full} | {namespaces} | {landlock} | {process} | {note} |");
    }
}
