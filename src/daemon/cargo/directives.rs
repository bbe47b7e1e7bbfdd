//! What a build script says on its standard output: cargo's directives in both syntaxes, with
//! cargo's errors and warnings word for word. What they do to a call is `rustc`'s.

use std::collections::BTreeMap;

use super::{
    config_tree::Node,
    unit::{Kind, Unit},
    unit_graph::Target,
};

/// Why a script's output is refused; worded as cargo words it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct DirectiveError(String);

/// Which targets a link argument is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkArg {
    All,
    Cdylib,
    Bins,
    Bin(String),
    Tests,
    Benches,
    Examples,
}

impl LinkArg {
    /// Whether it applies to a unit's call.
    pub fn applies_to(&self, unit: &Unit) -> bool {
        self.applies(&unit.target, unit.kind)
    }

    fn applies(&self, target: &Target, kind: Kind) -> bool {
        match self {
            LinkArg::All => true,
            LinkArg::Cdylib => kind != Kind::Test && target.is_cdylib(),
            LinkArg::Bins => target.is_bin(),
            LinkArg::Bin(name) => target.is_bin() && target.name == *name,
            LinkArg::Tests => target.is_test(),
            LinkArg::Benches => target.is_bench(),
            LinkArg::Examples => target.is_exe_example(),
        }
    }
}

/// How serious a message of a script is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    Warning,
    Error,
}

/// All that one run said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Directives {
    /// `-L` values, some with a `native=` or the like in front.
    pub library_paths: Vec<String>,
    pub libraries: Vec<String>,
    pub link_args: Vec<(LinkArg, String)>,
    pub cfgs: Vec<String>,
    pub check_cfgs: Vec<String>,
    pub env: Vec<(String, String)>,
    /// What direct dependents' scripts see as `DEP_LINKS_KEY`.
    pub metadata: Vec<(String, String)>,
    pub rerun_if_changed: Vec<String>,
    pub rerun_if_env_changed: Vec<String>,
    pub messages: Vec<(Severity, String)>,
}

impl Directives {
    /// A script that says an error has failed, however it exits.
    pub fn has_errors(&self) -> bool {
        self.messages.iter().any(|(severity, _)| *severity == Severity::Error)
    }
}

/// Who printed, for the rules that look at the package and for messages.
#[derive(Debug, Clone, Copy)]
pub struct Speaker<'a> {
    /// `NAME vVERSION`, with the path behind it for path packages.
    pub package: &'a str,
    pub targets: &'a [Target],
    pub rust_version: Option<&'a str>,
    /// The library's crate name: under this name RUSTC_BOOTSTRAP may be allowed.
    pub library: Option<&'a str>,
    /// The person's RUSTC_BOOTSTRAP.
    pub bootstrap: Option<&'a str>,
    /// OUT_DIR when the script ran, and now: replaced in every value.
    pub out_dir: (&'a str, &'a str),
}

const DOCS: &str = "See https://doc.rust-lang.org/cargo/reference/build-scripts.html#outputs-of-the-build-script \
    for more information about build script outputs.";

/// What the old syntax knows; any other key there is metadata.
const RESERVED: [&str; 17] = [
    "rustc-flags",
    "rustc-link-lib",
    "rustc-link-search",
    "rustc-link-arg-cdylib",
    "rustc-cdylib-link-arg",
    "rustc-link-arg-bins",
    "rustc-link-arg-bin",
    "rustc-link-arg-tests",
    "rustc-link-arg-benches",
    "rustc-link-arg-examples",
    "rustc-link-arg",
    "rustc-cfg",
    "rustc-check-cfg",
    "rustc-env",
    "warning",
    "rerun-if-changed",
    "rerun-if-env-changed",
];

