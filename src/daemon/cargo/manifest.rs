//! What neither the graph nor `cargo metadata` says and only a manifest does: `[lints]` (own or
//! the workspace's) and what a custom profile inherits.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use super::files::Files;

/// Why a manifest could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    #[error("read {}: {source}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("parse {}: {source}", path.display())]
    Syntax { path: PathBuf, source: Box<toml::de::Error> },
    #[error("read {}: it takes its lints from a workspace, and no parent folder has one", path.display())]
    NoWorkspace { path: PathBuf },
    #[error("read {}: `lints.{lint}` is no lint level", path.display())]
    Lint { path: PathBuf, lint: String },
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Manifest {
    lints: Option<Lints>,
    workspace: Option<Workspace>,
    package: Option<Package>,
    #[serde(default)]
    profile: BTreeMap<String, Profile>,
    lib: Option<Target>,
    #[serde(default)]
    bin: Vec<Target>,
    #[serde(default)]
    example: Vec<Target>,
    #[serde(default)]
    test: Vec<Target>,
    #[serde(default)]
    bench: Vec<Target>,
}

#[derive(Deserialize)]
struct Target {
    name: Option<String>,
    #[serde(default = "yes")]
    harness: bool,
}

fn yes() -> bool {
    true
}

#[derive(Deserialize)]
struct Package {
    /// Where the workspace's root is, when it is no parent.
    workspace: Option<String>,
}

#[derive(Deserialize)]
struct Workspace {
    lints: Option<toml::Table>,
}

#[derive(Deserialize)]
struct Lints {
    #[serde(default)]
    workspace: bool,
    #[serde(flatten)]
    tools: toml::Table,
}

#[derive(Deserialize)]
struct Profile {
    inherits: Option<String>,
}

/// The arguments that the `[lints]` of the manifest at `path` give to rustc, in cargo's order.
pub fn lints(files: &dyn Files, path: &Path) -> Result<Vec<String>, ManifestError> {
    let text = read(files, path)?.unwrap_or_default();
    // Most registry manifests have none; parsing hundreds of them would be the dearest part of
    // a plan.
    if !text.contains("lints") {
        return Ok(Vec::new());
    }
    let manifest = parse(path, &text)?;
    match &manifest.lints {
        None => Ok(Vec::new()),
        Some(lints) if lints.workspace => lint_args(path, &workspace_lints(files, path, &manifest)?),
        Some(lints) => lint_args(path, &lints.tools),
    }
}

/// What `profile` inherits by the workspace's root manifest.
pub fn profile_inherits(files: &dyn Files, root: &Path, profile: &str) -> Result<Option<String>, ManifestError> {
    let path = root.join("Cargo.toml");
    let mut manifest = parse(&path, &read(files, &path)?.unwrap_or_default())?;
    Ok(manifest.profile.remove(profile).and_then(|profile| profile.inherits))
}

/// The targets of the manifest at `path` with `harness = false`, as kind and name.
pub fn without_harness(files: &dyn Files, path: &Path) -> Result<Vec<(String, Option<String>)>, ManifestError> {
    let text = read(files, path)?.unwrap_or_default();
    if !text.contains("harness") {
        return Ok(Vec::new());
    }
    let Manifest { lib, bin, example, test, bench, .. } = parse(path, &text)?;
    let lib = lib.into_iter().collect();
    let kinds = [("lib", lib), ("bin", bin), ("example", example), ("test", test), ("bench", bench)];
    let targets = kinds.into_iter().flat_map(|(kind, targets): (_, Vec<Target>)| {
        targets.into_iter().filter(|one| !one.harness).map(move |one| (kind.to_owned(), one.name))
    });
    Ok(targets.collect())
}

fn read(files: &dyn Files, path: &Path) -> Result<Option<String>, ManifestError> {
    files.read(path).map_err(|source| ManifestError::Read { path: path.to_owned(), source })
}

fn parse(path: &Path, text: &str) -> Result<Manifest, ManifestError> {
    let syntax = |source| ManifestError::Syntax { path: path.to_owned(), source: Box::new(source) };
    toml::from_str(text).map_err(syntax)
}

