//! Exceptions in vx.toml: what one version of one package is granted, and nobody else; that it is in the key, in the record and
//! in status; and that a version that wants more than the one before is named.

use std::{fs, net::TcpListener, os::unix::fs::PermissionsExt, os::unix::net::UnixListener};

use crate::{
    kit::{Machine, Project, Who},
    ladder::{TAKEN, take},
};

/// Reads, connects to a port and to a socket, asks for a secret; fails where it does not get all of it.
const SCRIPT: &str = r#"
    use std::io::Read;
    let sdk = std::fs::read_to_string("/home/vx-tester/sdk/version").expect("the SDK");
    let mut word = String::new();
    std::net::TcpStream::connect("127.0.0.1:PORT").expect("the network").read_to_string(&mut word).unwrap();
    SOCKET
    println!("cargo::warning=got {sdk} {word} {}", std::env::var("BUILD_TOKEN").expect("the token"));
    println!("cargo::rerun-if-changed=build.rs");
"#;

const SOCKET: &str = r#"std::os::unix::net::UnixStream::connect("/home/vx-tester/agent.sock").expect("the agent");"#;

fn configure(machine: &Machine, text: &str) {
    machine.write(machine.home().join(".config/vx/vx.toml"), text);
    machine.run(["vxctl", "reload"]).ok();
}

fn exception(version: &str, grants: &str) -> String {
    format!(
        "[[sandbox.exception]]\npackage = \"mid\"\nversion = \"{version}\"\nreason = \"it fetches a list\"\n{grants}\n"
    )
}

/// Somebody to talk to; each who comes is told a word.
fn listen(word: &'static str) -> u16 {
    let door = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = door.local_addr().expect("it is bound").port();
    std::thread::spawn(move || {
        for caller in door.incoming() {
            let _gone = std::io::Write::write_all(&mut caller.expect("a caller"), word.as_bytes());
        }
    });
    port
}

const BUILD: &str = "rm -rf target; BUILD_TOKEN=t0ken vx build";

#[test]
fn an_exception_is_for_one_version_and_part_of_the_key() {
    let machine = Machine::with_vx(Who::Person);
    let home = machine.home();
    machine.write(home.join("sdk/version"), "sdk-1");
    let agent = machine.outside(home.join("agent.sock"));
    let _agent = UnixListener::bind(&agent).expect("a socket");
    fs::set_permissions(&agent, fs::Permissions::from_mode(0o777)).expect("a socket that all may use");
    let script = SCRIPT.replace("PORT", &listen("hello").to_string()).replace("SOCKET", SOCKET);
    let project = Project::write(&machine, "online", "", &script);
    let build = || machine.run_in(&project.path, ["sh", "-c", BUILD]);
    let grants = "network = true\nread = [\"~/sdk\"]\nsocket = [\"~/agent.sock\"]\nenv = [\"BUILD_TOKEN\"]";

    let done = build();
    assert_eq!(done.code, 101, "{}", done.stderr);
    let says = "mid@1.0.0: its build script tried to open ~/sdk/version (ENOENT), and actions get none of it; an exception in \
                vx.toml may grant it";
    assert!(done.stderr.contains(says), "{}", done.stderr);

    configure(&machine, &exception("1.0.0", grants));
    let done = build();
    assert_eq!(done.code, 0, "{}\n{}", done.stderr, machine.journal());
    assert!(done.stderr.contains("mid@1.0.0: got sdk-1 hello t0ken"), "{}", done.stderr);
    assert!(!done.stderr.contains("was refused"), "{}", done.stderr);
    let status = machine.run(["vxctl", "status"]).ok();
    let line = "exception in vx.toml: mid 1.0.0 (build script): network, read ~/sdk, socket ~/agent.sock, env BUILD_TOKEN: it \
                fetches a list";
    assert!(status.contains(line), "{status}");
    machine.until("it is written down", |machine| {
        let audit = machine.run_in(&project.path, ["vx", "audit", "mid"]).stdout;
        let lines =
            ["granted network", "granted read /home/vx-tester/sdk", "used    open ~/sdk/version", "used    connect to"];
        lines.iter().all(|line| audit.contains(line))
    });

    let done = build();
    assert!(done.stderr.contains("0 built") && done.stderr.contains("sdk-1"), "kept: {}", done.stderr);
    machine.write(home.join("sdk/version"), "sdk-2");
    let done = build();
    assert!(done.stderr.contains("got sdk-2 hello"), "what it reads is in the key: {}", done.stderr);
    let why = machine.run_in(&project.path, ["vx", "why", "mid"]).stdout;
    assert!(why.contains("its exception in vx.toml changed"), "{why}");

    configure(&machine, &exception("1.0.0", &grants.replace("network = true\n", "")));
    assert_eq!(build().code, 101, "a result that was made with the network serves nobody without");
    configure(&machine, &exception("1.0.0", grants).replace("\"mid\"", "\"base\""));
    assert_eq!(build().code, 101, "nor another package");
    configure(&machine, &exception("1.0.0", grants));
    machine.sh("cd online/mid && sed -i 's/^version = .*/version = \"1.0.1\"/' Cargo.toml").ok();
    let done = build();
    assert_eq!(done.code, 101, "{}", done.stderr);
    assert!(done.stderr.contains("vx.toml has an exception for 1.0.0 alone"), "{}", done.stderr);
}