/// Reads a script's standard output.
pub fn parse(stdout: &[u8], speaker: Speaker<'_>) -> Result<Directives, DirectiveError> {
    let mut said = Directives::default();
    for line in stdout.split(|byte| *byte == b'\n') {
        let Ok(line) = str::from_utf8(line) else { continue };
        let line = line.trim();
        let (syntax, data) = match (line.strip_prefix("cargo::"), line.strip_prefix("cargo:")) {
            (Some(data), _) => ("cargo::", data),
            (None, Some(data)) => ("cargo:", data),
            (None, None) => continue,
        };
        if syntax == "cargo::" {
            check_rust_version(data, speaker)?;
        }
        let is_metadata = syntax == "cargo:" && !is_reserved(data);
        let (key, value) = if is_metadata { ("metadata", data) } else { split(syntax, data, line, speaker)? };
        let value = value.replace(speaker.out_dir.0, speaker.out_dir.1);
        Line { syntax, key, line, speaker }.apply(&value, &mut said)?;
    }
    Ok(said)
}

/// A failed run's messages, which cargo shows although the rest of the output is void.
pub fn messages(stdout: &[u8]) -> Vec<(Severity, String)> {
    let mut found = Vec::new();
    for line in String::from_utf8_lossy(stdout).lines() {
        let warning = line.strip_prefix("cargo:warning=").or_else(|| line.strip_prefix("cargo::warning="));
        found.extend(line.strip_prefix("cargo::error=").map(|text| (Severity::Error, text.to_owned())));
        found.extend(warning.map(|text| (Severity::Warning, text.to_owned())));
    }
    found
}

fn is_reserved(data: &str) -> bool {
    data.split_once('=').is_some_and(|(key, _)| RESERVED.contains(&key))
}

fn whence(speaker: Speaker<'_>) -> String {
    format!("build script of `{}`", speaker.package)
}

fn split<'a>(
    syntax: &str,
    data: &'a str,
    line: &str,
    speaker: Speaker<'_>,
) -> Result<(&'a str, &'a str), DirectiveError> {
    data.split_once('=').map(|(key, value)| (key, value.trim_end())).ok_or_else(|| {
        DirectiveError(format!(
            "invalid output in {}: `{line}`\nExpected a line with `{syntax}KEY=VALUE` with an `=` character, \
             but none was found.\n{DOCS}",
            whence(speaker)
        ))
    })
}

fn check_rust_version(data: &str, speaker: Speaker<'_>) -> Result<(), DirectiveError> {
    let Some(minimum) = speaker.rust_version else { return Ok(()) };
    let mut parts = minimum.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    if (parts.next().unwrap_or(0), parts.next().unwrap_or(0)) >= (1, 77) {
        return Ok(());
    }
    let old = match data.strip_prefix("metadata=") {
        _ if is_reserved(data) => format!("Switch to the old `cargo:{data}` syntax (note the single colon).\n"),
        Some(old) => {
            format!("Switch to the old `cargo:{old}` syntax instead of `cargo::{data}` (note the single colon).\n")
        }
        None => String::new(),
    };
    Err(DirectiveError(format!(
        "the `cargo::` syntax for build script output instructions was added in Rust 1.77.0, but the minimum \
         supported Rust version of `{}` is {minimum}.\n{old}{DOCS}",
        speaker.package
    )))
}

/// One directive, with what its messages name.
struct Line<'a> {
    syntax: &'a str,
    key: &'a str,
    line: &'a str,
    speaker: Speaker<'a>,
}