/// `[workspace.lints]` of the manifest named by `package.workspace`, else of the nearest parent
/// that has a `[workspace]`, the package's own manifest included.
fn workspace_lints(files: &dyn Files, path: &Path, manifest: &Manifest) -> Result<toml::Table, ManifestError> {
    if let Some(workspace) = &manifest.workspace {
        return Ok(workspace.lints.clone().unwrap_or_default());
    }
    let folder = path.parent().unwrap_or(path);
    let named = manifest.package.as_ref().and_then(|package| package.workspace.as_ref());
    let candidates: Vec<PathBuf> = match named {
        Some(named) => vec![folder.join(named)],
        None => folder.ancestors().skip(1).map(Path::to_owned).collect(),
    };
    for folder in candidates {
        let path = folder.join("Cargo.toml");
        let Some(text) = read(files, &path)? else { continue };
        if let Some(workspace) = parse(&path, &text)?.workspace {
            return Ok(workspace.lints.unwrap_or_default());
        }
    }
    Err(ManifestError::NoWorkspace { path: path.to_owned() })
}

/// By priority, then by name backwards; `cargo`'s own lints are not rustc's.
fn lint_args(path: &Path, tools: &toml::Table) -> Result<Vec<String>, ManifestError> {
    let mut lints = Vec::new();
    for (tool, table) in tools.iter().filter(|(tool, _)| *tool != "cargo") {
        for (name, value) in table.as_table().into_iter().flatten() {
            let malformed = || ManifestError::Lint { path: path.to_owned(), lint: format!("{tool}.{name}") };
            let level = value.as_str().or_else(|| value.get("level")?.as_str()).ok_or_else(malformed)?;
            if !["forbid", "deny", "warn", "allow"].contains(&level) {
                return Err(malformed());
            }
            let priority = value.get("priority").and_then(toml::Value::as_integer).unwrap_or(0);
            let full_name = if tool == "rust" { name.clone() } else { format!("{tool}::{name}") };
            lints.push((priority, std::cmp::Reverse(name.clone()), format!("--{level}={full_name}")));
        }
    }
    lints.sort();
    let mut args: Vec<String> = lints.into_iter().map(|(_, _, arg)| arg).collect();
    let check_cfg = tools.get("rust").and_then(|rust| rust.get("unexpected_cfgs")?.get("check-cfg")?.as_array());
    for one in check_cfg.into_iter().flatten().filter_map(toml::Value::as_str) {
        args.extend(["--check-cfg".to_owned(), one.to_owned()]);
    }
    Ok(args)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lints_of(files: &[(&str, &str)], path: &str) -> Result<Vec<String>, ManifestError> {
        let files: BTreeMap<PathBuf, String> =
            files.iter().map(|(path, text)| (PathBuf::from(path), (*text).to_owned())).collect();
        lints(&files, Path::new(path))
    }

    #[test]
    fn lints_by_priority_then_name_backwards() {
        let text = "[lints.rust]\nunused = { level = 'allow', priority = -1 }\ndead_code = 'deny'\nunsafe_code = 'forbid'\n\
            unexpected_cfgs = { level = 'warn', check-cfg = ['cfg(x)'] }\n[lints.clippy]\nall = 'warn'\n[lints.cargo]\nx = 'deny'\n";
        let lints = lints_of(&[("/w/Cargo.toml", text)], "/w/Cargo.toml").expect("lints");
        assert_eq!(
            lints,
            [
                "--allow=unused",
                "--forbid=unsafe_code",
                "--warn=unexpected_cfgs",
                "--deny=dead_code",
                "--warn=clippy::all",
                "--check-cfg",
                "cfg(x)"
            ]
        );
    }

    #[test]
    fn targets_that_test_themselves() {
        let text = "[lib]\nharness = false\n[[test]]\nname = 'a'\nharness = false\n[[test]]\nname = 'b'\n[[bench]]\nname = 'a'\n";
        let files: BTreeMap<PathBuf, String> = [(PathBuf::from("/w/Cargo.toml"), text.to_owned())].into();
        let found = without_harness(&files, Path::new("/w/Cargo.toml")).expect("a manifest");
        assert_eq!(found, [("lib".to_owned(), None), ("test".to_owned(), Some("a".to_owned()))]);
    }

    #[test]
    fn lints_of_the_workspace() {
        let member = "[package]\nname='m'\n[lints]\nworkspace = true";
        let root = "[workspace]\n[workspace.lints.rust]\ndead_code = 'warn'";
        let both = [("/w/m/Cargo.toml", member), ("/w/Cargo.toml", root)];
        assert_eq!(lints_of(&both, "/w/m/Cargo.toml").expect("lints"), ["--warn=dead_code"]);
        assert!(matches!(
            lints_of(&[("/w/m/Cargo.toml", member)], "/w/m/Cargo.toml"),
            Err(ManifestError::NoWorkspace { .. })
        ));
    }
}
