//! A unit to document becomes a rustdoc call, and all of one folder's another that merges them.
//!
//! cargo lets every call write into one folder, whose search index, lists of crates and of
//! implementations each call reads and writes anew: the result of a call would hold what others
//! left. So each call writes to a folder of its own here, with its crate's share of those files as a
//! part beside it, and one last call makes the shared files of all parts: rustdoc's own way for
//! build systems, which cargo is on the way to (`-Zrustdoc-mergeable-info`). On stable it takes
//! RUSTC_BOOTSTRAP, which a crate would see too: with an empty `-Z allow-features` none gets a
//! feature by that, and a call that fails is made again as cargo makes it, so that what is said is
//! what cargo's rustdoc says. Which crates' pages are beside its own rustdoc tells by their folders,
//! which such a call is therefore shown, empty. What earlier calls left in the person's folder counts
//! there, and goes on to be found by search. What is read of parts is `parts`'s.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use shared::digest::Digest;

use super::{
    call::{Call, Granted, Needs, Output, RenderError, Role},
    closure::{self, Said, said},
    environment::Ambient,
    mounts::{self, TOOLCHAIN, WORKSPACE},
    parts::Shifts,
    place,
    plan::{Kind, Plan, Unit, UnitId},
    probe::Rustc,
    rustc,
    select::PrivateItems,
};

/// Where a call writes pages, and where the parts of the others are for the one that merges.
const PAGES: &str = "/vx/out/doc";
const SHARE: &str = "/vx/out/parts";
const PARTS: &str = "/vx/parts/all";
/// Pages that every call writes, with its own crate's name in them: the last crate's are kept.
pub const OWN_PAGES: [&str; 2] = ["help.html", "settings.html"];
/// The folder that holds what calls left, in the outputs of the call that merges.
pub const MERGED: &str = "doc";
const BOOTSTRAP: &str = "RUSTC_BOOTSTRAP";
/// Flags that name files for the folder that all crates share.
const SHARED_FLAGS: [&str; 3] = ["--theme", "--extend-css", "-e"];

/// Whether a call leaves a part, or is just what cargo calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    Parted,
    AsCargo,
}

/// How a unit is documented.
#[derive(Debug, Clone, Copy)]
pub struct Way<'a> {
    pub manner: Manner,
    /// The crates whose pages earlier calls left in the same folder.
    pub standing: &'a BTreeSet<String>,
}

/// What a unit that documents leaves.
pub(super) fn outputs(unit: &Unit) -> Vec<Output> {
    let output =
        |name: &str, folder: &str, role| Output { name: name.to_owned(), path: format!("{folder}/{name}"), role };
    if unit.kind == Kind::DocMerge {
        return vec![output(MERGED, mounts::OUT, Role::Pages)];
    }
    let name = unit.target.crate_name();
    let own = OWN_PAGES.iter().map(|page| output(page, PAGES, Role::Page));
    let mut outputs = vec![
        output(&name, PAGES, Role::Pages),
        output(&format!("src/{name}"), PAGES, Role::Sources),
        output(&format!("{name}.json"), SHARE, Role::Part),
        output(&format!("{name}.d"), SHARE, Role::DepInfo),
    ];
    outputs.extend(own);
    outputs
}

/// The libraries below a unit, package and crate; of macros' libraries nothing is seen.
fn below(plan: &Plan, unit: &Unit) -> BTreeSet<(usize, String)> {
    let mut below = BTreeSet::new();
    let (mut open, mut seen) = (vec![unit.id], BTreeSet::from([unit.id]));
    while let Some(id) = open.pop() {
        for on in plan.unit(id).dependencies.iter().map(|one| plan.unit(one.unit)) {
            if on.kind != Kind::BuildScriptRun && !on.is_doc() && seen.insert(on.id) {
                below.insert((on.package, on.target.crate_name()));
                open.extend((on.kind != Kind::ProcMacro).then_some(on.id));
            }
        }
    }
    below
}

/// Where the pages of crates are that a unit's may lead to: of all below it those that are documented
/// now, or have been. By the name alone, as rustdoc looks for them: of several releases one is there.
fn beside(plan: &Plan, unit: &Unit, below: &BTreeSet<(usize, String)>, standing: &BTreeSet<String>) -> Vec<String> {
    let documented = plan.units.iter().filter(|one| one.kind == Kind::Doc && one.platform == unit.platform);
    let documented: BTreeSet<String> = documented.map(|one| one.target.crate_name()).collect();
    let own = unit.target.crate_name();
    let names: BTreeSet<&String> = below.iter().map(|(_, name)| name).collect();
    let there = names.into_iter().filter(|name| documented.contains(*name) || standing.contains(*name));
    there.filter(|name| **name != own).map(|name| format!("{PAGES}/{name}")).collect()
}

