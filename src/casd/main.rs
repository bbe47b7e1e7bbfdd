//! vx-casd.
mod actions;
mod store;

fn main() {}
