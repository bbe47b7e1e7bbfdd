//! vx-execd runs every process there is.

#![allow(dead_code)]
mod child;
mod host;
mod launch;
mod sandbox;

fn main() {}
