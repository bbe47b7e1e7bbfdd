//! What execd saw and heard of one run: plain data, whoever watched. The watching is `seen`'s and
//! `heard`'s.

use std::collections::BTreeSet;

use shared::reapi::record::Attempt;

/// What one action was seen to open.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Files, below the checkout's root.
    pub opened: BTreeSet<String>,
    /// Folders whose names were read, below the checkout's root; empty for the root.
    pub listed: BTreeSet<String>,
    /// Files that were written there, and folders that were made.
    pub wrote: BTreeSet<String>,
    /// Why something may be lacking here.
    pub unseen: Option<String>,
}

/// What one action tried.
#[derive(Clone, Debug, Default)]
pub struct Heard {
    /// What it did not get, each once, in order.
    pub tried: Vec<Attempt>,
    /// Programs of the host that it ran or looked for, beside those that are in every key.
    pub tools: BTreeSet<String>,
    /// Why something may be lacking.
    pub unheard: Option<String>,
}

/// What an action had too much of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// Memory.
    Memory,
    /// Processes.
    Processes,
}

impl Seen {
    /// Something may be lacking.
    pub fn lack(&mut self, why: &str) {
        self.unseen.get_or_insert_with(|| why.to_owned());
    }
}
