//! What is said when a build has ended: what was there, what that saved, and the chain of actions
//! that it could not have been faster than. Pure.

use std::{collections::BTreeSet, time::Duration};

use crate::progress::seconds;

/// A chain that took less than this is of no interest to most.
const WORTH_SAYING: Duration = Duration::from_secs(1);
/// Savings below this are none.
const WORTH_SAVING: Duration = Duration::from_millis(50);

/// How many units were found and built.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub hits: usize,
    pub built: usize,
}

/// Whether a chain is said to anybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interest {
    /// If it took a second.
    Normal,
    /// However short it was.
    Verbose,
}

/// `54 units, 50 hits, 4 built, 21.3s saved`.
pub fn summary(counts: Counts, saved: Duration) -> String {
    let Counts { hits, built } = counts;
    let units = counted(hits + built, "unit", "units");
    let saved = if saved < WORTH_SAVING { String::new() } else { format!(", {} saved", seconds(saved)) };
    format!("{units}, {}, {built} built{saved}", counted(hits, "hit", "hits"))
}

/// `9.8s: memchr 1.0s, regex-automata 4.4s, rg 2.1s`: how long the chain took, and each of its
/// units with what it added, as far as that can be seen in tenths of a second.
pub fn critical(path: &[(&str, Duration)], interest: Interest) -> Option<String> {
    let total: Duration = path.iter().map(|(_, time)| *time).sum();
    // A single unit's time the person has seen.
    let is_worth_it = match interest {
        Interest::Verbose => !path.is_empty(),
        Interest::Normal => path.len() > 1 && total >= WORTH_SAYING,
    };
    let seen = path.iter().filter(|(_, time)| *time >= WORTH_SAVING);
    let links: Vec<String> = seen.map(|(name, time)| format!("{name} {}", seconds(*time))).collect();
    is_worth_it.then(|| format!("{}: {}", seconds(total), links.join(", ")))
}

/// What cargo says of packages that a future rustc will reject.
pub fn rejected(packages: &BTreeSet<String>) -> Option<String> {
    let list: Vec<&str> = packages.iter().map(String::as_str).collect();
    let what = "the following packages contain code that will be rejected by a future version of Rust";
    (!list.is_empty()).then(|| format!("{what}: {}", list.join(", ")))
}

/// Where to read more about those.
pub const HOW_REJECTED: &str = "to see what the problems were, run `cargo build --future-incompat-report`";

fn counted(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_that_will_be_rejected_are_listed_once() {
        assert_eq!(rejected(&BTreeSet::new()), None);
        let packages = ["b v2.0.0", "a v1.0.0", "b v2.0.0"].map(str::to_owned).into();
        let text =
            "the following packages contain code that will be rejected by a future version of Rust: a v1.0.0, b v2.0.0";
        assert_eq!(rejected(&packages), Some(text.to_owned()));
    }

    fn ms(time: u64) -> Duration {
        Duration::from_millis(time)
    }

    #[test]
    fn what_hits_have_saved_is_said() {
        let said = |hits, built, saved| summary(Counts { hits, built }, ms(saved));
        assert_eq!(said(2, 1, 2500), "3 units, 2 hits, 1 built, 2.5s saved");
        assert_eq!(said(0, 1, 0), "1 unit, 0 hits, 1 built");
        assert_eq!(said(1, 0, 49), "1 unit, 1 hit, 0 built");
    }

    #[test]
    fn short_chains_are_for_those_who_ask() {
        let path = [("a", ms(500)), ("b", ms(10)), ("c", ms(400))];
        assert_eq!(critical(&path, Interest::Normal), None);
        assert_eq!(critical(&path, Interest::Verbose).as_deref(), Some("0.9s: a 0.5s, c 0.4s"));
        let long = [("a", ms(500)), ("b", ms(500))];
        assert_eq!(critical(&long, Interest::Normal).as_deref(), Some("1.0s: a 0.5s, b 0.5s"));
        assert_eq!(critical(&[], Interest::Verbose), None);
        assert_eq!(critical(&[("a", ms(2000))], Interest::Normal), None);
    }
}
