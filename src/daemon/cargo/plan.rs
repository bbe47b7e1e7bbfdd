//! The plan of one build: cargo's graph joined with metadata, manifests, configuration and
//! rustc's answers, every unit with a path-free name of its own. Rendering calls from it is
//! `rustc`'s and `script`'s.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    path::{Path, PathBuf},
};

pub use super::unit::{Dependency, Kind, Unit, UnitId};
use super::{
    call::RenderError,
    clippy::Clippy,
    config::{Config, ConfigError},
    directives::{self, DirectiveError},
    files::Files,
    flavour, identity,
    links::{self, Links},
    lto,
    manifest::{self, ManifestError},
    metadata::{Lock, Metadata, MetadataPackage},
    mounts::{self, Mounts},
    outputs,
    package::{self, Package, Source, Surroundings},
    place,
    platform::{Asked, Platforms},
    probe::{Probe, Rustc},
    select::{Intent, PrivateItems, Selection},
    toolchain::Environment,
    unit,
    unit_graph::{GraphUnit, Mode, UnitGraph},
};

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    #[error(transparent)]
    Render(#[from] RenderError),
    #[error("apply the configuration's script override: {0}")]
    Override(#[from] DirectiveError),
    #[error("plan the build: package {0} is in cargo's unit graph and not in its metadata")]
    NoPackage(String),
    #[error("plan the build: {0} {1} comes from two sources, and vx shows both under one name")]
    TwoSources(String, String),
    #[error("plan the build: {what} of {package} is not supported yet")]
    Unsupported { package: String, what: String },
    #[error("plan the build: rustc was not asked about {0}")]
    NotProbed(String),
    #[error("plan the build: rustc was not asked about the host")]
    NoProbe,
    #[error("plan the build: profile `{0}` inherits in a circle")]
    ProfileCircle(String),
}

/// How many packages the workspace has, and how many are meant where none is named.
#[derive(Debug, Clone, Copy)]
pub struct Members {
    pub all: usize,
    pub default: usize,
}

/// Everything that calls are rendered from.
#[derive(Debug)]
pub struct Plan {
    /// By [`UnitId`].
    pub units: Vec<Unit>,
    pub roots: Vec<UnitId>,
    /// Every unit after all that it depends on.
    pub order: Vec<UnitId>,
    pub packages: Vec<Package>,
    pub members: Members,
    pub mounts: Mounts,
    pub workspace_root: PathBuf,
    /// Where cargo keeps what it downloads.
    pub cargo_home: PathBuf,
    /// Where the person expects the outputs.
    pub target_dir: PathBuf,
    pub rustc: Rustc,
    pub platforms: Platforms,
    /// As calls see it: paths at the fixed mounts.
    pub env_config: BTreeMap<String, String>,
    /// PROFILE of scripts: `debug` or `release`.
    pub profile_root: &'static str,
    /// How the members are linted, if they are.
    pub clippy: Option<Clippy>,
    /// What is documented of what was asked for.
    pub private_items: PrivateItems,
}

/// What a plan is made of.
pub struct Sources<'a> {
    pub graph: UnitGraph,
    /// What the graph was asked for.
    pub selection: &'a Selection,
    pub metadata: &'a Metadata,
    pub lock: &'a Lock,
    pub config: &'a Config,
    pub rustc: &'a Rustc,
    /// cargo's probes, in the order in which they were asked.
    pub probes: &'a [(Asked, Probe)],
    pub files: &'a dyn Files,
    pub cargo_home: &'a Path,
    /// The person's toolchain, for the way back to real paths.
    pub toolchain: &'a Path,
    /// The person's variables.
    pub environment: &'a Environment,
}

impl Plan {
    /// Joins the sources.
    pub fn new(sources: Sources<'_>) -> Result<Plan, PlanError> {
        let root = PathBuf::from(&sources.metadata.workspace_root);
        for unit in &sources.graph.units {
            check_supported(unit)?;
        }
        let (packages, index) = packages(&sources, &root)?;
        let target_dir = sources.config.target_dir(&root);
        let profile = sources.graph.units.first().map_or("dev", |unit| unit.profile.name.as_str());
        let folder = target_dir.join(place::profile_folder(profile));
        let (builds, deps) = (folder.join("build"), folder.join("deps"));
        let mounts = mounts(&packages, &root, sources.toolchain)
            .showing(&builds, mounts::BUILD)
            .showing(&deps, mounts::DEPS)
            .showing(&deps, mounts::OUT)
            .naming(&target_dir, mounts::TARGET);
        let fixed = |text: String| mounts.to_fixed(&text);
        let platforms = Platforms::new(sources.probes, sources.config, sources.rustc, &mounts)?;
        let platforms = platforms.ok_or(PlanError::NoProbe)?;
        let words = sources.selection.clippy.as_deref();
        let mut plan = Plan {
            units: Vec::with_capacity(sources.graph.units.len()),
            roots: sources.graph.roots.iter().copied().map(UnitId).collect(),
            order: sources.graph.order.iter().copied().map(UnitId).collect(),
            cargo_home: sources.cargo_home.to_owned(),
            target_dir,
            rustc: sources.rustc.clone(),
            platforms,
            env_config: sources.config.env()?.into_iter().map(|(name, value)| (name, fixed(value))).collect(),
            profile_root: profile_root(&sources, &root)?,
            private_items: match sources.selection.intent {
                Intent::Doc(documentation) => documentation.private,
                _ => PrivateItems::LeftOut,
            },
            clippy: words.map(|words| Clippy::new(words, sources.environment, &mounts)),
            members: Members {
                all: sources.metadata.workspace_members.len(),
                default: sources.metadata.workspace_default_members.len(),
            },
            packages,
            mounts,
            workspace_root: root,
        };
        plan.add_units(&sources, &index)?;
        Ok(plan)
    }

