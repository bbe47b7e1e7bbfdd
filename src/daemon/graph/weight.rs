//! How much of the build waits for a unit: its critical path counted in units, cargo's heuristic
//! until durations are known.

/// For each unit the longest chain of dependents above it, itself included. `dependencies` lists
/// each unit's dependencies and must have no circle; units of one fall to weight 1.
pub fn weights(dependencies: &[Vec<usize>]) -> Vec<u32> {
    let mut dependents = vec![Vec::new(); dependencies.len()];
    let mut above = vec![0_usize; dependencies.len()];
    for (unit, needs) in dependencies.iter().enumerate() {
        for &need in needs {
            dependents[need].push(unit);
        }
    }
    for (unit, users) in dependents.iter().enumerate() {
        above[unit] = users.len();
    }
    let mut weights = vec![1_u32; dependencies.len()];
    let mut open: Vec<usize> = (0..dependencies.len()).filter(|&unit| above[unit] == 0).collect();
    while let Some(unit) = open.pop() {
        for &need in &dependencies[unit] {
            weights[need] = weights[need].max(weights[unit] + 1);
            above[need] -= 1;
            if above[need] == 0 {
                open.push(need);
            }
        }
    }
    weights
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_chain_counts() {
        // 0 ← 1 ← 3, 0 ← 2, 2 ← 3 via 4
        let dependencies = vec![vec![], vec![0], vec![0], vec![1, 4], vec![2]];
        assert_eq!(weights(&dependencies), [4, 2, 3, 1, 2]);
    }
}
