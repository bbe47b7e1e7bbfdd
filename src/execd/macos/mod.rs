//! What execd does in its own way on macOS. Most files here stand in for the one of the same name,
//! which says what it is for (the attribute beside its `mod` tells); what only they use is named
//! here. No Mac has run them: they are checked for their types, and tested where they need none.

pub mod family;
#[cfg(all(test, not(target_os = "macos")))]
mod packets;
#[cfg(target_os = "macos")]
pub mod processes;
