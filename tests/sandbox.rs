//! What a hostile build script gets of the person's machine: nothing.

use std::{
    fs,
    io::ErrorKind,
    net::TcpListener,
    os::unix::{fs::PermissionsExt, net::UnixListener},
};

use crate::kit::{Machine, Project, Who};

/// Tries each door and says which opened; writes that must not last are looked for from outside.
const SCRIPT: &str = r#"
    let mut open: Vec<String> = Vec::new();
    for path in ["/home/vx-tester/.ssh/id_ed25519", "/home/vx-tester/.cargo/credentials.toml", "/etc/shadow", "/etc/machine-id"] {
        if std::fs::read(path).is_ok() { open.push(format!("read {path}")); }
    }
    for folder in ["/home/vx-tester", "/run/user", "/root", "/run/kit", "OUTSIDE"] {
        if std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some()) { open.push(format!("list {folder}")); }
    }
    if std::net::TcpStream::connect(("127.0.0.1", PORT)).is_ok() { open.push("connect by TCP".into()); }
    if std::net::UdpSocket::bind("0.0.0.0:0").and_then(|s| s.send_to(b"x", "192.0.2.1:9")).is_ok() { open.push("send by UDP".into()); }
    for socket in ["OUTSIDE/agent.sock", "/run/user/UID/bus", "/run/user/UID/vx/cas.sock", "/run/user/UID/systemd/private"] {
        if std::os::unix::net::UnixStream::connect(socket).is_ok() { open.push(format!("connect to {socket}")); }
    }
    for (name, value) in std::env::vars() {
        if value.contains("secret") || name == "SSH_AUTH_SOCK" || name == "DBUS_SESSION_BUS_ADDRESS" { open.push(format!("see {name}")); }
    }
    let own = std::env::var("CARGO_MANIFEST_DIR").unwrap();
    for path in ["/home/vx-tester/evil".into(), "OUTSIDE/evil".into(), format!("{own}/evil"), format!("{own}/src/lib.rs"), "/usr/evil".into(), "/vx/toolchain/bin/evil".into()] {
        let _ = std::fs::write(path, "pub fn say() -> String { panic!() }");
    }
    std::fs::write(std::env::var("OUT_DIR").unwrap() + "/allowed", "x").expect("OUT_DIR is writable");
    if std::fs::read_dir("/proc").unwrap().flatten().filter(|e| e.file_name().to_string_lossy().parse::<u32>().is_ok()).count() > 20 { open.push("see the machine's processes".into()); }
    for line in &open { println!("cargo::warning=open door: {line}"); }
    println!("cargo::warning=tried all");
"#;

#[test]
fn a_build_script_gets_nothing() {
    for who in [Who::Root, Who::Person] {
        let machine = Machine::with_vx(who);
        machine.write("/home/vx-tester/.ssh/id_ed25519", "a key");
        machine.write("/home/vx-tester/.cargo/credentials.toml", "a token");
        let outside = tempfile::tempdir().expect("a folder in /tmp");
        fs::set_permissions(outside.path(), fs::Permissions::from_mode(0o777)).expect("a folder that all may use");
        let tcp = TcpListener::bind("127.0.0.1:0").expect("a port");
        tcp.set_nonblocking(true).expect("a listener");
        let port = tcp.local_addr().expect("it is bound").port();
        let agent = UnixListener::bind(outside.path().join("agent.sock")).expect("a socket");
        agent.set_nonblocking(true).expect("a listener");
        let outside = outside.path().display().to_string();
        let script = SCRIPT
            .replace("OUTSIDE", &outside)
            .replace("PORT", &port.to_string())
            .replace("UID", &who.uid().to_string());
        let project = Project::write(&machine, "hostile", "", &script);
        let build = format!("SSH_AUTH_SOCK={outside}/agent.sock MY_TOKEN=secret CARGO_REGISTRY_TOKEN=secret vx build");
        let done = machine.run_in(&project.path, ["sh", "-c", &build]);
        assert!(done.stderr.contains("tried all"), "{}", done.stderr);
        assert!(!done.stderr.contains("open door"), "{who:?}: {}", done.stderr);
        assert_eq!(done.code, 0, "what it wrote to its sources is not what is compiled: {}", done.stderr);
        assert_eq!(machine.run_in(&project.path, ["target/debug/app"]).ok(), Project::SAYS);
        assert_eq!(tcp.accept().expect_err("nobody connected").kind(), ErrorKind::WouldBlock);
        assert_eq!(agent.accept().expect_err("nobody connected").kind(), ErrorKind::WouldBlock);
        let evil = machine.sh(&format!("find ~ {outside} /usr/evil /run/kit/toolchain/bin -name 'evil*' 2>/dev/null"));
        assert_eq!(evil.stdout, "");
    }
}

/// Loaded into every program whose environment names it: says so where it can, and tries what it came for.
const LIBRARY: &str = r#"
#include <fcntl.h>
#include <stdlib.h>
__attribute__((constructor)) static void begin(void) {
    for (const char *path[] = {"/vx/target/evil", "/home/vx-tester/.cargo/evil", "/home/vx-tester/hostile/evil", 0}, **at = path; *at; at++)
        open(*at, O_CREAT | O_WRONLY, 0600);
}
"#;

#[test]
fn a_checkouts_configuration_starts_nothing_in_cargo() {
    let machine = Machine::with_vx(Who::Person);
    let project = Project::write(&machine, "hostile", "", "");
    machine.write(project.path.join("evil.c"), LIBRARY);
    machine.write(
        project.path.join(".cargo/config.toml"),
        "[env]\nLD_PRELOAD = { value = \"evil.so\", relative = true, force = true }\n",
    );
    let compiled = machine.run_in(&project.path, ["cc", "-shared", "-fPIC", "-o", "evil.so", "evil.c"]);
    assert_eq!(compiled.code, 0, "{}", compiled.stderr);
    // With a package to look for, cargo is asked to fetch too; it asks rustc before and after.
    let plain = machine.run_in(&project.path, ["vx", "build"]);
    assert_eq!(plain.code, 0, "{}", plain.stderr);
    machine.write(
        project.path.join("base/Cargo.toml"),
        "[package]\nname = \"base\"\nversion = \"1.0.0\"\nedition = \"2021\"\n[dependencies]\nnot-there = \"1\"\n",
    );
    machine.run_in(&project.path, ["vx", "build"]);
    let evil = machine.sh("find ~ -name evil");
    assert_eq!(evil.stdout, "");
}
