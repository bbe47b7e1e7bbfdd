//! The ids of messages that an administrator may meet. Each has a paragraph in
//! packaging/catalog/vx.catalog (`journalctl -x` shows it); a test keeps the two together.

/// vx.toml cannot be used.
pub const CONFIG_INVALID: &str = "5d2f0b0c6f5d4f0c9a0e7f9c1b7a3e11";
/// The store cannot be opened.
pub const STORE_CLOSED: &str = "7c1e9a4b2d3f4a8e8b6d5c0f9e2a1b22";
/// A rung of the sandbox cannot be reached.
pub const RUNG_MISSED: &str = "9b3a7d5e1c2f4e6d8a0b9c8d7e6f5a33";
/// Messages of the log were lost.
pub const LOG_DROPPED: &str = "1f4c8e2a6b0d4937a5c3e1f7d9b2c844";
/// The service left although something still ran.
pub const DRAIN_ENDED: &str = "3e7b1d9f5a2c4c60b8e4f0a6c2d8e955";
/// The service failed and ends.
pub const SERVICE_FAILED: &str = "a6d0f4e8c2b64e17935f7d1b8e0a4c66";
