//! vxctl through the installed programs: status for people and programs, reload of a good and of a broken vx.toml.

use std::io::{BufRead, BufReader};

use crate::kit::{Machine, Project, SERVICES, Who};

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
    let without = |words: &[&str]| machine.run([&["env", "-u", "DBUS_SESSION_BUS_ADDRESS", "vxctl"], words].concat());
    let said = without(&["status"]).ok();
    assert_eq!(said.matches(" running ").count(), 3, "{said}");
    assert_eq!(without(&["log-level", "debug"]).ok().matches(" debug").count(), 3);
    without(&["reload"]).ok();
    let ill = without(&["doctor"]);
    assert!(ill.code == 0 && ill.stdout.contains("warn  service manager "), "{}", ill.stdout);
    let pids: Vec<String> = SERVICES.iter().map(|service| pid(&machine, service.unit)).collect();
    without(&["drain"]).ok();
    // The manager hears of it a moment after its last caller does.
    for (service, before) in SERVICES.iter().zip(pids) {
        machine.until("it has left", |machine| pid(machine, service.unit) != before);
    }
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
    start_all(&machine);
    let broken = status(&machine);
    for service in &SERVICES {
        assert_eq!(machine.property(&format!("{}.service", service.unit), "NRestarts"), "0");
        assert!(of(&broken, service.program)["status"]["config_error"].to_string().contains("vx.toml:2:1"), "{broken}");
    }
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

fn pid(machine: &Machine, unit: &str) -> String {
    machine.property(&format!("{unit}.service"), "MainPID")
}

fn state(machine: &Machine, unit: &str) -> String {
    machine.property(unit, "ActiveState")
}

/// Keys are only ever added: scripts stand on them.
#[test]
fn the_keys_of_status_are_those_that_were_promised() {
    let machine = Machine::with_vx(Who::Person);
    start_all(&machine);
    let status = status(&machine);
    let promised = include_str!("golden/status-keys.txt");
    let mut missing = Vec::new();
    for line in promised.lines().filter(|line| !line.starts_with('#')) {
        let (program, keys) = line.split_once(": ").expect("PROGRAM: KEY...");
        let said = of(&status, program);
        missing.extend(keys.split(' ').filter(|key| said.pointer(key).is_none()).map(|key| format!("{program}{key}")));
    }
    assert!(missing.is_empty(), "{missing:?} are gone from {status:#}");
}

#[test]
fn start_stop_and_restart_are_jobs_of_the_manager() {
    for who in [Who::Root, Who::Person] {
        let machine = Machine::with_vx(who);
        machine.run(["vxctl", "start"]).ok();
        for service in &SERVICES {
            assert_eq!(state(&machine, &format!("{}.service", service.unit)), "active");
        }
        let (daemon, store) = (pid(&machine, "vx"), pid(&machine, "vx-casd"));
        machine.run(["vxctl", "restart", "daemon"]).ok();
        assert_ne!(pid(&machine, "vx"), daemon);
        assert_eq!(pid(&machine, "vx-casd"), store, "only what was named");
        machine.run(["vxctl", "stop", "vx-casd"]).ok();
        assert_eq!(state(&machine, "vx-casd.service"), "inactive");
        assert_eq!(state(&machine, "vx-casd.socket"), "inactive", "no connect starts it again");
        machine.run(["vxctl", "start", "casd"]).ok();
        assert_eq!(state(&machine, "vx-casd.socket"), "active");
        machine.run(["vxctl", "stop"]).ok();
        assert_eq!(machine.run(["vx", "ping"]).code, 2);
        let wrong = machine.run(["vxctl", "start", "vx-nothing"]);
        assert_eq!(wrong.code, 64, "{}", wrong.stderr);
        // A job that fails says so.
        machine.sh("mv ~/.local/libexec/vx/vx-casd ~/casd.away").ok();
        let failed = machine.run(["vxctl", "start", "vx-casd"]);
        assert_eq!(failed.code, 1, "{}", failed.stderr);
        assert!(failed.stderr.contains("journalctl --user -u vx-casd"), "{}", failed.stderr);
    }
}

