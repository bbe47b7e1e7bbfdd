//! The one integration binary: its modules are the system tests, each through installed programs and real units. What they
//! stand on (a machine with a user manager of its own) is `kit`; rules of the source tree itself are `tidy`.

mod activation;
mod audit;
mod callers;
mod calls;
mod checklist;
mod clean;
mod client;
mod control;
mod crash;
mod exceptions;
mod failpoints;
mod full_disk;
mod hostile;
mod incremental;
mod install;
mod jobserver;
mod kinds;
mod kit;
mod ladder;
mod launchd;
mod manuals;
mod messages;
mod pipelining;
mod programs;
mod projects;
mod reapi;
mod ripgrep;
mod sandbox;
mod seen;
mod sessions;
mod tcp;
mod tidy;
mod units;
mod variables;
mod without_init;
