//! What the system tests stand on: machines with a user manager of their own, what is installed in them, and small projects to
//! build there. What vx promises is said in the tests, not here.

mod dist;
mod machine;
mod opens;
mod project;

pub use dist::dist_root;
use dist::{failpoint_root, top};
pub use machine::{Done, Machine, Who, sysroot};
pub use opens::Opens;
pub use project::Project;

/// The names that one service goes by.
pub struct Service {
    pub program: &'static str,
    /// The stem of its units.
    pub unit: &'static str,
    /// The stem of its sockets.
    pub socket: &'static str,
    /// The last word of its bus name.
    pub bus: &'static str,
}

pub const SERVICES: [Service; 3] = [
    Service { program: "vx-daemon", unit: "vx", socket: "daemon", bus: "Daemon1" },
    Service { program: "vx-casd", unit: "vx-casd", socket: "cas", bus: "Cas1" },
    Service { program: "vx-execd", unit: "vx-execd", socket: "exec", bus: "Exec1" },
];
