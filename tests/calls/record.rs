//! Projects to build, and what cargo did: each rustc call and each script run with arguments,
//! working folder and environment, written down by small shell programs in their place.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::Value;

use super::cargo::{
    config::Config,
    platform::Asked,
    probe::{Probe, Rustc},
};

/// A source tree to build.
pub struct Project {
    pub name: String,
    pub root: PathBuf,
    /// The person's own variables beside the usual ones.
    pub variables: BTreeMap<String, String>,
    pub cargo_home: PathBuf,
    /// Tells recordings of different states of the sources apart.
    stamp: String,
}

/// What one process was started with.
#[derive(Debug, Clone)]
pub struct Started {
    pub cwd: String,
    pub args: Vec<String>,
    pub env: BTreeMap<String, String>,
}

/// One recorded build, and cargo's and rustc's answers about it.
pub struct Recording {
    pub calls: Vec<Started>,
    pub runs: Vec<Started>,
    /// Of rustdoc.
    pub docs: Vec<Started>,
    /// cargo's target folder of this build.
    pub target: PathBuf,
    pub graph: Vec<u8>,
    pub metadata: Vec<u8>,
    pub rustc: Rustc,
}

/// Where test projects and their builds are kept, so that a second run of the tests is cheap.
fn base() -> PathBuf {
    let base = Path::new(env!("CARGO_TARGET_TMPDIR")).join("calls");
    fs::create_dir_all(&base).expect("a folder for the builds");
    base
}

fn home() -> PathBuf {
    PathBuf::from(std::env::var_os("HOME").expect("HOME is set"))
}

fn cargo_home() -> PathBuf {
    std::env::var_os("CARGO_HOME").map_or(home().join(".cargo"), PathBuf::from)
}

/// The toolchain's own folder: its programs are run directly, without rustup's proxies.
pub fn sysroot() -> PathBuf {
    let printed = Command::new("rustc").args(["--print", "sysroot"]).output().expect("rustc runs");
    PathBuf::from(String::from_utf8(printed.stdout).expect("a path").trim())
}

impl Project {
    /// The package as its registry archive has it, lock file included.
    pub fn from_registry(name: &str, version: &str) -> Project {
        // Several tests look at one package, and tar fails on what another one is just making.
        static ONE_AT_A_TIME: std::sync::Mutex<()> = std::sync::Mutex::new(());
        let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let folder = format!("{name}-{version}");
        let root = base().join("src").join(&folder);
        if !root.join("Cargo.toml").exists() {
            let archive = archive(&folder).unwrap_or_else(|| {
                // Looking at a package makes cargo fetch it, and nothing else.
                let spec = format!("{name}@{version}");
                Command::new("cargo").args(["info", "-q", &spec]).stdout(Stdio::null()).status().expect("cargo runs");
                archive(&folder).expect("cargo has fetched the archive")
            });
            // Beside it, so that an interrupted run of the tests leaves no half of it.
            fs::create_dir_all(base().join("src")).expect("a folder");
            let into = tempfile::tempdir_in(base().join("src")).expect("a folder");
            let tar = Command::new("tar").arg("-xzf").arg(archive).arg("-C").arg(into.path()).status();
            assert!(tar.expect("tar runs").success(), "tar has unpacked {folder}");
            let _half = fs::remove_dir_all(&root);
            fs::rename(into.path().join(&folder), &root).expect("the package");
        }
        Project { name: folder, root, variables: BTreeMap::new(), cargo_home: cargo_home(), stamp: String::new() }
    }

    /// The same with all that it depends on, locked if it was published without a lock file, and anew if
    /// that names releases which the registry does not have.
    pub fn fetched(name: &str, version: &str) -> Result<Project, String> {
        let project = Project::from_registry(name, version);
        // With the person's variables, which know the way to the registry, and not by the toolchain that
        // the project asks for.
        let fetch = || {
            let mut fetch = Command::new(sysroot().join("bin/cargo"));
            fetch.args(["fetch", "-q"]).env("RUSTC", sysroot().join("bin/rustc")).current_dir(&project.root);
            output(fetch.stdin(Stdio::null()))
        };
        let lock = project.root.join("Cargo.lock");
        let fetched = fetch().or_else(|said| {
            let is_locked = said.contains("failed to select a version") && said.contains("(locked to ");
            if !is_locked || fs::rename(&lock, lock.with_extension("published")).is_err() {
                return Err(said);
            }
            println!("{name}: its lock names releases that the registry does not have; locked anew");
            fetch()
        });
        fetched.map(|_| project)
    }