    fn add_units(&mut self, sources: &Sources<'_>, index: &HashMap<&str, usize>) -> Result<(), PlanError> {
        let graph = &sources.graph;
        let lto = lto::walk(graph);
        let flavours = flavour::of_all(graph, sources.selection);
        let selected = selected(graph);
        for (id, unit) in graph.units.iter().enumerate() {
            let package = index[unit.pkg_id.as_str()];
            let links = self.packages[package].links.as_deref();
            if !self.platforms.has(unit.platform.as_deref()) {
                return Err(PlanError::NotProbed(unit.platform.clone().unwrap_or_default()));
            }
            let triple = unit.platform.as_deref().unwrap_or(&sources.rustc.host);
            let table = links.and_then(|links| {
                let key = format!("target.{triple}.{links}");
                Some((sources.config.links_override(triple, links)?, key))
            });
            let stands_in = match table {
                Some((table, key)) if unit.mode == Mode::RunCustomBuild => Some(directives::from_table(table, &key)?),
                _ => None,
            };
            let mut one = Unit {
                id: UnitId(id),
                hash: String::new(),
                label: String::new(),
                kind: unit::kind(unit, flavours[id]),
                mode: unit.mode,
                platform: unit.platform.clone(),
                package,
                target: unit.target.clone(),
                profile: unit.profile.clone(),
                features: unit.features.clone(),
                dependencies: unit
                    .dependencies
                    .iter()
                    .map(|one| Dependency { unit: UnitId(one.index), extern_name: one.extern_crate_name.clone() })
                    .collect(),
                is_root: graph.roots.contains(&id),
                is_primary: selected.contains(unit.pkg_id.as_str()),
                lto: lto[id].clone(),
                links: Links::default(),
                outputs: Vec::new(),
                stands_in,
            };
            one.label = label(&one, &self.packages[package]);
            self.units.push(one);
        }
        self.add_merges();
        for id in self.order.clone() {
            self.units[id.0].hash = identity::of(self, id);
            if !matches!(self.unit(id).kind, Kind::BuildScriptRun | Kind::Doctest) {
                self.units[id.0].outputs = outputs::of(self, self.unit(id))?;
            }
        }
        self.show_folders();
        for (id, links) in links::of_all(self).into_iter().enumerate() {
            self.units[id].links = links;
        }
        Ok(())
    }

    /// What is documented for one target shares files, which are made last.
    fn add_merges(&mut self) {
        let documented = |one: &&Unit| one.kind == Kind::Doc;
        let platforms: BTreeSet<Option<String>> =
            self.units.iter().filter(documented).map(|one| one.platform.clone()).collect();
        for platform in platforms {
            let all: Vec<&Unit> = self.units.iter().filter(documented).filter(|one| one.platform == platform).collect();
            // One of the person's own, where there is one: it may name files for the pages of all.
            let Some(model) = all.iter().find(|one| one.is_root).or(all.first()) else { continue };
            let dependency = |one: &&Unit| Dependency { unit: one.id, extern_name: one.target.crate_name() };
            let id = UnitId(self.units.len());
            let merge = Unit {
                id,
                kind: Kind::DocMerge,
                label: format!("documentation{}", platform.iter().map(|one| format!(" for {one}")).collect::<String>()),
                dependencies: all.iter().map(dependency).collect(),
                is_root: false,
                is_primary: false,
                features: Vec::new(),
                ..(*model).clone()
            };
            self.units.push(merge);
            self.order.push(id);
        }
    }

    /// What scripts made for another target lies elsewhere than what was made for the host.
    fn show_folders(&mut self) {
        for unit in self.units.iter().filter(|unit| unit.kind == Kind::BuildScriptRun && unit.platform.is_some()) {
            let real = self.target_dir.join(place::folder(unit)).join("build").join(unit.folder(self));
            let fixed = format!("{}/{}", mounts::BUILD, unit.folder(self));
            self.mounts = std::mem::take(&mut self.mounts).showing_first(&real, &fixed);
        }
    }

    pub fn unit(&self, id: UnitId) -> &Unit {
        &self.units[id.0]
    }

    /// Whether a unit is compiled by clippy's driver.
    pub fn lints(&self, unit: &Unit) -> bool {
        self.clippy.is_some() && self.package(unit).is_member
    }

