"""The workspace that benches/fuzz plays with: small, and of many of the kinds that cargo builds. Which edits are made to it is
benches/fuzz_edits.py's business, what is compared after each benches/fuzz's.

Every source holds one short token, which the programs print and the tests look at. Tokens come from few values, so that a result
of an earlier state is always near at hand for a builder that mixes them up.
"""

ROOT = """[workspace]
members = ["app", "core", "mac", "sys", "opt"]
resolver = "2"

[workspace.package]
version = "1.0.0"
edition = "2021"

[workspace.lints.rust]
unused_variables = "warn"

[profile.dev]
debug = 0
debug-assertions = true
overflow-checks = true

[profile.dev.build-override]
opt-level = 0

[profile.dev.package.core-lib]
opt-level = 0

[profile.release]
opt-level = 1
debug-assertions = false

[profile.small]
inherits = "release"
opt-level = "s"
"""
INHERITS = 'version.workspace = true\nedition.workspace = true\n'
LINTS = '[lints]\nworkspace = true\n'

APP = f"""[package]
name = "app"
{INHERITS}description = "says all"

[[bin]]
name = "app"
path = "src/main.rs"

[[bin]]
name = "gated"
path = "src/gated.rs"
required-features = ["extra"]

[features]
default = ["fancy"]
fancy = ["kern/fancy"]
extra = ["dep:opt"]

[dependencies]
kern = {{ package = "core-lib", path = "../core", default-features = false }}
mac = {{ path = "../mac" }}
opt = {{ path = "../opt", optional = true }}

[target.'cfg(unix)'.dependencies]
fuzz-sys = {{ path = "../sys" }}

[dev-dependencies]
opt = {{ path = "../opt", features = ["loud"] }}

{LINTS}"""

APP_LIB = """const V: &str = "l0";
mod a;
mod b;
mac::tokens!();
/// What the library says.
///
/// ```
/// assert!(app::says().len() > 3);
/// ```
pub fn says() -> Vec<(&'static str, String)> {
    let mut said = vec![
        ("app", V.to_owned()),
        ("app.a", a::V.to_owned()),
        ("app.b", b::V.to_owned()),
        ("app.b.deep", b::deep::V.to_owned()),
        ("app notes", include_str!("notes.txt").to_owned()),
        ("app mode", option_env!("FUZZ_APP").unwrap_or("none").to_owned()),
        ("app fancy", cfg!(feature = "fancy").to_string()),
        ("app extra", cfg!(feature = "extra").to_string()),
        ("app loud", cfg!(loud).to_string()),
        ("app assertions", cfg!(debug_assertions).to_string()),
        ("app panic", cfg!(panic = "abort").to_string()),
        ("app version", env!("CARGO_PKG_VERSION").to_owned()),
        ("app described", env!("CARGO_PKG_DESCRIPTION").to_owned()),
        ("app script", env!("APP_SCRIPT").to_owned()),
        ("app generated", GENERATED.to_owned()),
        ("mac", MACRO.to_owned()),
        ("sys", fuzz_sys::V.to_owned()),
    ];
    said.extend(kern::says());
    #[cfg(feature = "extra")]
    said.push(("opt", opt::says()));
    said
}
include!(concat!(env!("OUT_DIR"), "/generated.rs"));
#[cfg(test)]
mod tests {
    #[test]
    fn token() {
        assert_ne!(super::V, "l2");
    }
    #[test]
    fn dev() {
        assert!(opt::says().starts_with("loud"));
    }
}
"""

APP_BUILD = """use std::{env, fs, path::Path};
const V: &str = "s0";
fn main() {
    println!("cargo::rerun-if-changed=data.txt");
    println!("cargo::rerun-if-changed=listed");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=FUZZ_SCRIPT");
    println!("cargo::rustc-check-cfg=cfg(loud)");
    let mut names: Vec<_> = fs::read_dir("listed").into_iter().flatten().map(|entry| entry.unwrap()).collect();
    names.sort_by_key(|entry| entry.file_name());
    let listed: String =
        names.iter().map(|entry| format!("{:?}={};", entry.file_name(), fs::read_to_string(entry.path()).unwrap())).collect();
    let data = fs::read_to_string("data.txt").unwrap();
    if data == "fail" {
        eprintln!("the script was told to fail");
        std::process::exit(3);
    }
    if data == "warn" {
        println!("cargo::warning=the script was told to warn");
    }
    let sys = env::var("DEP_FUZZSYS_TOKEN").unwrap_or("none".into());
    let mode = env::var("FUZZ_SCRIPT").unwrap_or("none".into());
    let (profile, level) = (env::var("PROFILE").unwrap(), env::var("OPT_LEVEL").unwrap());
    let fancy = env::var("CARGO_FEATURE_FANCY").is_ok();
    let silent = env::var("FUZZ_SILENT").unwrap_or("none".into());
    println!("cargo::rustc-env=APP_SCRIPT={V}|{data}|{sys}|{mode}|{silent}|{profile}|{level}|{fancy}");
    let out = env::var("OUT_DIR").unwrap();
    fs::write(Path::new(&out).join("generated.rs"), format!("const GENERATED: &str = {listed:?};\\n")).unwrap();
}
"""

