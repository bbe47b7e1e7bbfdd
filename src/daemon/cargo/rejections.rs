//! The keys and variables of cargo's configuration that vx does not follow: refused by name where
//! ignoring them would give another build, noted where only a tool of the person's is left out.

use std::{collections::BTreeMap, path::Path};

use super::{
    config::ConfigError,
    config_tree::{Loaded, Node},
    wrapped::names_vx,
};

/// Checks the merged files and the environment.
pub fn check(
    loaded: &Loaded,
    cargo_home: &Path,
    environment: &BTreeMap<String, String>,
    notes: &mut Vec<String>,
) -> Result<(), ConfigError> {
    if let Some(unstable) = loaded.tree.get(&["unstable"]).and_then(Node::table)
        && let Some(key) = unstable.keys().next()
    {
        let problem = "is for nightly cargo; vx builds what stable cargo builds, so take it out";
        return Err(ConfigError::refused(format!("unstable.{key}"), problem));
    }
    let variable = |names: &[&'static str]| names.iter().find(|name| environment.contains_key(**name)).copied();
    for (path, variables, problem) in REFUSED {
        let named = loaded.tree.get(path).map(|_| path.join(".")).or_else(|| variable(variables).map(str::to_owned));
        if let Some(key) = named {
            return Err(ConfigError::refused(key, problem));
        }
    }
    for (path, variables, instead) in IGNORED {
        let other = |value: Option<&str>| value.is_none_or(|value| !names_vx(value));
        let key = loaded.tree.get(path).filter(|node| other(node.text().map(|text| text.text.as_str())));
        let set = variable(variables).filter(|name| other(environment.get(*name).map(String::as_str)));
        let named = key.map(|_| path.join(".")).or_else(|| set.map(str::to_owned));
        if let Some(key) = named {
            notes.push(format!("`{key}` is ignored: {instead}"));
        }
    }
    credentials(loaded, cargo_home)
}

type Rule = (&'static [&'static str], &'static [&'static str], &'static str);

const REFUSED: [Rule; 1] = [(
    &["build", "rustc"],
    &["RUSTC", "CARGO_BUILD_RUSTC"],
    "names a compiler; vx takes the toolchain's own, so unset it",
)];

const OWN_RUSTC: &str = "vx runs rustc itself and keeps its results";

const IGNORED: [Rule; 3] = [
    (&["build", "rustc-wrapper"], &["RUSTC_WRAPPER", "CARGO_BUILD_RUSTC_WRAPPER"], OWN_RUSTC),
    (
        &["build", "rustc-workspace-wrapper"],
        &["RUSTC_WORKSPACE_WRAPPER", "CARGO_BUILD_RUSTC_WORKSPACE_WRAPPER"],
        OWN_RUSTC,
    ),
    (
        &["build", "build-dir"],
        &["CARGO_BUILD_BUILD_DIR"],
        "vx keeps intermediate files in its store, and places test programs in the target folder",
    ),
];

/// A checkout must not name a program that is asked for the person's credentials. The person's
/// own CARGO_HOME may; cargo's built-in providers may stand anywhere.
fn credentials(loaded: &Loaded, cargo_home: &Path) -> Result<(), ConfigError> {
    for (path, node) in loaded.parts.iter().filter(|(path, _)| !path.starts_with(cargo_home)) {
        let registries = node.get(&["registries"]).and_then(Node::table).into_iter().flatten();
        let mut named: Vec<(String, Option<&Node>)> = registries
            .map(|(name, node)| (format!("registries.{name}.credential-provider"), node.get(&["credential-provider"])))
            .collect();
        for key in ["credential-provider", "global-credential-providers"] {
            named.push((format!("registry.{key}"), node.get(&["registry", key])));
        }
        named.push(("credential-alias".to_owned(), node.get(&["credential-alias"])));
        for (key, node) in named {
            let Some(node) = node else { continue };
            let built_in = |word: &String| word.starts_with("cargo:") && !word.starts_with("cargo:token-from-stdout");
            let single = key.ends_with("providers");
            let fine = match node.words() {
                Some(words) if single => words.iter().all(built_in),
                Some(words) => words.first().is_some_and(built_in),
                None => false,
            };
            if !fine {
                let problem = format!("in {} names a credential provider; only CARGO_HOME's may", path.display());
                return Err(ConfigError::refused(key, problem));
            }
        }
    }
    Ok(())
}
