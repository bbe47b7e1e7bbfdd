//! How much of the build waits for a unit: the longest way from its start to the end of the build,
//! if there were room for everything at once.

use super::{Cost, Need, Strength};

/// For each unit the longest way through its dependents, itself included. Needs must have no
/// circle; units of one fall to their own cost.
pub fn weights(needs: &[Vec<Need>], costs: &[Cost]) -> Vec<u64> {
    let mut above = vec![0_usize; needs.len()];
    for need in needs.iter().flatten() {
        above[need.unit] += 1;
    }
    let mut weights: Vec<u64> = costs.iter().map(|cost| cost.whole).collect();
    let mut open: Vec<usize> = (0..needs.len()).filter(|&unit| above[unit] == 0).collect();
    while let Some(unit) = open.pop() {
        for need in &needs[unit] {
            let cost = costs[need.unit];
            let until = if need.strength == Strength::All { cost.whole } else { cost.metadata };
            weights[need.unit] = weights[need.unit].max(until + weights[unit]);
            above[need.unit] -= 1;
            if above[need.unit] == 0 {
                open.push(need.unit);
            }
        }
    }
    weights
}

/// The units of the longest way, first to last, each with what it adds.
pub fn longest(needs: &[Vec<Need>], costs: &[Cost]) -> Vec<(usize, u64)> {
    let weights = weights(needs, costs);
    let heaviest = (0..weights.len()).max_by_key(|unit| (weights[*unit], std::cmp::Reverse(*unit)));
    let Some(mut unit) = heaviest else { return Vec::new() };
    let mut way = Vec::new();
    // No way is longer than there are units, not even in a circle.
    while way.len() < needs.len() {
        let next = needs.iter().enumerate().find_map(|(above, needs)| {
            let need = needs.iter().find(|need| need.unit == unit)?;
            let until = if need.strength == Strength::All { costs[unit].whole } else { costs[unit].metadata };
            (until + weights[above] == weights[unit]).then_some((above, until))
        });
        let Some((above, until)) = next else { break };
        way.push((unit, until));
        unit = above;
    }
    way.push((unit, costs[unit].whole));
    way
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needs(all: &[&[usize]]) -> Vec<Vec<Need>> {
        let need = |unit: &usize| Need { unit: *unit, strength: Strength::All };
        all.iter().map(|needs| needs.iter().map(need).collect()).collect()
    }

    #[test]
    fn the_longest_chain_counts() {
        // 0 ← 1 ← 3, 0 ← 2, 2 ← 3 via 4
        let needs = needs(&[&[], &[0], &[0], &[1, 4], &[2]]);
        assert_eq!(weights(&needs, &[Cost { whole: 1, metadata: 1 }; 5]), [4, 2, 3, 1, 2]);
    }

    #[test]
    fn long_units_weigh_more_and_metadata_comes_sooner() {
        let mut needs = needs(&[&[], &[], &[0], &[1]]);
        let costs = [(10, 2), (5, 5), (3, 3), (3, 3)].map(|(whole, metadata)| Cost { whole, metadata });
        assert_eq!(weights(&needs, &costs), [13, 8, 3, 3]);
        assert_eq!(longest(&needs, &costs), [(0, 10), (2, 3)]);
        needs[2][0].strength = Strength::Metadata;
        // What its dependent takes is over before its own code is there.
        assert_eq!(weights(&needs, &costs), [10, 8, 3, 3]);
        assert_eq!(longest(&needs, &costs), [(0, 10)]);
    }
}
