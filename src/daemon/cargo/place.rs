//! Where cargo's users expect the outputs of a build: the roots' files beside each other in
//! `target/PROFILE`, each with a `.d` file that names all sources by absolute path.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use super::{
    call::{Output, Role},
    closure::Said,
    dep_info::DepInfo,
    locate, outputs,
    plan::{Kind, Plan, Unit, UnitId},
};

/// The file in a profile's folder that cargo locks while it builds there.
pub const LOCK: &str = ".cargo-lock";

/// One file to put into the target folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    pub unit: UnitId,
    /// The output's file name, as in its call.
    pub output: String,
    /// Relative to the target folder: `debug/rg`.
    pub path: String,
    /// Where its `.d` goes, likewise; none for files that have none.
    pub dep_info: Option<String>,
    pub role: Role,
}

/// A unit's folder below the target folder: of its profile, for another target below that one's.
pub fn folder(unit: &Unit) -> String {
    let profile = profile_folder(&unit.profile.name);
    unit.platform.as_ref().map_or_else(|| profile.to_owned(), |triple| format!("{triple}/{profile}"))
}

/// The folder of the documentation that a unit is part of, below the target folder.
pub fn doc_folder(unit: &Unit) -> String {
    unit.platform.as_ref().map_or_else(|| "doc".to_owned(), |triple| format!("{triple}/doc"))
}

/// The page that a crate's documentation begins with, likewise.
pub fn doc_index(unit: &Unit) -> String {
    format!("{}/{}/index.html", doc_folder(unit), unit.target.crate_name())
}

/// The folder of a profile.
pub fn profile_folder(profile: &str) -> &str {
    match profile {
        "dev" | "test" => "debug",
        "bench" => "release",
        own => own,
    }
}

/// All that the person gets: the roots' outputs, every binary, and Rust dynamic libraries, which
/// the binaries load.
pub fn placements(plan: &Plan) -> Vec<Placement> {
    let (mut placed, mut described) = (Vec::<Placement>::new(), BTreeSet::new());
    for mut one in plan.units.iter().flat_map(|unit| of_unit(plan, unit)) {
        // As cargo: of several files of one stem for the first, of several of one name the last.
        one.dep_info = one.dep_info.filter(|name| described.insert(name.clone()));
        match placed.iter_mut().find(|other| other.path == one.path) {
            Some(other) => *other = Placement { dep_info: other.dep_info.take(), ..one },
            None => placed.push(one),
        }
    }
    placed
}

/// What the person gets of one unit.
pub fn of_unit<'a>(plan: &'a Plan, unit: &'a Unit) -> impl Iterator<Item = Placement> + 'a {
    let lifted = unit.outputs.iter().filter(|output| unit.kind != Kind::Test && is_lifted(unit, output));
    let folder = folder(unit);
    let folder = if unit.kind == Kind::Example { format!("{folder}/examples") } else { folder };
    let lifted = lifted.map(move |output| {
        let path = format!("{folder}/{}", plain_name(plan, unit, &output.name));
        // As cargo: for what was asked for alone.
        let dep_info = (unit.is_root && output.role != Role::DebugInfo)
            .then(|| Path::new(&path).with_extension("d").to_string_lossy().into_owned());
        Placement { unit: unit.id, output: output.name.clone(), path, dep_info, role: output.role }
    });
    let tests = (unit.kind == Kind::Test).then(|| test_program(unit)).into_iter().flatten();
    let has_plain_name = outputs::extra_filename(plan, unit).is_none();
    let loaded = unit.outputs.iter().filter(move |output| has_plain_name && is_loaded(unit, output));
    let loaded = loaded.map(|output| as_cargo_keeps(unit, output));
    let is_kept = unit.is_doc() || matches!(unit.kind, Kind::BuildScriptCompile | Kind::BuildScriptRun);
    lifted.chain(tests).chain(loaded).filter(move |_| !is_kept)
}

