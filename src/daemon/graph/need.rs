//! An edge of the graph with its strength, and what a unit costs.

/// How much of a unit another one needs. More is more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Strength {
    /// Its metadata, which is there before its code.
    Metadata,
    /// All that it leaves.
    All,
}

/// One need of a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Need {
    /// The unit that is needed.
    pub unit: usize,
    /// How much of it.
    pub strength: Strength,
}

/// What a unit takes, in any unit of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// From start to end.
    pub whole: u64,
    /// From start to its metadata; the same as `whole` where there is none.
    pub metadata: u64,
}