/// Renders the call that documents `unit`.
pub fn render(
    plan: &Plan,
    unit: &Unit,
    scripts: &Said,
    ambient: &Ambient,
    named: &[String],
    way: Way<'_>,
) -> Result<Call, RenderError> {
    let mut needs = closure::of_compile(plan, unit, scripts)?;
    let below = below(plan, unit);
    needs.folders = beside(plan, unit, &below, way.standing);
    // What of those is shown again, as macros are, is shown as it is written there.
    let own = std::mem::take(&mut needs.packages);
    let further: BTreeSet<usize> = below.iter().map(|(package, _)| *package).filter(|one| !own.contains(one)).collect();
    needs.packages = own.into_iter().chain(further).collect();
    let (source, cwd) = rustc::source(plan, unit);
    let mut args = crate_args(plan, unit, source);
    args.extend(rustc::feature_args(plan, unit));
    args.extend(["--error-format=json", rustc::JSON].map(str::to_owned));
    args.extend_from_slice(&plan.package(unit).lints);
    args.extend(["-C".to_owned(), format!("metadata={}", metadata(plan, unit))]);
    rustc::dependency_args(plan, unit, &mut args);
    args.extend(private_args(plan, unit));
    let flags = &plan.platforms.of(unit).rustdocflags;
    args.extend_from_slice(flags);
    if !flags.iter().any(|flag| flag.starts_with("--crate-version")) {
        args.extend(["--crate-version".to_owned(), plan.package(unit).version.clone()]);
    }
    for run in &unit.links.own {
        let heard = said(plan, scripts, unit, *run)?;
        args.extend(heard.cfgs.iter().flat_map(|cfg| ["--cfg".to_owned(), cfg.clone()]));
        args.extend(heard.check_cfgs.iter().flat_map(|cfg| ["--check-cfg".to_owned(), cfg.clone()]));
    }
    let ambient = if needs.reads_freely { ambient.for_macros(named) } else { ambient.for_rustc(named) };
    let mut env = rustc::environment(plan, unit, scripts, ambient)?;
    let places = rustc::own_places(plan, unit, named, &mut env);
    let mut outputs = unit.outputs.clone();
    match way.manner {
        Manner::Parted => part(&plan.rustc, unit, &mut args, &mut env),
        Manner::AsCargo => outputs.retain(|output| !matches!(output.role, Role::Part | Role::DepInfo)),
    }
    Ok(Call {
        program: format!("{TOOLCHAIN}/bin/rustdoc"),
        args,
        env,
        cwd: cwd.trim_start_matches('/').to_owned(),
        outputs,
        scratch: Vec::new(),
        incremental: None,
        places,
        granted: Granted::default(),
        programs: BTreeMap::new(),
        needs,
    })
}

fn crate_args(plan: &Plan, unit: &Unit, source: String) -> Vec<String> {
    let mut args = vec![format!("--edition={}", unit.target.edition)];
    let mut pair = |name: &str, value: &str| args.extend([name.to_owned(), value.to_owned()]);
    unit.target.crate_types.iter().for_each(|one| pair("--crate-type", one));
    pair("--crate-name", &unit.target.crate_name());
    args.push(source);
    let mut pair = |name: &str, value: &str| args.extend([name.to_owned(), value.to_owned()]);
    if !plan.package(unit).source.is_path() {
        pair("--cap-lints", "allow");
    }
    if let Some(triple) = &unit.platform {
        pair("--target", triple);
    }
    pair("-o", PAGES);
    args
}

/// Of what was asked for: all of it, if the person wants that, and of a program, which has nothing
/// public, always.
fn private_args(plan: &Plan, unit: &Unit) -> Vec<String> {
    let is_wanted = plan.private_items == PrivateItems::Documented;
    let mut args = Vec::new();
    if unit.is_root && (is_wanted || unit.target.is_bin()) {
        args.push("--document-private-items".to_owned());
        args.extend(unit.target.is_bin().then(|| "-Arustdoc::private-intra-doc-links".to_owned()));
    }
    args
}

/// The name that dependents' metadata knows the crate by: of the unit that checks it, if there is one.
fn metadata(plan: &Plan, unit: &Unit) -> String {
    let is_same = |one: &&Unit| one.is_check() && one.package == unit.package && one.target == unit.target;
    plan.units.iter().find(is_same).unwrap_or(unit).hash.clone()
}

/// Makes the call leave its crate's part, and say what it read.
fn part(rustc: &Rustc, unit: &Unit, args: &mut Vec<String>, env: &mut BTreeMap<String, String>) {
    let name = unit.target.crate_name();
    args.extend(["-Z", "unstable-options"].map(str::to_owned));
    args.push(format!("--parts-out-dir={SHARE}"));
    args.push(format!("--emit=toolchain-shared-resources,invocation-specific,dep-info={SHARE}/{name}.d"));
    let own = env.get(BOOTSTRAP).map_or("", String::as_str);
    let has_features = own == "1" || own.split(',').any(|one| one == name) || rustc.has_features();
    if !has_features {
        args.push("-Zallow-features=".to_owned());
        env.insert(BOOTSTRAP.to_owned(), "1".to_owned());
    }
}

