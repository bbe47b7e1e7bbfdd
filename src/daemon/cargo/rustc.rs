//! A unit to compile becomes one rustc call: arguments in cargo's order, variables, working
//! folder, at the fixed mounts. Where vx differs from cargo it says so beside the line.

use std::collections::BTreeMap;

use super::{
    call::{Call, Granted, RenderError, Role},
    closure::{self, Said, said},
    environment::Ambient,
    mounts::{self, DEPS},
    outputs,
    package::Source,
    place,
    plan::{Kind, Plan, Unit},
};

/// What rustc reports, and in which form. No --diagnostic-width: it would put the terminal into
/// the key.
pub(super) const JSON: &str = "--json=diagnostic-rendered-ansi,artifacts,future-incompat";

/// Mounts whose real places are the person's own.
const PLACES: [&str; 3] = [mounts::WORKSPACE, mounts::OUTSIDE, mounts::TARGET];

/// Renders the call that compiles `unit`. `scripts` holds what the script runs it hears of have
/// said; `named` are variables that its dep-info named in earlier runs.
pub fn render(
    plan: &Plan,
    unit: &Unit,
    scripts: &Said,
    ambient: &Ambient,
    named: &[String],
) -> Result<Call, RenderError> {
    let needs = closure::of_compile(plan, unit, scripts)?;
    let (source, cwd) = source(plan, unit);
    let mut args = base_args(unit, &source);
    codegen_args(plan, unit, &mut args);
    name_args(plan, unit, &mut args);
    dependency_args(plan, unit, &mut args);
    if !plan.package(unit).source.is_path() {
        args.extend(["--cap-lints", "allow"].map(str::to_owned));
    }
    args.extend_from_slice(&plan.platforms.of(unit).rustflags);
    script_args(plan, unit, scripts, &mut args)?;
    let ambient = if needs.reads_freely { ambient.for_macros(named) } else { ambient.for_rustc(named) };
    let mut env = environment(plan, unit, scripts, ambient)?;
    let places = own_places(plan, unit, named, &mut env);
    let mut call = Call {
        program: format!("{}/bin/rustc", mounts::TOOLCHAIN),
        args,
        env,
        cwd: cwd.trim_start_matches('/').to_owned(),
        outputs: unit.outputs.clone(),
        scratch: if unit.profile.incremental { vec![mounts::INCREMENTAL.to_owned()] } else { Vec::new() },
        incremental: unit.profile.incremental.then(|| unit.folder(plan)),
        places,
        granted: Granted::default(),
        programs: BTreeMap::new(),
        needs,
    };
    if let Some(clippy) = plan.clippy.as_ref().filter(|_| plan.lints(unit)) {
        clippy.take(&mut call);
    }
    Ok(call)
}

/// Has rustc draw its diagnostics in one line each: another call, with a key of its own.
pub fn shorten(call: &mut Call) {
    for arg in call.args.iter_mut().filter(|arg| *arg == JSON) {
        arg.push_str(",diagnostic-short");
    }
}

/// Whether a variable's value says where one of the person's own crates lies.
pub fn is_placed(plan: &Plan, unit: &Unit, value: &str) -> bool {
    plan.package(unit).source.is_path() && PLACES.iter().any(|one| value.contains(one))
}

/// Whether a variable's value says where the toolchain lies, to a program that runs at the person's. Scripts and macros run
/// where it says.
pub fn tells_toolchain(plan: &Plan, unit: &Unit, value: &str) -> bool {
    let runs_here = unit.target.is_for_host();
    plan.package(unit).source.is_path() && !runs_here && is_below(value, mounts::TOOLCHAIN) && !value.contains(':')
}

/// A crate that has been seen to name such a variable gets the person's own folder in it, and sees
/// its sources there: what it makes of the name (a path to look in when it runs, a file to
/// include) is then true.
pub(super) fn own_places(
    plan: &Plan,
    unit: &Unit,
    named: &[String],
    env: &mut BTreeMap<String, String>,
) -> Vec<(String, String)> {
    let mut places = Vec::new();
    let tells = |(name, value): &(&String, &mut String)| named.contains(name) && tells_toolchain(plan, unit, value);
    for (_, value) in env.iter_mut().filter(tells) {
        *value = plan.mounts.to_real(value);
    }
    for (_, value) in env.iter_mut().filter(|(name, value)| named.contains(name) && is_placed(plan, unit, value)) {
        *value = plan.mounts.to_real(value);
        let package = plan.package(unit);
        places = vec![(package.mount.clone(), package.real.to_string_lossy().into_owned())];
    }
    places
}

