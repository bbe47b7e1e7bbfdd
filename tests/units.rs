//! The units as a manager sees them: valid down to the last key, sockets for their owner alone, and the promises of the unit
//! files proven in a running service, because systemd ignores what it cannot do in a user's unit.

use std::{
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixStream,
};

use crate::kit::{Machine, Project, SERVICES, Service, Who};

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

/// systemd ignores what it cannot do in a user's unit, so the promise is looked for in the process.
#[test]
fn the_store_is_walled_in_where_namespaces_are_allowed() {
    for who in [Who::Root, Who::Person] {
        let machine = Machine::with_vx(who);
        let dropped = machine.run(["systemctl", "--user", "show", "-P", "DropInPaths", "vx-casd.service"]).ok();
        assert!(dropped.contains("/vx-casd.service.d/hardening.conf"), "{dropped}");
        let pid = start(&machine, &SERVICES[1]);
        let of = |pid: &str, file: &str| machine.run_as_root(&["cat", &format!("/proc/{pid}/{file}")]).ok();
        assert_ne!(of(&pid, "uid_map"), of("self", "uid_map"), "a user namespace of its own");
        let mounts = of(&pid, "mountinfo");
        let read_only = |path: &str| {
            mounts.lines().rev().find_map(|line| {
                let fields: Vec<&str> = line.split(' ').collect();
                (fields[4] == path).then(|| fields[5].split(',').any(|option| option == "ro"))
            })
        };
        assert_eq!(read_only("/usr"), Some(true), "{mounts}");
        let capabilities = of(&pid, "status");
        assert!(capabilities.contains("CapBnd:\t0000000000000000"), "{capabilities}");
        // And it serves: store, crates, results.
        let project = Project::write(&machine, "walled", "walled", "");
        machine.run_in(&project.path, ["vx", "build"]).ok();
        assert_eq!(machine.property("vx-casd.service", "MainPID"), pid);
    }
}

#[test]
fn without_namespaces_the_store_runs_all_the_same() {
    let machine = Machine::start(Who::Person);
    // The switch is the whole host's, so what asks for a namespace is told that there is none.
    machine.write("/home/vx-tester/none/systemd-run", "#!/bin/sh\nexit 217\n");
    machine.sh("chmod +x ~/none/systemd-run").ok();
    machine.sh("PATH=$HOME/none:$PATH /run/kit/packaging/install --from /run/kit/dist-root").ok();
    let dropped = machine.run(["systemctl", "--user", "show", "-P", "DropInPaths", "vx-casd.service"]).ok();
    assert_eq!(dropped.trim(), "");
    start(&machine, &SERVICES[1]);
}

#[test]
fn a_service_that_hangs_is_started_again() {
    let machine = Machine::with_vx(Who::Person);
    for service in &SERVICES {
        let unit = format!("{}.service", service.unit);
        machine
            .write(format!("/home/vx-tester/.config/systemd/user/{unit}.d/quick.conf"), "[Service]\nWatchdogSec=10s\n");
    }
    machine.run(["systemctl", "--user", "daemon-reload"]).ok();
    let first: Vec<String> = SERVICES.iter().map(|service| start(&machine, service)).collect();
    let units = SERVICES.iter().map(|service| format!("{}.service", service.unit)).zip(&first);
    for (unit, pid) in units.clone() {
        let heard = || machine.property(&unit, "WatchdogTimestampMonotonic");
        let before = heard();
        machine.until("it says that it is alive", |_| heard() != before);
        assert_eq!(&machine.property(&unit, "MainPID"), pid, "and is left alone\n{}", machine.journal());
    }
    machine.sh(&format!("kill -STOP {}", first.join(" "))).ok();
    for (unit, pid) in units {
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
        assert!(line.contains("serves user 4711 only, not "), "{}: {line}", service.program);
    }
    // The client looks at the other end too.
    let done = machine.run_as_root(&["env", "XDG_RUNTIME_DIR=/run/user/4711", "/home/vx-tester/.local/bin/vx", "ping"]);
    assert_eq!(done.code, 2, "{}", done.stderr);
    assert!(done.stderr.contains("user 4711"), "{}", done.stderr);
}
