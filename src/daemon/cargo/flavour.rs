//! Which units of a graph are compiled with their tests. cargo's graph says so of those that are
//! built; of those that are only checked it does not, and a library and the same library with its
//! tests may look alike in it.

use std::collections::HashMap;

use super::{
    select::{Intent, ProfileChoice, Selection, TargetChoice},
    unit::Flavour,
    unit_graph::{GraphUnit, Mode, UnitGraph},
};

/// The flavour of every unit, by its index.
pub fn of_all(graph: &UnitGraph, selection: &Selection) -> Vec<Flavour> {
    let mut found: Vec<Flavour> = graph.units.iter().map(by_itself).collect();
    let mut dependents = vec![0_usize; graph.units.len()];
    for dependency in graph.units.iter().flat_map(|unit| &unit.dependencies) {
        dependents[dependency.index] += 1;
    }
    // Roots of one target: the plain one if it was asked for, and the one with tests.
    let mut twins: HashMap<(&str, &str, &str, Option<&str>), Vec<usize>> = HashMap::new();
    for root in &graph.roots {
        let unit = &graph.units[*root];
        if unit.mode == Mode::Check && found[*root] == Flavour::Plain {
            let target = (unit.pkg_id.as_str(), unit.target.kind.first().map_or("", String::as_str));
            let key = (target.0, target.1, unit.target.name.as_str(), unit.platform.as_deref());
            twins.entry(key).or_default().push(*root);
        }
    }
    for mut roots in twins.into_values() {
        // Tests always unwind, whatever the profile says; nobody depends on them, and they need what is
        // for development too.
        roots.sort_by_key(|root| {
            let unit = &graph.units[*root];
            (unit.profile.panic == "unwind", dependents[*root] == 0, unit.dependencies.len())
        });
        let is_plain = asks_for_plain(selection, &graph.units[roots[0]]);
        for root in roots.iter().skip(usize::from(is_plain)) {
            found[*root] = Flavour::Tests;
        }
    }
    found
}

fn by_itself(unit: &GraphUnit) -> Flavour {
    let is_test = unit.target.is_test() || unit.target.is_bench();
    match unit.mode {
        Mode::Test => Flavour::Tests,
        Mode::Check if is_test => Flavour::Tests,
        _ => Flavour::Plain,
    }
}

/// Whether the words ask for this target without its tests.
fn asks_for_plain(selection: &Selection, unit: &GraphUnit) -> bool {
    // An old way of cargo's to ask for tests.
    if selection.intent == Intent::Check && selection.profile == ProfileChoice::Named("test".to_owned()) {
        return false;
    }
    let target = &unit.target;
    let asks = |choice: &TargetChoice| match choice {
        TargetChoice::All => true,
        TargetChoice::Lib => target.is_lib(),
        TargetChoice::Bins => target.is_bin(),
        TargetChoice::Bin(pattern) => target.is_bin() && matches(pattern, &target.name),
        TargetChoice::Examples => target.is_example(),
        TargetChoice::Example(pattern) => target.is_example() && matches(pattern, &target.name),
        TargetChoice::Tests | TargetChoice::Test(_) | TargetChoice::Benches | TargetChoice::Bench(_) => false,
        TargetChoice::NamedTests | TargetChoice::Documentation => false,
    };
    selection.targets.is_empty() || selection.targets.iter().any(asks)
}