    /// Takes its recordings away.
    pub fn forget(&self) {
        for entry in fs::read_dir(base()).expect("the folder of builds").flatten() {
            if entry.file_name().to_string_lossy().starts_with(&format!("{}-", self.name)) {
                fs::remove_dir_all(entry.path()).expect("a recording");
            }
        }
    }

    /// A tree written by the test itself, whose `repo` is made a git repository; `REPO` in its
    /// files stands for that one's address. It has a CARGO_HOME of its own, for the checkout.
    pub fn at(name: &str, files: &[(&str, &str)], variables: &[(&str, &str)]) -> Project {
        // Several tests share a fixture, and cargo may read what is just being written.
        static ONE_AT_A_TIME: std::sync::Mutex<()> = std::sync::Mutex::new(());
        let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let root = base().join("src").join(name);
        let address = format!("file://{}", root.join("repo").display()).replace(' ', "%20");
        for (path, text) in files {
            let (path, text) = (root.join(path), text.replace("REPO", &address));
            fs::create_dir_all(path.parent().expect("a file lies in a folder")).expect("a folder");
            // Unchanged files keep their times, so that cargo has nothing to do again.
            if fs::read_to_string(&path).ok().as_ref() != Some(&text) {
                fs::write(&path, text).expect("a file of the fixture");
            }
        }
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        commit(&root.join("repo"));
        let cargo_home = base().join("home");
        fs::create_dir_all(&cargo_home).expect("a folder");
        // Recordings of another text of the fixture are of other calls.
        let mut hasher = DefaultHasher::new();
        files.hash(&mut hasher);
        let stamp = format!("{:016x}", hasher.finish());
        Project { name: name.to_owned(), root: root.join("ws"), variables, cargo_home, stamp }
    }

    /// Where a recording is kept. Another compiler makes other calls: a folder for each.
    pub fn folder(&self, words: &[&str], rustc: &Rustc) -> PathBuf {
        let (name, stamp) = (self.name.replace(' ', "_"), &self.stamp);
        base().join(format!("{name}-{}-{}{stamp}", words.join("").replace(['-', '=', ','], ""), rustc.version))
    }

    /// A command with nothing of this process's environment.
    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        let path = format!("{}/bin:/usr/local/bin:/usr/bin:/bin", sysroot().display());
        command.current_dir(&self.root).env_clear().env("PATH", path).env("HOME", home());
        command.env("CARGO_HOME", &self.cargo_home).envs(&self.variables).stdin(Stdio::null());
        command
    }

    fn cargo(&self) -> Command {
        self.command(&sysroot().join("bin/cargo"))
    }

    /// cargo's probe of rustc, as often as the flags need it.
    pub fn probes(&self, config: &Config, rustc: &Rustc, targets: &[String]) -> Vec<(Asked, Probe)> {
        Asked::all(targets, rustc).into_iter().map(|asked| (asked.clone(), self.probe(config, rustc, &asked))).collect()
    }

    fn probe(&self, config: &Config, rustc: &Rustc, asked: &Asked) -> Probe {
        let mut known = Vec::new();
        while let Some(flags) = Probe::next(asked, config, rustc, &known).expect("flags") {
            let mut command = self.command(&sysroot().join("bin/rustc"));
            let done = command.args(Probe::args(asked, &flags)).output().expect("rustc runs");
            let (stdout, stderr) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
            known.push(Probe::parse(&flags, &stdout, &stderr).expect("an answer"));
        }
        known.pop().expect("one answer at least")
    }
}

