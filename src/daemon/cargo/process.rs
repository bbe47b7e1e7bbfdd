//! A program that was built, as cargo would start it: through the configured runner, with the
//! variables of its package and the folders of its shared libraries. Starting it is `start`'s.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsStr,
    path::{Path, PathBuf},
};

use shared::wire::text::Text;

use super::{
    closure::Said,
    diagnostics::Verbosity,
    directives::Directives,
    mounts::TOOLCHAIN,
    place,
    plan::{Kind, Plan, Unit, UnitId},
};

/// Where shared libraries are looked for.
pub const LIBRARY_PATH: &str = if cfg!(target_os = "macos") { "DYLD_FALLBACK_LIBRARY_PATH" } else { "LD_LIBRARY_PATH" };

/// What one program is started with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    pub argv: Vec<Text>,
    /// Over the person's own variables.
    pub set: BTreeMap<String, Text>,
    pub cwd: PathBuf,
    /// Where the toolchain is one of rustup's.
    pub rustup: Option<Rustup>,
}

/// What rustup says to whatever its cargo starts, so that the toolchain's programs are the same there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rustup {
    toolchain: String,
    home: PathBuf,
    cargo_home: PathBuf,
}

/// Where rustup finds which toolchain its programs stand for.
pub(super) const TOOLCHAIN_NAME: &str = "RUSTUP_TOOLCHAIN";

/// What the person brings to every program of one run.
#[derive(Debug, Clone, Copy)]
pub struct Person<'a> {
    pub environment: &'a [(Text, Text)],
    /// What is started in the program's place, with its first arguments.
    pub runner: &'a [String],
}

impl Process {
    /// `program` is the unit's, with the person's words; it stands in its package's root.
    pub fn of(plan: &Plan, unit: &Unit, said: &Said, program: &Path, person: Person<'_>) -> Self {
        let runner = person.runner.iter().map(|word| Text::from(word.as_str()));
        Process {
            argv: runner.chain([text(program)]).collect(),
            set: variables(plan, unit, said, person.environment),
            cwd: plan.package(unit).real.clone(),
            rustup: Rustup::of(&plan.mounts.real_path(TOOLCHAIN), &plan.cargo_home),
        }
    }

    /// As cargo shows it: `` `target/debug/rg -i 'a b'` ``.
    pub fn shown(&self, verbosity: Verbosity) -> String {
        let mut words = Vec::new();
        if verbosity >= Verbosity::VeryVerbose {
            words.extend(self.set.iter().map(|(name, value)| format!("{name}={}", quoted(value))));
        }
        // cargo shows the program's path as it is.
        words.extend(self.argv.first().map(|program| program.as_os().to_string_lossy().into_owned()));
        words.extend(self.argv.iter().skip(1).map(quoted));
        format!("`{}`", words.join(" "))
    }

    /// The whole environment.
    pub fn environment(&self, given: &[(Text, Text)]) -> Vec<(Text, Text)> {
        let is_set = |name: &Text| name.as_str().is_some_and(|name| self.set.contains_key(name));
        let own = given.iter().filter(|(name, _)| !is_set(name)).cloned();
        let set = self.set.iter().map(|(name, value)| (name.as_str().into(), value.clone()));
        let mut environment: Vec<_> = own.chain(set).collect();
        if let Some(rustup) = &self.rustup {
            rustup.add_to(&mut environment);
        }
        environment
    }
}

impl Rustup {
    fn of(toolchain: &Path, cargo_home: &Path) -> Option<Self> {
        let home = toolchain.parent()?.parent()?.to_owned();
        Some(Rustup { toolchain: toolchain_name(toolchain)?, home, cargo_home: cargo_home.to_owned() })
    }

    /// As its proxies do: these over the person's own, and PATH where the proxies are not on it.
    fn add_to(&self, environment: &mut Vec<(Text, Text)>) {
        let told = [
            ("CARGO_HOME", text(&self.cargo_home)),
            ("RUSTUP_HOME", text(&self.home)),
            (TOOLCHAIN_NAME, self.toolchain.as_str().into()),
        ];
        environment.retain(|(name, _)| told.iter().all(|(told, _)| name.as_str() != Some(*told)));
        environment.extend(told.map(|(name, value)| (name.into(), value)));
        let proxies = self.cargo_home.join("bin");
        if let Some((_, path)) = environment.iter_mut().find(|(name, _)| name.as_str() == Some("PATH")) {
            let folders: Vec<PathBuf> = std::env::split_paths(path.as_os()).collect();
            if !folders.contains(&proxies) {
                *path = listed(&[vec![proxies], folders].concat());
            }
        }
    }
}