/// Whether a name is one that cargo would find by this pattern; sets of characters are taken to fit.
fn matches(pattern: &str, name: &str) -> bool {
    let mut rest = pattern.chars();
    match rest.next() {
        None => name.is_empty(),
        Some('[') => true,
        Some('*') => {
            name.char_indices().any(|(at, _)| matches(rest.as_str(), &name[at..])) || matches(rest.as_str(), "")
        }
        Some(one) => {
            let mut letters = name.chars();
            letters.next().is_some_and(|letter| one == '?' || one == letter) && matches(rest.as_str(), letters.as_str())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// (kind, name, dependencies), all checked; the flavours where `words` chose these roots. The units
    /// named `aborts` do so, but for the last.
    fn flavours(units: &[(&str, &str, &[usize])], roots: &[usize], targets: &[TargetChoice]) -> Vec<Flavour> {
        let last = units.len() - 1;
        let profile = serde_json::json!({"name": "dev", "opt_level": "0", "lto": "false", "codegen_backend": null,
            "codegen_units": null, "debuginfo": 2, "split_debuginfo": null, "debug_assertions": true,
            "overflow_checks": true, "rpath": false, "incremental": true, "panic": "unwind",
            "strip": {"deferred": "None"}});
        let unit = |(at, (kind, name, on)): (usize, &(&str, &str, &[usize]))| {
            let mut profile = profile.clone();
            if *name == "aborts" && at != last {
                profile["panic"] = "abort".into();
            }
            let on: Vec<_> =
                on.iter().map(|index| serde_json::json!({"index": index, "extern_crate_name": "x"})).collect();
            serde_json::json!({"pkg_id": "p", "mode": "check", "features": [], "platform": null, "dependencies": on,
                "target": {"kind": [kind], "crate_types": [kind], "name": name, "src_path": "/x", "edition": "2021"},
                "profile": profile})
        };
        let json = serde_json::json!({"version": 1, "roots": roots, "units": units.iter().enumerate().map(unit).collect::<Vec<_>>()});
        let graph = UnitGraph::parse(json.to_string().as_bytes()).expect("a graph");
        let selection = Selection { intent: Intent::Check, targets: targets.to_vec(), ..Selection::default() };
        of_all(&graph, &selection)
    }

    #[test]
    fn tests_are_the_roots_nobody_depends_on() {
        use Flavour::{Plain, Tests};
        let units: [(&str, &str, &[usize]); 6] = [
            ("lib", "a", &[]),
            ("lib", "a", &[]),
            ("bin", "b", &[0]),
            ("bin", "b", &[0, 5]),
            ("test", "t", &[0, 2]),
            ("lib", "dev", &[]),
        ];
        let all = flavours(&units, &[0, 1, 2, 3, 4], &[TargetChoice::All]);
        assert_eq!(all, [Plain, Tests, Plain, Tests, Tests, Plain]);
        let swapped: [(&str, &str, &[usize]); 6] =
            [units[0], units[1], ("bin", "b", &[1, 5]), ("bin", "b", &[1]), ("test", "t", &[1]), units[5]];
        let all = flavours(&swapped, &[0, 1, 2, 3, 4], &[TargetChoice::All]);
        assert_eq!(all, [Tests, Plain, Tests, Plain, Tests, Plain]);
    }

    #[test]
    fn tests_unwind_where_the_profile_aborts() {
        let twins: [(&str, &str, &[usize]); 2] = [("example", "aborts", &[]), ("example", "aborts", &[])];
        assert_eq!(flavours(&twins, &[0, 1], &[TargetChoice::All]), [Flavour::Plain, Flavour::Tests]);
        assert_eq!(flavours(&twins, &[1, 0], &[TargetChoice::All]), [Flavour::Plain, Flavour::Tests]);
    }

    #[test]
    fn a_program_that_was_not_named_is_there_for_its_tests() {
        use Flavour::{Plain, Tests};
        let bins: [(&str, &str, &[usize]); 3] = [("bin", "one", &[]), ("bin", "one", &[]), ("bin", "two", &[])];
        let words = |pattern: &str| [TargetChoice::Bin(pattern.to_owned()), TargetChoice::Tests];
        let some = flavours(&bins, &[0, 1, 2], &words("one"));
        assert_eq!((some[2], some[0] != some[1]), (Tests, true));
        assert_eq!(flavours(&bins, &[2], &words("t*")), [Plain; 3]);
        for (pattern, fits) in [("two", true), ("*", true), ("t?o", true), ("*o", true), ("t", false), ("two?", false)]
        {
            assert_eq!(matches(pattern, "two"), fits, "{pattern}");
        }
    }

    #[test]
    fn a_root_without_a_twin_is_what_the_words_say() {
        use Flavour::{Plain, Tests};
        let one: [(&str, &str, &[usize]); 1] = [("lib", "a", &[])];
        assert_eq!(flavours(&one, &[0], &[]), [Plain]);
        assert_eq!(flavours(&one, &[0], &[TargetChoice::Tests]), [Tests]);
        assert_eq!(flavours(&one, &[0], &[TargetChoice::Lib, TargetChoice::Test("x".to_owned())]), [Plain]);
        let with_test: [(&str, &str, &[usize]); 3] = [("lib", "a", &[]), ("lib", "a", &[]), ("test", "t", &[0])];
        assert_eq!(flavours(&with_test, &[1, 2], &[TargetChoice::Tests]), [Plain, Tests, Tests]);
    }
}
