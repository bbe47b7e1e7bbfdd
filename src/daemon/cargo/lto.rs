//! Which link-time optimisation each unit takes part in: cargo's walk from the roots, one pure
//! function over the graph. How the answer is spelled as flags stands beside it.

use super::unit_graph::{GraphUnit, Mode, UnitGraph};

/// What rustc has to make of a unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lto {
    /// Run it here, under a name or in rustc's default way.
    Run(Option<String>),
    /// Not even within the crate.
    Off,
    /// Only bitcode: all that use it run LTO.
    Bitcode,
    /// Bitcode and object code.
    Both,
    /// Only object code.
    Object,
}

impl Lto {
    /// The arguments for rustc.
    pub fn args(&self) -> Vec<String> {
        let flags: Vec<String> = match self {
            Lto::Run(None) => vec!["lto".to_owned()],
            Lto::Run(Some(name)) => vec![format!("lto={name}")],
            Lto::Off => vec!["lto=off".to_owned(), "embed-bitcode=no".to_owned()],
            Lto::Both => vec![],
            Lto::Bitcode => vec!["linker-plugin-lto".to_owned()],
            Lto::Object => vec!["embed-bitcode=no".to_owned()],
        };
        flags.into_iter().flat_map(|flag| ["-C".to_owned(), flag]).collect()
    }

    fn merged(self, known: &Lto) -> Lto {
        match (self, known) {
            (one, other) if one == *other => one,
            (Lto::Run(name), _) => Lto::Run(name),
            (_, Lto::Run(name)) => Lto::Run(name.clone()),
            (Lto::Off, _) | (_, Lto::Off) => Lto::Off,
            _ => Lto::Both,
        }
    }
}

/// One answer for each unit of the graph; units no root reaches get `Object`.
pub fn walk(graph: &UnitGraph) -> Vec<Lto> {
    let mut known: Vec<Option<Lto>> = vec![None; graph.units.len()];
    for root in &graph.roots {
        let mut stack = vec![(*root, at_root(&graph.units[*root]))];
        while let Some((index, parent)) = stack.pop() {
            let unit = &graph.units[index];
            let computed = of_unit(unit, &parent);
            let merged = match &known[index] {
                None => computed,
                Some(before) => {
                    let merged = computed.merged(before);
                    if merged == *before {
                        continue;
                    }
                    merged
                }
            };
            known[index] = Some(merged.clone());
            stack.extend(unit.dependencies.iter().rev().map(|dependency| (dependency.index, merged.clone())));
        }
    }
    known.into_iter().map(|one| one.unwrap_or(Lto::Object)).collect()
}

fn at_root(unit: &GraphUnit) -> Lto {
    let types = crate_types(unit);
    match unit.profile.lto.as_str() {
        "false" => Lto::Object,
        "off" => Lto::Off,
        _ if unit.target.is_for_host() => Lto::Object,
        _ if needs_object(&types) => when_objects_are_needed(&types),
        _ => Lto::Bitcode,
    }
}

fn of_unit(unit: &GraphUnit, parent: &Lto) -> Lto {
    if unit.target.is_for_host() {
        return Lto::Object;
    }
    let types = match unit.mode {
        Mode::Test | Mode::Doctest => vec!["bin"],
        _ => crate_types(unit),
    };
    if types.iter().all(|one| can_run(one)) {
        return match unit.profile.lto.as_str() {
            "false" => Lto::Object,
            "off" => Lto::Off,
            "true" => Lto::Run(None),
            name => Lto::Run(Some(name.to_owned())),
        };
    }
    match (parent, needs_object(&types)) {
        (Lto::Run(_), false) => Lto::Bitcode,
        (Lto::Run(_) | Lto::Bitcode, true) => when_objects_are_needed(&types),
        (parent, _) => parent.clone(),
    }
}

fn crate_types(unit: &GraphUnit) -> Vec<&str> {
    unit.target.crate_types.iter().map(String::as_str).collect()
}

