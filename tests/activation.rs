//! Socket activation through the real units: the first connect starts a service, neither crashes nor clean exits in a row take
//! the socket away, and no service touches the path of a socket it was given.

use std::{
    io::{self, BufRead, BufReader, Write},
    os::unix::{fs::MetadataExt, net::UnixStream},
    path::PathBuf,
    time::Duration,
};

use crate::kit::{Machine, SERVICES, Service, Who};

/// A connection from outside: only root's machine takes one, because the services check the peer.
fn connect(machine: &Machine, service: &Service) -> UnixStream {
    let path = socket(machine, service);
    UnixStream::connect(&path).unwrap_or_else(|err| panic!("{}: {err}\n{}", path.display(), machine.journal()))
}

fn socket(machine: &Machine, service: &Service) -> PathBuf {
    machine.outside(format!("/run/user/0/vx/{}.sock", service.socket))
}

/// The service's process, once its unit says that it is ready.
fn ready(machine: &Machine, service: &Service, other_than: u32) -> u32 {
    let mut pid = 0;
    machine.until(&format!("{} is ready", service.unit), |machine| {
        let said = machine
            .sh(&format!("systemctl --user show -P ActiveState -P SubState -P MainPID {}.service", service.unit))
            .ok();
        let said: Vec<&str> = said.lines().collect();
        pid = said.iter().find_map(|line| line.parse().ok()).unwrap_or(0);
        said.contains(&"active") && said.contains(&"running") && pid != 0 && pid != other_than
    });
    pid
}

#[test]
fn the_first_connect_starts_a_service_which_leaves_the_socket_as_it_is() {
    let machine = Machine::with_vx(Who::Root);
    for service in &SERVICES {
        let unit = format!("{}.service", service.unit);
        assert_eq!(machine.property(&unit, "ActiveState"), "inactive");
        let inode = |machine: &Machine| std::fs::symlink_metadata(socket(machine, service)).map(|meta| meta.ino()).ok();
        let before = inode(&machine);
        assert!(before.is_some());
        let client = connect(&machine, service);
        let first = ready(&machine, service, 0);
        assert_eq!(machine.property(&unit, "NRestarts"), "0");
        drop(client);
        machine.sh(&format!("kill -KILL {first}")).ok();
        let second = ready(&machine, service, first);
        machine.run(["systemctl", "--user", "restart", &unit]).ok();
        ready(&machine, service, second);
        machine.run(["systemctl", "--user", "stop", &unit]).ok();
        assert_eq!(machine.property(&unit, "Result"), "success", "{}", machine.journal());
        assert_eq!(inode(&machine), before, "{} was bound or unlinked by its service", service.socket);
    }
}

/// One question and its answer. Each of the three answers a method that it does not know.
fn ask(machine: &Machine, service: &Service) -> io::Result<String> {
    let mut stream = UnixStream::connect(socket(machine, service))?;
    stream.set_read_timeout(Some(Duration::from_secs(120)))?;
    stream.write_all(b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"no.such.method\",\"params\":{}}\n")?;
    let mut line = String::new();
    match BufReader::new(stream).read_line(&mut line)? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(line),
    }
}

#[test]
fn thirty_clean_exits_in_a_row_lose_no_question() {
    let machine = Machine::with_vx(Who::Root);
    for service in &SERVICES {
        let mut lost = Vec::new();
        for round in 0..30 {
            match ask(&machine, service) {
                Ok(line) => assert!(line.contains("-32601"), "{line}"),
                Err(err) => lost.push((round, err)),
            }
            // The next question is aimed at the moment of the exit. One that the leaving process still answered finds it gone.
            machine.sh(&format!("pkill -TERM -x {} || true", service.program)).ok();
        }
        assert!(lost.is_empty(), "{}: {lost:?}\n{}", service.program, machine.journal());
        assert_eq!(machine.property(&format!("{}.socket", service.unit), "Result"), "success");
    }
}

#[test]
fn ten_crashes_in_a_row_leave_the_socket_alive() {
    let machine = Machine::with_vx(Who::Root);
    for service in &SERVICES {
        let mut pid = 0;
        for _ in 0..10 {
            let _client = connect(&machine, service);
            pid = ready(&machine, service, pid);
            machine.sh(&format!("kill -KILL {pid}")).ok();
        }
        ready(&machine, service, pid);
        assert_eq!(machine.property(&format!("{}.socket", service.unit), "ActiveState"), "active");
    }
}

#[test]
fn a_program_that_cannot_start_serves_the_waiting_client_once_repaired() {
    let machine = Machine::with_vx(Who::Root);
    for service in &SERVICES {
        let program = machine.outside(format!("/home/vx-tester/.local/libexec/vx/{}", service.program));
        let away = program.with_extension("away");
        std::fs::rename(&program, &away).expect("the program is installed");
        let client = connect(&machine, service);
        machine.until("it was tried more than five times", |machine| {
            machine
                .property(&format!("{}.service", service.unit), "NRestarts")
                .parse::<u32>()
                .is_ok_and(|count| count > 5)
        });
        std::fs::rename(&away, &program).expect("it goes back");
        ready(&machine, service, 0);
        drop(client);
    }
}

#[test]
fn a_call_on_the_bus_starts_a_service_with_its_sockets() {
    let machine = Machine::with_vx(Who::Person);
    for service in &SERVICES {
        let name = service.bus;
        let call = [
            "busctl",
            "--user",
            "call",
            &format!("build.vx.{name}"),
            &format!("/build/vx/{name}"),
            "build.vx.Control1",
            "GetStatus",
        ];
        let said = machine.run(call).ok();
        assert!(said.starts_with("a{sv}") && said.contains("\"state\" s \"serving\""), "{said}");
        assert_eq!(machine.property(&format!("{}.service", service.unit), "ActiveState"), "active");
    }
}

#[test]
fn a_service_without_sockets_says_who_starts_it() {
    let machine = Machine::with_vx(Who::Person);
    for service in &SERVICES {
        let done = machine.run([format!(".local/libexec/vx/{}", service.program)]);
        assert_eq!(done.code, 1);
        assert!(done.stderr.contains(&format!("systemctl --user start {}.socket", service.unit)), "{}", done.stderr);
    }
}
