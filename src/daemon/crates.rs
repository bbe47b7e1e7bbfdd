//! What a script that asks cargo about packages gets, as those made with cbindgen do: the crates that
//! cargo has downloaded, to read, and where they are. Only scripts of the person's own packages, and
//! only after they were seen to ask. The lock file, which is an input, says what cargo answers.

use std::path::{Path, PathBuf};

use shared::reapi::{property::READ, record::RunRecord};

use crate::cargo::{
    call::Call,
    plan::{Kind, Plan, Unit},
};

/// The name among those that a unit is known by; no variable's.
const NAME: &str = "cargo's crates";
/// What cargo opens first, below its own folder.
const ASKED: &str = "/.package-cache";
/// The part of that folder which holds crates, and nothing that is secret.
const CRATES: &str = "registry";

/// The name, where a unit's run has asked.
pub fn names(plan: &Plan, unit: &Unit, record: &RunRecord) -> Option<String> {
    let is_own = unit.kind == Kind::BuildScriptRun && plan.package(unit).source.is_path();
    let asked = is_own && record.tried.iter().any(|tried| tried.what.ends_with(ASKED));
    asked.then(|| NAME.to_owned())
}

/// Gives them to the call of a unit that is known by the name.
pub fn give(cargo_home: &Path, named: &[String], call: &mut Call) {
    if let Some(crates) = given(cargo_home, named) {
        call.env.insert("CARGO_HOME".to_owned(), cargo_home.to_string_lossy().into_owned());
        call.granted.0.insert((READ, format!("{CRATES}:{}", crates.display())));
    }
}

fn given(cargo_home: &Path, named: &[String]) -> Option<PathBuf> {
    let crates = cargo_home.join(CRATES);
    (named.iter().any(|name| name == NAME) && crates.is_dir()).then_some(crates)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_asked_is_given_crates() {
        let home = tempfile::tempdir().expect("a folder");
        let given = |name: &str| given(home.path(), &[name.to_owned()]);
        assert_eq!(given(NAME), None);
        std::fs::create_dir(home.path().join(CRATES)).expect("a folder");
        assert_eq!(given("CARGO_HOME"), None);
        assert_eq!(given(NAME), Some(home.path().join(CRATES)));
    }
}
