//! A wrapped call as an action's: the same words, with folders of the target's at the fixed mounts.
//! The package's own folder is shown at its real place too, and the call runs there, so that what
//! it leaves names the files that cargo's own build would name.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use super::super::{
    call::{Call, Granted, Needs, Output, Role},
    environment::Ambient,
    mounts::{self, DEPS, OUT, join},
    placed::Standing,
};
use super::{
    folders::{Home, OutDir},
    words::{Compile, Word},
};

/// What cargo sets for each crate, beside what begins with [`PACKAGE`].
const SET: [&str; 7] = [
    "CARGO",
    "CARGO_MANIFEST_DIR",
    "CARGO_MANIFEST_PATH",
    "CARGO_MANIFEST_LINKS",
    "CARGO_CRATE_NAME",
    "CARGO_BIN_NAME",
    "CARGO_PRIMARY_PACKAGE",
];
const PACKAGE: &str = "CARGO_PKG_";
/// What rustc links with unless it is told otherwise.
const DEFAULT_LINKER: &str = "cc";
/// Where the host has programs.
const HOST: &str = "/usr";
/// Where a crate finds what its script made.
pub const OUT_DIR: &str = "OUT_DIR";
/// What a linker obeys, and no action sees.
const LINKERS_OWN: [&str; 5] = ["LIBRARY_PATH", "COMPILER_PATH", "GCC_EXEC_PREFIX", "LD_RUN_PATH", "LD_PRELOAD"];

/// What is known of a call beside its words.
pub struct Seen<'a> {
    pub home: &'a Home,
    /// The folder of the compiler's toolchain.
    pub toolchain: &'a Path,
    /// Where cargo makes it.
    pub cwd: &'a Path,
    /// All variables that cargo calls it with.
    pub environment: &'a BTreeMap<String, String>,
    /// The same, sorted by who may see what.
    pub ambient: &'a Ambient,
    /// Variables that the package's script sets, or cargo's configuration.
    pub set: &'a [String],
    /// What the script left, if there is one.
    pub out_dir: Option<&'a OutDir>,
    /// Whether it loads macros, which may read any variable.
    pub loads_macros: bool,
    /// Variables that the crate is known to name.
    pub named: &'a BTreeSet<String>,
    /// Variables that the macros which it loads name in their text.
    pub mentioned: &'a BTreeSet<String>,
    /// Whether what it left is known to hold its OUT_DIR.
    pub standing: Standing,
}

impl Compile {
    /// Whether it makes more than a library for Rust.
    pub fn links(&self) -> bool {
        let is_pure = |one: &String| one == "lib" || one == "rlib";
        self.emits.iter().any(|emit| emit == "link") && !self.crate_types.iter().all(is_pure)
    }

    /// Whether what it makes is a macro.
    pub fn is_macro(&self) -> bool {
        self.crate_types.iter().any(|one| one == "proc-macro")
    }

    /// Whether it reads libraries of other languages.
    pub fn reads_libraries(&self) -> bool {
        self.links() || self.names_libraries
    }

    /// The program that it links with, where it links.
    pub fn linker<'a>(&'a self) -> Option<&'a str> {
        let named = |word: &'a Word| match word {
            Word::As(word) => word.strip_prefix("linker="),
            _ => None,
        };
        let name = self.words.iter().filter_map(named).next_back().unwrap_or(DEFAULT_LINKER);
        self.links().then_some(name)
    }

    /// Why no action can be made of it in such an environment.
    pub fn obstacle(&self, environment: &BTreeMap<String, String>) -> Option<String> {
        let named = LINKERS_OWN.iter().find(|name| environment.contains_key(**name));
        named.filter(|_| self.links()).map(|name| format!("{name} is set"))
    }

    /// The libraries that it leaves, at their places.
    pub fn libraries(&self) -> Vec<std::path::PathBuf> {
        let is_library = |role: Role| role == Role::Metadata || role.is_linkable();
        let names = self.outputs().into_iter().filter(|output| is_library(output.role)).map(|output| output.name);
        names.map(|name| self.out_dir.join(name)).collect()
    }

    /// The files that it leaves.
    fn outputs(&self) -> Vec<Output> {
        let (name, extra) = (&self.crate_name, &self.extra);
        let has = |emit: &str| self.emits.iter().any(|one| one == emit);
        let mut outputs = vec![(format!("{name}{extra}.d"), Role::DepInfo)];
        if has("metadata") {
            outputs.push((format!("lib{name}{extra}.rmeta"), Role::Metadata));
        }
        for crate_type in self.crate_types.iter().filter(|_| has("link")) {
            outputs.push(match crate_type.as_str() {
                "bin" => (format!("{name}{extra}"), Role::Executable),
                "proc-macro" => (format!("lib{name}{extra}.so"), Role::Macro),
                "dylib" => (format!("lib{name}{extra}.so"), Role::Dylib),
                "cdylib" => (format!("lib{name}{extra}.so"), Role::Cdylib),
                "staticlib" => (format!("lib{name}{extra}.a"), Role::Staticlib),
                _ => (format!("lib{name}{extra}.rlib"), Role::Rlib),
            });
        }
        let output = |(name, role): (String, Role)| Output { path: join(OUT, &name), name, role };
        outputs.into_iter().map(output).collect()
    }

    /// The call.
    pub fn call(&self, seen: &Seen<'_>) -> Call {
        let mut args = Vec::with_capacity(self.words.len());
        for word in &self.words {
            args.push(match word {
                Word::As(word) => word.clone(),
                Word::OutDir => OUT.to_owned(),
                Word::Extern(name, file) => format!("{name}={DEPS}/{file}"),
                Word::Dependency => format!("dependency={DEPS}"),
                Word::Native(kind, out_dir, below) => format!("{kind}{}", join(&out_dir.mount, below)),
            });
        }
        let text = |path: &Path| path.to_string_lossy().into_owned();
        // What the host shows is at its place anyway, where nothing else can be.
        let folders = [(seen.home.mount.as_str(), seen.home.real.as_path()), (mounts::TOOLCHAIN, seen.toolchain)];
        let folders = folders.into_iter().filter(|(_, real)| !real.starts_with(HOST));
        let mut places: Vec<_> = folders.map(|(mount, real)| (mount.to_owned(), text(real))).collect();
        if let Some(out_dir) = seen.out_dir.filter(|_| seen.standing == Standing::Here) {
            places.push((out_dir.mount.clone(), text(&out_dir.real)));
        }
        Call {
            program: text(&seen.toolchain.join("bin/rustc")),
            args,
            env: environment(seen),
            cwd: text(seen.cwd).trim_start_matches('/').to_owned(),
            outputs: self.outputs(),
            scratch: Vec::new(),
            incremental: None,
            places,
            granted: Granted::default(),
            programs: BTreeMap::new(),
            needs: Needs { reads_freely: seen.loads_macros, ..Needs::default() },
        }
    }
}