/// Makes a repository of a folder, with one commit that is the same every time.
fn commit(folder: &Path) {
    // It has a log from the first commit on.
    if folder.join(".git/logs/HEAD").exists() {
        return;
    }
    let _half = fs::remove_dir_all(folder.join(".git"));
    for words in ["init -q", "add .", "commit -q -m one"] {
        let mut git = Command::new("git");
        git.current_dir(folder).args(words.split(' ')).env("GIT_CONFIG_GLOBAL", "/dev/null");
        // A hook's, of another repository.
        for name in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"] {
            git.env_remove(name);
        }
        for who in ["AUTHOR", "COMMITTER"] {
            git.env(format!("GIT_{who}_NAME"), "t").env(format!("GIT_{who}_EMAIL"), "t@example.org");
            git.env(format!("GIT_{who}_DATE"), "2026-01-01T00:00:00Z");
        }
        assert!(git.status().expect("git runs").success(), "git {words}");
    }
}

fn archive(folder: &str) -> Option<PathBuf> {
    let indexes = fs::read_dir(cargo_home().join("registry/cache")).ok()?;
    indexes.flatten().map(|index| index.path().join(format!("{folder}.crate"))).find(|path| path.exists())
}

impl Recording {
    /// Builds with cargo where that has not been done yet, and reads what was recorded. The first of
    /// the words is cargo's command, if it is not `build`.
    pub fn of(project: &Project, words: &[&str]) -> Recording {
        Recording::try_of(project, words).unwrap_or_else(|said| panic!("{} {words:?}: {said}", project.name))
    }

    /// The same, or what cargo said.
    pub fn try_of(project: &Project, words: &[&str]) -> Result<Recording, String> {
        let (command, rest) = command(words);
        let version = output(project.command(&sysroot().join("bin/rustc")).args(Rustc::ARGS))?;
        let rustc = Rustc::parse(&String::from_utf8_lossy(&version)).map_err(|err| err.to_string())?;
        let folder = project.folder(words, &rustc);
        let (target, records) = (folder.join("target"), folder.join("records"));
        fs::create_dir_all(&records).expect("a folder");
        fs::create_dir_all(base().join("query")).expect("a folder");
        let mut graph = project.cargo();
        let of_graph = if command == "clippy" { "check" } else { command };
        graph.args([of_graph, "--unit-graph", "-Zunstable-options"]).args(rest);
        graph.env("__CARGO_TEST_CHANNEL_OVERRIDE_DO_NOT_USE_THIS", "nightly");
        let mut metadata = project.cargo();
        metadata.args(["metadata", "--format-version", "1", "--filter-platform", &rustc.host]);
        for triple in targets(words) {
            metadata.args(["--filter-platform", &triple]);
        }
        if let Some(at) = words.iter().position(|word| *word == "--features") {
            metadata.args(&words[at..at + 2]);
        }
        metadata.args(words.iter().filter(|word| **word == "--no-default-features"));
        let graph = output(graph.env("CARGO_TARGET_DIR", base().join("query")))?;
        let metadata = output(metadata.env("CARGO_TARGET_DIR", base().join("query")))?;
        fs::write(folder.join("needed"), needed(&graph, &metadata)).expect("a list");
        let wrapper = write_wrapper(&folder, &records);
        // By its name cargo may find rustup's, which adds variables of its own.
        let mut build = match command {
            "clippy" => project.command(&sysroot().join("bin/cargo-clippy")),
            _ => project.cargo(),
        };
        build.arg(command).args(rest);
        // What is compiled is not to be run.
        build.args(matches!(command, "test" | "bench").then_some("--no-run"));
        // What scripts have compiled in other languages nobody looks at.
        let tools = write_tools(&folder);
        write_rustdoc(&tools, &records);
        let path = format!("{}:{}/bin:/usr/local/bin:/usr/bin:/bin", tools.display(), sysroot().display());
        build.env("PATH", path).env("CARGO_TARGET_DIR", &target).env("RUSTC_WRAPPER", wrapper);
        output(build.arg("-q"))?;
        let [calls, runs, docs] = ["call.", "run.", "doc."].map(|start| read(&records, start));
        Ok(Recording { calls, runs, docs, target, graph, metadata, rustc })
    }
}

fn output(command: &mut Command) -> Result<Vec<u8>, String> {
    let done = command.output().map_err(|err| err.to_string())?;
    match done.status.success() {
        true => Ok(done.stdout),
        false => Err(format!("{}: {}", done.status, String::from_utf8_lossy(&done.stderr))),
    }
}