#[test]
fn what_is_written_outside_is_made_by_every_build() {
    let machine = Machine::with_vx(Who::Person);
    let script = "let log = \"/home/vx-tester/.cache/lists/log\";
        let before = std::fs::read_to_string(log).unwrap_or_default();
        std::fs::write(log, before + \"ran\\n\").expect(\"a folder that it may write to\");
        assert!(std::fs::write(\"/home/vx-tester/elsewhere\", \"\").is_err());
        println!(\"cargo::rerun-if-changed=build.rs\");";
    let project = Project::write(&machine, "writes", "", script);
    configure(&machine, &exception("1.0.0", "write = [\"~/.cache/lists\"]"));
    for runs in 1..=2 {
        let done = machine.run_in(&project.path, ["vx", "build"]);
        assert_eq!(done.code, 0, "{}", done.stderr);
        assert_eq!(machine.sh("cat ~/.cache/lists/log").ok(), "ran\n".repeat(runs));
    }
    assert!(!machine.outside(machine.home().join("elsewhere")).exists());
    let why = machine.run_in(&project.path, ["vx", "why", "mid"]).stdout;
    assert!(why.contains("an exception lets it write outside"), "{why}");
}

#[test]
fn macros_have_exceptions_of_their_own() {
    let machine = Machine::with_vx(Who::Person);
    machine.write(machine.home().join("schema.sql"), "tables");
    let path = machine.home().join("macros");
    let file = |below: &str, text: &str| machine.write(path.join(below), text);
    file("Cargo.toml", "[workspace]\nmembers = [\"app\", \"schema\"]\nresolver = \"2\"\n");
    let manifest = |name: &str, more: &str| {
        format!("[package]\nname = \"{name}\"\nversion = \"1.0.0\"\nedition = \"2021\"\n{more}")
    };
    file("app/Cargo.toml", &manifest("app", "[dependencies]\nschema = { path = \"../schema\" }\n"));
    file("app/src/main.rs", "fn main() {\n    println!(\"{}\", schema::schema!());\n}\n");
    file("schema/Cargo.toml", &manifest("schema", "[lib]\nproc-macro = true\n"));
    file(
        "schema/src/lib.rs",
        "#[proc_macro]\npub fn schema(_: proc_macro::TokenStream) -> proc_macro::TokenStream {\n    \
         format!(\"{:?}\", std::fs::read_to_string(\"/home/vx-tester/schema.sql\").unwrap()).parse().unwrap()\n}\n",
    );
    let exception = |part: &str| {
        format!(
            "[[sandbox.exception]]\npackage = \"app\"\nversion = \"1.0.0\"\nreason = \"x\"\nread = [\"~/schema.sql\"]\n{part}"
        )
    };
    configure(&machine, &exception(""));
    assert_eq!(machine.run_in(&path, ["vx", "build"]).code, 101, "that is for its script, which it has not");
    configure(&machine, &exception("part = \"macros\"\n"));
    for content in ["tables", "views"] {
        machine.write(machine.home().join("schema.sql"), content);
        let done = machine.run_in(&path, ["vx", "build"]);
        assert_eq!(done.code, 0, "{}", done.stderr);
        assert_eq!(machine.run_in(&path, ["target/debug/app"]).ok(), format!("{content}\n"));
    }
}

#[test]
fn landlock_grants_the_network_and_no_socket() {
    let machine = Machine::with_vx(Who::Person);
    machine.write(machine.home().join("sdk/version"), "sdk-1");
    let session_bus = format!(
        "assert!(std::os::unix::net::UnixStream::connect(\"/run/user/{}/bus\").is_err(), \"a socket\");",
        Who::Person.uid()
    );
    let script = SCRIPT.replace("PORT", &listen("hello").to_string()).replace("SOCKET", &session_bus);
    let project = Project::write(&machine, "online", "", &script);
    take(&machine, TAKEN[2].1);
    let grants = "network = true\nread = [\"~/sdk\"]\nenv = [\"BUILD_TOKEN\"]";
    configure(&machine, &exception("1.0.0", grants));
    let done = machine.run_in(&project.path, ["sh", "-c", BUILD]);
    assert_eq!(done.code, 0, "{}\n{}", done.stderr, machine.journal());
    configure(&machine, &exception("1.0.0", &format!("{grants}\nsocket = [\"~/agent.sock\"]")));
    let done = machine.run_in(&project.path, ["sh", "-c", BUILD]);
    assert!(
        done.code != 0 && done.stderr.contains("an exception for a socket needs rung namespaces"),
        "{}",
        done.stderr
    );
}

#[test]
fn a_version_that_wants_more_is_named_once() {
    let machine = Machine::with_vx(Who::Person);
    machine.write(machine.home().join(".ssh/id_ed25519"), "a key");
    let project = Project::write(&machine, "grows", "", "println!(\"cargo::rerun-if-changed=build.rs\");");
    let build = || {
        let done = machine.run_in(&project.path, ["vx", "build"]);
        assert_eq!(done.code, 0, "{}", done.stderr);
        done.stderr
    };
    let first = build();
    assert!(!first.contains("wants to"), "{first}");
    machine
        .until("it is written down", |machine| !machine.sh("cat ~/.local/state/vx/*/audit/*.json").stdout.is_empty());
    let script = "fn main() {
        let _ = std::fs::read(\"/home/vx-tester/.ssh/id_ed25519\");
        let _ = std::net::TcpStream::connect(\"192.0.2.1:80\");
        println!(\"cargo::rustc-env=SCRIPT=ran\");
    }";
    machine.write(project.path.join("mid/build.rs"), script);
    machine.sh("cd grows/mid && sed -i 's/^version = .*/version = \"1.0.1\"/' Cargo.toml").ok();
    let second = build();
    let says = "warning: mid@1.0.1: its build script wants to connect to the network, open ~/.ssh/id_ed25519; 1.0.0 did not; \
                `vx audit` tells all";
    assert_eq!(second.lines().last(), Some(says), "{second}");
    let third = build();
    assert!(!third.contains("wants to"), "once: {third}");
    assert!(third.contains("was refused"), "the warning stays: {third}");
}

#[test]
fn a_broken_exception_is_named_with_its_place() {
    let machine = Machine::with_vx(Who::Person);
    for (text, says) in [
        (exception("1.0", "network = true"), "is no version"),
        (exception("1.0.0", ""), "grants nothing"),
        (exception("1.0.0", "read = [\"sdk\"]"), "is no absolute path"),
    ] {
        machine.write(machine.home().join(".config/vx/vx.toml"), &text);
        let done = machine.run(["vxctl", "reload"]);
        assert!(done.code == 3 && done.stderr.contains(says) && done.stderr.contains("vx.toml:"), "{}", done.stderr);
    }
}
