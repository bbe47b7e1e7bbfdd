//! Which toolchain the person's `cargo` stands for: the first `cargo` on their PATH, and where
//! that is rustup's proxy, the toolchain that rustup would choose in the folder. Only files are
//! read; nothing is started.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use serde::Deserialize;
use shared::fault::{Failure, Fault};

use super::{files, process::toolchain_name};

/// The environment of one run, as far as it is text.
pub type Environment = BTreeMap<String, String>;

/// The person's toolchain and CARGO_HOME.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Toolchain {
    /// The folder with bin and lib, without symlinks.
    pub path: PathBuf,
    /// Where cargo keeps the registry, absolute.
    pub cargo_home: PathBuf,
}

impl Toolchain {
    /// The compiler as cargo names it: rustup's with its folder.
    pub fn rustc(&self) -> String {
        match toolchain_name(&self.path) {
            Some(_) => self.path.join("bin/rustc").to_string_lossy().into_owned(),
            None => "rustc".to_owned(),
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Settings {
    default_toolchain: Option<String>,
    overrides: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct ToolchainFile {
    toolchain: ToolchainTable,
}

#[derive(Deserialize)]
struct ToolchainTable {
    channel: Option<String>,
    path: Option<PathBuf>,
}

/// Finds the toolchain that `cargo` (with `+plus`, if given) would be in `cwd`.
pub fn find(environment: &Environment, cwd: &Path, plus: Option<&str>) -> Result<Toolchain, Failure> {
    let home = environment.get("HOME").map(PathBuf::from).filter(|home| home.is_absolute());
    // cargo takes the user's own where the variable is not set; the service runs as the same user.
    let home = home.or_else(shared::paths::home);
    let folder = |variable: &str, below_home: &str| {
        let named = environment.get(variable).filter(|value| !value.is_empty()).map(|value| cwd.join(value));
        named.or_else(|| Some(home.as_ref()?.join(below_home)))
    };
    let Some(cargo_home) = folder("CARGO_HOME", ".cargo") else {
        return Err(Failure::new(Fault::User, "neither CARGO_HOME nor HOME is set, so there is no place for crates"));
    };
    let program = on_path(environment, cwd, "cargo").ok_or_else(|| {
        Failure::new(Fault::User, "there is no `cargo` on your PATH")
            .hint("vx builds with your own Rust toolchain: install one, or add its bin folder to PATH")
    })?;
    let real = fs::canonicalize(&program).unwrap_or_else(|_| program.clone());
    if !is_proxy(&program, &real) {
        if let Some(plus) = plus {
            return Err(Failure::new(Fault::User, format!("+{plus} needs rustup, and {} is none", program.display())));
        }
        let path = real.parent().and_then(Path::parent).map_or_else(PathBuf::new, Path::to_owned);
        return Ok(Toolchain { path, cargo_home });
    }
    let Some(rustup_home) = folder("RUSTUP_HOME", ".rustup") else {
        return Err(Failure::new(
            Fault::User,
            "neither RUSTUP_HOME nor HOME is set, so rustup's toolchains are unknown",
        ));
    };
    let path = installed(&rustup_home, &choose(environment, &rustup_home, cwd, plus)?)?;
    Ok(Toolchain { path, cargo_home })
}

/// The folder of the toolchain that a compiler is of, by the word that calls it; `None` where it is
/// of none.
pub fn of_compiler(environment: &Environment, cwd: &Path, program: &str) -> Result<Option<PathBuf>, Failure> {
    let Some(program) =
        (if program.contains('/') { Some(cwd.join(program)) } else { on_path(environment, cwd, program) })
    else {
        return Ok(None);
    };
    let real = fs::canonicalize(&program).unwrap_or_else(|_| program.clone());
    if is_proxy(&program, &real) {
        return find(environment, cwd, None).map(|toolchain| Some(toolchain.path));
    }
    let folder = real.parent().filter(|folder| folder.ends_with("bin")).and_then(Path::parent);
    Ok(folder.filter(|folder| folder.join("lib/rustlib").is_dir()).map(Path::to_owned))
}

/// The first executable of a name on the person's PATH.
pub fn on_path(environment: &Environment, cwd: &Path, name: &str) -> Option<PathBuf> {
    let folders = environment.get("PATH")?.split(':');
    folders.map(|folder| cwd.join(folder).join(name)).find(|program| {
        fs::metadata(program).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    })
}

/// rustup installs its proxies as links to itself, symbolic or hard.
fn is_proxy(program: &Path, real: &Path) -> bool {
    if real.file_name().is_some_and(|name| name == "rustup") {
        return true;
    }
    let identity = |path: &Path| fs::metadata(path).ok().map(|meta| (meta.dev(), meta.ino()));
    let rustup = program.with_file_name("rustup");
    identity(&rustup).is_some_and(|rustup| Some(rustup) == identity(program))
}

/// rustup's order: `+name`, RUSTUP_TOOLCHAIN, then per folder upward its override and toolchain
/// file, then the default.
fn choose(environment: &Environment, rustup_home: &Path, cwd: &Path, plus: Option<&str>) -> Result<String, Failure> {
    if let Some(plus) = plus {
        return Ok(plus.to_owned());
    }
    if let Some(name) = environment.get("RUSTUP_TOOLCHAIN").filter(|name| !name.is_empty()) {
        return Ok(name.clone());
    }
    let settings = settings(&rustup_home.join("settings.toml"))?;
    for folder in cwd.ancestors() {
        if let Some(name) = folder.to_str().and_then(|folder| settings.overrides.get(folder)) {
            return Ok(name.clone());
        }
        if let Some(choice) = toolchain_file(folder)? {
            return Ok(choice);
        }
    }
    settings
        .default_toolchain
        .ok_or_else(|| Failure::new(Fault::User, "rustup has no default toolchain").hint("rustup default stable"))
}

fn settings(file: &Path) -> Result<Settings, Failure> {
    match fs::read_to_string(file) {
        Ok(text) => toml::from_str(&text)
            .map_err(|err| Failure::new(Fault::User, format!("{}: {}", file.display(), err.message()))),
        Err(_) => Ok(Settings::default()),
    }
}

fn toolchain_file(folder: &Path) -> Result<Option<String>, Failure> {
    for name in ["rust-toolchain", "rust-toolchain.toml"] {
        let file = folder.join(name);
        let Ok(text) = files::text(&file) else { continue };
        let plain = text.trim();
        if name == "rust-toolchain" && !plain.contains(['[', '=', '\n']) && !plain.is_empty() {
            return Ok(Some(plain.to_owned()));
        }
        let parsed: ToolchainFile = toml::from_str(&text)
            .map_err(|err| Failure::new(Fault::User, format!("{}: {}", file.display(), err.message())))?;
        match (parsed.toolchain.path, parsed.toolchain.channel) {
            // Its cargo would have the network and the person's CARGO_HOME, by a checkout's word.
            (Some(path), _) => {
                let what = format!("{}: vx takes no toolchain by its folder from a file", file.display());
                let hint = format!("rustup toolchain link NAME {}, and channel = \"NAME\"", path.display());
                return Err(Failure::new(Fault::User, what).hint(hint));
            }
            (None, Some(channel)) => return Ok(Some(channel)),
            (None, None) => {}
        }
    }
    Ok(None)
}

/// The folder of an installed toolchain; a name may lack the host's triple.
fn installed(rustup_home: &Path, name: &str) -> Result<PathBuf, Failure> {
    let folder = rustup_home.join("toolchains");
    if !name.contains('/')
        && !matches!(name, "." | "..")
        && let Ok(path) = fs::canonicalize(folder.join(name))
    {
        return Ok(path);
    }
    let prefix = format!("{name}-{}", std::env::consts::ARCH);
    let mut found: Vec<_> = fs::read_dir(&folder)
        .into_iter()
        .flatten()
        .filter_map(Result::ok)
        .filter(|entry| entry.file_name().to_str().is_some_and(|one| one.starts_with(&prefix)))
        .map(|entry| entry.path())
        .collect();
    found.sort();
    let missing = || {
        Failure::new(Fault::User, format!("toolchain `{name}` is not installed"))
            .hint(format!("rustup toolchain install {name}"))
    };
    found.into_iter().next().and_then(|path| fs::canonicalize(path).ok()).ok_or_else(missing)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &Path, text: &str) {
        fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        fs::write(path, text).expect("a file");
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("our file");
    }

    fn environment(home: &Path, more: &[(&str, &str)]) -> Environment {
        let path = format!("/nowhere:{}", home.join("bin").display());
        let base = [("HOME", home.to_str().expect("UTF-8")), ("PATH", path.as_str())];
        base.iter().chain(more).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_cargo_of_its_own_is_taken_as_it_is() {
        let home = tempfile::tempdir().expect("a folder");
        file(&home.path().join("bin/cargo"), "");
        let found = find(&environment(home.path(), &[]), Path::new("/"), None).expect("it is there");
        assert_eq!(found.path, fs::canonicalize(home.path()).expect("it is there"));
        assert_eq!(found.cargo_home, home.path().join(".cargo"));
        assert!(find(&environment(home.path(), &[]), Path::new("/"), Some("nightly")).is_err());
    }

    #[test]
    fn rustups_compilers_are_named_with_their_folders() {
        let named = |path: &str| Toolchain { path: path.into(), cargo_home: "/c".into() }.rustc();
        assert_eq!(named("/h/.rustup/toolchains/stable"), "/h/.rustup/toolchains/stable/bin/rustc");
        assert_eq!(named("/usr"), "rustc");
    }

    #[test]
    fn a_compilers_toolchain_is_known_by_its_place() {
        let home = tempfile::tempdir().expect("a folder");
        file(&home.path().join("t/bin/rustc"), "");
        fs::create_dir_all(home.path().join("t/lib/rustlib")).expect("a folder");
        file(&home.path().join("bin/rustc"), "");
        let folder = fs::canonicalize(home.path().join("t")).expect("it is there");
        let find = |program: &str| of_compiler(&environment(home.path(), &[]), home.path(), program);
        assert_eq!(find("t/bin/rustc"), Ok(Some(folder)));
        assert_eq!(find("rustc"), Ok(None), "no compiler's folders are around it");
        assert_eq!(find("clippy-driver"), Ok(None));
    }

    #[test]
    fn rustups_rules_are_followed() {
        let home = tempfile::tempdir().expect("a folder");
        let triple = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
        file(&home.path().join("bin/rustup"), "");
        std::os::unix::fs::symlink("rustup", home.path().join("bin/cargo")).expect("a link");
        for name in ["one", "two", "three"] {
            file(&home.path().join(format!(".rustup/toolchains/{name}-{triple}/bin/cargo")), "");
        }
        let settings = home.path().join(".rustup/settings.toml");
        file(&settings, "default_toolchain = \"one\"\n");
        let project = home.path().join("p/sub");
        fs::create_dir_all(&project).expect("a folder");
        let name = |more: &[(&str, &str)], plus| {
            let found = find(&environment(home.path(), more), &project, plus).map(|found| found.path);
            found.map(|path| path.file_name().expect("a name").to_string_lossy().split('-').next().map(str::to_owned))
        };
        assert_eq!(name(&[], None), Ok(Some("one".to_owned())));
        file(&home.path().join("p/rust-toolchain.toml"), "[toolchain]\nchannel = \"two\"\n");
        assert_eq!(name(&[], None), Ok(Some("two".to_owned())));
        file(&home.path().join("p/sub/rust-toolchain"), "three\n");
        assert_eq!(name(&[], None), Ok(Some("three".to_owned())));
        assert_eq!(name(&[("RUSTUP_TOOLCHAIN", "two")], None), Ok(Some("two".to_owned())));
        assert_eq!(name(&[("RUSTUP_TOOLCHAIN", "two")], Some("one")), Ok(Some("one".to_owned())));
        file(&project.join("rust-toolchain"), "[toolchain]\npath = \"../evil\"\n");
        assert!(name(&[], None).is_err(), "a checkout's own toolchain");
        file(&project.join("rust-toolchain"), "..\n");
        assert!(name(&[], None).is_err(), "no toolchain is named so");
        let missing = name(&[], Some("four")).expect_err("it is not installed");
        assert_eq!(missing.hint.as_deref(), Some("rustup toolchain install four"));
    }
}
