//! The units as a manager sees them: valid down to the last key, sockets for their owner alone, and the promises of the unit
//! files proven in a running service, because systemd ignores what it cannot do in a user's unit.

use std::{
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixStream,
};

use crate::kit::{Machine, SERVICES, Service, Who};

/// Starts a service and says its process.
fn start(machine: &Machine, service: &Service) -> String {
    let unit = format!("{}.service", service.unit);
    machine.run(["systemctl", "--user", "start", &unit]).ok();
    machine.property(&unit, "MainPID")
}

#[test]
fn every_key_is_known() {
    let machine = Machine::with_vx(Who::Person);
    let units = "vx.service vx-casd.service vx-execd.service vx.socket vx-casd.socket vx-execd.socket";
    let done = machine.sh(&format!(
        "cd ~/.local/share/systemd/user && MANPATH=$HOME/.local/share/man: systemd-analyze --user verify {units}"
    ));
    assert_eq!((done.code, done.stderr.as_str()), (0, ""));
}

#[test]
fn sockets_are_their_owners_alone() {
    for who in [Who::Root, Who::Person] {
        let machine = Machine::with_vx(who);
        let listing = machine.sh("cd $XDG_RUNTIME_DIR/vx && stat -c '%A %U %n' . * | sort -k3").ok();
        let user = if who == Who::Root { "root" } else { "vx-tester" };
        let socket = |name: &str| format!("srw------- {user} {name}\n");
        let expected =
            ["cas.control.sock", "cas.sock", "daemon.control.sock", "daemon.sock", "exec.control.sock", "exec.sock"];
        assert_eq!(listing, format!("drwx------ {user} .\n{}", expected.map(socket).concat()));
    }
}

#[test]
fn what_the_units_take_away_is_gone() {
    let machine = Machine::with_vx(Who::Person);
    for service in &SERVICES {
        let pid = start(&machine, service);
        let status = machine.run(["cat", &format!("/proc/{pid}/status")]).ok();
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.map(|value| value.trim().to_owned()).unwrap_or_default()
        };
        assert_eq!(field("NoNewPrivs"), "1", "{}", service.program);
        // A filter on the executor would bind what people run and test.
        let filtered = if service.program == "vx-execd" { "0" } else { "2" };
        assert_eq!(field("Seccomp"), filtered, "{}", service.program);
    }
    assert_eq!(machine.property("vx-execd.service", "OOMPolicy"), "continue");
    assert_eq!(machine.property("vx-execd.service", "Delegate"), "yes");
}

#[test]
fn a_service_that_hangs_is_started_again() {
    let machine = Machine::with_vx(Who::Person);
    for service in &SERVICES {
        let unit = format!("{}.service", service.unit);
        machine
            .write(format!("/home/vx-tester/.config/systemd/user/{unit}.d/quick.conf"), "[Service]\nWatchdogSec=1s\n");
    }
    machine.run(["systemctl", "--user", "daemon-reload"]).ok();
    let first: Vec<String> = SERVICES.iter().map(|service| start(&machine, service)).collect();
    std::thread::sleep(std::time::Duration::from_secs(3));
    for (service, pid) in SERVICES.iter().zip(&first) {
        let unit = format!("{}.service", service.unit);
        assert_eq!(
            &machine.property(&unit, "MainPID"),
            pid,
            "a service that answers is left alone\n{}",
            machine.journal()
        );
        machine.sh(&format!("kill -STOP {pid}")).ok();
        machine.until("a new instance runs", |machine| {
            let now = machine.property(&unit, "MainPID");
            now != *pid && now != "0" && machine.property(&unit, "ActiveState") == "active"
        });
    }
}

#[test]
fn another_user_is_refused_in_words_even_root() {
    let machine = Machine::with_vx(Who::Person);
    for service in &SERVICES {
        let path = machine.outside(format!("/run/user/4711/vx/{}.sock", service.socket));
        let mut stream = UnixStream::connect(path).expect("root may open any socket");
        // Who is refused may be so before it has said anything.
        drop(stream.write_all(b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"no.such.method\",\"params\":{}}\n"));
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).expect("an answer");
        assert!(line.contains("serves user 4711 only, not user 0"), "{}: {line}", service.program);
    }
    // The client looks at the other end too.
    let done = machine.run_as_root(&["env", "XDG_RUNTIME_DIR=/run/user/4711", "/home/vx-tester/.local/bin/vx", "ping"]);
    assert_eq!(done.code, 2, "{}", done.stderr);
    assert!(done.stderr.contains("user 4711"), "{}", done.stderr);
}
