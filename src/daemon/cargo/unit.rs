//! One call of the plan: what is compiled or run, in which way, for whom. How units are joined is
//! `plan`'s; which of them are compiled with their tests is `flavour`'s.

use super::{
    call::Output,
    directives::Directives,
    links::Links,
    lto::Lto,
    mounts,
    plan::Plan,
    unit_graph::{GraphUnit, Mode, Profile, Target},
};

/// A unit's place in its plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UnitId(pub usize);

/// What a unit makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    Lib,
    ProcMacro,
    Bin,
    Example,
    /// A target of any kind compiled with its tests: a program that runs them.
    Test,
    BuildScriptCompile,
    BuildScriptRun,
    /// Nothing: the tests in a library's documentation are compiled when they are run.
    Doctest,
    /// The documentation of a target.
    Doc,
    /// What the documentation of several has in common; no unit of cargo's.
    DocMerge,
}

/// Whether a unit is compiled with its tests: the graph does not always say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavour {
    Plain,
    Tests,
}

/// An edge, with the name that the dependent's code uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dependency {
    pub unit: UnitId,
    pub extern_name: String,
}

/// One call to make.
#[derive(Debug, Clone)]
pub struct Unit {
    pub id: UnitId,
    /// 16 hexadecimal digits, the same in every checkout; `-C metadata` and file names hold it.
    pub hash: String,
    /// `ripgrep v15.2.0 (bin "rg")`.
    pub label: String,
    pub kind: Kind,
    /// cargo's mode; of test flavours [`Mode::Check`] alone says that they are not to be run.
    pub mode: Mode,
    /// The triple of `--target`; none for the host in a build without, and for what runs in the build.
    pub platform: Option<String>,
    /// Index into [`Plan::packages`].
    pub package: usize,
    pub target: Target,
    pub profile: Profile,
    pub features: Vec<String>,
    pub dependencies: Vec<Dependency>,
    /// Asked for by the person, not only needed.
    pub is_root: bool,
    /// Of a package that is selected: cargo's "primary".
    pub is_primary: bool,
    pub lto: Lto,
    pub links: Links,
    /// What its compiler call leaves; empty for script runs.
    pub outputs: Vec<Output>,
    /// What configuration says in place of running this script.
    pub stands_in: Option<Directives>,
}

impl Unit {
    /// `NAME-HASH`: its folder under /vx/build.
    pub fn folder(&self, plan: &Plan) -> String {
        format!("{}-{}", plan.packages[self.package].name, self.hash)
    }

    /// Where its script's OUT_DIR is, for script runs.
    pub fn out_dir(&self, plan: &Plan) -> String {
        format!("{}/{}/out", mounts::BUILD, self.folder(plan))
    }

    /// Whether it is only to be seen whether it compiles.
    pub fn is_check(&self) -> bool {
        self.mode == Mode::Check
    }

    /// Whether it documents.
    pub fn is_doc(&self) -> bool {
        matches!(self.kind, Kind::Doc | Kind::DocMerge)
    }

    /// Whether it links or bundles its dependencies' code.
    pub fn needs_objects(&self) -> bool {
        match (self.is_check(), self.kind) {
            (true, _) | (_, Kind::Doc | Kind::DocMerge) => false,
            (false, Kind::Test) => true,
            (false, _) => self.target.needs_objects(),
        }
    }

    /// Whether there is a call to make for it at all.
    pub fn has_call(&self) -> bool {
        self.stands_in.is_none() && self.kind != Kind::Doctest
    }

    /// Whether what it leaves is a program for the person: theirs, or one that tests.
    pub fn is_program(&self) -> bool {
        let is_executable = self.target.is_bin() || self.target.is_exe_example();
        !self.is_check() && !self.is_doc() && (is_executable || self.kind == Kind::Test)
    }

    /// As cargo words it in messages: `lib`, `bin "rg" test`.
    pub fn described(&self) -> String {
        match self.kind {
            Kind::Test if self.is_test_of_other() => format!("{} test", self.target.described()),
            Kind::Doc => format!("{} doc", self.target.described()),
            _ => self.target.described(),
        }
    }

    /// Whether it tests a target that is there for something else.
    pub fn is_test_of_other(&self) -> bool {
        self.kind == Kind::Test && !self.target.is_test() && !self.target.is_bench()
    }
}

/// What a unit of the graph makes.
pub(super) fn kind(unit: &GraphUnit, flavour: Flavour) -> Kind {
    match unit.mode {
        Mode::RunCustomBuild => Kind::BuildScriptRun,
        Mode::Doctest => Kind::Doctest,
        Mode::Doc => Kind::Doc,
        _ if flavour == Flavour::Tests => Kind::Test,
        _ if unit.target.is_custom_build() => Kind::BuildScriptCompile,
        _ if unit.target.is_proc_macro() => Kind::ProcMacro,
        _ if unit.target.is_lib() => Kind::Lib,
        _ if unit.target.is_bin() => Kind::Bin,
        _ => Kind::Example,
    }
}