/// What build scripts are made of, a line each: package, version, crate.
fn needed(graph: &[u8], metadata: &[u8]) -> String {
    let graph: Value = serde_json::from_slice(graph).expect("a graph");
    let metadata: Value = serde_json::from_slice(metadata).expect("metadata");
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let names: BTreeMap<String, String> = list(&metadata["packages"])
        .iter()
        .map(|one| {
            let text = |key: &str| one[key].as_str().unwrap_or_default().to_owned();
            (text("id"), format!("{} {}", text("name"), text("version")))
        })
        .collect();
    let units = list(&graph["units"]);
    let is_script = |unit: &Value| unit["target"]["kind"][0] == "custom-build" && unit["mode"] == "build";
    let mut open: Vec<usize> = (0..units.len()).filter(|at| is_script(&units[*at])).collect();
    let mut seen: BTreeSet<usize> = open.iter().copied().collect();
    while let Some(at) = open.pop() {
        let below = list(&units[at]["dependencies"]).into_iter().filter_map(|one| one["index"].as_u64());
        open.extend(below.map(|index| index as usize).filter(|index| seen.insert(*index)));
    }
    let line = |at: usize| {
        let name = &names[units[at]["pkg_id"].as_str().unwrap_or_default()];
        format!("{name} {}\n", units[at]["target"]["name"].as_str().unwrap_or_default().replace('-', "_"))
    };
    seen.into_iter().map(line).collect()
}

/// cargo's command, and the words behind it.
pub fn command<'a>(words: &'a [&'a str]) -> (&'a str, &'a [&'a str]) {
    match words {
        [command @ ("check" | "clippy" | "test" | "bench" | "doc"), rest @ ..] => (command, rest),
        rest => ("build", rest),
    }
}

/// The triples of `--target=`.
pub fn targets(words: &[&str]) -> Vec<String> {
    words.iter().filter_map(|word| word.strip_prefix("--target=")).map(str::to_owned).collect()
}

