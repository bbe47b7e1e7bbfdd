//! packaging/install: everything in its place, and nothing left when it is taken away.

use crate::kit::{Machine, Who};

/// Everything below the home folder but what belongs to the toolchain and the manager's own state.
fn listing(machine: &Machine) -> String {
    machine.run(["find", ".", "-not", "-path", "./.local/state/*", "-printf", "%y %p %l\n"]).ok()
}

fn sorted(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines
}

#[test]
fn uninstall_leaves_nothing() {
    let machine = Machine::start(Who::Person);
    let before = listing(&machine);
    let said = machine.install(&[]).ok();
    assert!(said.contains("sockets are up"), "{said}");
    for path in ["bin/vx", "bin/vxctl", "libexec/vx/vx-daemon", "libexec/vx/vx-casd", "libexec/vx/vx-execd"] {
        machine.run(["test", "-x", &format!(".local/{path}")]).ok();
    }
    let unit = machine.run(["systemctl", "--user", "cat", "vx-execd.service"]).ok();
    assert!(unit.contains("ExecStart=/home/vx-tester/.local/libexec/vx/vx-execd"), "{unit}");
    assert!(!unit.contains('@'), "a placeholder is left in {unit}");
    // Installing over it is an upgrade and changes nothing here.
    let installed = listing(&machine);
    machine.install(&[]).ok();
    assert_eq!(sorted(&listing(&machine)), sorted(&installed));
    machine.install(&["--uninstall"]).ok();
    assert_eq!(sorted(&listing(&machine)), sorted(&before));
    assert_eq!(machine.property("vx.socket", "LoadState"), "not-found");
    assert_eq!(machine.sh("ls $XDG_RUNTIME_DIR/vx 2>&1 | wc -l; pgrep -c vx-").stdout.lines().next_back(), Some("0"));
    assert_ne!(machine.install(&["--uninstall"]).code, 0, "nothing is left to take away");
}

#[test]
fn another_prefix_without_enabling() {
    let machine = Machine::start(Who::Person);
    let said = machine.install(&["--prefix", "/home/vx-tester/elsewhere", "--no-enable"]).ok();
    assert!(said.contains("systemctl --user enable --now vx.socket"), "{said}");
    assert_eq!(machine.property("vx.socket", "ActiveState"), "inactive");
    let refused = machine.install(&[]);
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.contains("installed below /home/vx-tester/elsewhere already"), "{}", refused.stderr);
    machine.install(&["--prefix", "/home/vx-tester/elsewhere", "--uninstall"]).ok();
    machine.run(["test", "!", "-e", "elsewhere"]).ok();
}

#[test]
fn wrong_words_are_refused() {
    let machine = Machine::start(Who::Person);
    for words in [&["--prefx", "/x"][..], &["--prefix"], &["--prefix", "/with a/space"]] {
        let done = machine.install(words);
        assert_eq!(done.code, 64, "{words:?}: {}", done.stderr);
    }
    let done = machine.run(["/run/kit/packaging/install", "--from", "/nowhere"]);
    assert_eq!(done.code, 1);
    assert!(done.stderr.contains("packaging/build makes one"), "{}", done.stderr);
}