/// The runs of scripts in whose OUT_DIRs programs of these units may look: their own packages',
/// and those that hold shared libraries.
pub fn looked_into(plan: &Plan, units: &[UnitId], said: &Said) -> BTreeSet<UnitId> {
    let mut runs: BTreeSet<UnitId> = units.iter().flat_map(|unit| &plan.unit(*unit).links.own).copied().collect();
    let paths: Vec<&str> = all_said(plan, said).flat_map(|said| &said.library_paths).map(|path| folder(path)).collect();
    for run in plan.units.iter().filter(|unit| unit.kind == Kind::BuildScriptRun) {
        let out_dir = run.out_dir(plan);
        if paths.iter().any(|path| Path::new(path).starts_with(&out_dir)) {
            runs.insert(run.id);
        }
    }
    runs
}

/// Of a toolchain that rustup installed.
pub(super) fn toolchain_name(folder: &Path) -> Option<String> {
    let is_rustups = folder.parent().is_some_and(|parent| parent.ends_with("toolchains"));
    is_rustups.then(|| folder.file_name()?.to_str().map(str::to_owned)).flatten()
}

fn variables(plan: &Plan, unit: &Unit, said: &Said, given: &[(Text, Text)]) -> BTreeMap<String, Text> {
    let package = plan.package(unit);
    let mut set = BTreeMap::new();
    set.insert(LIBRARY_PATH.to_owned(), library_path(plan, unit, said, given));
    for run in &unit.links.own {
        set.insert("OUT_DIR".to_owned(), plan.shown(&plan.unit(*run).out_dir(plan)).as_str().into());
    }
    for run in &unit.links.own {
        let said = plan.unit(*run).stands_in.as_ref().or_else(|| said.get(run));
        for (name, value) in said.into_iter().flat_map(|said| &said.env) {
            set.insert(name.clone(), plan.shown(value).as_str().into());
        }
    }
    for (name, value) in &package.variables {
        // These three name places; the others are the manifest's own words.
        let is_place = matches!(name.as_str(), "CARGO" | "CARGO_MANIFEST_DIR" | "CARGO_MANIFEST_PATH");
        let value = if is_place { plan.mounts.to_real(value) } else { value.clone() };
        set.insert(name.clone(), value.as_str().into());
    }
    for (name, value) in &plan.env_config {
        set.entry(name.clone()).or_insert_with(|| plan.mounts.to_real(value).as_str().into());
    }
    if unit.target.is_test() || unit.target.is_bench() {
        for program in package.targets.iter().filter(|target| target.is_bin()) {
            let path = plan.target_dir.join(place::of_program(plan, unit, &program.name));
            set.insert(format!("CARGO_BIN_EXE_{}", program.name), text(&path));
        }
    }
    set
}

/// Folders that scripts have libraries looked for in, with their kinds.
pub fn native_folders<'a>(plan: &'a Plan, said: &'a Said) -> impl Iterator<Item = String> + 'a {
    all_said(plan, said).flat_map(|said| &said.library_paths).map(|path| plan.shown(path))
}

/// Where the toolchain's programs look for shared libraries of a build.
pub fn compiler_libraries(plan: &Plan, unit: &Unit, said: &Said, given: &[(Text, Text)]) -> Text {
    let root = plan.target_dir.join(place::profile_folder(&unit.profile.name));
    let folders = own_folders(plan, said, &root).into_iter().chain([root.join("deps")]);
    joined(folders.collect(), &plan.mounts.real_path(TOOLCHAIN), given)
}

/// What scripts put beside the outputs, the outputs, the toolchain's own, and what the person has.
fn library_path(plan: &Plan, unit: &Unit, said: &Said, given: &[(Text, Text)]) -> Text {
    let root = plan.target_dir.join(place::folder(unit));
    let toolchain = plan.mounts.real_path(TOOLCHAIN);
    let mut folders = own_folders(plan, said, &root);
    folders.extend([root.clone(), root.join("deps")]);
    folders.push(toolchain.join("lib/rustlib").join(&plan.platforms.of(unit).triple).join("lib"));
    joined(folders, &toolchain, given)
}

/// Of the folders that scripts name those of the build: others are the system's, which must not
/// come before its own.
fn own_folders(plan: &Plan, said: &Said, root: &Path) -> Vec<PathBuf> {
    let named: BTreeSet<PathBuf> = native_folders(plan, said).map(PathBuf::from).collect();
    let named = named.iter().map(|path| PathBuf::from(folder(&path.to_string_lossy())));
    named.filter(|path| path.starts_with(root)).collect()
}

