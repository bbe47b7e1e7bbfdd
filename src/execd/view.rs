//! From an Action to what its process sees: which style of view its properties ask for, where its
//! inputs are mounted, what is writable, and where outputs are to be looked for afterwards. How a
//! view is made is `sandbox`'s, what is in a staged folder is `stage`'s.

mod fixed;
mod foreign;
pub mod granted;
pub mod ground;
pub mod live;
pub mod paths;
mod real;
pub mod words;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use shared::{client::exec::ViewClass, config::Rung, digest::Digest};

use crate::{
    folder::{Own, Scratch},
    host::Host,
    sandbox::{Access, Mount, Root},
    stage::{Lease, Stage, StageError},
    toolchain::Toolchains,
};
pub use fixed::make_out_dir;
use granted::Granted;
use ground::{Claim, Ground};
use paths::Output;
use words::Words;

/// As the API's lexicon of platforms has them.
const OS_FAMILY: &str = if cfg!(target_os = "macos") { "macos" } else { "linux" };
const ISA: &str = if cfg!(target_arch = "aarch64") { "arm-a64" } else { "x86-64" };

/// What an action runs, as it was declared and checked.
#[derive(Clone, Debug)]
pub struct Command {
    /// Program and arguments; never empty.
    pub arguments: Vec<String>,
    /// The whole environment.
    pub environment: Vec<(String, String)>,
    /// Below the root of the input tree.
    pub cwd: PathBuf,
    /// What may come back.
    pub outputs: Vec<Output>,
}

/// How an action sees its inputs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Style {
    /// Not vx's own: the host's programs, the input root as a writable working tree.
    Foreign,
    /// Not vx's own, and the input root is `/`: nothing of the host.
    ForeignRoot,
    /// vx's own: inputs at fixed places, read-only.
    Fixed {
        /// The toolchain shown at /vx/toolchain.
        toolchain: Option<String>,
        /// The host's C tools.
        host: Option<String>,
        /// Whether it gets a jobserver.
        jobserver: bool,
        /// Whose incremental state it gets.
        incremental: Option<String>,
        /// The declared output that is handed out while the action runs.
        early: Option<String>,
        /// Folders below /vx that are shown at a second place too.
        places: Vec<(PathBuf, PathBuf)>,
        /// The person's own workspace, shown as it is.
        live: Option<live::Asked>,
        /// What exceptions give it.
        granted: Box<Granted>,
    },
}

/// Why an action's view cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ViewError {
    /// The request makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// Something the client can bring about is not so.
    #[error("{0}")]
    Precondition(String),
    /// Inputs cannot be staged.
    #[error(transparent)]
    Stage(#[from] StageError),
}

/// What views are made from.
#[derive(Debug)]
pub struct Sources {
    /// Staged inputs.
    pub stage: Arc<Stage>,
    /// Scratch folders.
    pub scratch: Scratch,
    /// The host's programs and /etc.
    pub host: Host,
    /// Toolchains by identity.
    pub toolchains: Toolchains,
    /// Real folders for fixed places.
    pub ground: Ground,
    /// An empty folder that empty roots are mounted on.
    pub root: PathBuf,
}

/// A view, ready to be entered.
#[derive(Debug)]
pub struct View {
    /// What `/` is.
    pub root: Root,
    /// What is mounted.
    pub mounts: Vec<Mount>,
    /// The working directory as the payload sees it.
    pub cwd: PathBuf,
    /// Where outputs may be, longest place first.
    pub places: Vec<Place>,
    /// The view class for the record: `fixed` or `path`.
    pub class: &'static str,
    /// A live checkout in it, to be watched.
    pub live: Option<live::Shown>,
    /// What exceptions give it.
    pub granted: Granted,
    /// How its words and what it says are changed.
    pub words: Words,
    /// Variables that it gets where the command does not set them.
    pub env: Vec<(String, String)>,
    _leases: Vec<Lease>,
    _claims: Vec<Claim>,
    _scratch: Own,
}

/// A writable place of the view, and the folder behind it.
#[derive(Clone, Debug)]
pub struct Place {
    /// As the payload sees it.
    pub at: PathBuf,
    /// On the host.
    pub dir: PathBuf,
}

