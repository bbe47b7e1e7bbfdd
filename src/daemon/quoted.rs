//! Sources of other packages that a diagnostic points into. rustc prints their lines, and counts the columns, only
//! where it can read them, and no call needs them for anything else: a call of the person's own package that was seen to
//! point there runs again with them.

use crate::cargo::{
    call::Call,
    lines::{Line, read_line},
    mounts,
    package::{Package, Source},
    plan::{Kind, Plan, Unit},
};

/// What such a name begins with, before the package's mount; no variable's does.
const NAME: &str = "sources ";

/// The names of packages that a call's diagnostics point into.
pub fn names(plan: &Plan, unit: &Unit, stderr: &str) -> Vec<String> {
    let may = unit.kind != Kind::BuildScriptRun && plan.package(unit).source.is_path();
    if !may || ![mounts::CRATES, mounts::GIT, mounts::OUTSIDE].iter().any(|mount| stderr.contains(mount)) {
        return Vec::new();
    }
    let rendered: Vec<String> = stderr.lines().filter_map(rendered).collect();
    let other = |package: &&Package| !matches!(package.source, Source::Member { .. });
    let is_quoted = |package: &&Package| rendered.iter().any(|text| points_into(text, &package.mount));
    plan.packages.iter().filter(other).filter(is_quoted).map(|package| format!("{NAME}{}", package.mount)).collect()
}

/// Shows those packages to the call of a unit that is known by their names.
pub fn give(plan: &Plan, named: &[String], call: &mut Call) {
    for mount in named.iter().filter_map(|name| name.strip_prefix(NAME)) {
        let package = plan.packages.iter().position(|package| package.mount == mount);
        call.needs.packages.extend(package.filter(|package| !call.needs.packages.contains(package)));
    }
}

fn rendered(line: &str) -> Option<String> {
    match read_line(line) {
        Line::Diagnostic(diagnostic) => Some(diagnostic.rendered),
        _ => None,
    }
}

fn points_into(text: &str, mount: &str) -> bool {
    text.split(mount).skip(1).any(|rest| rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_is_told_from_another_whose_name_begins_so() {
        let text = "note: defined here\n --> \u{1b}[0m/vx/crates/itoa-1.0.10/src/lib.rs:9:1";
        assert!(points_into(text, "/vx/crates/itoa-1.0.10"));
        assert!(!points_into(text, "/vx/crates/itoa-1.0.1"));
        assert!(!points_into("`/vx/crates/a-1.0.0`", "/vx/crates/a-1.0.0"));
    }
}