/// With what the person has, and before that what rustup puts there.
fn joined(mut folders: Vec<PathBuf>, toolchain: &Path, given: &[(Text, Text)]) -> Text {
    let own = given.iter().find(|(name, _)| name.as_str() == Some(LIBRARY_PATH)).map(|(_, value)| value.as_os());
    let mut own: Vec<PathBuf> = own.into_iter().flat_map(std::env::split_paths).collect();
    let libraries = toolchain.join("lib");
    if toolchain_name(toolchain).is_some() && !own.contains(&libraries) {
        own.insert(0, libraries);
    }
    if own.starts_with(&folders) {
        folders = own;
    } else {
        folders.extend(own);
    }
    listed(&folders)
}

/// As a variable holds folders.
fn listed(folders: &[PathBuf]) -> Text {
    let folders: Vec<&OsStr> = folders.iter().map(|folder| folder.as_os_str()).collect();
    folders.join(OsStr::new(":")).into()
}

fn all_said<'a>(plan: &'a Plan, said: &'a Said) -> impl Iterator<Item = &'a Directives> {
    plan.units.iter().filter_map(|unit| unit.stands_in.as_ref().or_else(|| said.get(&unit.id)))
}

/// `native=/x` and the like without the kind.
fn folder(path: &str) -> &str {
    const KINDS: [&str; 5] = ["dependency", "crate", "native", "framework", "all"];
    path.split_once('=').filter(|(kind, _)| KINDS.contains(kind)).map_or(path, |(_, folder)| folder)
}

fn text(path: &Path) -> Text {
    path.as_os_str().to_owned().into()
}

/// For a shell, where it holds more than a shell takes for itself.
fn quoted(word: &Text) -> String {
    let word = word.as_os().to_string_lossy();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_=/,.+".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.into_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''").replace('!', r"'\!'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shown_as_a_shell_would_take_it() {
        let words = ["target/my dir/x", "", "a b", "it's", "-k=v/1.2,3+4", "wow!"].map(Text::from);
        let process = Process { argv: words.to_vec(), set: BTreeMap::new(), cwd: PathBuf::new(), rustup: None };
        assert_eq!(process.shown(Verbosity::Normal), r"`target/my dir/x '' 'a b' 'it'\''s' -k=v/1.2,3+4 'wow'\!''`");
    }

    #[test]
    fn what_is_set_stands_over_what_was_given() {
        let set = BTreeMap::from([("A".to_owned(), "new".into())]);
        let process = Process { argv: Vec::new(), set, cwd: PathBuf::new(), rustup: None };
        let odd = (Text(b"O\xff".to_vec()), Text(b"\xfe".to_vec()));
        let given = [("A".into(), "old".into()), odd.clone(), ("B".into(), "b".into())];
        assert_eq!(process.environment(&given), [odd, ("B".into(), "b".into()), ("A".into(), "new".into())]);
    }

    #[test]
    fn programs_hear_of_rustup_what_its_cargo_tells_them() {
        let rustup = Rustup::of(Path::new("/h/.rustup/toolchains/nightly"), Path::new("/h/.cargo"));
        let process = Process { argv: Vec::new(), set: BTreeMap::new(), cwd: PathBuf::new(), rustup };
        let told = |given: &[(&str, &str)]| {
            let given: Vec<(Text, Text)> =
                given.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
            let pairs = process.environment(&given).into_iter();
            let pairs = pairs.map(|(name, value)| format!("{}={}", name.as_str().unwrap(), value.as_str().unwrap()));
            pairs.collect::<Vec<_>>()
        };
        let homes = ["CARGO_HOME=/h/.cargo", "RUSTUP_HOME=/h/.rustup"];
        assert_eq!(
            told(&[("PATH", "/usr/bin")]),
            ["PATH=/h/.cargo/bin:/usr/bin", homes[0], homes[1], "RUSTUP_TOOLCHAIN=nightly"]
        );
        let own = [("PATH", "/a:/h/.cargo/bin"), ("RUSTUP_TOOLCHAIN", "stable")];
        assert_eq!(told(&own), ["PATH=/a:/h/.cargo/bin", homes[0], homes[1], "RUSTUP_TOOLCHAIN=nightly"]);
        assert_eq!(Rustup::of(Path::new("/usr"), Path::new("/h/.cargo")), None);
        let given = [(LIBRARY_PATH.into(), "/own".into())];
        let libraries = |toolchain: &str| joined(vec!["/t/deps".into()], Path::new(toolchain), &given);
        assert_eq!(libraries("/r/toolchains/x"), Text::from("/t/deps:/r/toolchains/x/lib:/own"));
        assert_eq!(libraries("/usr"), Text::from("/t/deps:/own"));
    }

    #[test]
    fn kinds_of_library_paths_are_no_part_of_the_folder() {
        for (path, plain) in [("native=/a", "/a"), ("/a", "/a"), ("/a=b", "/a=b"), ("framework=/x=y", "/x=y")] {
            assert_eq!(folder(path), plain);
        }
    }
}
