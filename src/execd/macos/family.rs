//! Who belongs to a process, in a list of processes. Pure.

use std::collections::HashSet;

/// A process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its number.
    pub pid: i32,
    /// Its parent's; 1 once that is gone.
    pub parent: i32,
    /// Its session's, which stays when its parent goes.
    pub session: i32,
}

/// All below `roots`, without them: children of what belongs, and who is in a session that a root or
/// one of those began.
pub fn below(all: &[Process], roots: &[i32]) -> Vec<i32> {
    let mut known: HashSet<i32> = roots.iter().copied().collect();
    let mut found = Vec::new();
    loop {
        let before = found.len();
        for one in all {
            if (known.contains(&one.parent) || known.contains(&one.session)) && known.insert(one.pid) {
                found.push(one.pid);
            }
        }
        if found.len() == before {
            return found;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_and_orphans_of_a_session_belong() {
        let process = |(pid, parent, session)| Process { pid, parent, session };
        let all = [
            // An own session of a grandchild, before its parent in the list.
            (14, 12, 14),
            (10, 9, 10),
            (11, 10, 11),
            (12, 11, 11),
            // Its parent is gone.
            (13, 1, 11),
            (20, 1, 20),
            (21, 20, 20),
        ];
        let all = all.map(process);
        let mut found = below(&all, &[10]);
        found.sort_unstable();
        assert_eq!(found, [11, 12, 13, 14]);
        // The payload itself has ended.
        assert_eq!(below(&all[4..], &[10, 11]), [13]);
    }
}
