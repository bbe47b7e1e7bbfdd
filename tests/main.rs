//! The one integration binary: its modules are the system tests, each through installed programs and real units. What they
//! stand on (a machine with a user manager of its own) is `kit`; rules of the source tree itself are `tidy`.

mod activation;
mod control;
mod calls;
mod install;
mod kit;
mod tidy;
mod units;