/// Sources below the workspace's root are named relative to it and compiled there; all others by
/// absolute path, in their package's root.
pub(super) fn source(plan: &Plan, unit: &Unit) -> (String, String) {
    let package = plan.package(unit);
    let fixed = plan.mounts.to_fixed(&unit.target.src_path);
    if package.source.is_path()
        && let Some(relative) = fixed.strip_prefix(mounts::WORKSPACE).and_then(|rest| rest.strip_prefix('/'))
    {
        return (relative.to_owned(), mounts::WORKSPACE.to_owned());
    }
    (fixed, package.mount.clone())
}

fn base_args(unit: &Unit, source: &str) -> Vec<String> {
    let mut args = vec![
        "--crate-name".to_owned(),
        unit.target.crate_name(),
        format!("--edition={}", unit.target.edition),
        source.to_owned(),
        "--error-format=json".to_owned(),
        JSON.to_owned(),
    ];
    for crate_type in unit.target.crate_types.iter().filter(|_| unit.kind != Kind::Test) {
        args.extend(["--crate-type".to_owned(), crate_type.clone()]);
    }
    let emit = match (unit.is_check(), unit.needs_objects()) {
        (true, _) => "dep-info,metadata",
        (false, true) => "dep-info,link",
        (false, false) => "dep-info,metadata,link",
    };
    args.push(format!("--emit={emit}"));
    args
}

fn codegen_args(plan: &Plan, unit: &Unit, args: &mut Vec<String>) {
    let profile = &unit.profile;
    let mut codegen = |flag: String| args.extend(["-C".to_owned(), flag]);
    let is_dylib = unit.kind != Kind::Test && unit.target.has_type("dylib");
    if unit.target.is_proc_macro() || (is_dylib && !unit.is_primary) {
        codegen("prefer-dynamic".to_owned());
    }
    if profile.opt_level != "0" {
        codegen(format!("opt-level={}", profile.opt_level));
    }
    if profile.panic != "unwind" {
        codegen(format!("panic={}", profile.panic));
    }
    args.extend(unit.lto.args());
    let mut codegen = |flag: String| args.extend(["-C".to_owned(), flag]);
    if let Some(units) = profile.codegen_units {
        codegen(format!("codegen-units={units}"));
    }
    if let Some(level) = profile.debuginfo.flag() {
        codegen(format!("debuginfo={level}"));
        let split = profile
            .split_debuginfo
            .as_ref()
            .filter(|split| plan.platforms.of(unit).probe.split_debuginfo.contains(split));
        // Not "unpacked": its files lie beside the outputs under names that differ every time.
        if let Some(split) = split.filter(|split| *split != "unpacked") {
            codegen(format!("split-debuginfo={split}"));
        }
    }
    remap_args(plan, unit, args);
    let package = plan.package(unit);
    args.extend_from_slice(&package.lints);
    for flag in check_flags(unit) {
        args.extend(["-C".to_owned(), flag.to_owned()]);
    }
    match unit.kind {
        Kind::Test if package.has_harness(&unit.target) => args.push("--test".to_owned()),
        Kind::Test => args.extend(["--cfg", "test"].map(str::to_owned)),
        _ => {}
    }
}

/// Names inside outputs follow cargo's trim-paths: `.` for the workspace, `NAME-VERSION` for
/// other packages. Diagnostics keep their paths where rustc can tell the two apart.
fn remap_args(plan: &Plan, unit: &Unit, args: &mut Vec<String>) {
    if plan.rustc.has_remap_scope() {
        args.push("--remap-path-scope=object".to_owned());
    }
    let (from, to) = plan.package(unit).remap();
    args.push(format!("--remap-path-prefix={from}={to}"));
    // What a member's script made lies in the target folder, so that an OUT_DIR left in what it becomes is one
    // that the program asks for when it runs.
    if matches!(plan.package(unit).source, Source::Member { .. }) && plan.rustc.has_remap_scope() {
        for run in unit.links.own.iter().map(|run| plan.unit(*run)) {
            let (fixed, folder) = (run.out_dir(plan), place::folder(run));
            args.push(format!("--remap-path-prefix={fixed}=target/{folder}/build/{}/out", run.folder(plan)));
        }
    }
}

