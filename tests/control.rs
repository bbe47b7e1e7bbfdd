//! vxctl through the installed programs: status for people and programs, reload of a good and of a broken vx.toml.

use crate::kit::{Machine, SERVICES, Who};

const CONFIG: &str = "/home/vx-tester/.config/vx/vx.toml";

fn start_all(machine: &Machine) {
    for service in &SERVICES {
        machine.run(["systemctl", "--user", "start", &format!("{}.service", service.unit)]).ok();
    }
}

fn status(machine: &Machine) -> serde_json::Value {
    let said = machine.run(["vxctl", "status", "--json"]).ok();
    serde_json::from_str(&said).unwrap_or_else(|err| panic!("{err}: {said}"))
}

fn of<'a>(status: &'a serde_json::Value, program: &str) -> &'a serde_json::Value {
    let services = status["services"].as_array().expect("a list of services");
    services.iter().find(|service| service["name"] == program).unwrap_or_else(|| panic!("no {program} in {status}"))
}

#[test]
fn status_shows_the_three_and_starts_none() {
    let machine = Machine::with_vx(Who::Person);
    let idle = machine.run(["vxctl", "status"]).ok();
    assert_eq!(idle.matches("starts on the first connect").count(), 3, "{idle}");
    for service in &SERVICES {
        assert_eq!(machine.property(&format!("{}.service", service.unit), "ActiveState"), "inactive");
    }
    start_all(&machine);
    let status = status(&machine);
    for service in &SERVICES {
        let said = of(&status, service.program);
        assert_eq!(said["state"], "running");
        assert_eq!(said["version"], env!("CARGO_PKG_VERSION"));
        assert_eq!(said["pid"].to_string(), machine.property(&format!("{}.service", service.unit), "MainPID"));
        assert!(said["uptime_s"].is_u64(), "{said}");
    }
    assert!(of(&status, "vx-daemon")["status"]["sessions"].is_u64(), "{status}");
    assert!(of(&status, "vx-casd")["status"]["store_bytes"].is_u64(), "{status}");
    let exec = &of(&status, "vx-execd")["status"];
    assert!(exec["actions"].is_u64() && exec["rung"].is_string(), "{status}");
}

#[test]
fn status_without_a_bus_asks_the_control_sockets() {
    let machine = Machine::with_vx(Who::Person);
    start_all(&machine);
    machine.run(["systemctl", "--user", "stop", "dbus.socket", "dbus.service"]).ok();
    let said = machine.run(["env", "-u", "DBUS_SESSION_BUS_ADDRESS", "vxctl", "status"]).ok();
    assert_eq!(said.matches(" running ").count(), 3, "{said}");
}

#[test]
fn a_good_reload_is_used_and_a_broken_one_is_not() {
    let machine = Machine::with_vx(Who::Person);
    start_all(&machine);
    machine.write(CONFIG, "[daemon]\nidle_timeout_s = 1000\n[cas]\nidle_timeout_s = 1000\n");
    machine.run(["vxctl", "reload"]).ok();
    machine.write(CONFIG, "[daemon]\nidle_timeout_s = 1000\n\n[cas]\nidle_timeout_s = \"soon\"\n");
    let refused = machine.run(["vxctl", "reload"]);
    assert_eq!(refused.code, 3, "{}", refused.stderr);
    assert!(refused.stderr.contains(&format!("{CONFIG}:5:18")), "file, line and column: {}", refused.stderr);
    // What was in use stays in use, and says that the file is broken.
    let status = status(&machine);
    for service in &SERVICES {
        let said = of(&status, service.program);
        assert_eq!(said["state"], "running");
        assert!(said["status"]["config_error"].to_string().contains("vx.toml:5:18"), "{said}");
    }
    machine.write(CONFIG, "[daemon]\nidle_timeout_s = 1\n[cas]\nidle_timeout_s = 1\n[exec]\nidle_timeout_s = 1\n");
    machine.run(["vxctl", "reload"]).ok();
    for service in &SERVICES {
        machine.until("an idle service leaves", |machine| {
            machine.property(&format!("{}.service", service.unit), "ActiveState") == "inactive"
        });
        assert_eq!(machine.property(&format!("{}.service", service.unit), "Result"), "success");
    }
}

#[test]
fn a_broken_file_at_the_start_does_not_end_a_service() {
    let machine = Machine::with_vx(Who::Person);
    machine.write(CONFIG, "[cas]\nidel_timeout_s = 1\n");
    let refused = machine.run(["vx", "build"]);
    assert_eq!(refused.code, 3, "{}", refused.stderr);
    assert!(refused.stderr.contains(&format!("{CONFIG}:2:1")), "{}", refused.stderr);
    assert_eq!(machine.property("vx.service", "NRestarts"), "0");
    machine.write(CONFIG, "");
    machine.run(["vxctl", "reload"]).ok();
    machine.run(["vx", "ping"]).ok();
}

#[test]
fn the_socket_switched_off_is_said_in_words() {
    let machine = Machine::with_vx(Who::Person);
    machine.run(["systemctl", "--user", "stop", "vx.socket"]).ok();
    let done = machine.run(["vx", "ping"]);
    assert_eq!(done.code, 2);
    assert!(done.stderr.contains("systemctl --user start vx.socket"), "{}", done.stderr);
    let said = machine.run(["vxctl", "status"]).ok();
    assert!(said.contains("socket off"), "{said}");
}