MAIN = """const V: &str = "p0";
fn main() {
    println!("main {V}");
    for (name, value) in app::says() {
        println!("{name} {value}");
    }
}
"""

CORE_LIB = """const V: &str = "c0";
pub mod wide;
#[path = "odd/place.rs"]
mod odd;
#[cfg(windows)]
mod nowhere;
#[macro_export]
macro_rules! token {
    () => {
        "k0"
    };
}
pub fn says() -> Vec<(&'static str, String)> {
    vec![
        ("core", V.to_owned()),
        ("core.odd", odd::V.to_owned()),
        ("core.wide", wide::both(1_u8)),
        ("core token", token!().to_owned()),
        ("core fancy", cfg!(feature = "fancy").to_string()),
        ("core mode", option_env!("FUZZ_CORE").unwrap_or("none").to_owned()),
        ("core version", env!("CARGO_PKG_VERSION").to_owned()),
        ("core assertions", cfg!(debug_assertions).to_string()),
        ("core bytes", include_bytes!("bytes.bin").len().to_string()),
        ("core place", std::panic::Location::caller().file().replace('\\\\', "/")),
    ]
}
#[cfg(test)]
mod tests {
    #[test]
    fn odd() {
        assert_ne!(super::odd::V, "o2");
    }
}
"""

MAC_LIB = """use proc_macro::TokenStream;
const V: &str = "m0";
#[proc_macro]
pub fn tokens(_: TokenStream) -> TokenStream {
    let folder = std::env::var("CARGO_MANIFEST_DIR").unwrap();
    let read = std::fs::read_to_string(format!("{folder}/macro.txt")).unwrap_or("none".into());
    let silent = std::env::var("FUZZ_SILENT_M").unwrap_or("none".into());
    format!("const MACRO: &str = \\"{V} {silent} {read}\\"; const _: &[u8] = include_bytes!(\\"{folder}/macro.txt\\");").parse().unwrap()
}
"""

FILES = {
    "Cargo.toml": ROOT,
    ".gitignore": "target\n",
    "README.md": "nothing reads this\n",
    "app/Cargo.toml": APP,
    "app/build.rs": APP_BUILD,
    "app/data.txt": "d0",
    "app/listed/one": "1a",
    "app/listed/two": "1b",
    "app/macro.txt": "q0",
    "app/src/lib.rs": APP_LIB,
    "app/src/a.rs": 'pub const V: &str = "a0";\n',
    "app/src/b/mod.rs": 'pub mod deep;\npub const V: &str = "b0";\n',
    "app/src/b/deep.rs": 'pub const V: &str = "e0";\n',
    "app/src/notes.txt": "n0",
    "app/src/main.rs": MAIN,
    "app/src/gated.rs": MAIN.replace("p0", "g0"),
    "app/src/bin/tool.rs": 'const V: &str = "t0";\nfn main() {\n    println!("tool {V} {}", kern::token!());\n}\n',
    "app/examples/show.rs": 'const V: &str = "x0";\nfn main() {\n    println!("show {V} {}", app::says().len());\n}\n',
    "app/tests/it.rs": 'const V: &str = "i0";\n#[test]\nfn program() {\n    assert_ne!(V, "i2");\n    let done = std::process::Command::new('
    'env!("CARGO_BIN_EXE_app")).output().unwrap();\n    assert!(String::from_utf8(done.stdout).unwrap().contains("main p"));\n}\n',
    "core/Cargo.toml": f'[package]\nname = "core-lib"\nversion = "1.0.0"\nedition = "2021"\n\n[features]\ndefault = ["fancy"]\n'
    f"fancy = []\n\n{LINTS}",
    "core/src/lib.rs": CORE_LIB,
    "core/src/wide.rs": 'const V: &str = "w0";\npub fn both<T: ToString>(value: T) -> String {\n    format!("{V}{}", value.to_string())\n}\n',
    "core/src/odd/place.rs": 'pub const V: &str = "o0";\n',
    "core/src/bytes.bin": "0123",
    "mac/Cargo.toml": f'[package]\nname = "mac"\n{INHERITS}\n[lib]\nproc-macro = true\n',
    "mac/src/lib.rs": MAC_LIB,
    "sys/Cargo.toml": f'[package]\nname = "fuzz-sys"\n{INHERITS}links = "fuzzsys"\nbuild = "script.rs"\n',
    "sys/script.rs": 'const V: &str = "y0";\nfn main() {\n    println!("cargo::metadata=token={V}");\n'
    '    println!("cargo::rerun-if-changed=script.rs");\n}\n',
    "sys/src/lib.rs": 'pub const V: &str = "z0";\n',
    "opt/Cargo.toml": f'[package]\nname = "opt"\n{INHERITS}\n[features]\nloud = []\n',
    "opt/src/lib.rs": 'const V: &str = "u0";\npub fn says() -> String {\n    format!("{}{V}", if cfg!(feature = "loud") { "loud" } '
    'else { "" })\n}\n',
}