#[test]
fn without_a_manager_start_says_what_to_do() {
    let machine = Machine::with_vx(Who::Person);
    let done = machine.run(["env", "DBUS_SESSION_BUS_ADDRESS=unix:path=/nowhere", "vxctl", "start"]);
    assert_eq!(done.code, 2, "{}", done.stderr);
    assert!(done.stderr.contains("packaging/without-init"), "{}", done.stderr);
}

#[test]
fn drain_finishes_what_runs_and_leaves_the_sockets() {
    let machine = Machine::with_vx(Who::Person);
    start_all(&machine);
    machine.run(["vxctl", "drain"]).ok();
    for service in &SERVICES {
        let unit = format!("{}.service", service.unit);
        machine.until("it has left", |machine| state(machine, &unit) == "inactive");
        assert_eq!(machine.property(&unit, "Result"), "success");
        assert_eq!(state(&machine, &format!("{}.socket", service.unit)), "active");
    }
    let script = "std::thread::sleep(std::time::Duration::from_secs(4));";
    let project = Project::write(&machine, "slow", "drained", script);
    let build = machine.command_in(&project.path, ["vx", "build"]).spawn().expect("vx can be started");
    machine.until("the script runs", |machine| {
        let said = machine.run(["vxctl", "status", "--json"]).stdout;
        serde_json::from_str::<serde_json::Value>(&said)
            .is_ok_and(|status| of(&status, "vx-execd")["status"]["actions"].as_u64() > Some(0))
    });
    let before = pid(&machine, "vx");
    let drained = machine.command_in(machine.home(), ["vxctl", "drain", "vx"]).spawn().expect("vxctl can be started");
    machine.until("it says that it drains", |machine| {
        let said = machine.run(["vxctl", "status"]).stdout;
        said.contains("draining") || state(machine, "vx.service") == "inactive"
    });
    let built = build.wait_with_output().expect("vx ends");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let drained = drained.wait_with_output().expect("vxctl ends");
    assert!(drained.status.success(), "{}", String::from_utf8_lossy(&drained.stderr));
    assert_eq!(machine.property("vx.service", "NRestarts"), "0");
    machine.run(["vx", "ping"]).ok();
    assert_ne!(pid(&machine, "vx"), before);
}

#[test]
fn the_level_of_the_log_is_the_managers_to_change() {
    for who in [Who::Root, Who::Person] {
        let machine = Machine::with_vx(who);
        start_all(&machine);
        for service in &SERVICES {
            let unit = format!("{}.service", service.unit);
            assert_eq!(machine.run(["systemctl", "--user", "service-log-level", &unit]).ok().trim(), "info");
            machine.run(["systemctl", "--user", "service-log-level", &unit, "debug"]).ok();
            assert_eq!(machine.run(["systemctl", "--user", "service-log-target", &unit]).ok().trim(), "journal");
        }
        let said = machine.run(["vxctl", "log-level"]).ok();
        assert_eq!(said.matches(" debug").count(), 3, "{said}");
        machine.run(["vxctl", "log-level", "vx-casd", "err"]).ok();
        let unit = "vx-casd.service";
        assert_eq!(machine.run(["systemctl", "--user", "service-log-level", unit]).ok().trim(), "err");
        let wrong = machine.run(["vxctl", "log-level", "loud"]);
        assert_eq!(wrong.code, 1, "{}", wrong.stderr);
        assert!(wrong.stderr.contains("loud is no level"), "{}", wrong.stderr);
        machine.run(["systemctl", "--user", "service-log-target", "vx.service", "console"]).ok();
        let refused = machine.run(["systemctl", "--user", "service-log-target", "vx.service", "kmsg"]);
        assert_ne!(refused.code, 0);
    }
}

