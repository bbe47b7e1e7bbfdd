//! The call of rustdoc that tests a library's documentation: the person's own toolchain compiles
//! and runs what it finds there, with what was built placed where cargo has it.

use std::collections::BTreeSet;

use super::{
    call::RenderError,
    closure::{self, Said},
    diagnostics::{Colour, Verbosity},
    messages::{Format, Messages, Rendering},
    mounts::{TOOLCHAIN, WORKSPACE},
    place::{self, Placement},
    plan::{Plan, Unit},
    process::{self, LIBRARY_PATH, Person, Process},
    rustc,
};

/// How the person wants it.
#[derive(Debug, Clone, Copy)]
pub struct Tester<'a> {
    pub person: Person<'a>,
    /// The person's flags for rustdoc.
    pub flags: &'a [String],
    /// For the program of each test.
    pub words: &'a [String],
    pub verbosity: Verbosity,
    pub colour: Colour,
    pub format: Format,
}

/// The libraries that are to be placed for it, at the places that the call names.
pub fn placements(plan: &Plan, unit: &Unit) -> Vec<Placement> {
    let files = closure::of_doctest(plan, unit).into_iter();
    let placed = files.filter_map(|file| {
        let from = plan.unit(file.unit);
        let role = from.outputs.iter().find(|output| output.name == file.name)?.role;
        Some(Placement {
            unit: file.unit,
            path: format!("{}/deps/{}", place::folder(from), file.name),
            output: file.name,
            dep_info: None,
            role,
        })
    });
    placed.collect()
}

/// Renders the call.
pub fn process(plan: &Plan, unit: &Unit, said: &Said, tester: Tester<'_>) -> Result<Process, RenderError> {
    let package = plan.package(unit);
    let (source, folder) = rustc::source(plan, unit);
    let (source, cwd) = match folder == WORKSPACE {
        true => (source, plan.workspace_root.clone()),
        false => (unit.target.src_path.clone(), package.real.clone()),
    };
    let rustdoc = plan.mounts.real_path(TOOLCHAIN).join("bin/rustdoc");
    let mut process = Process::of(plan, unit, said, &rustdoc, Person { runner: &[], ..tester.person });
    process.cwd = cwd;
    process.set.insert("CARGO_CRATE_NAME".to_owned(), unit.target.crate_name().as_str().into());
    let libraries = process::compiler_libraries(plan, unit, said, tester.person.environment);
    process.set.insert(LIBRARY_PATH.to_owned(), libraries);
    let mut args = vec![format!("--edition={}", unit.target.edition)];
    let mut pair = |name: &str, value: &str| args.extend([name.to_owned(), value.to_owned()]);
    unit.target.crate_types.iter().for_each(|one| pair("--crate-type", one));
    pair("--color", if tester.colour == Colour::On { "always" } else { "never" });
    pair("--crate-name", &unit.target.crate_name());
    args.extend(["--test".to_owned(), source]);
    let mut pair = |name: &str, value: &str| args.extend([name.to_owned(), value.to_owned()]);
    pair("--test-run-directory", &package.real.to_string_lossy());
    if let Some(triple) = &unit.platform {
        pair("--target", triple);
    }
    if let [runner, rest @ ..] = tester.person.runner {
        pair("--test-runtool", runner);
        rest.iter().for_each(|word| pair("--test-runtool-arg", word));
    }
    let platform = plan.platforms.of(unit);
    if let Some(linker) = &platform.linker {
        pair("-C", &format!("linker={}", plan.mounts.to_real(linker)));
    }
    if unit.profile.panic != "unwind" {
        pair("-C", &format!("panic={}", unit.profile.panic));
    }
    let searched: BTreeSet<String> = process::native_folders(plan, said).collect();
    searched.iter().for_each(|folder| pair("-L", folder));
    tester.words.iter().for_each(|word| pair("--test-args", word));
    if tester.verbosity == Verbosity::Quiet {
        pair("--test-args", "--quiet");
    }
    args.extend_from_slice(&package.lints);
    args.extend(libraries_of(plan, unit));
    args.extend(unit.lto.args());
    args.extend(rustc::feature_args(plan, unit));
    for run in &unit.links.own {
        let heard = closure::said(plan, said, unit, *run)?;
        let mut pair = |name: &str, value: &str| args.extend([name.to_owned(), plan.shown(value)]);
        heard.cfgs.iter().for_each(|cfg| pair("--cfg", cfg));
        heard.check_cfgs.iter().for_each(|cfg| pair("--check-cfg", cfg));
        let link_args = heard.link_args.iter().filter(|(which, _)| which.applies_to(unit));
        link_args.for_each(|(_, arg)| pair("-C", &format!("link-arg={arg}")));
    }
    args.extend_from_slice(tester.flags);
    let format = match (tester.format.messages, tester.format.rendering) {
        (Messages::Json(_), _) => "json",
        (Messages::Human, Rendering::Short) => "short",
        (Messages::Human, Rendering::Full) => "human",
    };
    args.extend(["--error-format".to_owned(), format.to_owned()]);
    process.argv.extend(args.iter().map(|arg| arg.as_str().into()));
    Ok(process)
}

/// What the crate and its tests may name, and where what those need is looked for.
fn libraries_of(plan: &Plan, unit: &Unit) -> Vec<String> {
    let mut args = Vec::new();
    let folder = |folder: String| plan.target_dir.join(folder).join("deps");
    for dependency in &unit.dependencies {
        let on = plan.unit(dependency.unit);
        for output in on.outputs.iter().filter(|output| on.target.is_linkable() && output.role.is_linkable()) {
            let path = folder(place::folder(on)).join(&output.name);
            args.extend(["--extern".to_owned(), format!("{}={}", dependency.extern_name, path.display())]);
        }
    }
    if unit.target.is_proc_macro() {
        args.extend(["--extern", "proc_macro"].map(str::to_owned));
    }
    let mut folders = vec![folder(place::folder(unit))];
    if unit.platform.is_some() {
        folders.push(folder(place::profile_folder(&unit.profile.name).to_owned()));
    }
    args.extend(folders.iter().flat_map(|folder| ["-L".to_owned(), format!("dependency={}", folder.display())]));
    args
}
