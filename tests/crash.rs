//! Any service may be killed at any moment of a build: the build waits for its next instance and ends well.

use std::time::Duration;

use crate::kit::{Machine, Project, SERVICES, Who};

fn main_pid(machine: &Machine, unit: &str) -> u32 {
    machine.property(&format!("{unit}.service"), "MainPID").parse().expect("a number")
}

#[test]
fn a_build_survives_each_service_killed_in_its_middle() {
    let machine = Machine::with_vx(Who::Person);
    let sleep = "    std::thread::sleep(std::time::Duration::from_secs(3));";
    for service in &SERVICES {
        let project = Project::write(&machine, service.socket, service.socket, sleep);
        let build = machine.command_in(&project.path, ["vx", "build"]).spawn().expect("nsenter can be started");
        machine.until("the build script runs", |machine| machine.run(["pgrep", "-f", "[b]uild-script"]).code == 0);
        let before = main_pid(&machine, service.unit);
        machine.sh(&format!("kill -KILL {before}")).ok();
        let ended = build.wait_with_output().expect("it ends");
        let said = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(0), "{} killed:\n{said}\n{}", service.program, machine.journal());
        assert_eq!(machine.run_in(&project.path, ["target/debug/app"]).ok(), Project::SAYS);
        machine.until("a new instance runs", |machine| ![0, before].contains(&main_pid(machine, service.unit)));
        assert_eq!(machine.property(&format!("{}.socket", service.unit), "ActiveState"), "active");
    }
}

#[test]
fn a_build_survives_each_service_restarted_in_its_middle() {
    let machine = Machine::with_vx(Who::Person);
    let sleep = "    std::thread::sleep(std::time::Duration::from_secs(3));";
    for service in &SERVICES {
        let project = Project::write(&machine, service.socket, service.socket, sleep);
        let build = machine.command_in(&project.path, ["vx", "build"]).spawn().expect("nsenter can be started");
        machine.until("the build script runs", |machine| machine.run(["pgrep", "-f", "[b]uild-script"]).code == 0);
        machine.run(["systemctl", "--user", "restart", &format!("{}.service", service.unit)]).ok();
        let ended = build.wait_with_output().expect("it ends");
        let said = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(0), "{} restarted:\n{said}\n{}", service.program, machine.journal());
    }
}

#[test]
fn no_process_of_an_action_outlives_its_executor() {
    let machine = Machine::with_vx(Who::Person);
    let sleep = "    std::thread::sleep(std::time::Duration::from_secs(600));";
    let project = Project::write(&machine, "slow", "", sleep);
    let mut build = machine.command_in(&project.path, ["vx", "build"]).spawn().expect("nsenter can be started");
    machine.until("the build script runs", |machine| machine.run(["pgrep", "-f", "[b]uild-script"]).code == 0);
    let script = machine.run(["pgrep", "-f", "[b]uild-script"]).ok();
    let pid = main_pid(&machine, "vx-execd");
    machine.sh(&format!("systemctl --user stop vx.socket vx.service; kill -KILL {pid}")).ok();
    machine.until("its processes are gone", |machine| {
        script.split_whitespace().all(|pid| machine.run(["test", "-e", &format!("/proc/{pid}")]).code == 1)
    });
    let since = std::time::Instant::now();
    while build.try_wait().expect("it can be waited for").is_none() && since.elapsed() < Duration::from_secs(40) {
        std::thread::sleep(Duration::from_millis(50));
    }
    drop(build.kill());
    drop(build.wait());
}
