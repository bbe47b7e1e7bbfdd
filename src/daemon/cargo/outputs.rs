//! Which files rustc leaves for a unit, and their names.

use super::{
    call::{Output, RenderError, Role},
    mounts,
    plan::{Plan, Unit},
};

/// The files of a compiler call, in cargo's order: by crate type, metadata, then the rest.
pub fn of(plan: &Plan, unit: &Unit) -> Result<Vec<Output>, RenderError> {
    let stem = format!("{}{}", unit.target.crate_name(), extra_filename(plan, unit).unwrap_or_default());
    let mut outputs: Vec<Output> = Vec::new();
    let mut add = |name: String, role: Role| {
        if !outputs.iter().any(|known| known.name == name) {
            let path = format!("{}/{name}", mounts::OUT);
            outputs.push(Output { name, path, role });
        }
    };
    for crate_type in &unit.target.crate_types {
        let (prefix, suffix) = plan
            .probe
            .file(crate_type)
            .ok_or_else(|| RenderError::CrateType { unit: unit.label.clone(), crate_type: crate_type.clone() })?;
        add(format!("{prefix}{stem}{suffix}"), role(crate_type));
    }
    if !unit.target.needs_objects() {
        add(format!("lib{stem}.rmeta"), Role::Metadata);
    }
    if unit.profile.split_debuginfo.as_deref() == Some("packed") {
        let linked = |one: &&String| matches!(one.as_str(), "bin" | "dylib" | "cdylib" | "proc-macro");
        for crate_type in unit.target.crate_types.iter().filter(linked) {
            if let Some((prefix, suffix)) = plan.probe.file(crate_type) {
                add(format!("{prefix}{stem}{suffix}.dwp"), Role::DebugInfo);
            }
        }
    }
    add(format!("{stem}.d"), Role::DepInfo);
    Ok(outputs)
}

/// What tells files of one crate name apart. Shared libraries of path packages have none: their
/// names are what other programs load them by.
pub fn extra_filename(plan: &Plan, unit: &Unit) -> Option<String> {
    let shared = unit.target.is_lib() && (unit.target.has_type("dylib") || unit.target.has_type("cdylib"));
    let plain = shared && plan.package(unit).source.is_path();
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
