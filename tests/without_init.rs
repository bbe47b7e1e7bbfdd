//! packaging/without-init: the same programs where nothing plays init, here beside a manager that is not asked.

use crate::kit::{Machine, Project, Who};

/// Puts vx in place without enabling it, with a runtime folder that no manager looks after.
fn bare(who: Who) -> (Machine, String) {
    let machine = Machine::start(who);
    machine.install(&["--no-enable"]).ok();
    let runtime = format!("/run/user/{}/bare", who.uid());
    machine.run(["mkdir", "-m", "0700", &runtime]).ok();
    (machine, format!("export XDG_RUNTIME_DIR={runtime}; unset DBUS_SESSION_BUS_ADDRESS; "))
}

#[test]
fn a_command_runs_with_the_services_up_and_leaves_nothing() {
    for who in [Who::Root, Who::Person] {
        let (machine, env) = bare(who);
        let project = Project::write(&machine, "one", "", "");
        let line = format!(
            "{env} cd {}; /run/kit/packaging/without-init sh -c 'vx build && vxctl status && exit 7'",
            project.path.display()
        );
        let done = machine.sh(&line);
        assert_eq!(done.code, 7, "{}\n{}", done.stderr, done.stdout);
        assert_eq!(done.stdout.matches(" running ").count(), 3, "{}", done.stdout);
        assert_eq!(machine.run_in(&project.path, ["target/debug/app"]).ok(), Project::SAYS);
        assert_eq!(machine.run(["pgrep", "-x", "vx-daemon|vx-casd|vx-execd"]).code, 1, "a service is left");
        assert_eq!(machine.sh(&format!("{env} ls $XDG_RUNTIME_DIR")).ok(), "");
    }
}

#[test]
fn a_killed_service_comes_back_and_a_signal_ends_all() {
    let (machine, env) = bare(Who::Person);
    let line = format!("{env} exec /run/kit/packaging/without-init");
    let init = machine.command_in(machine.home(), ["sh", "-c", &line]).spawn().expect("nsenter can be started");
    let ping = format!("{env} vx ping");
    machine.until("it is up", |machine| machine.sh(&ping).code == 0);
    for program in ["vx-daemon", "vx-casd", "vx-execd"] {
        let before = machine.run(["pgrep", "-o", "-x", program]).ok();
        machine.run(["pkill", "-KILL", "-x", program]).ok();
        machine.until("it is back", |machine| {
            let now = machine.run(["pgrep", "-o", "-x", program]);
            now.code == 0 && now.stdout != before
        });
    }
    machine.until("it is up again", |machine| machine.sh(&ping).code == 0);
    machine.run(["pkill", "-TERM", "-o", "-f", "packaging/[w]ithout-init"]).ok();
    assert_eq!(init.wait_with_output().expect("it ends").status.code(), Some(143));
    assert_eq!(machine.run(["pgrep", "-x", "vx-daemon|vx-casd|vx-execd"]).code, 1, "a service is left");
}

#[test]
fn nothing_installed_is_said_in_words() {
    let machine = Machine::start(Who::Person);
    let done = machine.run(["/run/kit/packaging/without-init", "true"]);
    assert_eq!(done.code, 1);
    assert!(done.stderr.contains("packaging/install --prefix"), "{}", done.stderr);
}
