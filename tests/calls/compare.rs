//! Holds rendered calls against recorded ones. Both are brought to one form first; what that
//! form leaves out is the list of allowed differences, each with its reason.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use super::{
    cargo::{
        Said,
        call::Call,
        config::Config,
        directives::Directives,
        environment::Ambient,
        files::Disk,
        metadata::{Lock, Metadata},
        mounts::Mounts,
        plan::{Kind, Plan, Sources, Unit},
        rustc,
        rustdoc::{self, Manner, Way},
        script,
        select::{Documentation, Intent, PrivateItems, Selection, TargetChoice},
        unit_graph::UnitGraph,
    },
    record::{self, Project, Recording, Started, sysroot},
};

/// How the comparison ended.
pub struct Outcome {
    pub equal: usize,
    pub total: usize,
    pub differences: Vec<String>,
}

/// A process in the common form.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Form {
    cwd: String,
    args: Vec<String>,
    env: BTreeMap<String, String>,
}

/// Variables that are not compared.
const NOT_COMPARED: [(&str, &str); 15] = [
    ("PATH", "the sandbox's own"),
    ("HOME", "the sandbox's own"),
    ("LANG", "the sandbox's own"),
    ("CARGO_HOME", "the person's; no action may see it"),
    ("CARGO_TARGET_DIR", "the test's own, not cargo's"),
    ("SSL_CERT_DIR", "cargo's own process gets them from its TLS library"),
    ("SSL_CERT_FILE", "cargo's own process gets them from its TLS library"),
    ("CARGO_MAKEFLAGS", "the executor adds its jobserver"),
    ("RUSTC_WRAPPER", "the recorder"),
    (
        "RUSTC_WORKSPACE_WRAPPER",
        "cargo clippy's word to cargo, which all inherit; for vx a script's run is that of check",
    ),
    ("CLIPPY_TERMINAL_WIDTH", "how many columns a list of clippy's own has"),
    ("PWD", "the shell's, leaks the checkout"),
    ("OLDPWD", "the shell's"),
    ("SHLVL", "the recorder's shell"),
    ("_", "the recorder's shell"),
];

/// What vx asks of rustdoc beyond what cargo asks: to leave a crate's share of the files that all crates have in common as a
/// part, and to say what it read.
const PARTED: [&str; 5] =
    ["-Z", "unstable-options", "-Zallow-features=", "--parts-out-dir=", "--emit=toolchain-shared-resources,"];

/// Plans and renders everything and looks for each call among the recorded ones, and the reverse.
pub fn all(project: &Project, recording: &Recording, words: &[&str]) -> Outcome {
    let plan = plan(project, recording, words);
    let places = places(recording);
    let checks = matches!(record::command(words).0, "check" | "clippy" | "doc");
    let forms = |started: &[Started]| {
        let mut forms = recorded(started, &plan, &places);
        forms.iter_mut().filter(|_| checks).for_each(|(form, _)| without_plugins(form));
        forms
    };
    let [mut calls, mut runs, mut docs] = [&recording.calls, &recording.runs, &recording.docs].map(|all| forms(all));
    let ambient = Ambient::new(BTreeMap::new(), Vec::new());
    let mut said = Said::new();
    let mut outcome = Outcome { equal: 0, total: 0, differences: Vec::new() };
    for id in plan.order.clone() {
        let unit = plan.unit(id);
        // cargo has each call change the files that all crates share, vx one call make them of their parts.
        if !unit.has_call() || unit.kind == Kind::DocMerge {
            continue;
        }
        outcome.total += 1;
        let is_run = unit.kind == Kind::BuildScriptRun;
        let (call, among) = match unit.kind {
            Kind::BuildScriptRun => (script::render(&plan, unit, &said, &ambient, &[]), &mut runs),
            Kind::Doc => {
                let way = Way { manner: Manner::Parted, standing: &BTreeSet::new() };
                (rustdoc::render(&plan, unit, &said, &ambient, &[], way), &mut docs)
            }
            _ => (rustc::render(&plan, unit, &said, &ambient, &[]), &mut calls),
        };
        let call = call.expect("the unit renders");
        let mut form = form_of(&call);
        if unit.kind == Kind::Doc {
            without_part(&mut form);
        }
        if checks {
            without_plugins(&mut form);
        }
        let found = among.iter().position(|(one, _)| *one == form);
        match found {
            Some(_) => outcome.equal += 1,
            None => outcome.differences.push(describe(unit, &form, among)),
        }
        // A differing run still has to be heard, or all that follows would differ too.
        let found = found.or_else(|| nearest(&form, among));
        let started = found.map(|at| among.remove(at).1);
        if let Some(started) = started.filter(|_| is_run) {
            said.insert(id, heard(&plan, unit, &places, &ambient, &started));
        }
    }
    let left = calls.iter().chain(&runs).chain(&docs).map(|(form, _)| format!("recorded, never rendered: {form:?}"));
    outcome.differences.extend(left);
    outcome
}