/// A program of tests: where cargo has it, since cargo never gives it another name.
fn test_program(unit: &Unit) -> impl Iterator<Item = Placement> + '_ {
    let wanted = unit.outputs.iter().filter(|output| !matches!(output.role, Role::Metadata | Role::DepInfo));
    wanted.map(move |output| as_cargo_keeps(unit, output))
}

/// An output where cargo has it before it gives it another name.
fn as_cargo_keeps(unit: &Unit, output: &Output) -> Placement {
    Placement {
        unit: unit.id,
        output: output.name.clone(),
        path: format!("{}/{}", intermediate(unit), output.name),
        dep_info: None,
        role: output.role,
    }
}

/// Where cargo keeps what a compiler call leaves.
fn intermediate(unit: &Unit) -> String {
    let folder = folder(unit);
    format!("{folder}/{}", if unit.target.is_example() { "examples" } else { "deps" })
}

/// Where the program of a package stands for the tests of that package, below the target folder.
pub fn of_program(plan: &Plan, test: &Unit, name: &str) -> String {
    let suffix = plan.platforms.of(test).probe.file("bin").map_or("", |(_, suffix)| suffix);
    format!("{}/{name}{suffix}", folder(test))
}

/// The folder that a unit's tests may write to, below the target folder.
pub fn scratch(unit: &Unit) -> String {
    unit.platform.as_ref().map_or_else(|| "tmp".to_owned(), |triple| format!("{triple}/tmp"))
}

/// The folders that tests may look for.
pub fn scratches(plan: &Plan) -> BTreeSet<String> {
    plan.units.iter().filter(|unit| unit.target.is_test() || unit.target.is_bench()).map(scratch).collect()
}

/// Whether what a unit leaves is placed for a program that reads messages.
pub fn is_placed(unit: &Unit) -> bool {
    let is_macro = unit.kind == Kind::ProcMacro && !unit.is_check();
    is_macro
        || unit.is_doc()
        || (unit.kind == Kind::Test && !unit.is_check())
        || unit.outputs.iter().any(|output| is_lifted(unit, output) || is_loaded(unit, output))
}

/// The macros that are not among those, where [`reported`] names them: editors load them.
pub fn macros(plan: &Plan) -> Vec<Placement> {
    let units = plan.units.iter().filter(|unit| unit.kind == Kind::ProcMacro);
    let outputs = units.flat_map(|unit| unit.outputs.iter().map(move |output| (unit, output)));
    let wanted = outputs.filter(|(unit, output)| output.role == Role::Macro && !is_lifted(unit, output));
    let placement = |(unit, output): (&Unit, &Output)| Placement {
        unit: unit.id,
        output: output.name.clone(),
        path: format!("{}/deps/{}", folder(unit), output.name),
        dep_info: None,
        role: output.role,
    };
    wanted.map(placement).collect()
}

/// Whether it gets out of the folders of intermediate files.
fn is_lifted(unit: &Unit, output: &Output) -> bool {
    let wanted = unit.is_root || unit.kind == Kind::Bin || output.role == Role::Dylib;
    wanted && unit.kind != Kind::Test && !matches!(output.role, Role::Metadata | Role::DepInfo)
}

/// Whether programs, tests of plugins above all, load it from beside themselves: nothing else is there for it.
fn is_loaded(unit: &Unit, output: &Output) -> bool {
    output.role == Role::Cdylib && unit.kind == Kind::Lib && !is_lifted(unit, output)
}

/// The files of a unit as cargo names them in its messages: where the person has them, and those
/// that stay intermediate where cargo would have put them.
pub fn reported(plan: &Plan, unit: &Unit) -> Vec<String> {
    if unit.kind == Kind::Doc {
        return vec![plan.target_dir.join(doc_index(unit)).to_string_lossy().into_owned()];
    }
    let folder = plan.target_dir.join(folder(unit));
    let path = |output: &Output| match unit.kind {
        Kind::BuildScriptCompile => folder.join("build").join(unit.folder(plan)).join(&unit.target.name),
        Kind::Example if is_lifted(unit, output) => folder.join("examples").join(plain_name(plan, unit, &output.name)),
        _ if is_lifted(unit, output) => folder.join(plain_name(plan, unit, &output.name)),
        _ => plan.target_dir.join(intermediate(unit)).join(&output.name),
    };
    let named = unit.outputs.iter().filter(|output| !matches!(output.role, Role::DepInfo));
    named.map(|output| path(output).to_string_lossy().into_owned()).collect()
}