/// Writes down what rustc is called with; a compiled script is moved aside and a program put in
/// its place that writes down how it is run. Only what scripts are made of is compiled, once for all
/// projects: of all else cargo looks at nothing but the names of the files.
fn write_wrapper(folder: &Path, records: &Path) -> PathBuf {
    let (records, needed) = (records.display(), folder.join("needed"));
    let (needed, compiled) = (needed.display(), base().join("compiled"));
    fs::create_dir_all(&compiled).expect("a folder");
    let compiled = compiled.display();
    let text = format!(
        r#"#!/bin/sh
case "$*" in *"--json=diagnostic-rendered-ansi,artifacts,future-incompat"*) ;; *) exec "$@" ;; esac
file=$(mktemp '{records}/call.XXXXXXXXXX')
{{ printf '%s\0' "$(pwd -P)" "$(($# - 1))"; (shift; printf '%s\0' "$@"); env -0; }} > "$file.part" && mv "$file.part" "$file"
types=
for word; do
    case "$before" in --out-dir) out=$word ;; --crate-name) name=$word ;; --crate-type) types="$types $word" ;; esac
    case "$word" in extra-filename=*) extra=${{word#extra-filename=}} ;; --emit=*) emit=$word ;; --test) types=bin ;; esac
    before=$word
done
pretend() {{
    printf '%s: %s\n' "$out/$name$extra.d" src/lib.rs > "$out/$name$extra.d"
    case "$emit" in *metadata*) : > "$out/lib$name$extra.rmeta" ;; esac
    case "$emit" in *link*) ;; *) return ;; esac
    for type in ${{types:-bin}}; do
        case "$type" in
        lib | rlib) : > "$out/lib$name$extra.rlib" ;;
        staticlib) : > "$out/lib$name$extra.a" ;;
        bin) : > "$out/$name$extra" ;;
        *) : > "$out/lib$name$extra.so" ;;
        esac
    done
}}
# cargo's hash in the name tells apart all that may differ.
kept='{compiled}'/"$CARGO_PKG_NAME-$CARGO_PKG_VERSION-$name$extra${{emit#--emit}}"
compile() {{
    if [ -d "$kept" ]; then cp -lf "$kept"/* "$out/"; return; fi
    "$@" 2> "$file.said" || return
    mkdir "$file.kept" && cp -l "$out"/*"$name$extra"* "$file.kept/" && mv -T "$file.kept" "$kept" 2> /dev/null
    true
}}
case "$name" in
build_script_*) compile "$@" || {{ cat "$file.said" >&2; exit 1; }} ;;
*)
    # What is compiled for something else too may stand on what was not compiled.
    grep -qxF "$CARGO_PKG_NAME $CARGO_PKG_VERSION $name" '{needed}' && compile "$@" || pretend
    exit
    ;;
esac
# Two names of one file would both stay, and the recorder be written into the script.
rm -f "$out/$name$extra.real"
mv "$out/$name$extra" "$out/$name$extra.real"
cat > "$out/$name$extra" <<END
#!/bin/sh
file=\$(mktemp '{records}/run.XXXXXXXXXX')
{{ printf '%s\0' "\$(pwd -P)" 0; env -0; }} > "\$file.part" && mv "\$file.part" "\$file"
exec '$out/$name$extra.real' "\$@"
END
chmod +x "$out/$name$extra"
"#
    );
    let wrapper = folder.join("wrapper");
    write_program(&wrapper, &text);
    wrapper
}

/// Writes down what rustdoc is called with, and makes an empty page, without which cargo would call it again the next time. cargo finds it by its name: RUSTDOC would be seen by all.
fn write_rustdoc(tools: &Path, records: &Path) {
    let (real, records) = (sysroot().join("bin/rustdoc"), records.display());
    let text = format!(
        r#"#!/bin/sh
case "$*" in *"--json=diagnostic-rendered-ansi,artifacts,future-incompat"*) ;; *) exec '{}' "$@" ;; esac
file=$(mktemp '{records}/doc.XXXXXXXXXX')
{{ printf '%s\0' "$(pwd -P)" "$#" "$@"; env -0; }} > "$file.part" && mv "$file.part" "$file"
for word; do
    case "$before" in -o) out=$word ;; --crate-name) name=$word ;; esac
    before=$word
done
mkdir -p "$out/$name" && : > "$out/$name/index.html"
"#,
        real.display()
    );
    write_program(&tools.join("rustdoc"), &text);
}

fn write_program(path: &Path, text: &str) {
    fs::write(path, text).expect("a program");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("the program can run");
}

/// C compilers that make empty objects and link as ever, and archivers that archive nothing.
fn write_tools(folder: &Path) -> PathBuf {
    let tools = folder.join("tools");
    fs::create_dir_all(&tools).expect("a folder");
    let compiler = r#"#!/bin/sh
case " $* " in *" -c "*) ;; *) exec /usr/bin/${0##*/} "$@" ;; esac
for word; do
    case "$before" in -o) : > "$word" ;; esac
    before=$word
done
"#;
    let archiver = r#"#!/bin/sh
for word; do
    case "$word" in *.a) printf '!<arch>\n' > "$word" ;; esac
done
"#;
    let compilers = ["cc", "gcc", "c++", "g++"].map(|name| (name, compiler));
    for (name, text) in compilers.into_iter().chain([("ar", archiver), ("ranlib", archiver)]) {
        write_program(&tools.join(name), text);
    }
    tools
}

fn read(records: &Path, start: &str) -> Vec<Started> {
    let mut found = Vec::new();
    for entry in fs::read_dir(records).expect("records").flatten() {
        if !entry.file_name().to_string_lossy().starts_with(start)
            || entry.path().extension().is_some_and(|end| ["said", "kept", "part"].iter().any(|one| end == *one))
            // An interrupted run of the tests left it, and cargo makes the call again.
            || entry.metadata().is_ok_and(|meta| meta.len() == 0)
        {
            continue;
        }
        let text = String::from_utf8(fs::read(entry.path()).expect("a record")).expect("text");
        let mut fields = text.split('\0');
        let cwd = fields.next().expect("a folder").to_owned();
        let count: usize = fields.next().and_then(|count| count.parse().ok()).expect("a count of arguments");
        let args = fields.by_ref().take(count).map(str::to_owned).collect();
        let env = fields.filter_map(|pair| pair.split_once('=')).map(|(a, b)| (a.to_owned(), b.to_owned())).collect();
        found.push(Started { cwd, args, env });
    }
    found
}
