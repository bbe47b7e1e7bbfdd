//! Everything vx knows of cargo: its unit graph and metadata, its configuration, the calls it
//! would make, the words it would print, the places where its users expect files. Pure: bytes and
//! structs in, structs out; processes are run by others, and only `files` reads from disk.
//!
//! Order of use: `select` (words for cargo) → `unit_graph`, `metadata`, `config`, `probe` (what
//! was answered) → `plan` → `rustc`, `script` (calls) → `directives`, `dep_info`, `diagnostics`,
//! `messages` (what came back) → `place` (what the person gets).

pub mod call;
pub mod clippy;
mod closure;
pub mod collisions;
pub mod config;
mod config_links;
mod config_tree;
pub mod decides;
pub mod dep_info;
pub mod diagnostics;
pub mod directives;
pub mod doc_checks;
pub mod doctest;
pub mod environment;
pub mod files;
mod flavour;
mod identity;
pub mod lines;
mod links;
pub mod locate;
mod lto;
mod malformed;
mod manifest;
mod members;
pub mod messages;
pub mod metadata;
pub mod mounts;
mod outputs;
pub mod outside;
pub mod package;
pub mod parts;
pub mod place;
pub mod placed;
pub mod plan;
pub mod platform;
pub mod probe;
pub mod process;
mod rejections;
pub mod runnable;
pub mod rustc;
pub mod rustdoc;
pub mod script;
pub mod select;
pub mod term;
pub mod testing;
pub mod toolchain;
pub mod unit;
pub mod unit_graph;
pub mod unshown;
pub mod wrapped;

pub use closure::Said;
pub use locate::{LOCK_FILE, MANIFEST};
pub use outside::VENDORED;