/// Debug assertions and overflow checks, said only where rustc's default differs.
fn check_flags(unit: &Unit) -> Vec<&'static str> {
    let profile = &unit.profile;
    match (profile.opt_level != "0", profile.debug_assertions, profile.overflow_checks) {
        (true, true, true) => vec!["debug-assertions=on"],
        (true, true, false) => vec!["debug-assertions=on", "overflow-checks=off"],
        (true, false, true) => vec!["overflow-checks=on"],
        (true, false, false) => vec![],
        (false, false, true) => vec!["debug-assertions=off", "overflow-checks=on"],
        (false, false, false) => vec!["debug-assertions=off"],
        (false, true, false) => vec!["overflow-checks=off"],
        (false, true, true) => vec![],
    }
}

/// The features that are active, and those that there are.
pub(super) fn feature_args(plan: &Plan, unit: &Unit) -> Vec<String> {
    let active = unit.features.iter().flat_map(|feature| ["--cfg".to_owned(), format!("feature=\"{feature}\"")]);
    let mut args: Vec<String> = active.collect();
    let declared: Vec<String> = plan.package(unit).features.iter().map(|name| format!("\"{name}\"")).collect();
    args.extend(["--check-cfg", "cfg(docsrs,test)", "--check-cfg"].map(str::to_owned));
    args.push(format!("cfg(feature, values({}))", declared.join(", ")));
    args
}

fn name_args(plan: &Plan, unit: &Unit, args: &mut Vec<String>) {
    args.extend(feature_args(plan, unit));
    args.extend(["-C".to_owned(), format!("metadata={}", unit.hash)]);
    if let Some(extra) = outputs::extra_filename(plan, unit) {
        args.extend(["-C".to_owned(), format!("extra-filename={extra}")]);
    }
    if unit.profile.rpath {
        args.extend(["-C", "rpath"].map(str::to_owned));
    }
    args.extend(["--out-dir".to_owned(), mounts::OUT.to_owned()]);
    if let Some(triple) = &unit.platform {
        args.extend(["--target".to_owned(), triple.clone()]);
    }
    if let Some(linker) = &plan.platforms.of(unit).linker {
        args.extend(["-C".to_owned(), format!("linker={linker}")]);
    }
    // Where cargo would. Whether there is state at that place is the executor's business and
    // changes nothing but time; rlibs differ every time in the names of their members.
    if unit.profile.incremental {
        args.extend(["-C".to_owned(), format!("incremental={}", mounts::INCREMENTAL)]);
    }
    if let Some(strip) = unit.profile.strip.flag() {
        args.extend(["-C".to_owned(), format!("strip={strip}")]);
    }
}

pub(super) fn dependency_args(plan: &Plan, unit: &Unit, args: &mut Vec<String>) {
    args.extend(["-L".to_owned(), format!("dependency={}", mounts::deps(unit))]);
    if unit.platform.is_some() {
        // Macros that libraries hand on are found there.
        args.extend(["-L".to_owned(), format!("dependency={DEPS}")]);
    }
    for dependency in &unit.dependencies {
        let on = plan.unit(dependency.unit);
        if on.kind == Kind::BuildScriptRun || on.is_doc() || !on.target.is_linkable() {
            continue;
        }
        let is_built = !unit.is_check() && !unit.needs_objects();
        let by_metadata = on.is_check() || (is_built && !on.needs_objects());
        for output in &on.outputs {
            let named = if by_metadata { output.role == Role::Metadata } else { output.role.is_linkable() };
            if named {
                args.extend([
                    "--extern".to_owned(),
                    format!("{}={}/{}", dependency.extern_name, mounts::deps(on), output.name),
                ]);
            }
        }
    }
    if unit.target.is_proc_macro() {
        args.extend(["--extern", "proc_macro"].map(str::to_owned));
    }
}

