//! A build script's run becomes one call: the compiled script in its package's root, with the
//! variables cargo gives it. What it prints is `directives`'.

use std::collections::BTreeMap;

use cargo_platform::Cfg;

use super::{
    call::{Call, Granted, Output, RenderError, Role},
    closure::{self, Said, said},
    directives::{self, DirectiveError, Directives, Speaker},
    environment::{Ambient, NUM_JOBS},
    mounts::{DEPS, TOOLCHAIN},
    placed,
    plan::{Kind, Plan, Unit},
    rustc::package_environment,
};

/// Renders the run. `scripts` holds what the runs among its dependencies have said; `named` are
/// variables that it asked to be rerun for before.
pub fn render(
    plan: &Plan,
    unit: &Unit,
    scripts: &Said,
    ambient: &Ambient,
    named: &[String],
) -> Result<Call, RenderError> {
    let compiled = unit
        .dependencies
        .iter()
        .map(|dependency| plan.unit(dependency.unit))
        .find(|dependency| dependency.kind == Kind::BuildScriptCompile)
        .ok_or_else(|| RenderError::NoScript { unit: unit.label.clone() })?;
    let package = plan.package(unit);
    let host_libraries = format!("{TOOLCHAIN}/lib/rustlib/{}/lib", plan.rustc.host);
    let mut env = package_environment(plan, unit, vec![DEPS.to_owned(), host_libraries], scripts)?;
    let out_dir = unit.out_dir(plan);
    let mut set = |name: &str, value: &str| drop(env.insert(name.to_owned(), value.to_owned()));
    set("OUT_DIR", &out_dir);
    set("NUM_JOBS", NUM_JOBS);
    let platform = plan.platforms.of(unit);
    set("TARGET", &platform.triple);
    set("HOST", &plan.rustc.host);
    set("DEBUG", if unit.profile.debuginfo.flag().is_some() { "true" } else { "false" });
    set("OPT_LEVEL", &unit.profile.opt_level);
    set("PROFILE", plan.profile_root);
    // Bare words: PATH holds the toolchain.
    set("RUSTC", "rustc");
    set("RUSTDOC", "rustdoc");
    set("CARGO_ENCODED_RUSTFLAGS", &platform.rustflags.join("\x1f"));
    if let Some(linker) = &platform.linker {
        set("RUSTC_LINKER", linker);
    }
    if let Some(links) = &package.links {
        set("CARGO_MANIFEST_LINKS", links);
    }
    for feature in &unit.features {
        set(&format!("CARGO_FEATURE_{}", envify(feature)), "1");
    }
    for (name, values) in cfg(plan, unit) {
        set(&format!("CARGO_CFG_{}", envify(name)), &values.join(","));
    }
    // Programs say by which toolchain they were built. One compiler has several names: others' packages are shared by all.
    if let Some((name, value)) = ambient.toolchain().filter(|_| package.source.is_path()) {
        set(name, value);
    }
    env.extend(metadata(plan, unit, scripts)?);
    for (name, value) in ambient.for_scripts(named) {
        env.entry(name).or_insert(value);
    }
    // cargo hands flags on only in the encoded form.
    env.remove("RUSTFLAGS");
    Ok(Call {
        program: closure::program(plan, compiled),
        args: Vec::new(),
        env,
        cwd: package.mount.trim_start_matches('/').to_owned(),
        // Scripts of the person's own packages write completions and the like beside the sources;
        // they must not fail for it, and nobody but them sees it.
        places: Vec::new(),
        granted: Granted::default(),
        programs: BTreeMap::new(),
        scratch: if package.source.is_path() { vec![package.mount.clone()] } else { Vec::new() },
        incremental: None,
        outputs: vec![Output { name: "out".to_owned(), path: out_dir, role: Role::OutDir }],
        needs: closure::of_run(plan, unit, compiled, scripts)?,
    })
}

/// What scripts of its dependencies that link something have to say to this one.
fn metadata(plan: &Plan, unit: &Unit, scripts: &Said) -> Result<Vec<(String, String)>, RenderError> {
    let mut variables = Vec::new();
    for run in unit.dependencies.iter().map(|dependency| plan.unit(dependency.unit)) {
        let Some(links) = plan.package(run).links.as_ref().filter(|_| run.kind == Kind::BuildScriptRun) else {
            continue;
        };
        for (key, value) in &said(plan, scripts, unit, run.id)?.metadata {
            variables.push((format!("DEP_{}_{}", envify(links), envify(key)), value.clone()));
        }
    }
    Ok(variables)
}

/// Reads what the run has printed.
pub fn heard(plan: &Plan, unit: &Unit, ambient: &Ambient, stdout: &[u8]) -> Result<Directives, DirectiveError> {
    let package = plan.package(unit);
    let (described, library, out_dir) = (package.described(), package.library(), unit.out_dir(plan));
    // Where it knew that as the person does.
    let real = placed::own_out_dir(plan, unit);
    let speaker = Speaker {
        package: &described,
        targets: &package.targets,
        rust_version: package.rust_version.as_deref(),
        library: library.as_deref(),
        bootstrap: ambient.get("RUSTC_BOOTSTRAP"),
        out_dir: (&real, &out_dir),
    };
    directives::parse(stdout, speaker)
}

/// rustc's cfg with the unit's features, and debug assertions as the profile has them: the probe
/// knows no profile.
fn cfg<'a>(plan: &'a Plan, unit: &'a Unit) -> BTreeMap<&'a str, Vec<&'a str>> {
    let mut found: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    found.insert("feature", unit.features.iter().map(String::as_str).collect());
    if unit.profile.debug_assertions {
        found.insert("debug_assertions", Vec::new());
    }
    for one in &plan.platforms.of(unit).probe.cfg {
        match one {
            Cfg::Name(name) if name.as_str() == "debug_assertions" => {}
            Cfg::Name(name) => drop(found.insert(name.as_str(), Vec::new())),
            Cfg::KeyPair(name, value) => found.entry(name.as_str()).or_default().push(value),
        }
    }
    found
}

fn envify(name: &str) -> String {
    name.to_uppercase().replace('-', "_")
}