    pub fn package(&self, unit: &Unit) -> &Package {
        &self.packages[unit.package]
    }

    /// A text of a call's with the paths that the person knows.
    pub fn shown(&self, text: &str) -> String {
        self.mounts.to_shown(text)
    }
}

fn check_supported(unit: &GraphUnit) -> Result<(), PlanError> {
    let refuse = |what: String| Err(PlanError::Unsupported { package: unit.pkg_id.clone(), what });
    match unit.mode {
        Mode::Build | Mode::Check | Mode::Test | Mode::Doctest | Mode::Doc | Mode::RunCustomBuild => {}
        mode => return refuse(format!("mode {mode:?}")),
    }
    if let Some(backend) = &unit.profile.codegen_backend {
        return refuse(format!("the code generator {backend}"));
    }
    Ok(())
}

fn label(unit: &Unit, package: &Package) -> String {
    let way = match unit.mode {
        Mode::RunCustomBuild => " run",
        Mode::Check => " check",
        Mode::Doctest => " doctest",
        _ => "",
    };
    let platform = unit.platform.as_ref().map(|triple| format!(" for {triple}")).unwrap_or_default();
    format!("{} v{} ({}{way}{platform})", package.name, package.version, unit.described())
}

/// The packages that were asked for, by cargo's ids.
fn selected(graph: &UnitGraph) -> HashSet<&str> {
    graph.roots.iter().map(|root| graph.units[*root].pkg_id.as_str()).collect()
}

/// The packages of the graph, and where each cargo id stands among them.
fn packages<'a>(sources: &'a Sources<'_>, root: &Path) -> Result<(Vec<Package>, HashMap<&'a str, usize>), PlanError> {
    let named: HashSet<&str> = sources.graph.units.iter().map(|unit| unit.pkg_id.as_str()).collect();
    let used: Vec<&MetadataPackage> =
        sources.metadata.packages.iter().filter(|package| named.contains(package.id.as_str())).collect();
    let known: HashSet<&str> = used.iter().map(|package| package.id.as_str()).collect();
    if let Some(missing) = named.iter().find(|id| !known.contains(*id)) {
        return Err(PlanError::NoPackage((*missing).to_owned()));
    }
    let mut outside: Vec<&MetadataPackage> = used
        .iter()
        .copied()
        .filter(|package| package.source.is_none() && !Path::new(&package.manifest_path).starts_with(root))
        .collect();
    outside.sort_by_key(|package| (&package.name, &package.version, &package.manifest_path));
    let outside: Vec<&str> = outside.iter().map(|package| package.manifest_path.as_str()).collect();
    let around =
        Surroundings { workspace_root: root, cargo_home: sources.cargo_home, lock: sources.lock, outside: &outside };
    let selected = selected(&sources.graph);
    let members: HashSet<&str> = sources.metadata.workspace_members.iter().map(String::as_str).collect();
    let mut placed: Vec<Package> = Vec::with_capacity(used.len());
    let mut index = HashMap::with_capacity(used.len());
    let mut taken = HashSet::new();
    for package in used {
        let manifest = Path::new(&package.manifest_path);
        let without_harness = match selected.contains(package.id.as_str()) {
            true => manifest::without_harness(sources.files, manifest)?,
            false => Vec::new(),
        };
        let is_member = members.contains(package.id.as_str());
        let said = package::Said { is_member, lints: manifest::lints(sources.files, manifest)?, without_harness };
        let one = package::place(package, said, &around);
        if !taken.insert(one.mount.clone()) {
            return Err(PlanError::TwoSources(one.name, one.version));
        }
        index.insert(package.id.as_str(), placed.len());
        placed.push(one);
    }
    Ok((placed, index))
}

fn mounts(packages: &[Package], root: &Path, toolchain: &Path) -> Mounts {
    let pair = |real: &Path, fixed: &str| (real.to_string_lossy().into_owned(), fixed.to_owned());
    let mut pairs = vec![pair(root, mounts::WORKSPACE), pair(toolchain, mounts::TOOLCHAIN)];
    for package in packages {
        if !matches!(package.source, Source::Member { .. }) {
            pairs.push(pair(&package.input.1, &package.input.0));
        }
    }
    Mounts::new(pairs)
}

/// Follows `inherits` from the profile of the build to one of cargo's own.
fn profile_root(sources: &Sources<'_>, root: &Path) -> Result<&'static str, PlanError> {
    let Some(unit) = sources.graph.units.first() else { return Ok("debug") };
    let mut name = unit.profile.name.clone();
    let mut seen = HashSet::new();
    loop {
        match name.as_str() {
            "dev" | "test" => return Ok("debug"),
            "release" | "bench" => return Ok("release"),
            _ => {}
        }
        if !seen.insert(name.clone()) {
            return Err(PlanError::ProfileCircle(name));
        }
        let inherits = match sources.config.profile_inherits(&name) {
            Some(inherits) => Some(inherits),
            None => manifest::profile_inherits(sources.files, root, &name)?,
        };
        // cargo has refused a custom profile that inherits nothing.
        name = inherits.unwrap_or_else(|| "dev".to_owned());
    }
}
