//! A workspace of the test's own with what the real projects lack: members in folders with a
//! space above, scripts with `links`, metadata and link arguments, a proc macro, cdylib and
//! dylib libraries, path dependencies inside and outside, a git dependency, lints, features, a custom profile,
//! `[env]`, flags and a script override from configuration.

use super::record::Project;

/// Writes the tree and hands it over with the variables of the person who builds it.
pub fn project() -> Project {
    Project::at("a fixture", FILES, &[("OWN_WINS", "own"), ("OWN_LOSES", "own")])
}

const FILES: &[(&str, &str)] = &[
    ("ws/Cargo.toml", WORKSPACE),
    ("ws/.cargo/config.toml", CONFIG),
    ("ws/app/Cargo.toml", APP),
    ("ws/app/build.rs", APP_SCRIPT),
    ("ws/app/src/lib.rs", "pub fn answer() -> u32 { deep::answer() }\n"),
    ("ws/app/src/main.rs", "fn main() { println!(\"{} {}\", app::answer(), macros::zero!()) }\n"),
    ("ws/app/src/bin/other-one.rs", "fn main() { println!(\"{}\", env!(\"FROM_SCRIPT\")) }\n"),
    (
        "ws/app/tests/it.rs",
        "#[test]\nfn it() { assert!(env!(\"CARGO_BIN_EXE_app\").len() > 1 && app::answer() > 0) }\n",
    ),
    ("ws/app/tests/own.rs", "fn main() { println!(\"{}\", outside::answer()) }\n"),
    ("ws/app/benches/own.rs", "fn main() {}\n"),
    ("ws/app/examples/ex-one.rs", "fn main() { println!(\"{}\", outside::answer()) }\n"),
    ("ws/app/examples/ex-lib.rs", "pub fn answer() -> u32 { app::answer() }\n"),
    ("ws/nested/deep/Cargo.toml", DEEP),
    (
        "ws/nested/deep/src/lib.rs",
        "pub fn answer() -> u32 { native::answer() + outside::answer() + inner::answer() }\n",
    ),
    ("ws/native/Cargo.toml", NATIVE),
    ("ws/native/build.rs", NATIVE_SCRIPT),
    ("ws/native/src/lib.rs", "include!(concat!(env!(\"OUT_DIR\"), \"/answer.rs\"));\n"),
    ("ws/over/Cargo.toml", OVER),
    ("ws/over/build.rs", "fn main() { panic!(\"configuration stands in for this\") }\n"),
    ("ws/over/src/lib.rs", "#[cfg(from_table)]\npub const TABLE: &str = env!(\"FROM_TABLE\");\n"),
    ("ws/macros/Cargo.toml", MACROS),
    ("ws/macros/src/lib.rs", MACRO_SOURCE),
    ("ws/shared/Cargo.toml", SHARED),
    ("ws/shared/build.rs", SHARED_SCRIPT),
    ("ws/shared/src/lib.rs", "#[unsafe(no_mangle)]\npub extern \"C\" fn shared_answer() -> u32 { 7 }\n"),
    ("ws/dy/Cargo.toml", DY),
    ("ws/dy/src/lib.rs", "pub fn answer() -> u32 { 3 }\n"),
    ("ws/uses-dy/Cargo.toml", USES_DY),
    ("ws/uses-dy/src/main.rs", "fn main() { println!(\"{}\", dy::answer()) }\n"),
    ("repo/README", "a package below the root of its repository\n"),
    ("repo/inner/Cargo.toml", INNER),
    ("repo/inner/build.rs", "fn main() { println!(\"cargo:rustc-cfg=inner\") }\n"),
    ("repo/inner/src/lib.rs", "pub fn answer() -> u32 { 2 }\n"),
    ("outside/Cargo.toml", OUTSIDE),
    (
        "outside/build.rs",
        "fn main() { println!(\"cargo:rustc-env=FROM_OUTSIDE={}\", std::env::var(\"OUT_DIR\").unwrap()) }\n",
    ),
    ("outside/src/lib.rs", "pub fn answer() -> u32 { env!(\"FROM_OUTSIDE\").len() as u32 }\n"),
];

const WORKSPACE: &str = r#"
[workspace]
resolver = "2"
members = ["app", "dy", "macros", "native", "nested/deep", "over", "shared", "uses-dy"]

[workspace.package]
version = "1.2.3-pre.4"
edition = "2024"
authors = ["A <a@example.org>", "B"]
license = "MIT"
rust-version = "1.85"

[workspace.lints.rust]
unused = { level = "warn", priority = -1 }
dead_code = "allow"
unused_mut = "deny"
unexpected_cfgs = { level = "warn", check-cfg = ["cfg(from_config)"] }

[workspace.lints.clippy]
all = "warn"

[profile.dev]
split-debuginfo = "packed"

[profile.dev.package.native]
opt-level = 1
debug-assertions = false

[profile.release]
rpath = true
strip = "symbols"

[profile.middle]
inherits = "release"
lto = "thin"
panic = "abort"

[profile.fast]
inherits = "middle"
codegen-units = 3
debug = "line-tables-only"
overflow-checks = true
strip = "none"

[profile.fast.build-override]
opt-level = 1
"#;