fn environment(seen: &Seen<'_>) -> BTreeMap<String, String> {
    let is_set =
        |name: &str| name.starts_with(PACKAGE) || SET.contains(&name) || seen.set.iter().any(|one| one == name);
    let set = seen.environment.iter().filter(|(name, _)| is_set(name));
    let mut env: BTreeMap<String, String> = set.map(|(name, value)| (name.clone(), value.clone())).collect();
    if let Some(out_dir) = seen.out_dir {
        let place = match seen.standing {
            Standing::Here => out_dir.real.to_string_lossy().into_owned(),
            Standing::Anywhere => out_dir.mount.clone(),
        };
        env.insert(OUT_DIR.to_owned(), place);
    }
    env.insert("LD_LIBRARY_PATH".to_owned(), DEPS.to_owned());
    let named: Vec<String> = seen.named.union(seen.mentioned).cloned().collect();
    let ambient = if seen.loads_macros { seen.ambient.for_scripts(&named) } else { seen.ambient.for_rustc(&named) };
    for (name, value) in ambient {
        env.entry(name).or_insert(value);
    }
    env
}

#[cfg(test)]
mod tests {
    use super::super::read;
    use super::*;

    const HASH: &str = "--crate-name a --edition=2021 src/lib.rs --crate-type lib --emit=dep-info,metadata,link -C metadata=1 \
        -C extra-filename=-2 --out-dir /w/t/debug/deps -L dependency=/w/t/debug/deps --extern c=/w/t/debug/deps/libc-8.rmeta \
        -L native=/w/t/debug/build/s-1/out/lib";

    #[test]
    fn folders_of_the_target_are_at_the_mounts_and_all_else_is_at_its_place() {
        let words: Vec<String> = HASH.split_whitespace().map(str::to_owned).collect();
        let compile = read(&words).expect("a call that can be kept");
        let home = Home { real: "/h/registry/src/i/a-1.0.0".into(), mount: "/vx/crates/a-1.0.0".to_owned() };
        let variables = [
            ("CARGO_PKG_NAME", "a"),
            ("CARGO_HOME", "/h"),
            ("OUT_DIR", "/w/t/debug/build/a-3/out"),
            ("BY_SCRIPT", "1"),
            ("MINE", "2"),
            ("NOISE", "3"),
            ("MY_TOKEN", "4"),
        ];
        let environment: BTreeMap<String, String> =
            variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let (out_dir, _) = OutDir::around(Path::new(&environment["OUT_DIR"])).expect("a script's folder");
        let ambient = Ambient::new(environment.clone(), Vec::new());
        let call = |standing| {
            compile.call(&Seen {
                home: &home,
                toolchain: Path::new("/t"),
                cwd: &home.real,
                environment: &environment,
                ambient: &ambient,
                set: &["BY_SCRIPT".to_owned()],
                out_dir: Some(&out_dir),
                loads_macros: false,
                named: &["MINE", "MY_TOKEN"].map(str::to_owned).into(),
                mentioned: &BTreeSet::new(),
                standing,
            })
        };
        let anywhere = call(Standing::Anywhere);
        assert!(!anywhere.args.iter().any(|arg| arg.contains("/w/")), "{:?}", anywhere.args);
        assert!(anywhere.args.contains(&"c=/vx/deps/libc-8.rmeta".to_owned()));
        assert!(anywhere.args.contains(&"native=/vx/build/s-1/out/lib".to_owned()));
        assert_eq!(anywhere.cwd, "h/registry/src/i/a-1.0.0");
        let names: Vec<_> = anywhere.env.keys().map(String::as_str).collect();
        assert_eq!(
            names,
            ["BY_SCRIPT", "CARGO_PKG_NAME", "HOME", "LANG", "LD_LIBRARY_PATH", "MINE", "OUT_DIR", "PATH"]
        );
        assert_eq!(anywhere.env["OUT_DIR"], "/vx/build/a-3/out");
        let outputs: Vec<_> = anywhere.outputs.iter().map(|output| output.path.as_str()).collect();
        assert_eq!(outputs, ["/vx/out/a-2.d", "/vx/out/liba-2.rmeta", "/vx/out/liba-2.rlib"]);
        let here = call(Standing::Here);
        assert_eq!(here.env["OUT_DIR"], "/w/t/debug/build/a-3/out");
        assert_eq!(here.places.len(), 3);
    }
}
