//! vx-daemon.

mod cargo;

fn main() {}
