//! Which programs of a plan test or measure, in cargo's order, and cargo's words about them. Pure.

use std::path::{Path, PathBuf};

use super::{
    place::executable,
    plan::{Kind, Plan, Unit, UnitId},
    select::Selection,
};

/// What is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    Tests,
    Benches,
}

/// The programs that test, in the order in which cargo runs them: it sorts them as it sorts the
/// units of its graph.
pub fn programs(plan: &Plan) -> Vec<UnitId> {
    let roots = plan.roots.iter().copied();
    let mut found: Vec<UnitId> = roots.filter(|root| is_run(plan.unit(*root))).collect();
    found.sort_unstable();
    found
}

fn is_run(unit: &Unit) -> bool {
    unit.kind == Kind::Test && !unit.is_check()
}

/// The libraries whose documentation is tested, in the order of the selection.
pub fn documented(plan: &Plan) -> Vec<UnitId> {
    let roots = plan.roots.iter().copied();
    roots.filter(|root| plan.unit(*root).kind == Kind::Doctest).collect()
}

/// `unittests src/lib.rs (target/debug/deps/x-0123456789abcdef)`, and where it is.
pub fn shown(plan: &Plan, unit: &Unit, what: Shown, cwd: &Path) -> Option<(String, PathBuf)> {
    let path = executable(plan, unit)?;
    let source = Path::new(&unit.target.src_path);
    let source = source.strip_prefix(&plan.package(unit).real).unwrap_or(source).display();
    let short = path.strip_prefix(cwd).unwrap_or(&path).display();
    let text = match what {
        _ if unit.target.is_test() || unit.target.is_bench() => format!("{source} ({short})"),
        Shown::Unit => format!("unittests {source} ({short})"),
        Shown::Bench => format!("benches {source} ({short})"),
    };
    Some((text, path))
}

/// What a program that tests a target of another kind is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    Unit,
    Bench,
}

/// The words that choose this unit alone: `-p x --lib`.
pub fn words_for(plan: &Plan, unit: &Unit, selection: &Selection) -> String {
    let package =
        if needs_package(plan, selection) { format!("-p {} ", plan.package(unit).name) } else { String::new() };
    let target = &unit.target;
    let kind = match () {
        () if unit.kind == Kind::Doctest => return package + "--doc",
        () if target.is_lib() => return package + "--lib",
        () if target.is_bin() => "bin",
        () if target.is_test() => "test",
        () if target.is_bench() => "bench",
        () => "example",
    };
    format!("{package}--{kind} {}", target.name)
}

/// Whether more than one package was selected, or one by name.
fn needs_package(plan: &Plan, selection: &Selection) -> bool {
    match (&selection.workspace, selection.packages.is_empty()) {
        (Some(workspace), _) if workspace.exclude.is_empty() => plan.members.all > 1,
        (None, true) => plan.members.default > 1,
        _ => true,
    }
}

/// The last line where several may have failed.
pub fn failed(words: &[String]) -> String {
    let list: Vec<String> = words.iter().map(|words| format!("    `{words}`")).collect();
    let count = if words.len() == 1 { "1 target".to_owned() } else { format!("{} targets", words.len()) };
    format!("{count} failed:\n{}", list.join("\n"))
}