/// What scripts add: `-L` of all that travel here, those in OUT_DIRs first; the rest of the own.
fn script_args(plan: &Plan, unit: &Unit, scripts: &Said, args: &mut Vec<String>) -> Result<(), RenderError> {
    let mut paths: Vec<(bool, &String)> = Vec::new();
    for run in &unit.links.to_link {
        let out_dir = plan.unit(*run).out_dir(plan);
        for path in &said(plan, scripts, unit, *run)?.library_paths {
            let outside = !is_below(folder_of(path), &out_dir) || plan.unit(*run).stands_in.is_some();
            paths.push((outside, path));
        }
    }
    paths.sort_by_key(|(outside, _)| *outside);
    for (_, path) in paths {
        args.extend(["-L".to_owned(), path.clone()]);
    }
    let package = plan.package(unit);
    let takes_libraries = unit.target.is_lib() || package.library().is_none();
    for run in &unit.links.to_link {
        let heard = said(plan, scripts, unit, *run)?;
        let is_own = plan.unit(*run).package == unit.package;
        if is_own && takes_libraries {
            args.extend(heard.libraries.iter().flat_map(|name| ["-l".to_owned(), name.clone()]));
        }
        for (which, arg) in &heard.link_args {
            if which.applies_to(unit) && (is_own || *which == super::directives::LinkArg::Cdylib) {
                args.extend(["-C".to_owned(), format!("link-arg={arg}")]);
            }
        }
    }
    for run in &unit.links.own {
        let heard = said(plan, scripts, unit, *run)?;
        args.extend(heard.cfgs.iter().flat_map(|cfg| ["--cfg".to_owned(), cfg.clone()]));
        args.extend(heard.check_cfgs.iter().flat_map(|cfg| ["--check-cfg".to_owned(), cfg.clone()]));
    }
    Ok(())
}

/// The folder of a `-L` value: without the kind in front.
pub(super) fn folder_of(path: &str) -> &str {
    match path.split_once('=') {
        Some(("native" | "crate" | "dependency" | "framework" | "all", folder)) => folder,
        _ => path,
    }
}

pub(super) fn is_below(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

pub(super) fn environment(
    plan: &Plan,
    unit: &Unit,
    scripts: &Said,
    ambient: BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, RenderError> {
    let mut env = package_environment(plan, unit, vec![DEPS.to_owned()], scripts)?;
    env.insert("CARGO_CRATE_NAME".to_owned(), unit.target.crate_name());
    if unit.target.is_bin() || unit.target.is_exe_example() {
        env.insert("CARGO_BIN_NAME".to_owned(), unit.target.name.clone());
    }
    if let Some(run) = unit.links.own.first() {
        env.insert("OUT_DIR".to_owned(), plan.unit(*run).out_dir(plan));
    }
    if unit.is_primary && !unit.is_doc() {
        env.insert("CARGO_PRIMARY_PACKAGE".to_owned(), "1".to_owned());
    }
    if unit.target.is_test() || unit.target.is_bench() {
        env.extend(test_environment(plan, unit));
    }
    for run in &unit.links.own {
        env.extend(said(plan, scripts, unit, *run)?.env.iter().cloned());
    }
    for (name, value) in ambient {
        env.entry(name).or_insert(value);
    }
    Ok(env)
}

/// Where tests find their package's programs, and a folder to write to.
fn test_environment(plan: &Plan, unit: &Unit) -> Vec<(String, String)> {
    let mut env = vec![("CARGO_TARGET_TMPDIR".to_owned(), format!("{}/{}", mounts::TARGET, place::scratch(unit)))];
    for program in plan.package(unit).targets.iter().filter(|target| target.is_bin()) {
        let name = &program.name;
        let path = match unit.is_check() {
            // As cargo: nothing is made, and the variable has to be there.
            true => format!("placeholder:{name}"),
            false => format!("{}/{}", mounts::TARGET, place::of_program(plan, unit, name)),
        };
        env.push((format!("CARGO_BIN_EXE_{name}"), path));
    }
    env
}

/// What rustc and scripts share: the package's variables, the loader's path with the OUT_DIRs of
/// what runs on the host, and `[env]`, which never goes over what cargo sets.
pub(super) fn package_environment(
    plan: &Plan,
    unit: &Unit,
    mut loader_path: Vec<String>,
    scripts: &Said,
) -> Result<BTreeMap<String, String>, RenderError> {
    let mut env = plan.package(unit).variables.clone();
    for run in &unit.links.plugins {
        let folders = said(plan, scripts, unit, *run)?.library_paths.iter().map(|path| folder_of(path));
        loader_path.extend(folders.filter(|folder| is_below(folder, mounts::BUILD)).map(str::to_owned));
    }
    env.insert("LD_LIBRARY_PATH".to_owned(), loader_path.join(":"));
    for (name, value) in &plan.env_config {
        env.entry(name.clone()).or_insert_with(|| value.clone());
    }
    Ok(env)
}
