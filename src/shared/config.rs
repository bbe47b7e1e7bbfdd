//! vx.toml: every key, its type and its default (vx.toml(5) is the reference). Reading it never
//! changes anything; whoever holds the old configuration keeps it when this fails.

use std::{
    fmt, fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Deserializer, de::Error as _};

use crate::limits::{CAS_LEASE, EXCEPTIONS, OUTPUT_BYTES};

mod exception;

pub use exception::{Exception, Network, Part};

/// The whole file. Every key has a default, so an empty or absent file is valid.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// `[daemon]`
    pub daemon: Daemon,
    /// `[cas]`
    pub cas: Cas,
    /// `[exec]`
    pub exec: Exec,
    /// `[sandbox]`
    pub sandbox: Sandbox,
    /// `[env]`
    pub env: Env,
    /// `[host]`
    pub host: Host,
}

/// `[daemon]`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Daemon {
    /// Seconds without a session after which the daemon leaves.
    pub idle_timeout_s: u64,
}

/// `[cas]`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Cas {
    /// Seconds without a connection after which casd leaves.
    pub idle_timeout_s: u64,
    /// Where the store lies; absent: `$XDG_CACHE_HOME/vx/cas`.
    pub path: Option<PathBuf>,
    /// Bytes that the store may take on disk; absent: a tenth of its file system, at least 5 GiB.
    #[serde(deserialize_with = "size")]
    pub budget: Option<u64>,
    /// Seconds for which what was used is not evicted.
    pub lease_s: u64,
    /// A loopback address that is served beside the socket; absent: none.
    #[serde(deserialize_with = "loopback")]
    pub listen_tcp: Option<SocketAddr>,
}

/// `[exec]`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Exec {
    /// Seconds without a connection or action after which execd leaves.
    pub idle_timeout_s: u64,
    /// Actions at once; absent: as many as there are cores.
    pub slots: Option<u32>,
    /// Where staged inputs and scratch folders lie; absent: `$XDG_CACHE_HOME/vx/exec`.
    pub path: Option<PathBuf>,
    /// Bytes of staged inputs kept for the next action.
    pub stage_bytes: u64,
    /// Bytes of incremental state kept for the person's own crates; 0 for none.
    pub incremental_bytes: u64,
    /// Bytes that one action may hold on disk while it runs.
    pub scratch_bytes: u64,
    /// Bytes of memory that one action may use; absent: 90 % of the machine's.
    pub memory_bytes: Option<u64>,
    /// A loopback address that is served beside the socket; absent: none.
    #[serde(deserialize_with = "loopback")]
    pub listen_tcp: Option<SocketAddr>,
}

/// `[sandbox]`
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sandbox {
    /// The lowest rung on which actions may run.
    pub minimum: Rung,
    /// What single packages may have beyond what actions get.
    #[serde(deserialize_with = "exceptions")]
    pub exception: Vec<Exception>,
}

/// `[host]`
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Host {
    /// Further folders of this machine that actions see; all of their content is in every key.
    #[serde(deserialize_with = "shown")]
    pub show: Vec<PathBuf>,
    /// Further files and folders of what actions see whose content is in every key.
    #[serde(deserialize_with = "shown")]
    pub tools: Vec<PathBuf>,
}

/// `[env]`
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Env {
    /// Further variables of the caller that builds may see, by name.
    pub pass: Vec<String>,
}

/// How far an action is isolated, least first (SANDBOX.md).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rung {
    /// Clean environment, own process group, staged inputs.
    Process,
    /// Undeclared files unreadable, no sockets.
    Landlock,
    /// Own root, own network, own processes.
    Namespaces,
    /// The same with limits by control groups.
    Full,
}

impl Rung {
    /// The word in vx.toml and status.
    pub fn name(self) -> &'static str {
        match self {
            Rung::Process => "process",
            Rung::Landlock => "landlock",
            Rung::Namespaces => "namespaces",
            Rung::Full => "full",
        }
    }
}

impl Default for Rung {
    /// macOS has nothing between `process` and a virtual machine; everywhere else less than
    /// `landlock` has to be asked for.
    fn default() -> Self {
        if cfg!(target_os = "macos") { Rung::Process } else { Rung::Landlock }
    }
}

impl Default for Daemon {
    fn default() -> Self {
        Daemon { idle_timeout_s: 10 * 60 }
    }
}