impl View {
    /// One with fixed places.
    fn new(root: Root, mounts: Vec<Mount>, cwd: PathBuf, places: Vec<Place>, scratch: Own) -> View {
        View {
            root,
            mounts,
            cwd,
            places,
            class: "fixed",
            live: None,
            granted: Granted::default(),
            words: Words::default(),
            env: Vec::new(),
            _leases: Vec::new(),
            _claims: Vec::new(),
            _scratch: scratch,
        }
    }

    /// The folders on disk that are the action's alone.
    pub fn scratch_folders(&self) -> Vec<PathBuf> {
        let own = |from: &Path| !self.granted.write.iter().any(|granted| from.starts_with(granted));
        let binds = self.mounts.iter().filter_map(|mount| match mount {
            Mount::Bind { from, access: Access::Writable, .. } => Some(PathBuf::from(from.as_os())),
            _ => None,
        });
        let mut folders: Vec<PathBuf> = self.places.iter().map(|place| place.dir.clone()).chain(binds).collect();
        folders.retain(|folder| own(folder));
        folders.sort();
        folders.dedup_by(|inner, outer| inner.starts_with(&*outer));
        folders
    }

    /// The command's words as the process gets them.
    pub fn arguments<'a>(&'a self, command: &'a Command) -> impl Iterator<Item = String> + 'a {
        command.arguments.iter().map(|word| self.words.real(word))
    }

    /// The environment as the process gets it.
    pub fn environment(&self, command: &Command) -> Vec<(String, String)> {
        let declared = command.environment.iter().map(|(name, value)| (name.clone(), self.words.real(value)));
        let more = self.env.iter().filter(|(name, _)| !command.environment.iter().any(|(other, _)| other == name));
        declared.chain(more.cloned()).collect()
    }
}

impl Style {
    /// Whether it is one of vx's own.
    pub fn is_own(&self) -> bool {
        matches!(self, Style::Fixed { .. })
    }

    /// Whether it shows a folder of the person's as it is, or writes to one, so that its result is
    /// not to be stored: without namespaces a second place of inputs is the first place itself.
    pub fn shows_live(&self, rung: Rung) -> bool {
        match self {
            Style::Fixed { live, places, granted, .. } => {
                live.is_some() || !granted.write.is_empty() || (rung < Rung::Namespaces && !places.is_empty())
            }
            _ => false,
        }
    }

    /// Whether it gets a jobserver.
    pub fn has_jobserver(&self) -> bool {
        matches!(self, Style::Fixed { jobserver: true, .. })
    }

    /// Checkout, toolchain and unit of the incremental state that it gets.
    pub fn incremental(&self) -> Option<[&str; 3]> {
        let Style::Fixed { incremental: Some(unit), toolchain, live, .. } = self else { return None };
        let checkout = live.as_ref().and_then(|live| live.root.to_str()).unwrap_or_default();
        Some([checkout, toolchain.as_deref().unwrap_or_default(), unit])
    }

