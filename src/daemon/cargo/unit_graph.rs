//! cargo's unit graph as JSON (`--unit-graph`, version 1): serde types, and the check that what
//! came in is a graph at all, so that nobody inward meets a bad index or a cycle. What the graph
//! means is `plan`'s.

use serde::{Deserialize, Serialize};

/// Why bytes are no unit graph that vx understands.
#[derive(Debug, thiserror::Error)]
pub enum GraphError {
    #[error("read cargo's unit graph: {0}")]
    Json(#[from] serde_json::Error),
    #[error("read cargo's unit graph: version {0}, this vx knows version 1; a newer vx may know it")]
    Version(u32),
    #[error("read cargo's unit graph: unit {unit} names unit {named}, there are {units}")]
    Index { unit: usize, named: usize, units: usize },
    #[error("read cargo's unit graph: unit {0} depends on itself")]
    Cycle(usize),
}

/// The graph of one cargo command.
#[derive(Debug, Deserialize)]
pub struct UnitGraph {
    version: u32,
    pub units: Vec<GraphUnit>,
    pub roots: Vec<usize>,
    /// Every unit after all that it depends on.
    #[serde(skip)]
    pub order: Vec<usize>,
}

/// One call that cargo would make.
#[derive(Debug, Clone, Deserialize)]
pub struct GraphUnit {
    pub pkg_id: String,
    pub target: Target,
    pub profile: Profile,
    /// The `--target` triple; none means the host.
    pub platform: Option<String>,
    pub mode: Mode,
    pub features: Vec<String>,
    pub dependencies: Vec<GraphDependency>,
}

/// What a unit does with its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    Build,
    Check,
    Test,
    Doctest,
    Doc,
    Docscrape,
    RunCustomBuild,
}

/// An edge of the graph.
#[derive(Debug, Clone, Deserialize)]
pub struct GraphDependency {
    pub index: usize,
    pub extern_crate_name: String,
}

/// A target of a package; the same form in the graph and in `cargo metadata`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    pub kind: Vec<String>,
    pub crate_types: Vec<String>,
    pub name: String,
    pub src_path: String,
    pub edition: String,
    #[serde(rename = "required-features", skip_serializing_if = "Option::is_none")]
    pub required_features: Option<Vec<String>>,
    /// Whether it is documented, tested in its documentation, tested.
    #[serde(default)]
    pub doc: bool,
    #[serde(default)]
    pub doctest: bool,
    #[serde(default)]
    pub test: bool,
}

impl Target {
    fn is_kind(&self, kind: &str) -> bool {
        self.kind.first().is_some_and(|first| first == kind)
    }

    pub fn is_bin(&self) -> bool {
        self.is_kind("bin")
    }

    pub fn is_test(&self) -> bool {
        self.is_kind("test")
    }

    pub fn is_bench(&self) -> bool {
        self.is_kind("bench")
    }

    pub fn is_example(&self) -> bool {
        self.is_kind("example")
    }

    pub fn is_exe_example(&self) -> bool {
        self.is_example() && self.crate_types.iter().all(|one| one == "bin")
    }

    pub fn is_custom_build(&self) -> bool {
        self.is_kind("custom-build")
    }

    /// The library of a package, whatever its crate types.
    pub fn is_lib(&self) -> bool {
        !["bin", "test", "bench", "example", "custom-build"].iter().any(|kind| self.is_kind(kind))
    }

    pub fn is_proc_macro(&self) -> bool {
        self.is_kind("proc-macro")
    }

    pub fn has_type(&self, crate_type: &str) -> bool {
        self.crate_types.iter().any(|one| one == crate_type)
    }

    pub fn is_cdylib(&self) -> bool {
        self.is_lib() && self.has_type("cdylib")
    }

    /// Whether it runs in the compiler or in the build, hence is always built for the host.
    pub fn is_for_host(&self) -> bool {
        self.is_custom_build() || self.is_proc_macro()
    }

    /// Whether dependents name it by `--extern`: cdylib and staticlib files never are.
    pub fn is_linkable(&self) -> bool {
        self.is_lib() && self.crate_types.iter().any(|one| is_linkable_type(one))
    }

    /// Whether it is anything but pure rlib, so that it links or bundles its dependencies' code.
    pub fn needs_objects(&self) -> bool {
        !(self.is_lib() || self.is_example()) || self.crate_types.iter().any(|one| one != "lib" && one != "rlib")
    }

    /// The name that rustc knows it by.
    pub fn crate_name(&self) -> String {
        self.name.replace('-', "_")
    }

    /// As cargo words it in messages: `lib`, `bin "rg"`, `build script`.
    pub fn described(&self) -> String {
        if self.is_lib() {
            return "lib".to_owned();
        }
        if self.is_custom_build() {
            return "build script".to_owned();
        }
        format!("{} \"{}\"", self.kind.first().map_or("target", String::as_str), self.name)
    }
}

/// Whether files of this crate type are named by dependents' `--extern`.
pub fn is_linkable_type(crate_type: &str) -> bool {
    matches!(crate_type, "lib" | "rlib" | "dylib" | "proc-macro")
}

/// A resolved profile, as it stands for one unit.
#[derive(Debug, Clone, Deserialize)]
pub struct Profile {
    pub name: String,
    pub opt_level: String,
    pub lto: String,
    pub codegen_backend: Option<String>,
    pub codegen_units: Option<u32>,
    pub debuginfo: Debuginfo,
    pub split_debuginfo: Option<String>,
    pub debug_assertions: bool,
    pub overflow_checks: bool,
    pub rpath: bool,
    pub panic: String,
    pub strip: Strip,
    pub incremental: bool,
}

