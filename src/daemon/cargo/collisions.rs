//! Outputs of one name, as cargo warns of them: two packages' programs, two crates' pages.

use std::collections::HashMap;

use super::{
    call::Role,
    place,
    plan::{Plan, Unit},
};

/// Two units whose outputs have one place.
#[derive(Debug, PartialEq, Eq)]
pub struct Collision {
    /// Where.
    pub place: String,
    /// Who, in cargo's words.
    pub note: String,
    /// What else cargo says, with the words before it.
    pub hints: &'static [(&'static str, &'static str)],
}

/// What cargo says of files.
const OF_FILES: &[(&str, &str)] = &[
    ("note", "this may become a hard error in the future; see <https://github.com/rust-lang/cargo/issues/6313>"),
    ("help", "consider changing their names to be unique or compiling them separately"),
];

/// The files of one name that two units leave.
pub fn of_files(plan: &Plan) -> Vec<Collision> {
    let mut units: Vec<&Unit> = plan.units.iter().collect();
    units.sort_by_key(|unit| (&plan.package(unit).name, &plan.package(unit).version, &unit.target.name));
    let mut known: HashMap<String, &Unit> = HashMap::new();
    let mut found = Vec::new();
    for (unit, placed) in units.into_iter().flat_map(|unit| place::of_unit(plan, unit).map(move |one| (unit, one))) {
        let Some(other) = known.insert(placed.path.clone(), unit) else { continue };
        let what = |one: &Unit| format!("{} in package `{}`", named(one), plan.package(one).described());
        let note = format!("the {} has the same output filename as the {}", what(unit), what(other));
        let place = plan.target_dir.join(&placed.path).to_string_lossy().into_owned();
        // cargo thinks of its debug information wherever that could be a file of its own.
        let beside = (placed.role == Role::Executable).then(|| format!("{place}.dwp"));
        let places = std::iter::once(place).chain(beside);
        found.extend(places.map(|place| Collision { place, note: note.clone(), hints: OF_FILES }));
    }
    found
}

/// `` lib target `a` ``.
fn named(unit: &Unit) -> String {
    let kind = match () {
        () if unit.target.is_lib() => "lib",
        () if unit.target.is_bin() => "bin",
        () => "example",
    };
    format!("{kind} target `{}`", unit.target.name)
}

impl Collision {
    /// In cargo's words, and its colours, behind the word `warning`.
    pub fn text(&self) -> String {
        let bar = "\n  \u{1b}[1m\u{1b}[94m|\u{1b}[0m";
        let mut text = format!("output filename collision at {}{bar}", self.place);
        for (word, hint) in [("note", self.note.as_str())].into_iter().chain(self.hints.iter().copied()) {
            text.push_str(&format!("\n  \u{1b}[1m\u{1b}[94m= \u{1b}[0m\u{1b}[1m{word}\u{1b}[0m: {hint}"));
        }
        text
    }
}