fn plan(project: &Project, recording: &Recording, words: &[&str]) -> Plan {
    let disk = Disk::default();
    let config =
        Config::load(&disk, &project.root, &project.cargo_home, &project.variables, &[]).expect("a configuration");
    let lock = std::fs::read_to_string(project.root.join("Cargo.lock")).expect("a lock file");
    let plan = Plan::new(Sources {
        graph: UnitGraph::parse(&recording.graph).expect("a graph"),
        selection: &selection(words),
        metadata: &Metadata::parse(&recording.metadata).expect("metadata"),
        lock: &Lock::parse(&lock).expect("a lock"),
        config: &config,
        rustc: &recording.rustc,
        probes: &project.probes(&config, &recording.rustc, &record::targets(words)),
        files: &disk,
        cargo_home: &project.cargo_home,
        toolchain: &sysroot(),
        environment: &BTreeMap::new(),
    });
    plan.expect("a plan")
}

/// What the words ask for, as far as it decides about units.
fn selection(words: &[&str]) -> Selection {
    let (command, rest) = record::command(words);
    let intent = match command {
        "check" | "clippy" => Intent::Check,
        "test" => Intent::Test,
        "bench" => Intent::Bench,
        "doc" => Intent::Doc(Documentation {
            no_deps: rest.contains(&"--no-deps"),
            private: match rest.contains(&"--document-private-items") {
                true => PrivateItems::Documented,
                false => PrivateItems::LeftOut,
            },
        }),
        _ => Intent::Build,
    };
    let target = |word: &&str| match *word {
        "--lib" => Some(TargetChoice::Lib),
        "--bins" => Some(TargetChoice::Bins),
        "--examples" => Some(TargetChoice::Examples),
        "--tests" => Some(TargetChoice::Tests),
        "--benches" => Some(TargetChoice::Benches),
        "--all-targets" => Some(TargetChoice::All),
        _ => None,
    };
    let clippy = (command == "clippy").then(Vec::new);
    Selection { intent, clippy, targets: rest.iter().filter_map(target).collect(), ..Selection::default() }
}

/// cargo's folders inside its target folder, and the mounts that take their place.
fn places(recording: &Recording) -> Mounts {
    let below = |folder: &Path| -> Vec<PathBuf> {
        std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
    };
    let pairs = |profile: &Path, deps: String| {
        let folder = profile.display().to_string();
        [(format!("{folder}/build"), "/vx/build".to_owned()), (format!("{folder}/deps"), deps)]
    };
    let mut all = Vec::new();
    for folder in below(&recording.target) {
        all.extend(pairs(&folder, "/vx/deps".to_owned()));
        let triple = folder.file_name().expect("a name").to_string_lossy().into_owned();
        all.extend(below(&folder).iter().flat_map(|profile| pairs(profile, format!("/vx/deps/{triple}"))));
    }
    let target = (recording.target.display().to_string(), "/vx/target".to_owned());
    all.push(target);
    Mounts::new(all)
}

/// The recorded processes in the common form; a call made twice counts once.
fn recorded(started: &[Started], plan: &Plan, places: &Mounts) -> Vec<(Form, Started)> {
    let mut seen = BTreeSet::new();
    let mut forms = Vec::new();
    for one in started {
        let id = (one.args.clone(), one.env.get("OUT_DIR").cloned(), one.env.get("CARGO_PKG_NAME").cloned());
        if !seen.insert(id) {
            continue;
        }
        let fixed = |text: &str| plan.mounts.to_fixed(&places.to_fixed(text));
        let env = one.env.iter().map(|(name, value)| (name.clone(), fixed(value)));
        let args = one.args.iter().map(|arg| fixed(arg)).collect();
        forms.push((common(fixed(&one.cwd), args, env.collect()), one.clone()));
    }
    forms
}

/// What checks, as `cargo doc` does too, forgets in cargo the folders of libraries that macros load; for vx a macro is the same
/// whatever is made with it, and is found in the store by both.
fn without_plugins(form: &mut Form) {
    if let Some(path) = form.env.get_mut("LD_LIBRARY_PATH") {
        *path = path.split(':').filter(|part| !part.starts_with("/vx/build/")).collect::<Vec<_>>().join(":");
    }
}

/// Takes off what makes rustdoc leave a part.
fn without_part(form: &mut Form) {
    form.args.retain(|arg| !PARTED.iter().any(|one| arg == one || one.ends_with(['=', ',']) && arg.starts_with(one)));
    form.env.remove("RUSTC_BOOTSTRAP");
}

fn form_of(call: &Call) -> Form {
    common(format!("/{}", call.cwd), call.args.clone(), call.env.clone())
}

