//! The agents for launchd, which no machine of ours runs: their keys and types against launchd.plist(5), by a reader that is
//! not the one that wrote them, and where packaging/install puts them on what says that it is a Mac.

use std::process::Command;

use crate::kit::{Machine, Who};

#[test]
fn every_key_is_one_that_launchd_knows() {
    let top = env!("CARGO_MANIFEST_DIR");
    let done = Command::new("python3")
        .arg(format!("{top}/tests/launchd_keys.py"))
        .args(["daemon", "casd", "execd"].map(|name| format!("{top}/packaging/launchd/build.vx.{name}.plist")))
        .output()
        .expect("python3 can be started");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    // The check itself can fail.
    let broken = tempfile::NamedTempFile::new().expect("a file");
    let agent = std::fs::read_to_string(format!("{top}/packaging/launchd/build.vx.casd.plist")).expect("an agent");
    std::fs::write(broken.path(), agent.replace("<integer>384</integer>", "<string>0600</string>")).expect("write");
    let done = Command::new("python3").arg(format!("{top}/tests/launchd_keys.py")).arg(broken.path()).output();
    let done = done.expect("python3 can be started");
    assert!(!done.status.success() && String::from_utf8_lossy(&done.stderr).contains("SockPathMode"));
}

#[test]
fn on_a_mac_agents_are_put_in_place_and_taken_away() {
    let machine = Machine::start(Who::Person);
    let run = |words: &str| {
        machine.sh(&format!(
            "PATH=$HOME/mac:$PATH; unset XDG_RUNTIME_DIR; /run/kit/packaging/install --from /run/kit/dist-root {words}"
        ))
    };
    machine.write("/home/vx-tester/mac/uname", "#!/bin/sh\necho Darwin\n");
    machine.write("/home/vx-tester/mac/launchctl", "#!/bin/sh\necho \"$@\" >>~/told\n");
    machine.sh("chmod +x ~/mac/*").ok();
    run("").ok();
    let told = machine.sh("grep bootstrap ~/told").ok();
    assert_eq!(told.lines().count(), 3, "{told}");
    assert!(told.contains("gui/4711 /home/vx-tester/Library/LaunchAgents/build.vx.casd.plist"), "{told}");
    let agent = machine.sh("cat ~/Library/LaunchAgents/build.vx.execd.plist").ok();
    for path in [".local/libexec/vx/vx-execd", "Library/Caches/vx/exec.sock", "Library/Logs/vx/vx-execd.log"] {
        assert!(agent.contains(&format!("<string>/home/vx-tester/{path}</string>")), "{path}: {agent}");
    }
    assert!(!agent.contains('@'), "{agent}");
    assert_eq!(machine.sh("stat -c %a ~/Library/Caches/vx").ok().trim(), "700");
    assert_eq!(machine.sh("ls ~/.local/share/systemd 2>/dev/null | wc -l").ok().trim(), "0");
    run("--uninstall").ok();
    assert_eq!(machine.sh("ls ~/Library/LaunchAgents 2>/dev/null | wc -l").ok().trim(), "0");
    assert_eq!(machine.sh("grep -c bootout ~/told").ok().trim(), "6", "before each start and at the end");
}

#[test]
fn vxctl_prints_agents_and_installs_none_here() {
    let machine = Machine::with_vx(Who::Person);
    let printed = machine.run(["vxctl", "agents", "print", "casd"]).ok();
    assert!(printed.contains("<string>/home/vx-tester/.local/libexec/vx/vx-casd</string>"), "{printed}");
    let refused = machine.run(["vxctl", "agents", "install"]);
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.contains("packaging/install"), "{}", refused.stderr);
}