const CONFIG: &str = r#"
[build]
rustflags = ["--cfg", "loses"]

[target.'cfg(unix)']
rustflags = ["--cfg", "from_config"]
linker = "cc"

[target.x86_64-unknown-linux-gnu.vxover]
rustc-cfg = ["from_table"]
rustc-env = { FROM_TABLE = "table" }
rustc-link-search = ["/usr/lib"]
metadata_key = "table value"

[target.aarch64-unknown-linux-gnu.vxover]
rustc-cfg = ["from_table"]
rustc-env = { FROM_TABLE = "table" }
rustc-link-search = ["/usr/lib"]
metadata_key = "table value"

[env]
PLAIN = "plain"
PLACE = { value = "some/place", relative = true }
OWN_WINS = "file"
OWN_LOSES = { value = "file", force = true }
CARGO_PKG_NAME = { value = "never", force = true }
"#;

const APP: &str = r#"
[package]
name = "app"
version.workspace = true
edition.workspace = true
authors.workspace = true
license.workspace = true
rust-version.workspace = true
description = "An app: with \"quotes\""
repository = "https://example.org/app"
readme = "../README"
links = "vxapp"

[features]
default = ["plain"]
plain = []
extra = ["deep/extra-deep", "dep:over"]

[dependencies]
deep = { path = "../nested/deep", package = "deep-package" }
macros = { path = "../macros" }
over = { path = "../over", optional = true }

[dev-dependencies]
outside = { path = "../../outside" }

[build-dependencies]
deep = { path = "../nested/deep", package = "deep-package" }

[[test]]
name = "own"
harness = false

[[bench]]
name = "own"
harness = false

[[example]]
name = "ex-lib"
crate-type = ["dylib", "rlib"]

[lints]
workspace = true
"#;

const APP_SCRIPT: &str = r#"
fn main() {
    println!("cargo::rustc-env=FROM_SCRIPT={}", deep::answer());
    println!("cargo::rustc-link-arg-bins=-Wl,--as-needed");
    println!("cargo::rustc-link-arg-bin=app=-Wl,-z,now");
    println!("cargo::rustc-link-arg=-Wl,-z,relro");
    println!("cargo::rustc-link-search=native={}/lib", std::env::var("CARGO_MANIFEST_DIR").unwrap());
    println!("cargo::rustc-link-lib=dylib=m");
    println!("cargo::rerun-if-changed=build.rs");
}
"#;

const DEEP: &str = r#"
[package]
name = "deep-package"
version = "0.1.0+build"
edition = "2021"

[lib]
name = "deep"

[features]
extra-deep = []

[dependencies]
inner = { git = "REPO" }
native = { path = "../../native" }
outside = { path = "../../../outside" }

[lints.rust]
unused_variables = "deny"
"#;

const NATIVE: &str = r#"
[package]
name = "native"
version.workspace = true
edition.workspace = true
links = "vxnative"

[lints]
workspace = true
"#;

const NATIVE_SCRIPT: &str = r#"
fn main() {
    let out = std::env::var("OUT_DIR").unwrap();
    std::fs::write(format!("{out}/answer.rs"), "pub fn answer() -> u32 { 1 }").unwrap();
    println!("cargo::rustc-link-search=native=/usr/lib");
    println!("cargo::rustc-link-search={out}");
    println!("cargo::rustc-flags=-L {out}/second -l m");
    println!("cargo::rustc-cfg=native_is_here");
    println!("cargo::rustc-check-cfg=cfg(native_is_here)");
    println!("cargo::metadata=include-dir={out}/include");
    println!("cargo:old=style");
}
"#;

const OVER: &str = r#"
[package]
name = "over"
version = "0.1.0"
edition = "2021"
links = "vxover"

[lints.rust]
unexpected_cfgs = "allow"
"#;

const MACROS: &str = r#"
[package]
name = "macros"
version = "0.1.0"
edition = "2021"

[lib]
proc-macro = true

[dependencies]
native = { path = "../native" }
"#;

const MACRO_SOURCE: &str = r#"
#[proc_macro]
pub fn zero(_: proc_macro::TokenStream) -> proc_macro::TokenStream {
    format!("{}", native::answer() - 1).parse().unwrap()
}
"#;

const SHARED: &str = r#"
[package]
name = "shared"
version = "0.1.0"
edition = "2024"

[lib]
crate-type = ["cdylib", "rlib", "staticlib"]

[dependencies]
native = { path = "../native" }
"#;

const SHARED_SCRIPT: &str = r#"
fn main() {
    println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libshared.so.1");
    println!("cargo:rerun-if-env-changed=NOTHING");
}
"#;

const DY: &str = r#"
[package]
name = "dy"
version = "0.1.0"
edition = "2021"

[lib]
crate-type = ["dylib"]
"#;

const USES_DY: &str = r#"
[package]
name = "uses-dy"
version = "0.1.0"
edition = "2021"

[dependencies]
dy = { path = "../dy" }
"#;

const INNER: &str = r#"
[package]
name = "inner"
version = "3.0.0"
edition = "2021"

[lints.rust]
unexpected_cfgs = "allow"
"#;

const OUTSIDE: &str = r#"
[package]
name = "outside"
version = "2.0.0"
edition = "2021"
"#;