fn common(cwd: String, mut args: Vec<String>, mut env: BTreeMap<String, String>) -> Form {
    match args.first_mut().filter(|first| first.rsplit('/').next() == Some("rustc")) {
        // By the name alone that cargo knows the compiler by.
        Some(rustc) => *rustc = "rustc".to_owned(),
        // What is for clippy's driver cargo has everyone see.
        None => drop(env.remove("CLIPPY_ARGS")),
    }
    let mut kept: Vec<String> = Vec::new();
    for arg in args {
        // cargo's folder lies below the target folder.
        if arg.starts_with("incremental=") {
            kept.push("incremental=*".to_owned());
            continue;
        }
        // Names inside outputs are vx's choice.
        if arg.starts_with("--remap-path-") {
            continue;
        }
        // vx gives each call a folder of its own to write to.
        if let Some(option @ ("--out-dir" | "-o")) = kept.last().map(String::as_str) {
            kept.push(if option == "-o" { "/vx/out/doc" } else { "/vx/out" }.to_owned());
            continue;
        }
        // Metadata hashes are an own choice: path-free.
        kept.push(if arg.starts_with("metadata=") { "metadata=*".to_owned() } else { masked(&arg) });
    }
    for (name, _) in NOT_COMPARED {
        env.remove(name);
    }
    // The recorder's shell hands on no variable that it could not have itself.
    env.retain(|name, _| !name.contains('-'));
    for (name, value) in &mut env {
        *value = match name.as_str() {
            // The same everywhere, so that it does not divide keys.
            "NUM_JOBS" => "*".to_owned(),
            // cargo puts the folder of finished binaries in front of deps; actions have none.
            "LD_LIBRARY_PATH" => {
                let parts = value.split(':').filter(|part| part.starts_with("/vx/") && !part.starts_with("/vx/target"));
                parts.map(masked).collect::<Vec<_>>().join(":")
            }
            _ => masked(value),
        };
    }
    Form { cwd, args: kept, env }
}

/// Replaces `-` and 16 hexadecimal digits by `-*`.
fn masked(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('-') {
        out.push_str(&rest[..=at]);
        rest = &rest[at + 1..];
        let digits = rest.bytes().take_while(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')).count();
        if digits == 16 && !rest[16..].starts_with(|next: char| next.is_alphanumeric()) {
            out.push('*');
            rest = &rest[16..];
        }
    }
    out + rest
}

/// What the recorded run printed, read as the daemon reads it.
fn heard(plan: &Plan, unit: &Unit, places: &Mounts, ambient: &Ambient, started: &Started) -> Directives {
    let out_dir = &started.env["OUT_DIR"];
    let output = std::path::Path::new(out_dir).with_file_name("output");
    let stdout = std::fs::read_to_string(output).expect("cargo keeps what a script printed");
    let stdout = stdout.replace(out_dir.as_str(), &unit.out_dir(plan));
    let stdout = plan.mounts.to_fixed(&places.to_fixed(&stdout));
    script::heard(plan, unit, ambient, stdout.as_bytes()).expect("directives")
}

fn nearest(form: &Form, among: &[(Form, Started)]) -> Option<usize> {
    let same = |one: &Form| {
        let variable = |name: &str| form.env.get(name) == one.env.get(name);
        variable("CARGO_PKG_NAME") && variable("CARGO_PKG_VERSION") && variable("CARGO_CRATE_NAME")
    };
    let differing = |one: &Form| difference(form, one).len();
    (0..among.len()).filter(|at| same(&among[*at].0)).min_by_key(|at| differing(&among[*at].0))
}

fn describe(unit: &Unit, form: &Form, among: &[(Form, Started)]) -> String {
    match nearest(form, among) {
        None => format!("{}: nothing like it was recorded", unit.label),
        Some(at) => format!("{}:\n{}", unit.label, difference(form, &among[at].0).join("\n")),
    }
}

fn difference(rendered: &Form, recorded: &Form) -> Vec<String> {
    let mut lines = Vec::new();
    if rendered.cwd != recorded.cwd {
        lines.push(format!("  cwd {} instead of {}", rendered.cwd, recorded.cwd));
    }
    if rendered.args != recorded.args {
        let at = rendered.args.iter().zip(&recorded.args).take_while(|(a, b)| a == b).count();
        let tail =
            |args: &[String]| args.iter().skip(at.saturating_sub(1)).take(6).cloned().collect::<Vec<_>>().join(" ");
        lines.push(format!("  args …{}\n  cargo …{}", tail(&rendered.args), tail(&recorded.args)));
    }
    let names: BTreeSet<&String> = rendered.env.keys().chain(recorded.env.keys()).collect();
    for name in names {
        let (a, b) = (rendered.env.get(name), recorded.env.get(name));
        if a != b {
            lines.push(format!("  {name}: {a:?} instead of {b:?}"));
        }
    }
    lines
}