impl Default for Cas {
    fn default() -> Self {
        Cas { idle_timeout_s: 30 * 60, path: None, budget: None, lease_s: CAS_LEASE.as_secs(), listen_tcp: None }
    }
}

impl Default for Exec {
    fn default() -> Self {
        Exec {
            idle_timeout_s: 10 * 60,
            slots: None,
            path: None,
            stage_bytes: 4 << 30,
            incremental_bytes: 4 << 30,
            scratch_bytes: OUTPUT_BYTES,
            memory_bytes: None,
            listen_tcp: None,
        }
    }
}

impl Daemon {
    /// [`Daemon::idle_timeout_s`] as a duration.
    pub fn idle_timeout(&self) -> Duration {
        Duration::from_secs(self.idle_timeout_s)
    }
}

impl Cas {
    /// [`Cas::idle_timeout_s`] as a duration.
    pub fn idle_timeout(&self) -> Duration {
        Duration::from_secs(self.idle_timeout_s)
    }
}

impl Exec {
    /// [`Exec::idle_timeout_s`] as a duration.
    pub fn idle_timeout(&self) -> Duration {
        Duration::from_secs(self.idle_timeout_s)
    }
}

/// A size as people write it, `"20GiB"`, or a number of bytes.
fn size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "expected a size such as \"20GiB\", or a number of bytes")]
    enum Size {
        Bytes(u64),
        Text(String),
    }
    match Size::deserialize(deserializer)? {
        Size::Bytes(bytes) => Ok(Some(bytes)),
        Size::Text(text) => parse_size(&text).map(Some).ok_or_else(|| {
            D::Error::custom(format!("`{text}` is no size: write a number and KiB, MiB, GiB, TiB, kB, MB, GB or TB"))
        }),
    }
}

