//! `[[sandbox.exception]]` of vx.toml: what one version of one package may have beyond what actions
//! get, and why. Checked where it is read; who is given it is the daemon's to say, what it means
//! the executor's.

use std::path::{Component, Path, PathBuf};

use serde::Deserialize;

/// Where nothing of the machine's is shown.
const OWN: [&str; 4] = ["/vx", "/proc", "/dev", "/sys"];

/// One exception.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Written")]
pub struct Exception {
    /// The package's name.
    pub package: String,
    /// Exactly this version: the next one has to be looked at again.
    pub version: String,
    /// Why, in the person's words.
    pub reason: String,
    /// What of the package.
    pub part: Part,
    /// The network it sees.
    pub network: Network,
    /// Files and folders that it may read, `~/` at the start for the home.
    pub read: Vec<PathBuf>,
    /// Folders that it may write to as well.
    pub write: Vec<PathBuf>,
    /// Sockets that it may connect to.
    pub socket: Vec<PathBuf>,
    /// Variables that it sees, whatever they are called.
    pub env: Vec<String>,
}

/// What of a package an exception is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// The run of its build script.
    #[default]
    Script,
    /// The compilations of its crates that load macros.
    Macros,
}

/// Which network an exception grants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Network {
    /// None, as for everybody.
    #[default]
    None,
    /// The machine's.
    Host,
}

/// As it stands in the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    package: String,
    version: String,
    reason: String,
    #[serde(default)]
    part: Part,
    #[serde(default)]
    network: bool,
    #[serde(default)]
    read: Vec<PathBuf>,
    #[serde(default)]
    write: Vec<PathBuf>,
    #[serde(default)]
    socket: Vec<PathBuf>,
    #[serde(default)]
    env: Vec<String>,
}

impl Part {
    /// For people: what of a package runs.
    pub fn words(self) -> &'static str {
        match self {
            Part::Script => "build script",
            Part::Macros => "compiler with macros",
        }
    }
}

impl Exception {
    /// What it grants, in words, in one line.
    pub fn grants(&self) -> String {
        let network = (self.network == Network::Host).then(|| "network".to_owned());
        let paths = |verb: &'static str, paths: &[PathBuf]| {
            let named = paths.iter().map(move |path| format!("{verb} {}", path.display()));
            named.collect::<Vec<_>>()
        };
        let lists = [paths("read", &self.read), paths("write", &self.write), paths("socket", &self.socket)];
        let env = self.env.iter().map(|name| format!("env {name}"));
        network.into_iter().chain(lists.into_iter().flatten()).chain(env).collect::<Vec<_>>().join(", ")
    }
}

impl TryFrom<Written> for Exception {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let Written { package, version, reason, part, network, read, write, socket, env } = written;
        let named =
            |name: &str| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c));
        if !named(&package) {
            return Err(format!("`{package}` is no package's name"));
        }
        let numbers = version.split(['-', '+']).next().unwrap_or_default();
        if numbers.split('.').count() != 3 || !numbers.split('.').all(|one| one.parse::<u64>().is_ok()) {
            return Err(format!("`{version}` is no version: an exception is for exactly one, as in \"1.2.3\""));
        }
        if reason.trim().is_empty() {
            return Err("an exception needs a reason, which status shows".to_owned());
        }
        for path in read.iter().chain(&write).chain(&socket) {
            check(path)?;
        }
        if let Some(name) = env.iter().find(|name| name.is_empty() || name.contains(['=', '*', '\0'])) {
            return Err(format!("`{name}` is no variable's name"));
        }
        let network = if network { Network::Host } else { Network::None };
        let exception = Exception { package, version, reason, part, network, read, write, socket, env };
        if exception.grants().is_empty() {
            return Err("the exception grants nothing: network, read, write, socket or env is missing".to_owned());
        }
        Ok(exception)
    }
}

/// A place below `/` or the home, written plainly.
pub(super) fn check(path: &Path) -> Result<(), String> {
    let says = |what: &str| Err(format!("`{}` {what}", path.display()));
    let below = path.strip_prefix("~").unwrap_or(path);
    if !path.is_absolute() && below == path {
        return says("is no absolute path, nor one that begins with ~/");
    }
    let plain = below.components().all(|part| matches!(part, Component::Normal(_) | Component::RootDir));
    let is_text = path.to_str().is_some_and(|text| !text.contains(['\0', '\n']));
    if !plain || !is_text || below.file_name().is_none() {
        return says("is not below / or ~/, written without . and ..");
    }
    if OWN.iter().any(|own| path.starts_with(own)) {
        return says("is where actions have places of their own");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Exception, String> {
        toml::from_str(text).map_err(|err| err.message().to_owned())
    }

    #[test]
    fn an_exception_is_for_one_version_and_has_a_reason() {
        let whole = "package = \"ort-sys\"\nversion = \"2.0.0-rc.9\"\nreason = \"downloads\"\nnetwork = true\n\
                     read = [\"/opt/sdk\"]\nwrite = [\"~/.cache/ort\"]\nenv = [\"ORT_TOKEN\"]\n";
        let exception = read(whole).expect("it is whole");
        assert_eq!(exception.grants(), "network, read /opt/sdk, write ~/.cache/ort, env ORT_TOKEN");
        assert_eq!(exception.part, Part::Script);
        for (from, to, says) in [
            ("2.0.0-rc.9", "2.0", "is no version"),
            ("2.0.0-rc.9", "*", "is no version"),
            ("downloads", " ", "needs a reason"),
            ("ort-sys", "ort sys", "is no package"),
            ("/opt/sdk", "opt/sdk", "is no absolute path"),
            ("/opt/sdk", "/", "is not below"),
            ("/opt/sdk", "~", "is not below"),
            ("/opt/sdk", "/opt/../etc", "is not below"),
            ("/opt/sdk", "/proc/1", "places of their own"),
            ("ORT_TOKEN", "ORT_*", "is no variable"),
            ("network = true", "net = true", "unknown field"),
        ] {
            let err = read(&whole.replace(from, to)).expect_err(to);
            assert!(err.contains(says), "{to}: {err}");
        }
        let nothing = "package = \"a\"\nversion = \"1.0.0\"\nreason = \"x\"\n";
        assert!(read(nothing).expect_err("it grants nothing").contains("grants nothing"));
    }
}
