//! What the system tests stand on: machines with a user manager of their own, what is installed in them, and small projects to
//! build there. What vx promises is said in the tests, not here.

mod dist;
mod machine;

pub use dist::{dist_root, top};
pub use machine::{Done, Machine, Who};