/// Where the program of a unit was placed.
pub fn executable(plan: &Plan, unit: &Unit) -> Option<PathBuf> {
    let placed = placements(plan);
    let program = placed.iter().find(|one| one.unit == unit.id && one.role == Role::Executable)?;
    Some(plan.target_dir.join(&program.path))
}

/// Without the hash; executables also get their hyphens back.
fn plain_name(plan: &Plan, unit: &Unit, output: &str) -> String {
    let plain = match outputs::extra_filename(plan, unit) {
        Some(extra) => output.replacen(&extra, "", 1),
        None => output.to_owned(),
    };
    let is_executable = unit.target.crate_types.iter().all(|one| one == "bin");
    if is_executable { plain.replacen(&unit.target.crate_name(), &unit.target.name, 1) } else { plain }
}

/// The text of a `.d` file for `placement`: all files that it and the path packages below it
/// read, and what their scripts asked to be rerun for, by the person's paths. Files that exist
/// only inside actions (in an OUT_DIR) are left out: nothing is there for make to look at.
/// `resolve` says what file a path of a source leads to without links; as cargo, only within the
/// package.
pub fn dep_info(
    plan: &Plan,
    placement: &Placement,
    read: &BTreeMap<UnitId, DepInfo>,
    said: &Said,
    resolve: &dyn Fn(&Path) -> PathBuf,
) -> String {
    let mut files = BTreeSet::new();
    let mut seen = BTreeSet::from([placement.unit]);
    let mut open = vec![placement.unit];
    while let Some(id) = open.pop() {
        let unit = plan.unit(id);
        let mut named = BTreeSet::new();
        add_files(plan, unit, read.get(&id), &mut named);
        let root = &plan.package(unit).real;
        files.extend(named.into_iter().map(|file| {
            let own = resolve(&file);
            if own.starts_with(root) { own } else { locate::clean(&file) }
        }));
        add_rerun_files(plan, unit, said, &mut files);
        let below = unit.dependencies.iter().map(|one| one.unit);
        let below = below.filter(|one| plan.package(plan.unit(*one)).source.is_path());
        open.extend(below.filter(|one| seen.insert(*one)));
    }
    let target = plan.target_dir.join(&placement.path);
    let mut text = format!("{}:", escape(&target.to_string_lossy()));
    for file in files {
        text.push(' ');
        text.push_str(&escape(&file.to_string_lossy()));
    }
    text.push('\n');
    text
}

fn add_files(plan: &Plan, unit: &Unit, read: Option<&DepInfo>, files: &mut BTreeSet<PathBuf>) {
    let package = plan.package(unit);
    for file in read.iter().flat_map(|info| &info.files) {
        let real = match (file.starts_with('/'), package.source.is_path()) {
            (true, _) => plan.mounts.to_real(file),
            // Only path packages below the root name files relatively, and they do so from there.
            (false, _) => plan.workspace_root.join(file).to_string_lossy().into_owned(),
        };
        if !real.starts_with("/vx/") {
            files.insert(PathBuf::from(real));
        }
    }
}

fn add_rerun_files(plan: &Plan, unit: &Unit, said: &Said, files: &mut BTreeSet<PathBuf>) {
    let package = plan.package(unit);
    for run in &unit.links.own {
        for path in said.get(run).iter().flat_map(|said| &said.rerun_if_changed) {
            let full = if path.is_empty() { package.real.clone() } else { package.real.join(path) };
            let real = plan.mounts.to_real(&full.to_string_lossy());
            if !real.starts_with("/vx/") {
                files.insert(PathBuf::from(real));
            }
        }
    }
}

fn escape(path: &str) -> String {
    path.replace(' ', "\\ ")
}