fn can_run(crate_type: &str) -> bool {
    matches!(crate_type, "bin" | "staticlib" | "cdylib")
}

fn needs_object(types: &[&str]) -> bool {
    types.iter().any(|one| can_run(one) || matches!(*one, "dylib" | "proc-macro"))
}

fn when_objects_are_needed(types: &[&str]) -> Lto {
    if types.iter().all(|one| *one == "dylib") { Lto::Object } else { Lto::Both }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// (kind, crate types, lto of the profile, dependencies); the first is the root.
    type Row = (&'static str, &'static [&'static str], &'static [usize]);

    fn table(lto: &str, rows: &[Row]) -> Vec<Vec<String>> {
        let units: Vec<serde_json::Value> = rows
            .iter()
            .map(|(kind, types, dependencies)| {
                let to: Vec<_> = dependencies
                    .iter()
                    .map(|index| serde_json::json!({"index": index, "extern_crate_name": "x"}))
                    .collect();
                serde_json::json!({"pkg_id": "p", "mode": "build", "features": [], "dependencies": to, "platform": null,
                    "target": {"kind": [kind], "crate_types": types, "name": "x", "src_path": "/x", "edition": "2021"},
                    "profile": {"name": "release", "opt_level": "3", "lto": lto, "codegen_backend": null,
                        "codegen_units": null, "debuginfo": 0, "split_debuginfo": null, "debug_assertions": false,
                        "overflow_checks": false, "rpath": false, "incremental": false, "panic": "unwind",
                        "strip": {"resolved": {"Named": "debuginfo"}}}})
            })
            .collect();
        let json = serde_json::json!({"version": 1, "units": units, "roots": [0]}).to_string();
        let graph = UnitGraph::parse(json.as_bytes()).expect("a graph");
        walk(&graph).iter().map(|lto| lto.args().into_iter().filter(|arg| arg != "-C").collect()).collect()
    }

    const BIN: Row = ("bin", &["bin"], &[1, 2, 3, 4, 5]);
    const ROWS: [Row; 7] = [
        BIN,
        ("lib", &["lib"], &[6]),
        ("cdylib", &["cdylib", "rlib"], &[6]),
        ("dylib", &["dylib"], &[6]),
        ("proc-macro", &["proc-macro"], &[]),
        ("custom-build", &["bin"], &[]),
        ("lib", &["lib"], &[]),
    ];

    #[test]
    fn walk_as_cargo_does() {
        let object = vec!["embed-bitcode=no"];
        let off = vec!["lto=off", "embed-bitcode=no"];
        let bitcode = vec!["linker-plugin-lto"];
        let both: Vec<&str> = vec![];
        assert_eq!(table("false", &ROWS), vec![object.clone(); 7]);
        // Host tools are never optimised at link time; what the binary and a dylib share needs both.
        let expected = |run: &'static str| {
            let (object, both) = (object.clone(), both.clone());
            vec![vec![run], bitcode.clone(), both.clone(), object.clone(), object.clone(), object, both]
        };
        assert_eq!(table("true", &ROWS), expected("lto"));
        assert_eq!(table("thin", &ROWS), expected("lto=thin"));
        let mut all_off = vec![off.clone(); 7];
        (all_off[4], all_off[5]) = (object.clone(), object.clone());
        assert_eq!(table("off", &ROWS), all_off);
    }

    #[test]
    fn a_library_alone_keeps_the_choice_open() {
        let rows: [Row; 2] = [("lib", &["lib"], &[1]), ("lib", &["lib"], &[])];
        assert_eq!(table("fat", &rows), [["linker-plugin-lto"], ["linker-plugin-lto"]]);
        let rows: [Row; 2] = [("cdylib", &["cdylib", "rlib"], &[1]), ("lib", &["lib"], &[])];
        assert_eq!(table("fat", &rows), [Vec::<&str>::new(), vec![]]);
    }
}
