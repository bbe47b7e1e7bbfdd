//! Typed clients