    /// Reads the platform properties, names with values.
    pub fn of<'a>(properties: impl Iterator<Item = (&'a str, &'a str)>, rung: Rung) -> Result<Style, ViewError> {
        use shared::reapi::property::{
            EARLY, HOST, INCREMENTAL, JOBSERVER, KEY, LIVE, LIVE_TARGET, PLACE, ROOT, RUNG, TOOL, TOOLCHAIN, VIEW,
        };
        let (mut root, mut key, mut jobserver, mut places) = (false, false, false, Vec::new());
        let (mut toolchain, mut host, mut early, mut incremental) = (None, None, None, None);
        let (mut live, mut live_target, mut granted) = (None, None, Box::<Granted>::default());
        let (mut view, mut wanted) = ("fixed", "");
        for property in properties {
            if let Some(taken) = granted.take(property.0, property.1) {
                taken?;
                continue;
            }
            match property {
                (ROOT, "input") => root = true,
                (KEY, _) => key = true,
                (TOOLCHAIN, identity) => toolchain = Some(identity.to_owned()),
                (HOST, identity) => host = Some(identity.to_owned()),
                (JOBSERVER, "make") => jobserver = true,
                // Seen like all of the host's programs.
                (TOOL, _) => {}
                (INCREMENTAL, unit) => incremental = Some(unit.to_owned()),
                (EARLY, output) => early = Some(output.to_owned()),
                (PLACE, pair) => places.push(fixed::place(pair)?),
                (LIVE, folder) => live = Some(folder),
                (LIVE_TARGET, folder) => live_target = Some(folder),
                (VIEW, class @ ("fixed" | "path")) => view = class,
                (RUNG, "process") => wanted = "process",
                (name, value) if name.starts_with("vx-") => {
                    return Err(ViewError::Invalid(format!("the platform property {name}={value} is unknown")));
                }
                (name, value) => host_has(name, value)?,
            }
        }
        if key {
            agree((view, wanted), rung)?;
        }
        let live = live.map(|folder| live::asked(folder, live_target)).transpose()?;
        match (root, key) {
            (true, true) => Ok(Style::Fixed { toolchain, host, jobserver, incremental, early, places, live, granted }),
            _ if jobserver
                || [&toolchain, &host, &early, &incremental].into_iter().any(Option::is_some)
                || !places.is_empty()
                || live.is_some()
                || !granted.is_empty() =>
            {
                Err(ViewError::Invalid(
                    "vx-toolchain, vx-host, vx-early, vx-incremental, vx-jobserver, vx-place, vx-live and what \
                     exceptions grant go with vx-root=input and vx-key"
                        .to_owned(),
                ))
            }
            (true, false) => Ok(Style::ForeignRoot),
            (false, _) => Ok(Style::Foreign),
        }
    }
}

/// The API's own two properties, which this machine has or has not; others are refused.
fn host_has(name: &str, value: &str) -> Result<(), ViewError> {
    let has = match name {
        "OSFamily" => OS_FAMILY,
        "ISA" => ISA,
        other => {
            let what = format!("the platform property {other}={value} is unknown; OSFamily and ISA are looked at");
            return Err(ViewError::Invalid(what));
        }
    };
    if value == has {
        return Ok(());
    }
    Err(ViewError::Precondition(format!("the action needs {name}={value}, and this machine has {has}")))
}

/// Makes the view of one action.
pub async fn make(
    sources: &Sources,
    style: &Style,
    command: &Command,
    root: Digest,
    rung: Rung,
) -> Result<View, ViewError> {
    match style {
        Style::Foreign => foreign::tree(sources, command, root, rung).await,
        Style::ForeignRoot if rung < Rung::Namespaces => Err(ViewError::Precondition(format!(
            "an Action with vx-root=input and without vx-key needs namespaces, and this executor reached only rung {} \
             (vxctl status says why)",
            rung.name()
        ))),
        Style::ForeignRoot => foreign::root(sources, command, root).await,
        Style::Fixed { toolchain, host, places, live, granted, .. } => {
            let (toolchain, host) = (toolchain.as_deref(), host.as_deref());
            let shown = fixed::Shown { toolchain, host, places, live: live.as_ref(), granted, rung };
            if rung < Rung::Namespaces {
                return real::make(sources, shown, command, root).await;
            }
            fixed::make(sources, shown, command, root).await
        }
    }
}

/// Whether an Action was made for what this executor offers. The daemon takes these words as
/// "identify again and retry".
fn agree(asked: (&str, &str), rung: Rung) -> Result<(), ViewError> {
    let offered = match ViewClass::of(rung) {
        ViewClass::Fixed => ("fixed", ""),
        ViewClass::Path => ("path", ""),
        ViewClass::Process => ("path", "process"),
    };
    if asked == offered {
        return Ok(());
    }
    let words = |(view, rung): (&str, &str)| match rung {
        "" => format!("vx-view={view}"),
        rung => format!("vx-view={view} on rung {rung}"),
    };
    Err(ViewError::Precondition(format!(
        "toolchain: the Action asks for {}, and this executor offers {}",
        words(asked),
        words(offered)
    )))
}

impl Sources {
    /// Takes over what vx.toml shows of the host, and counts.
    pub fn configure(&self, host: &shared::config::Host) {
        self.host.show(host.show.clone());
        self.toolchains.add([host.show.clone(), host.tools.clone()].concat());
    }

    fn own(&self) -> Result<Own, ViewError> {
        self.scratch.own().map_err(|err| StageError::io(std::path::Path::new("a scratch folder"))(err).into())
    }
}