fn parse_size(text: &str) -> Option<u64> {
    const UNITS: [(&str, u64); 9] = [
        ("KiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
        ("TiB", 1 << 40),
        ("kB", 1_000),
        ("MB", 1_000_000),
        ("GB", 1_000_000_000),
        ("TB", 1_000_000_000_000),
        ("", 1),
    ];
    let (unit, factor) = UNITS.iter().find(|(unit, _)| text.ends_with(unit))?;
    let number: u64 = text.strip_suffix(unit)?.trim_end().parse().ok()?;
    number.checked_mul(*factor)
}

/// Why a vx.toml cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The file.
    pub file: PathBuf,
    /// Counted from 1; 0 where the whole file is meant.
    pub line: u32,
    /// Counted from 1; 0 where the whole file is meant.
    pub column: u32,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        write!(f, ": {}", self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "\n  {hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for ConfigError {}

impl Config {
    /// Reads the file; an absent one is the default.
    pub fn load(file: &Path) -> Result<Self, ConfigError> {
        match fs::read_to_string(file) {
            Ok(text) => Self::parse(&text, file),
            Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(err) => Err(ConfigError {
                file: file.to_owned(),
                line: 0,
                column: 0,
                message: format!("cannot be read: {err}"),
                hint: None,
            }),
        }
    }

    /// Reads the text of a file of that name.
    pub fn parse(text: &str, file: &Path) -> Result<Self, ConfigError> {
        toml::from_str(text).map_err(|err| {
            let (line, column) = err.span().map_or((0, 0), |span| position(text, span.start));
            let message = err.message().replace('\n', " ");
            ConfigError { file: file.to_owned(), line, column, hint: did_you_mean(&message), message }
        })
    }
}

fn exceptions<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Exception>, D::Error> {
    let read = Vec::<Exception>::deserialize(deserializer)?;
    if read.len() > EXCEPTIONS {
        return Err(D::Error::custom(format!("more than {EXCEPTIONS} exceptions")));
    }
    Ok(read)
}

/// Absolute paths, as everybody's actions see them.
fn shown<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<PathBuf>, D::Error> {
    let read = Vec::<PathBuf>::deserialize(deserializer)?;
    if read.len() > EXCEPTIONS {
        return Err(D::Error::custom(format!("more than {EXCEPTIONS} paths")));
    }
    for path in &read {
        exception::check(path).map_err(D::Error::custom)?;
        if !path.is_absolute() || path.starts_with("/etc") || path.starts_with("/tmp") {
            let what =
                format!("`{}` is no place that all actions could see: /…, but not /etc nor /tmp", path.display());
            return Err(D::Error::custom(what));
        }
    }
    Ok(read)
}

/// A port that another machine can reach would let its people run programs here.
fn loopback<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SocketAddr>, D::Error> {
    let text = String::deserialize(deserializer)?;
    match text.parse::<SocketAddr>() {
        Ok(address) if address.ip().is_loopback() => Ok(Some(address)),
        Ok(address) => Err(D::Error::custom(format!(
            "listen_tcp is for loopback addresses (127.0.0.1:PORT or [::1]:PORT); {} would open it to others",
            address.ip()
        ))),
        Err(_) => Err(D::Error::custom(format!("listen_tcp is an address and a port (127.0.0.1:8980), not {text:?}"))),
    }
}

fn position(text: &str, offset: usize) -> (u32, u32) {
    let before = &text[..text.floor_char_boundary(offset)];
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |last| last.chars().count()) + 1;
    (u32::try_from(line).unwrap_or(u32::MAX), u32::try_from(column).unwrap_or(u32::MAX))
}

/// serde says ``unknown field `a`, expected one of `b`, `c` ``: the nearest of those.
fn did_you_mean(message: &str) -> Option<String> {
    let mut words = message.split('`').skip(1).step_by(2);
    let wrong = words.next().filter(|_| message.starts_with("unknown"))?;
    let nearest = words.max_by(|a, b| strsim::jaro(wrong, a).total_cmp(&strsim::jaro(wrong, b)))?;
    (strsim::jaro(wrong, nearest) > 0.7).then(|| format!("did you mean `{nearest}`?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_file_is_the_default() {
        assert_eq!(Config::parse("", Path::new("vx.toml")), Ok(Config::default()));
        assert_eq!(Config::default().daemon.idle_timeout(), Duration::from_secs(600));
    }

    #[test]
    fn a_wrong_key_is_named_with_its_place() {
        let err = Config::parse("[daemon]\n  idle_timout_s = 3\n", Path::new("vx.toml")).expect_err("the key is wrong");
        assert_eq!((err.line, err.column), (2, 3));
        assert_eq!(err.hint.as_deref(), Some("did you mean `idle_timeout_s`?"));
        assert!(err.to_string().starts_with("vx.toml:2:3: unknown field `idle_timout_s`"), "{err}");
    }

    #[test]
    fn a_wrong_type_and_broken_syntax_have_a_place() {
        for (text, line) in [("[exec]\nslots = \"many\"\n", 2), ("[exec\n", 1), ("[sandbox]\nminimum = \"none\"\n", 2)]
        {
            let err = Config::parse(text, Path::new("vx.toml")).expect_err("it is broken");
            assert_eq!(err.line, line, "{err}");
        }
    }

    #[test]
    fn only_loopback_is_listened_on() {
        let read = |text: &str| Config::parse(&format!("[exec]\nlisten_tcp = {text:?}\n"), Path::new("vx.toml"));
        for address in ["127.0.0.1:8980", "[::1]:8980", "127.1.2.3:0"] {
            assert_eq!(read(address).expect(address).exec.listen_tcp, Some(address.parse().expect("an address")));
        }
        for address in ["0.0.0.0:8980", "[::]:8980", "192.168.1.2:8980", "localhost:8980", "8980", "127.0.0.1"] {
            let err = read(address).expect_err(address);
            assert_eq!(err.line, 2, "{err}");
            assert!(err.message.contains("127.0.0.1:"), "{err}");
        }
    }

    #[test]
    fn sizes_are_read_as_people_write_them() {
        let budget = |text: &str| Config::parse(&format!("[cas]\nbudget = {text}\n"), Path::new("vx.toml"));
        for (text, bytes) in [
            ("\"20GiB\"", 20 << 30),
            ("\"5 GB\"", 5_000_000_000),
            ("\"512MiB\"", 512 << 20),
            ("\"1000\"", 1000),
            ("70000", 70_000),
        ] {
            assert_eq!(budget(text).expect("it is a size").cas.budget, Some(bytes), "{text}");
        }
        for text in ["\"lots\"", "\"GiB\"", "\"-1GiB\"", "\"1.5GiB\"", "\"99999999TiB\"", "-5", "true"] {
            assert_eq!(budget(text).expect_err("it is no size").line, 2, "{text}");
        }
        assert_eq!(Config::default().cas.budget, None);
    }

    #[test]
    fn rungs_are_ordered() {
        assert!(Rung::Process < Rung::Landlock && Rung::Landlock < Rung::Namespaces && Rung::Namespaces < Rung::Full);
    }
}