/// `debuginfo` is a number or a word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Debuginfo {
    Level(u32),
    Named(String),
}

impl Debuginfo {
    /// The value for `-C debuginfo`, none where there is nothing to say.
    pub fn flag(&self) -> Option<String> {
        match self {
            Debuginfo::Level(0) => None,
            Debuginfo::Level(level) => Some(level.to_string()),
            Debuginfo::Named(name) => Some(name.clone()),
        }
    }
}

/// What to strip, decided in the profile or left to cargo.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Strip {
    Resolved(StripWhat),
    Deferred(StripWhat),
}

impl Strip {
    /// The value for `-C strip`, none where nothing is stripped.
    pub fn flag(&self) -> Option<&str> {
        match self {
            Strip::Resolved(StripWhat::Named(name)) | Strip::Deferred(StripWhat::Named(name)) => Some(name),
            Strip::Resolved(StripWhat::None) | Strip::Deferred(StripWhat::None) => None,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub enum StripWhat {
    None,
    Named(String),
}

impl UnitGraph {
    /// Parses and checks what cargo printed.
    pub fn parse(json: &[u8]) -> Result<Self, GraphError> {
        let mut graph: UnitGraph = serde_json::from_slice(json)?;
        if graph.version != 1 {
            return Err(GraphError::Version(graph.version));
        }
        let units = graph.units.len();
        for (unit, named) in graph.edges() {
            if named >= units {
                return Err(GraphError::Index { unit, named, units });
            }
        }
        graph.order = graph.sorted()?;
        Ok(graph)
    }

    fn edges(&self) -> impl Iterator<Item = (usize, usize)> {
        let roots = self.roots.iter().map(|root| (*root, *root));
        let dependencies = self
            .units
            .iter()
            .enumerate()
            .flat_map(|(unit, one)| one.dependencies.iter().map(move |dependency| (unit, dependency.index)));
        roots.chain(dependencies)
    }

    /// Post-order by depth-first search, without recursion: a graph may be deeper than a stack.
    fn sorted(&self) -> Result<Vec<usize>, GraphError> {
        #[derive(Clone, Copy, PartialEq)]
        enum Mark {
            New,
            Open,
            Done,
        }
        let mut marks = vec![Mark::New; self.units.len()];
        let mut order = Vec::with_capacity(self.units.len());
        let mut stack = Vec::new();
        for start in 0..self.units.len() {
            if marks[start] != Mark::New {
                continue;
            }
            marks[start] = Mark::Open;
            stack.push((start, 0));
            while let Some((unit, next)) = stack.pop() {
                let Some(dependency) = self.units[unit].dependencies.get(next) else {
                    marks[unit] = Mark::Done;
                    order.push(unit);
                    continue;
                };
                stack.push((unit, next + 1));
                match marks[dependency.index] {
                    Mark::Done => {}
                    Mark::Open => return Err(GraphError::Cycle(dependency.index)),
                    Mark::New => {
                        marks[dependency.index] = Mark::Open;
                        stack.push((dependency.index, 0));
                    }
                }
            }
        }
        Ok(order)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROFILE: &str = r#"{"name":"dev","opt_level":"0","lto":"false","codegen_backend":null,"codegen_units":null,"debuginfo":2,
        "split_debuginfo":null,"debug_assertions":true,"overflow_checks":true,"rpath":false,"incremental":true,"panic":"unwind",
        "strip":{"deferred":"None"}}"#;

    fn graph(edges: &[&[usize]]) -> String {
        let units: Vec<String> = edges
            .iter()
            .map(|to| {
                let to: Vec<String> = to
                    .iter()
                    .map(|index| {
                        format!(r#"{{"index":{index},"extern_crate_name":"a","public":false,"noprelude":false}}"#)
                    })
                    .collect();
                format!(
                    r#"{{"pkg_id":"p","target":{{"kind":["lib"],"crate_types":["lib"],"name":"a-b","src_path":"/a","edition":"2021"}},
                    "profile":{PROFILE},"platform":null,"mode":"build","features":[],"dependencies":[{}]}}"#,
                    to.join(",")
                )
            })
            .collect();
        format!(r#"{{"version":1,"units":[{}],"roots":[0]}}"#, units.join(","))
    }

    #[test]
    fn order_puts_dependencies_first() {
        let graph = UnitGraph::parse(graph(&[&[1, 2], &[2], &[]]).as_bytes()).expect("a graph");
        assert_eq!(graph.order, [2, 1, 0]);
        assert_eq!(graph.units[0].target.crate_name(), "a_b");
    }

    #[test]
    fn bad_graphs_are_refused() {
        assert!(matches!(UnitGraph::parse(graph(&[&[3]]).as_bytes()), Err(GraphError::Index { named: 3, .. })));
        assert!(matches!(UnitGraph::parse(graph(&[&[1], &[0]]).as_bytes()), Err(GraphError::Cycle(0))));
        let newer = graph(&[&[]]).replace("\"version\":1", "\"version\":2");
        assert!(matches!(UnitGraph::parse(newer.as_bytes()), Err(GraphError::Version(2))));
        assert!(matches!(UnitGraph::parse(b"{"), Err(GraphError::Json(_))));
    }
}
