//! Typed clients of casd and execd over their local sockets. A lost service is waited for: the
//! init system starts it again on the next connect.

pub mod cas;
mod cas_calls;
pub mod copy;
pub mod exec;
mod link;

pub use link::{CallError, Link};
