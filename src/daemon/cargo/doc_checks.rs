//! What is looked at before anything is documented: whether this rustdoc can be called in vx's way,
//! whether its flags go with that, and which crates would have one place.

use std::collections::HashMap;

use super::{
    collisions::Collision,
    place,
    plan::{Kind, Plan, Unit},
};

/// The release that the merging of documentation is known from.
const SINCE: u64 = 95;

/// rustdoc's stable flags, as far as they are about documentation.
const FLAGS: [&str; 26] = [
    "--allow",
    "--cap-lints",
    "--cfg",
    "--check-cfg",
    "--codegen",
    "--crate-version",
    "--default-theme",
    "--deny",
    "--document-private-items",
    "--edition",
    "--extend-css",
    "--extern",
    "--forbid",
    "--force-warn",
    "--html-after-content",
    "--html-before-content",
    "--html-in-header",
    "--library-path",
    "--markdown-css",
    "--markdown-no-toc",
    "--markdown-playground-url",
    "--sysroot",
    "--target",
    "--theme",
    "--verbose",
    "--warn",
];
/// The same in one letter; a value may stand behind it.
const LETTERS: [char; 9] = ['A', 'C', 'D', 'F', 'L', 'W', 'e', 'l', 'v'];

/// What the person is to be warned of; an error says why nothing can be documented.
pub fn check(plan: &Plan) -> Result<Vec<Collision>, String> {
    if !plan.units.iter().any(Unit::is_doc) {
        return Ok(Vec::new());
    }
    let version = &plan.rustc.version;
    if !plan.rustc.is_from(SINCE) {
        return Err(format!(
            "this toolchain is Rust {version}, and `vx doc` needs 1.{SINCE}.0 or newer\n  document with cargo, or choose a newer toolchain"
        ));
    }
    for unit in plan.units.iter().filter(|unit| unit.kind == Kind::Doc) {
        if let Some(flag) = refused(&plan.platforms.of(unit).rustdocflags).filter(|_| !plan.rustc.has_features()) {
            return Err(format!("`vx doc` does not take `{flag}` from RUSTDOCFLAGS or `rustdocflags`"));
        }
    }
    collisions(plan)
}

/// The first flag that would not be stable, or has the documentation made elsewhere or otherwise.
fn refused(flags: &[String]) -> Option<&String> {
    let is_known = |flag: &&String| match flag.strip_prefix("--") {
        Some(long) => FLAGS.iter().any(|known| known.strip_prefix("--") == long.split('=').next()),
        None => flag.strip_prefix('-').is_none_or(|short| short.starts_with(LETTERS)),
    };
    flags.iter().find(|flag| !is_known(flag))
}

/// What cargo says of pages.
const OF_PAGES: &[(&str, &str)] = &[(
    "note",
    "this is a known bug where multiple crates with the same name use the same path; \
     see <https://github.com/rust-lang/cargo/issues/6313>",
)];

/// cargo's own rule: libraries of what was asked for must not collide with one another, nor programs
/// with programs; of others it warns.
fn collisions(plan: &Plan) -> Result<Vec<Collision>, String> {
    let mut units: Vec<&Unit> = plan.units.iter().filter(|unit| unit.kind == Kind::Doc).collect();
    let rank = |unit: &Unit| (!unit.target.is_lib(), !unit.target.is_bin());
    units.sort_by_key(|unit| {
        let package = plan.package(unit);
        (package.name.clone(), package.version.clone(), rank(unit), unit.target.name.clone(), unit.platform.clone())
    });
    let mut selected: HashMap<(String, bool), &Unit> = HashMap::new();
    let mut pages: HashMap<String, &Unit> = HashMap::new();
    let mut found = Vec::new();
    for unit in units {
        let page = place::doc_index(unit);
        if unit.is_primary
            && let Some(other) = selected.insert((page.clone(), unit.target.is_lib()), unit)
        {
            let what = |one: &Unit| format!("{} in package `{}`", named(one, ""), plan.package(one).described());
            return Err(format!(
                "document output filename collision\nThe {} has the same name as the {}.\n\
                 Only one may be documented at once since they output to the same path.\n\
                 Consider documenting only one, renaming one, or marking one with `doc = false` in Cargo.toml.",
                what(unit),
                what(other),
            ));
        }
        if let Some(other) = pages.insert(page.clone(), unit) {
            let what = |one: &Unit| format!("{} in package `{}`", named(one, "target "), plan.package(one).described());
            let note = format!("the {} has the same output filename as the {}", what(unit), what(other));
            let place = plan.target_dir.join(page).to_string_lossy().into_owned();
            found.push(Collision { place, note, hints: OF_PAGES });
        }
    }
    Ok(found)
}

/// `` lib target `a` ``.
fn named(unit: &Unit, what: &str) -> String {
    let kind = match () {
        () if unit.target.is_lib() => "lib",
        () if unit.target.is_bin() => "bin",
        () => "example",
    };
    format!("{kind} {what}`{}`", unit.target.name)
}

#[cfg(test)]
mod tests {
    #[test]
    fn flags_that_change_the_way_of_documenting_are_refused() {
        let refused = |line: &str| {
            let flags: Vec<String> = line.split(' ').map(str::to_owned).collect();
            super::refused(&flags).cloned().unwrap_or_default()
        };
        assert_eq!(refused("-D warnings -Arustdoc::all --html-in-header=x.html --theme x.css -Wmissing_docs"), "");
        for flag in ["--enable-index-page", "-Zunstable-options", "-o", "--out-dir=x", "--output-format", "--test"] {
            assert_eq!(refused(&format!("--cfg docsrs {flag} x")), flag);
        }
    }
}
