//! The Remote Execution API and vx's local calls, translated to and from `store`, `actions` and
//! `acquire`. Every digest, name and tree of a client is checked here; nothing inward sees
//! generated protobuf types or hashes as text.

mod action_cache;
mod bytestream;
mod calls;
mod capabilities;
mod cas;
mod edge;
mod foreign;
mod inline;
mod listen;
mod packing;
mod resource;
#[cfg(test)]
mod tests;
mod trees;
mod uploads;

pub use edge::Gate;
pub use listen::{Casd, serve};