impl Line<'_> {
    fn apply(&self, value: &str, said: &mut Directives) -> Result<(), DirectiveError> {
        let text = value.to_owned();
        match self.key {
            "rustc-flags" => rustc_flags(value, &whence(self.speaker), said)?,
            "rustc-link-lib" => said.libraries.push(text),
            "rustc-link-search" => said.library_paths.push(text),
            "rustc-link-arg" => said.link_args.push((LinkArg::All, text)),
            "rustc-link-arg-cdylib" | "rustc-cdylib-link-arg" => self.cdylib(text, said),
            "rustc-link-arg-bins" => self.link_arg("bin", Target::is_bin, LinkArg::Bins, text, said)?,
            "rustc-link-arg-tests" => self.link_arg("test", Target::is_test, LinkArg::Tests, text, said)?,
            "rustc-link-arg-benches" => self.link_arg("benchmark", Target::is_bench, LinkArg::Benches, text, said)?,
            "rustc-link-arg-examples" => self.link_arg("example", Target::is_example, LinkArg::Examples, text, said)?,
            "rustc-link-arg-bin" => self.one_bin(value, said)?,
            "rustc-cfg" => said.cfgs.push(text),
            "rustc-check-cfg" => said.check_cfgs.push(text),
            "rustc-env" => self.env(value, said)?,
            "error" => said.messages.push((Severity::Error, text)),
            "warning" => said.messages.push((Severity::Warning, text)),
            "rerun-if-changed" => said.rerun_if_changed.push(text),
            "rerun-if-env-changed" => said.rerun_if_env_changed.push(text),
            "metadata" => {
                let syntax = if self.syntax == "cargo:" { "cargo:" } else { "cargo::metadata=" };
                let (key, value) = split(syntax, value, self.line, self.speaker)?;
                said.metadata.push((key.to_owned(), value.to_owned()));
            }
            unknown => {
                let (whence, line) = (whence(self.speaker), self.line);
                return Err(DirectiveError(format!(
                    "invalid output in {whence}: `{line}`\nUnknown key: `{unknown}`.\n{DOCS}"
                )));
            }
        }
        Ok(())
    }

    fn link_arg(
        &self,
        kind: &str,
        is_kind: fn(&Target) -> bool,
        which: LinkArg,
        value: String,
        said: &mut Directives,
    ) -> Result<(), DirectiveError> {
        if !self.speaker.targets.iter().any(is_kind) {
            return Err(DirectiveError(format!(
                "invalid instruction `{}{}` from {}\nThe package {} does not have a {kind} target.",
                self.syntax,
                self.key,
                whence(self.speaker),
                self.speaker.package
            )));
        }
        said.link_args.push((which, value));
        Ok(())
    }

    fn one_bin(&self, value: &str, said: &mut Directives) -> Result<(), DirectiveError> {
        let (syntax, key, whence) = (self.syntax, self.key, whence(self.speaker));
        let (name, arg) = value.split_once('=').ok_or_else(|| {
            DirectiveError(format!(
                "invalid instruction `{syntax}{key}={value}` from {whence}\n\
                 The instruction should have the form {syntax}{key}=BIN=ARG"
            ))
        })?;
        if !self.speaker.targets.iter().any(|target| target.is_bin() && target.name == name) {
            return Err(DirectiveError(format!(
                "invalid instruction `{syntax}{key}` from {whence}\n\
                 The package {} does not have a bin target with the name `{name}`.",
                self.speaker.package
            )));
        }
        said.link_args.push((LinkArg::Bin(name.to_owned()), arg.to_owned()));
        Ok(())
    }

    fn cdylib(&self, value: String, said: &mut Directives) {
        if !self.speaker.targets.iter().any(Target::is_cdylib) {
            let text = format!(
                "{}{} was specified in the build script of {}, but that package does not contain a cdylib target\n\n\
                 Allowing this was an unintended change in the 1.50 release, and may become an error in the future. \
                 For more information, see <https://github.com/rust-lang/cargo/issues/9562>.",
                self.syntax, self.key, self.speaker.package
            );
            said.messages.push((Severity::Warning, text));
        }
        said.link_args.push((LinkArg::Cdylib, value));
    }

    fn env(&self, value: &str, said: &mut Directives) -> Result<(), DirectiveError> {
        let whence = whence(self.speaker);
        let (name, value) = value
            .split_once('=')
            .ok_or_else(|| DirectiveError(format!("Variable rustc-env has no value in {whence}: {value}")))?;
        if name != "RUSTC_BOOTSTRAP" {
            said.env.push((name.to_owned(), value.to_owned()));
            return Ok(());
        }
        let text = format!(
            "cannot set `RUSTC_BOOTSTRAP={value}` from {whence}.\nnote: crates cannot set `RUSTC_BOOTSTRAP` \
             themselves, as doing so would subvert the stability guarantees of Rust for your project."
        );
        let library = self.speaker.library;
        let allowed =
            self.speaker.bootstrap.is_some_and(|own| own == "1" || own.split(',').any(|one| Some(one) == library));
        if !allowed {
            return Err(DirectiveError(format!(
                "{text}\nhelp: If you're sure you want to do this in your project, set the environment variable \
                 `RUSTC_BOOTSTRAP={}` before running cargo instead.",
                library.unwrap_or("1")
            )));
        }
        said.messages.push((Severity::Warning, text));
        Ok(())
    }
}

