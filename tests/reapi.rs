//! casd and execd driven by a plain REAPI client, in another language and over the sockets alone, with hostile digests, names,
//! trees and actions among it. What each check is for says src/execd/REAPI.md.

use crate::kit::{Machine, Who};

const CLIENTS: [(&str, &str); 3] = [
    ("blake3_plain.py", include_str!("blake3_plain.py")),
    ("reapi_client.py", include_str!("reapi_client.py")),
    ("reapi_exec_client.py", include_str!("reapi_exec_client.py")),
];

/// Puts both clients into the home folder.
pub fn write_clients(machine: &Machine) {
    for (name, text) in CLIENTS {
        machine.write(machine.home().join(name), text);
    }
}

/// All checks of both clients, with one digest function.
pub fn drive(machine: &Machine, cas: &str, exec: &str, function: &str) {
    write_clients(machine);
    machine.sh(&format!("/usr/bin/python3 -B ~/reapi_client.py {cas} {function}")).ok();
    machine.sh(&format!("/usr/bin/python3 -B ~/reapi_exec_client.py {cas} {exec} {function}")).ok();
    let places = "/ /usr /usr/bin /etc /vx /dev /tmp /var/tmp /home ~ ~/.cache/vx/exec ~/.cache/vx/exec/scratch";
    let escaped = machine.sh(&format!("find {places} -maxdepth 1 -name '*vx-escaped*' 2>/dev/null"));
    assert_eq!(escaped.stdout, "");
}

/// Store and executor, for a shell.
pub const SOCKETS: [&str; 2] = ["$XDG_RUNTIME_DIR/vx/cas.sock", "$XDG_RUNTIME_DIR/vx/exec.sock"];

#[test]
fn a_plain_client_is_served_and_a_hostile_one_refused_with_sha256() {
    for who in [Who::Root, Who::Person] {
        drive(&Machine::with_vx(who), SOCKETS[0], SOCKETS[1], "sha256");
    }
}

#[test]
fn a_plain_client_is_served_and_a_hostile_one_refused_with_blake3() {
    drive(&Machine::with_vx(Who::Person), SOCKETS[0], SOCKETS[1], "blake3");
}
