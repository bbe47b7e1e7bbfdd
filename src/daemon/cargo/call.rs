//! A rendered call: what to run, what it must see, what it leaves. How a call becomes an Action
//! is not decided here.

use std::collections::{BTreeMap, BTreeSet};

use shared::{digest::Digest, reapi::property};

use super::plan::UnitId;

/// Why a call could not be rendered.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    #[error("render {unit}: the script run {run} has not said anything yet")]
    NotRun { unit: String, run: String },
    #[error("render {unit}: rustc does not make crates of type {crate_type} for this target")]
    CrateType { unit: String, crate_type: String },
    #[error("render {unit}: it has no compiled script")]
    NoScript { unit: String },
}

/// One process, at the fixed mounts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Absolute path of the program inside the input root.
    pub program: String,
    /// What follows the program.
    pub args: Vec<String>,
    /// Exactly what the process sees.
    pub env: BTreeMap<String, String>,
    /// Relative to `/`, as the Command's working directory is.
    pub cwd: String,
    pub outputs: Vec<Output>,
    /// Folders (absolute) that it may write in although nothing of it is kept.
    pub scratch: Vec<String>,
    /// Whose incremental state it goes on with, if it is compiled so.
    pub incremental: Option<String>,
    /// Mounts that it sees at the person's own places too, since it names them; such a call is good
    /// for one checkout alone.
    pub places: Vec<(String, String)>,
    /// What an exception of the person's gives it.
    pub granted: Granted,
    /// Programs of the host that it is known to run, with their content.
    pub programs: BTreeMap<String, String>,
    pub needs: Needs,
}

/// What an exception gives a call beyond what calls get, as properties of its Action.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Granted(pub BTreeSet<(&'static str, String)>);

impl Granted {
    /// Whether it may write where nobody sees what it leaves.
    pub fn writes_outside(&self) -> bool {
        self.0.iter().any(|(name, _)| *name == property::WRITE)
    }
}

impl Call {
    /// Without incremental state, for an executor whose places change with every run: rustc could
    /// not use it there.
    pub fn without_state(mut self) -> Self {
        if let Some(at) = self.args.iter().position(|arg| arg.starts_with("incremental=")).filter(|at| *at > 0) {
            self.args.drain(at - 1..=at);
        }
        if self.incremental.take().is_some() {
            self.scratch.retain(|folder| folder != super::mounts::INCREMENTAL);
        }
        self
    }

    /// `path` (absolute) as the Command's output path: relative to the working directory.
    pub fn relative(&self, path: &str) -> String {
        let up = "../".repeat(self.cwd.split('/').filter(|part| !part.is_empty()).count());
        format!("{up}{}", path.trim_start_matches('/'))
    }
}

/// What a file is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    Executable,
    Rlib,
    /// `.rmeta`: enough for dependents that make no objects.
    Metadata,
    /// A Rust dynamic library, which dependents link.
    Dylib,
    /// A proc macro's library, which rustc loads.
    Macro,
    /// For other languages; never an extern.
    Cdylib,
    Staticlib,
    /// rustc's `.d`.
    DepInfo,
    /// Split debug information; rustc may leave none.
    DebugInfo,
    /// A script's OUT_DIR, a folder.
    OutDir,
    /// A folder of documentation.
    Pages,
    /// The pages of a crate's sources, a folder that need not be there.
    Sources,
    /// A page that belongs to no crate.
    Page,
    /// A crate's share of the files that all documented crates have in common.
    Part,
}

impl Role {
    /// Whether dependents' `--extern` names such files.
    pub fn is_linkable(self) -> bool {
        matches!(self, Role::Rlib | Role::Dylib | Role::Macro)
    }
}

/// A file or folder that a call leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Its file name.
    pub name: String,
    /// Absolute, inside the input root.
    pub path: String,
    pub role: Role,
}

/// An output of one unit, put before another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Placed {
    pub unit: UnitId,
    /// The output's file name.
    pub name: String,
    /// Absolute, inside the input root.
    pub at: String,
}

/// What a call must see beside the toolchain and the host's tools.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Needs {
    /// Packages whose inputs are mounted, its own first: indices into the plan's.
    pub packages: Vec<usize>,
    /// Files of other units: libraries under /vx/deps, a compiled script under /vx/build.
    pub files: Vec<Placed>,
    /// Units whose code runs in it: macros or a script, and what those are made of.
    pub running: Vec<UnitId>,
    /// Script runs whose OUT_DIR is mounted.
    pub out_dirs: Vec<UnitId>,
    /// Folders (absolute) that are there, and empty.
    pub folders: Vec<String>,
    /// Files by their content, and where they are.
    pub contents: Vec<(String, Digest)>,
    /// Whether it loads proc macros or is a script, so that it may read anything it can see.
    pub reads_freely: bool,
}
