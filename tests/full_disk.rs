//! A file system without room, in bytes and in inodes: what is leased stays and is served while writes are refused in words, and
//! what is not leased makes room.

use crate::kit::{Machine, Who};

#[test]
fn a_full_disk_refuses_writes_and_serves_on() {
    for options in ["size=24m,nr_inodes=10000", "size=80m,nr_inodes=120"] {
        let machine = Machine::with_vx(Who::Root);
        for (name, text) in [
            ("blake3_plain.py", include_str!("blake3_plain.py")),
            ("reapi_client.py", include_str!("reapi_client.py")),
            ("full_disk.py", include_str!("full_disk.py")),
        ] {
            machine.write(machine.home().join(name), text);
        }
        machine.sh(&format!("mkdir ~/small && mount -t tmpfs -o {options},mode=700 none ~/small")).ok();
        for (lease, phase) in [(3600, "leased"), (0, "evicting")] {
            let config = format!("[cas]\npath = \"{}/small\"\nlease_s = {lease}\n", machine.home().display());
            machine.write(machine.home().join(".config/vx/vx.toml"), config);
            machine.run(["systemctl", "--user", "restart", "vx-casd.service"]).ok();
            let line = format!("/usr/bin/python3 -B ~/full_disk.py $XDG_RUNTIME_DIR/vx/cas.sock {phase}");
            let done = machine.sh(&line);
            assert_eq!(done.code, 0, "{options}: {}\n{}", done.stdout, done.stderr);
        }
    }
}
