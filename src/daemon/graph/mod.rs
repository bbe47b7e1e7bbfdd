//! Pure data and decisions of one build: which unit may go next. No clock, no I/O, no async; what a
//! unit is and how it runs is not known here.

mod build;
mod need;
mod weight;

pub use build::{AfterFailure, Build};
pub use need::{Cost, Need, Strength};
pub use weight::{longest, weights};
