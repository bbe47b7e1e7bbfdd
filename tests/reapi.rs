//! casd and execd driven by a plain REAPI client, in another language and over the sockets alone, with hostile digests, names,
//! trees and actions among it.

use crate::kit::{Machine, Who};

const CLIENTS: [(&str, &str); 2] = [
    ("reapi_client.py", include_str!("reapi_client.py")),
    ("reapi_exec_client.py", include_str!("reapi_exec_client.py")),
];

#[test]
fn a_plain_client_is_served_and_a_hostile_one_refused() {
    for who in [Who::Root, Who::Person] {
        let machine = Machine::with_vx(who);
        for (name, text) in CLIENTS {
            machine.write(machine.home().join(name), text);
        }
        machine.sh("/usr/bin/python3 -B ~/reapi_client.py $XDG_RUNTIME_DIR/vx/cas.sock").ok();
        machine
            .sh("/usr/bin/python3 -B ~/reapi_exec_client.py $XDG_RUNTIME_DIR/vx/cas.sock $XDG_RUNTIME_DIR/vx/exec.sock")
            .ok();
        let places = "/ /usr /usr/bin /etc /vx /dev /tmp /var/tmp /home ~ ~/.cache/vx/exec ~/.cache/vx/exec/scratch";
        let escaped = machine.sh(&format!("find {places} -maxdepth 1 -name '*vx-escaped*' 2>/dev/null"));
        assert_eq!(escaped.stdout, "", "{who:?}");
    }
}