#[test]
fn logs_come_from_the_journal_else_from_the_services() {
    for who in [Who::Root, Who::Person] {
        let machine = Machine::with_vx(who);
        start_all(&machine);
        let mut said = String::new();
        machine.until("the journal has the line", |machine| {
            said = machine.run(["vxctl", "logs", "vx-casd"]).ok();
            said.contains("vx-casd: vx-casd is ready: Serving version=")
        });
        assert!(!said.contains("vx-execd is ready"), "{said}");
        assert_eq!(machine.run(["vxctl", "logs", "-n", "1"]).ok().lines().count(), 1);
        let mut follow = machine.command_in(machine.home(), ["vxctl", "logs", "-f", "-n0", "vx"]);
        let mut follow = follow.spawn().expect("vxctl can be started");
        let said = BufReader::new(follow.stdout.take().expect("a pipe"));
        let is_new = |line: &String| line.contains("the level of the log was changed level=debug");
        let reader = std::thread::spawn(move || said.lines().map_while(Result::ok).find(is_new));
        // What is said before it follows it does not show.
        machine.until("a new line is shown", |machine| {
            machine.run(["vxctl", "log-level", "vx", "debug"]).ok();
            reader.is_finished()
        });
        assert!(reader.join().expect("it reads").is_some(), "it ended");
        follow.kill().expect("it can be ended");
        follow.wait().expect("it ends");

        machine.run_as_root(&["sh", "-c", "rm -rf /var/log/journal/* /run/log/journal/*"]).ok();
        let remembered = machine.run(["vxctl", "logs", "vx-casd"]);
        assert_eq!(remembered.code, 0, "{}", remembered.stderr);
        assert!(remembered.stderr.contains("no journal can be read"), "{}", remembered.stderr);
        assert!(remembered.stdout.contains("vx-casd is ready: Serving version="), "{}", remembered.stdout);
    }
}

/// tracing-journald sends in the caller's thread; a journal that was stopped stopped the service with it.
#[test]
fn a_stopped_journal_stalls_nobody() {
    let machine = Machine::with_vx(Who::Person);
    for service in &SERVICES {
        let unit = format!("{}.service", service.unit);
        machine.write(
            format!("/home/vx-tester/.config/systemd/user/{unit}.d/loud.conf"),
            "[Service]\nEnvironment=VX_LOG=trace\n",
        );
    }
    machine.run(["systemctl", "--user", "daemon-reload"]).ok();
    start_all(&machine);
    let project = Project::write(&machine, "loud", "stalled", "");
    machine.run_as_root(&["sh", "-c", "kill -STOP $(pidof systemd-journald)"]).ok();
    machine.run_in(&project.path, ["vx", "build"]).ok();
    let lost = |status: &serde_json::Value, program: &str| of(status, program)["status"]["log_dropped"].as_u64();
    let mut rounds = 0;
    loop {
        let now = status(&machine);
        assert!(SERVICES.iter().all(|service| of(&now, service.program)["state"] == "running"), "{now}");
        if lost(&now, "vx-casd") > Some(0) {
            break;
        }
        rounds += 1;
        assert!(rounds < 400, "a stopped journal takes every message: {now}");
    }
    machine.run_as_root(&["sh", "-c", "kill -CONT $(pidof systemd-journald)"]).ok();
    machine.until("the loss is said", |machine| {
        let id = "MESSAGE_ID=1f4c8e2a6b0d4937a5c3e1f7d9b2c844";
        machine.run(["journalctl", "--user", "-q", "-o", "cat", id]).stdout.contains("messages were lost")
    });
}

