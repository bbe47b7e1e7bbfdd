//! Which files rustc leaves for a unit, and their names.

use super::{
    call::{Output, RenderError, Role},
    mounts,
    plan::{Kind, Plan, Unit},
    rustdoc,
};

/// The files of a compiler call, in cargo's order: by crate type, metadata, then the rest.
pub fn of(plan: &Plan, unit: &Unit) -> Result<Vec<Output>, RenderError> {
    if unit.is_doc() {
        return Ok(rustdoc::outputs(unit));
    }
    let stem = format!("{}{}", unit.target.crate_name(), extra_filename(plan, unit).unwrap_or_default());
    let mut outputs: Vec<Output> = Vec::new();
    let mut add = |name: String, role: Role| {
        if !outputs.iter().any(|known| known.name == name) {
            let path = format!("{}/{name}", mounts::OUT);
            outputs.push(Output { name, path, role });
        }
    };
    let (types, probe) = (crate_types(unit), &plan.platforms.of(unit).probe);
    for crate_type in &types {
        let (prefix, suffix) = probe
            .file(crate_type)
            .ok_or_else(|| RenderError::CrateType { unit: unit.label.clone(), crate_type: (*crate_type).to_owned() })?;
        add(format!("{prefix}{stem}{suffix}"), role(crate_type));
    }
    if !unit.needs_objects() {
        add(format!("lib{stem}.rmeta"), Role::Metadata);
    }
    if unit.profile.split_debuginfo.as_deref() == Some("packed") {
        let linked = |one: &&&str| matches!(**one, "bin" | "dylib" | "cdylib" | "proc-macro");
        for crate_type in types.iter().filter(linked) {
            if let Some((prefix, suffix)) = probe.file(crate_type) {
                add(format!("{prefix}{stem}{suffix}.dwp"), Role::DebugInfo);
            }
        }
    }
    add(format!("{stem}.d"), Role::DepInfo);
    Ok(outputs)
}

/// The types of the files that it leaves: of one that is only checked none.
fn crate_types(unit: &Unit) -> Vec<&str> {
    match (unit.is_check(), unit.kind) {
        (true, _) => Vec::new(),
        (false, Kind::Test) => vec!["bin"],
        (false, _) => unit.target.crate_types.iter().map(String::as_str).collect(),
    }
}

/// What tells files of one crate name apart. Shared libraries of path packages have none: their
/// names are what other programs load them by.
pub fn extra_filename(plan: &Plan, unit: &Unit) -> Option<String> {
    let shared = unit.target.is_lib() && (unit.target.has_type("dylib") || unit.target.has_type("cdylib"));
    let plain = shared && !unit.is_check() && unit.kind != Kind::Test && plan.package(unit).source.is_path();
    (!plain).then(|| format!("-{}", unit.hash))
}

fn role(crate_type: &str) -> Role {
    match crate_type {
        "bin" => Role::Executable,
        "dylib" => Role::Dylib,
        "proc-macro" => Role::Macro,
        "cdylib" => Role::Cdylib,
        "staticlib" => Role::Staticlib,
        _ => Role::Rlib,
    }
}
