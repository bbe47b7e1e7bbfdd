//! vx's own wires, as bytes: framing with descriptors, JSON-RPC envelopes and the client
//! protocol's messages. No runtime and no sockets of its own; `PROTOCOL.md` is the reference.

pub mod call;
pub mod fds;
pub mod session;
pub mod text;
