//! The keys as a format: the digests of a fixed plan's Actions, compared with committed ones. When
//! rendering, mounts or environment change, `action::KEY` has to change with them, or results of
//! the old kind would be served for the new.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use serde_json::value::RawValue;
use shared::{
    client::exec::{Identity, ViewClass},
    digest::{Digest, Function},
    reapi::tree::Mode,
};

use crate::{
    action::{self, Input, KEY},
    cargo::{
        Said,
        call::Call,
        config::Config,
        environment::Ambient,
        metadata::{Lock, Metadata},
        package::Source,
        plan::{Kind, Plan, Sources},
        platform::Asked,
        probe::{Probe, Rustc},
        rustc, script,
        select::Selection,
        unit_graph::UnitGraph,
    },
};

/// What cargo and rustc said of a small workspace with a program, two scripts, a macro, a cdylib,
/// features, lints and a registry package.
#[derive(Deserialize)]
struct Fixture {
    rustc: String,
    probe_stdout: String,
    graphs: BTreeMap<String, Box<RawValue>>,
    metadata: Box<RawValue>,
    lock: String,
    manifests: BTreeMap<PathBuf, String>,
}

impl Fixture {
    fn read() -> Fixture {
        serde_json::from_slice(&fs::read(golden("plan.json")).expect("the fixture")).expect("the fixture")
    }
}

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn plan(fixture: &Fixture, graph: &RawValue) -> Plan {
    let (root, home) = (Path::new("/vx/ws"), Path::new("/vx/cargo-home"));
    let config = Config::load(&fixture.manifests, root, home, &BTreeMap::new(), &[]).expect("no configuration");
    let rustc = Rustc::parse(&fixture.rustc).expect("what rustc says");
    Plan::new(Sources {
        graph: UnitGraph::parse(graph.get().as_bytes()).expect("what cargo says"),
        selection: &Selection::default(),
        metadata: &Metadata::parse(fixture.metadata.get().as_bytes()).expect("what cargo says"),
        lock: &Lock::parse(&fixture.lock).expect("a lock file"),
        config: &config,
        rustc: &rustc,
        probes: &[(Asked::Host, Probe::parse(&[], &fixture.probe_stdout, "").expect("what rustc says"))],
        files: &fixture.manifests,
        cargo_home: home,
        toolchain: Path::new("/opt/rust"),
        environment: &BTreeMap::new(),
    })
    .expect("a plan")
}

/// A digest that stands for content this test has not.
fn stand_in(name: &str) -> Digest {
    Digest::of(Function::Blake3, name.as_bytes())
}

fn inputs(plan: &Plan, call: &Call) -> Vec<(String, Input)> {
    let packages = call.needs.packages.iter().map(|package| &plan.packages[*package]);
    let packages = packages.filter(|package| !matches!(package.source, Source::Member { .. }));
    let packages = packages.map(|package| package.input.0.clone());
    let out_dirs = call.needs.out_dirs.iter().map(|run| plan.unit(*run).out_dir(plan));
    let trees = packages.chain(out_dirs).map(|path| (path.clone(), Input::Tree(stand_in(&path))));
    let files = call.needs.files.iter().map(|file| (file.at.clone(), Input::File(stand_in(&file.name), Mode::Plain)));
    trees.chain(files).collect()
}

/// One line a unit: its Action's digest and label.
fn keys(plan: &Plan, toolchain: &str) -> String {
    let identity = Identity { toolchain: "0".repeat(64), host: "1".repeat(64), view: ViewClass::Fixed };
    let person = [("CC", "clang"), ("HOME", "/home/person"), ("TERM", "xterm")];
    let person = person.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let ambient = Ambient::new(person, Vec::new()).with_toolchain(Path::new(toolchain));
    let prints = b"cargo::rustc-cfg=special\ncargo::rustc-env=MADE=yes\ncargo::rustc-link-search=native=/vx/lib\n";
    let mut said = Said::new();
    let mut lines = String::new();
    for id in &plan.order {
        let unit = plan.unit(*id);
        let call = match unit.kind {
            Kind::BuildScriptRun => script::render(plan, unit, &said, &ambient, &[]),
            _ => rustc::render(plan, unit, &said, &ambient, &[]),
        };
        let call = call.expect("a call");
        if unit.kind == Kind::BuildScriptRun {
            said.insert(*id, script::heard(plan, unit, &ambient, prints).expect("good directives"));
        }
        let action = action::build(&call, &inputs(plan, &call), &identity, None).expect("an input root");
        let _ = writeln!(lines, "{} {}", action.digest.hex(), unit.label);
    }
    lines
}

#[test]
fn keys_change_only_with_their_version() {
    let fixture = Fixture::read();
    let mut now = format!("vx-key={KEY}\n");
    for (name, graph) in &fixture.graphs {
        let _ = write!(now, "\n{name}\n{}", keys(&plan(&fixture, graph), "/usr"));
    }
    let file = golden("keys.txt");
    let before = fs::read_to_string(&file).unwrap_or_default();
    if now == before {
        return;
    }
    let beside = file.with_extension("new");
    fs::write(&beside, &now).expect("room beside the golden file");
    panic!(
        "the digests of vx's Actions changed: if that is meant, bump KEY in src/daemon/action.rs and rename {} to {}",
        beside.display(),
        file.display()
    );
}

#[test]
fn by_which_toolchain_scripts_of_others_are_not_told() {
    let fixture = Fixture::read();
    for graph in fixture.graphs.values() {
        let mut plan = plan(&fixture, graph);
        let others = plan.packages.iter_mut().find(|package| package.name == "sys").expect("a package with a script");
        others.source = Source::Registry { checksum: None, archive: None };
        let keys = |name: &str| keys(&plan, &format!("/home/p/.rustup/toolchains/{name}"));
        let (stable, nightly) = (keys("stable"), keys("nightly"));
        let differ = stable.lines().zip(nightly.lines()).filter(|(one, other)| one != other);
        let differ: Vec<_> = differ.filter_map(|(one, _)| Some(one.split_once(' ')?.1)).collect();
        assert_eq!(differ, ["app v1.2.3 (build script run)"]);
    }
}
