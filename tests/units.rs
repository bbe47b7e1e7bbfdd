//! The units as a manager sees them: valid down to the last key, sockets for their owner alone, and the promises of the unit
//! files proven in a running service, because systemd ignores what it cannot do in a user's unit.

use crate::kit::{Machine, Who};

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