fn rustc_flags(value: &str, whence: &str, said: &mut Directives) -> Result<(), DirectiveError> {
    let mut words = value.split_whitespace();
    while let Some(word) = words.next() {
        let (list, rest) = match (word.strip_prefix("-l"), word.strip_prefix("-L")) {
            (Some(rest), _) => (&mut said.libraries, rest),
            (None, Some(rest)) => (&mut said.library_paths, rest),
            (None, None) => {
                let text = format!("only `-l` and `-L` flags are allowed in {whence}: `{value}`");
                return Err(DirectiveError(text));
            }
        };
        let own = if rest.is_empty() { words.next() } else { Some(rest) };
        let own = own.ok_or_else(|| DirectiveError(format!("flag in rustc-flags has no value in {whence}: ")))?;
        list.push(own.to_owned());
    }
    Ok(())
}

/// What a `target.TRIPLE.LINKS` table says in place of a script.
pub fn from_table(table: &BTreeMap<String, Node>, whence: &str) -> Result<Directives, DirectiveError> {
    let mut said = Directives::default();
    for (key, node) in table {
        let malformed = || DirectiveError(format!("`{key}` in {whence} has the wrong form"));
        let list = || match node {
            Node::List(list) => Ok(list.iter().map(|one| one.text.clone()).collect::<Vec<_>>()),
            Node::Text(text) => Ok(vec![text.text.clone()]),
            _ => Err(malformed()),
        };
        let args = |which: LinkArg| list().map(|list| list.into_iter().map(|arg| (which.clone(), arg)).collect());
        let mut link_args: Vec<(LinkArg, String)> = match key.as_str() {
            "rustc-link-arg" => args(LinkArg::All)?,
            "rustc-link-arg-cdylib" | "rustc-cdylib-link-arg" => args(LinkArg::Cdylib)?,
            "rustc-link-arg-bins" => args(LinkArg::Bins)?,
            "rustc-link-arg-tests" => args(LinkArg::Tests)?,
            "rustc-link-arg-benches" => args(LinkArg::Benches)?,
            "rustc-link-arg-examples" => args(LinkArg::Examples)?,
            _ => Vec::new(),
        };
        said.link_args.append(&mut link_args);
        match key.as_str() {
            key if key.starts_with("rustc-link-arg") || key == "rustc-cdylib-link-arg" => {}
            "rustc-flags" => rustc_flags(&node.text().ok_or_else(malformed)?.text, whence, &mut said)?,
            "rustc-link-lib" => said.libraries.extend(list()?),
            "rustc-link-search" => said.library_paths.extend(list()?),
            "rustc-cfg" => said.cfgs.extend(list()?),
            "rustc-check-cfg" => said.check_cfgs.extend(list()?),
            "rustc-env" => {
                for (name, value) in node.table().ok_or_else(malformed)? {
                    said.env.push((name.clone(), value.text().ok_or_else(malformed)?.text.clone()));
                }
            }
            "warning" | "rerun-if-changed" | "rerun-if-env-changed" => {
                return Err(DirectiveError(format!("`{key}` is not supported in build script overrides")));
            }
            _ => said.metadata.push((key.clone(), node.text().ok_or_else(malformed)?.text.clone())),
        }
    }
    Ok(said)
}

#[cfg(test)]
#[path = "directives_tests.rs"]
mod tests;
