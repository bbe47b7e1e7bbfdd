//! cargo's own questions to rustc before a build: the words to ask with and what the answers say.
//! The answers are obtained through execd; `CARGO_CFG_*` must come from exactly this question,
//! because a plain `--print cfg` answers differently on some targets.

use std::str::FromStr;

use cargo_platform::Cfg;

use super::{
    config::{Config, ConfigError},
    platform::Asked,
};

/// Why an answer of rustc could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    #[error("read rustc -vV: no line begins with `{0}`")]
    Version(&'static str),
    #[error("read rustc's target information: {0}")]
    Target(String),
    #[error("read rustc's target information: {0}")]
    Cfg(#[from] cargo_platform::ParseError),
    #[error(transparent)]
    Config(#[from] ConfigError),
}

/// The crate types cargo asks about, in its order.
const CRATE_TYPES: [&str; 6] = ["bin", "rlib", "dylib", "cdylib", "staticlib", "proc-macro"];
/// The crate name that stands where the name goes in the answers.
const NAME: &str = "___";

/// Which rustc it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rustc {
    /// The host triple.
    pub host: String,
    pub version: semver::Version,
    /// All that it says of itself.
    pub verbose: String,
}

impl Rustc {
    /// The words after `rustc` that ask.
    pub const ARGS: [&str; 1] = ["-vV"];

    /// Reads the answer.
    pub fn parse(stdout: &str) -> Result<Self, ProbeError> {
        let line = |key: &'static str| {
            let found = stdout.lines().find_map(|line| line.strip_prefix(key));
            found.map(str::trim).ok_or(ProbeError::Version(key))
        };
        let version = semver::Version::parse(line("release:")?).map_err(|_| ProbeError::Version("release:"))?;
        Ok(Rustc { host: line("host:")?.to_owned(), version, verbose: stdout.to_owned() })
    }

    /// Whether crates may use what is not stable.
    pub fn has_features(&self) -> bool {
        !self.version.pre.is_empty() && !self.version.pre.starts_with("beta")
    }

    /// Whether it is of this release or newer.
    pub fn is_from(&self, minor: u64) -> bool {
        (self.version.major, self.version.minor) >= (1, minor)
    }

    /// Whether `--remap-path-scope` is stable there.
    pub fn has_remap_scope(&self) -> bool {
        (self.version.major, self.version.minor) >= (1, 95)
    }
}

/// What rustc says about its target under given flags.
#[derive(Debug, Clone)]
pub struct Probe {
    /// The rustflags it was asked with.
    pub rustflags: Vec<String>,
    pub cfg: Vec<Cfg>,
    pub split_debuginfo: Vec<String>,
    /// Crate type, prefix and suffix of the files rustc makes for it.
    files: Vec<(&'static str, String, String)>,
}

impl Probe {
    /// The words after `rustc` that ask.
    pub fn args(asked: &Asked, rustflags: &[String]) -> Vec<String> {
        let mut args: Vec<String> = ["-", "--crate-name", NAME, "--print=file-names"].map(str::to_owned).into();
        args.extend_from_slice(rustflags);
        args.extend(asked.target().into_iter().flat_map(|triple| ["--target".to_owned(), triple.to_owned()]));
        for crate_type in CRATE_TYPES {
            args.extend(["--crate-type".to_owned(), crate_type.to_owned()]);
        }
        let prints = ["--print=sysroot", "--print=split-debuginfo", "--print=crate-name", "--print=cfg", "-Wwarnings"];
        args.extend(prints.map(str::to_owned));
        args
    }

    /// Reads the answer to [`Probe::args`].
    pub fn parse(rustflags: &[String], stdout: &str, stderr: &str) -> Result<Self, ProbeError> {
        let unsupported = |crate_type: &str| {
            let quoted = format!("crate type `{crate_type}`");
            stderr.lines().any(|line| {
                (line.contains("unsupported crate type") || line.contains("unknown crate type"))
                    && line.contains(&quoted)
            })
        };
        let mut lines = stdout.lines();
        let mut files = Vec::new();
        for crate_type in CRATE_TYPES {
            if unsupported(crate_type) {
                continue;
            }
            let line = lines.next().ok_or_else(|| ProbeError::Target(format!("nothing for {crate_type}: {stderr}")))?;
            let (prefix, suffix) = line
                .trim()
                .split_once(NAME)
                .ok_or_else(|| ProbeError::Target(format!("`{line}` is no file name of a {crate_type}")))?;
            files.push((crate_type, prefix.to_owned(), suffix.to_owned()));
        }
        lines.next().ok_or_else(|| ProbeError::Target("no sysroot".to_owned()))?;
        let split_debuginfo = lines.by_ref().take_while(|line| *line != NAME).map(str::to_owned).collect();
        // Said because the question names proc-macro among the crate types, not of the target.
        let of_target = lines.filter(|line| *line != "proc_macro");
        let cfg = of_target.map(|line| Ok(Cfg::from_str(line)?)).collect::<Result<_, ProbeError>>()?;
        Ok(Probe { rustflags: rustflags.to_vec(), cfg, split_debuginfo, files })
    }

    /// The rustflags to ask with next, none where `known` already answers: flags may depend on
    /// the target's cfg, which depends on the flags; cargo asks at most twice.
    pub fn next(
        asked: &Asked,
        config: &Config,
        rustc: &Rustc,
        known: &[Probe],
    ) -> Result<Option<Vec<String>>, ProbeError> {
        let Some(last) = known.last() else { return Ok(Some(asked.rustflags(config, rustc, None)?)) };
        let flags = asked.rustflags(config, rustc, Some(&last.cfg))?;
        Ok((flags != last.rustflags && known.len() < 2).then_some(flags))
    }

    /// Prefix and suffix of the file that rustc makes for a crate type.
    pub fn file(&self, crate_type: &str) -> Option<(&str, &str)> {
        let crate_type = if crate_type == "lib" { "rlib" } else { crate_type };
        self.files.iter().find(|(one, _, _)| *one == crate_type).map(|(_, prefix, suffix)| (&**prefix, &**suffix))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_rustc_prints() {
        let stdout = "___\nlib___.rlib\nlib___.so\nlib___.so\nlib___.a\nlib___.so\n/sysroot\noff\npacked\n___\nunix\ntarget_os=\"linux\"\n";
        let probe = Probe::parse(&[], stdout, "").expect("an answer");
        assert_eq!(probe.file("lib"), Some(("lib", ".rlib")));
        assert_eq!(probe.file("bin"), Some(("", "")));
        assert_eq!(probe.split_debuginfo, ["off", "packed"]);
        assert_eq!(probe.cfg.len(), 2);
        let musl = "___\nlib___.rlib\nlib___.a\nlib___.so\n/sysroot\n___\nunix\n";
        let dropped = "warning: dropping unsupported crate type `dylib` for target\nwarning: dropping unsupported crate type `cdylib` for target\n";
        let probe = Probe::parse(&[], musl, dropped).expect("an answer");
        assert_eq!((probe.file("dylib"), probe.file("staticlib")), (None, Some(("lib", ".a"))));
        assert!(Probe::parse(&[], "", "boom").is_err());
    }

    #[test]
    fn reads_the_version() {
        let rustc = Rustc::parse("rustc 1.95.0 (abc 2026-03-21)\nhost: x86_64-unknown-linux-gnu\nrelease: 1.95.0\n");
        let rustc = rustc.expect("a version");
        assert!(rustc.has_remap_scope() && rustc.host == "x86_64-unknown-linux-gnu");
        assert!(Rustc::parse("x").is_err());
    }
}
