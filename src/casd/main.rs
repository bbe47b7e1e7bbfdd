//! vx-casd.
mod acquire;
mod actions;
mod store;

fn main() {}