#[test]
fn messages_say_which_build_and_which_action() {
    let machine = Machine::with_vx(Who::Person);
    start_all(&machine);
    machine.run(["vxctl", "log-level", "debug"]).ok();
    let project = Project::write(&machine, "fields", "fields", "");
    machine.run_in(&project.path, ["vx", "build"]).ok();
    let mut builds = Vec::new();
    let field = |machine: &Machine, unit: &str, name: &str| -> Vec<String> {
        let said = machine.run(["journalctl", "--user", "-q", "-u", unit, "-o", "json"]).ok();
        let lines = said.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        lines.filter_map(|line| Some(line[name].as_str()?.to_owned())).collect()
    };
    machine.until("the daemon has said that the build ended", |machine| {
        builds = field(machine, "vx", "VX_BUILD");
        !builds.is_empty()
    });
    assert!(!field(&machine, "vx", "VX_SESSION").is_empty());
    assert!(!builds[0].is_empty());
    // The executor says it for the same build, with the action beside it.
    machine.until("the executor has said that the actions ended", |machine| {
        field(machine, "vx-execd", "VX_BUILD").contains(&builds[0])
    });
    let actions = field(&machine, "vx-execd", "VX_ACTION");
    assert!(actions.iter().all(|action| action.len() == 64), "{actions:?}");
    assert!(!actions.is_empty());
    let said = machine.run(["vxctl", "logs", "vx"]).ok();
    assert!(said.contains(&format!("vx_build={}", builds[0])), "{said}");
}

/// `journalctl -x` reads it once it is compiled, which is where a mistake in it would show.
#[test]
fn the_catalogue_is_one_that_the_journal_reads() {
    let root = tempfile::tempdir().expect("a folder");
    let folder = root.path().join("usr/lib/systemd/catalog");
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::create_dir_all(root.path().join("var/lib/systemd/catalog")).expect("a folder");
    let catalogue = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/catalog/vx.catalog");
    std::fs::copy(catalogue, folder.join("vx.catalog")).expect("a copy");
    let journalctl = |words: &[&str]| {
        let done = std::process::Command::new("journalctl").arg("--root").arg(root.path()).args(words).output();
        let done = done.expect("journalctl can be started");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8_lossy(&done.stdout).into_owned()
    };
    journalctl(&["--update-catalog"]);
    let listed = journalctl(&["--list-catalog"]);
    assert_eq!(listed.lines().filter(|line| line.contains(" vx: ")).count(), 6, "{listed}");
}

#[test]
fn the_doctor_finds_what_is_wrong_and_says_the_cure() {
    for who in [Who::Root, Who::Person] {
        let machine = Machine::with_vx(who);
        let well = machine.run(["vxctl", "doctor"]);
        assert_eq!(well.code, 0, "{}{}", well.stdout, well.stderr);
        assert!(!well.stdout.contains("\nfail"), "{}", well.stdout);
        for subject in ["vx.toml", "vx-execd.socket", "sandbox", "store", "cargo", "journal", "linger"] {
            assert!(well.stdout.contains(&format!("  {subject}  ")), "{subject}: {}", well.stdout);
        }
        let ill = |what: &str, cure: &str, line: &str| {
            machine.sh(what).ok();
            let found = machine.run(["vxctl", "doctor"]);
            let words = format!("{line} after `{what}`: {}", found.stdout);
            let at = found.stdout.lines().position(|found| found.starts_with(line));
            assert!(
                at.is_some_and(|at| found.stdout.lines().skip(at).take(4).any(|next| next.contains(cure))),
                "{words}"
            );
            assert_eq!(found.code, i32::from(line.starts_with("fail")), "{words}");
        };
        ill("systemctl --user stop vx.socket", "systemctl --user enable --now vx.socket", "fail  vx.socket ");
        ill(
            "systemctl --user start vx.socket; mkdir -p ~/.config/vx; echo '[exek]' >~/.config/vx/vx.toml",
            "vxctl reload",
            "fail  vx.toml ",
        );
        ill(
            "rm ~/.config/vx/vx.toml; vxctl reload; touch -d '+1 hour' ~/.local/share/systemd/user/vx-casd.service",
            "daemon-reload",
            "warn  vx-casd.service ",
        );
        ill(
            "systemctl --user daemon-reload; cp ~/.local/libexec/vx/vx-casd ~/x; mv ~/x ~/.local/libexec/vx/vx-casd",
            "vxctl drain vx-casd",
            "warn  vx-casd ",
        );
        ill("vxctl drain; systemctl --user disable vx.socket", "enable --now vx.socket", "warn  vx.socket ");
    }
}