/// What a release's rustdoc does to rows when it merges parts: of newer ones than are known the right thing is believed.
pub fn shifts(rustc: &Rustc) -> Shifts {
    if rustc.is_from(98) { Shifts::All } else { Shifts::AllButTraits }
}

/// Renders the call that makes the shared files from parts, each with the name of its crate.
pub fn render_merge(plan: &Plan, unit: &Unit, parts: &[(String, Digest)]) -> Call {
    let mut args = ["-Z", "unstable-options", "--merge=finalize", "-o", PAGES].map(str::to_owned).to_vec();
    let mut contents = Vec::with_capacity(parts.len());
    for (number, (name, digest)) in parts.iter().enumerate() {
        let folder = format!("{PARTS}/{number:05}");
        args.push(format!("--include-parts-dir={folder}"));
        contents.push((format!("{folder}/{name}.json"), *digest));
    }
    let shared = shared_flags(&plan.platforms.of(unit).rustdocflags);
    // Those may name the person's own files.
    let packages = if shared.is_empty() { Vec::new() } else { vec![unit.package] };
    let cwd = if shared.is_empty() { mounts::OUT } else { WORKSPACE };
    args.extend(shared);
    Call {
        program: format!("{TOOLCHAIN}/bin/rustdoc"),
        args,
        env: [(BOOTSTRAP.to_owned(), "1".to_owned())].into(),
        cwd: cwd.trim_start_matches('/').to_owned(),
        outputs: unit.outputs.clone(),
        scratch: Vec::new(),
        incremental: None,
        places: Vec::new(),
        granted: Granted::default(),
        programs: BTreeMap::new(),
        needs: Needs { packages, contents, ..Needs::default() },
    }
}

/// Those of a list of flags that are about the shared files, with their values.
fn shared_flags(flags: &[String]) -> Vec<String> {
    let mut shared = Vec::new();
    let mut rest = flags.iter();
    while let Some(flag) = rest.next() {
        if SHARED_FLAGS.contains(&flag.as_str()) {
            shared.push(flag.clone());
            shared.extend(rest.next().cloned());
        } else if SHARED_FLAGS.iter().any(|one| flag.strip_prefix(one).is_some_and(|rest| rest.starts_with('='))) {
            shared.push(flag.clone());
        }
    }
    shared
}

/// What a merging unit merges, each after what it depends on.
pub fn merged<'a>(plan: &'a Plan, unit: &Unit) -> Vec<&'a Unit> {
    let all = documented(plan, unit);
    let is_shown = |at: &usize| !all[at + 1..].iter().any(|later| is_twin(all[*at], later));
    (0..all.len()).filter(is_shown).map(|at| all[at]).collect()
}

/// Of those the ones that another crate of their name takes the place of, as with cargo the one that
/// is documented last. Only the pages of their sources stay.
pub fn hidden<'a>(plan: &'a Plan, unit: &Unit) -> Vec<&'a Unit> {
    let shown: BTreeSet<UnitId> = merged(plan, unit).iter().map(|one| one.id).collect();
    documented(plan, unit).into_iter().filter(|one| !shown.contains(&one.id)).collect()
}

fn documented<'a>(plan: &'a Plan, unit: &Unit) -> Vec<&'a Unit> {
    let wanted: BTreeSet<UnitId> = unit.dependencies.iter().map(|one| one.unit).collect();
    plan.order.iter().filter(|id| wanted.contains(id)).map(|id| plan.unit(*id)).collect()
}

/// The pages that the documentation of what was asked for begins with: of each crate, in cargo's
/// order, one for each target that the person named.
pub fn first_pages(plan: &Plan) -> Vec<Vec<PathBuf>> {
    let platforms = plan.platforms.asked();
    let roots = plan.roots.iter().map(|root| plan.unit(*root)).filter(|unit| unit.kind == Kind::Doc);
    let page = |unit: &Unit, platform: &Option<String>| {
        plan.target_dir.join(place::doc_index(&Unit { platform: platform.clone(), ..unit.clone() }))
    };
    roots.map(|unit| platforms.iter().map(|platform| page(unit, platform)).collect()).collect()
}

fn is_twin(one: &Unit, other: &Unit) -> bool {
    one.target.crate_name() == other.target.crate_name()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_for_the_shared_files_are_found() {
        let flags = |line: &str| shared_flags(&line.split(' ').map(str::to_owned).collect::<Vec<_>>()).join(" ");
        assert_eq!(flags("-D warnings --theme a.css --extend-css=b.css --cfg e"), "--theme a.css --extend-css=b.css");
        assert_eq!(flags("-e x --themes y --html-in-header z"), "-e x");
    }
}