/// Some session buses refuse root themselves; where one lets it in, the services ask who calls.
#[test]
fn root_on_the_persons_bus_is_refused() {
    let machine = Machine::with_vx(Who::Person);
    start_all(&machine);
    let before: Vec<String> = SERVICES.iter().map(|service| pid(&machine, service.unit)).collect();
    let bus = "--address=unix:path=/run/user/4711/bus";
    for service in &SERVICES {
        let (name, path) = (format!("build.vx.{}", service.bus), format!("/build/vx/{}", service.bus));
        for method in [&["GetStatus"][..], &["Reload"], &["Drain"], &["GetLog", "tu", "0", "1"]] {
            let call = ["busctl", bus, "call", &name, &path, "build.vx.Control1"];
            let done = machine.run_as_root(&[&call, method].concat());
            assert_ne!(done.code, 0, "{method:?}: {}", done.stdout);
        }
        let level = ["/org/freedesktop/LogControl1", "org.freedesktop.LogControl1", "LogLevel", "s", "debug"];
        let done = machine.run_as_root(&[&["busctl", bus, "set-property", &name], &level[..]].concat());
        assert_ne!(done.code, 0, "{}", done.stdout);
    }
    let after: Vec<String> = SERVICES.iter().map(|service| pid(&machine, service.unit)).collect();
    assert_eq!(before, after);
    assert_eq!(machine.run(["vxctl", "log-level"]).ok().matches(" info").count(), 3);
}

#[test]
fn the_store_is_looked_after() {
    for who in [Who::Root, Who::Person] {
        let machine = Machine::with_vx(who);
        let project = Project::write(&machine, "kept", "kept", "");
        machine.run_in(&project.path, ["vx", "build"]).ok();
        machine.run(["vxctl", "drain"]).ok();
        // casd is started for the question.
        let json = |words: &[&str]| -> serde_json::Value {
            let said = machine.run([&["vxctl", "cas"], words, &["--json"]].concat());
            serde_json::from_str(&said.stdout).unwrap_or_else(|err| panic!("{err}: {}{}", said.stdout, said.stderr))
        };
        let stats = json(&["stats"]);
        assert!(stats["blobs"].as_u64() > Some(0) && stats["results"].as_u64() > Some(0), "{stats}");
        let people = machine.run(["vxctl", "cas", "stats"]).ok();
        assert!(people.lines().any(|line| line.starts_with("blobs ")), "{people}");
        machine.run(["vxctl", "cas", "gc"]).ok();
        assert_eq!(machine.run(["vxctl", "cas", "verify"]).code, 0);

        machine.run(["vxctl", "stop"]).ok();
        let largest = "find ~/.cache/vx/cas -type f -printf '%s %p\\n' | sort -n | tail -1 | cut -d' ' -f2";
        machine
            .sh(&format!("chmod u+w $({largest}); printf XXXX | dd of=$({largest}) bs=1 seek=2000 conv=notrunc"))
            .ok();
        machine.run(["vxctl", "start"]).ok();
        let damaged = machine.run(["vxctl", "cas", "verify"]);
        assert_eq!(damaged.code, 1, "{}", damaged.stdout);
        let line = damaged.stdout.lines().find(|line| line.starts_with("damaged "));
        assert!(line.is_some_and(|line| line.ends_with(" 1")), "{}", damaged.stdout);
        // What was damaged is out of service, and built again.
        assert_eq!(json(&["verify"])["damaged"], 0);
        machine.run_in(&project.path, ["rm", "-rf", "target"]).ok();
        machine.run_in(&project.path, ["vx", "build"]).ok();
        let ran = machine.run_in(&project.path, ["./target/debug/app"]).ok();
        assert_eq!(ran, Project::SAYS);
        let call = ["busctl", "--user", "call", "build.vx.Cas1", "/build/vx/Cas1", "build.vx.Store1", "Stats"];
        assert!(machine.run(call).ok().starts_with("a{sv} "));
    }
}
