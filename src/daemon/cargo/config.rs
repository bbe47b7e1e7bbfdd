//! What cargo's configuration means for rendering: rustflags, linker, `[env]`, target folder,
//! profiles, script overrides, from `--config`, from CARGO_* variables and from the merged files, in
//! this order. What vx does not follow is refused by name or ignored with a note; nothing is dropped
//! in silence.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    str::FromStr,
};

use cargo_platform::{Cfg, CfgExpr};

use super::{
    config_tree::{self, Loaded, Node, Text},
    files::Files,
    rejections,
};

/// Why a configuration cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("read {}: {source}", path.display())]
    Read { path: PathBuf, source: Box<std::io::Error> },
    #[error(
        "could not load Cargo configuration\n\nCaused by:\n  could not parse TOML configuration in `{}`\n\nCaused by:\n  {}",
        path.display(), source.to_string().trim_end().replace('\n', "\n  ")
    )]
    Syntax { path: PathBuf, source: Box<toml::de::Error> },
    #[error("failed to load config from `{}`\n\nCaused by:\n  {problem}", path.display())]
    Said { path: PathBuf, problem: String },
    #[error(
        "failed to parse value from --config argument `{word}` as a dotted key expression\n\nCaused by:\n  {}",
        source.to_string().trim_end().replace('\n', "\n  ")
    )]
    Word { word: String, source: Box<toml::de::Error> },
    #[error("load what {} includes: {problem}", path.display())]
    Include { path: PathBuf, problem: String },
    #[error(
        "follow cargo's configuration: {} leads out of the workspace and its repository, where vx follows nothing that came with \
         a checkout; what is yours goes above the workspace or into CARGO_HOME",
        path.display()
    )]
    Astray { path: PathBuf },
    #[error("follow cargo's configuration: `{key}` {problem}")]
    Refused { key: String, problem: String },
    #[error("error in environment variable `{name}`: {problem}")]
    Variable { name: String, problem: String },
    #[error("\"always\" progress requires a `width` key")]
    NoWidth,
    #[error("target was empty")]
    NoTarget,
    #[error(
        "\"--target\" takes a target architecture as an argument.\n\nRun `rustup target list` to see possible targets."
    )]
    NoTargetNamed,
}

impl ConfigError {
    pub(super) fn include(path: &Path, problem: &str) -> Self {
        ConfigError::Include { path: path.to_owned(), problem: problem.to_owned() }
    }

    pub(super) fn word(word: &str, source: toml::de::Error) -> Self {
        ConfigError::Word { word: word.to_owned(), source: Box::new(source) }
    }

    /// The same of a file that `--config` names.
    pub(super) fn said(self, path: &Path) -> Self {
        let text = self.to_string();
        let problem = text.strip_prefix("could not load Cargo configuration\n\nCaused by:\n  ");
        ConfigError::Said { path: path.to_owned(), problem: problem.unwrap_or(&text).to_owned() }
    }

    pub(super) fn refused(key: impl Into<String>, problem: impl Into<String>) -> Self {
        ConfigError::Refused { key: key.into(), problem: problem.into() }
    }
}

/// The person's configuration for one folder.
#[derive(Debug)]
pub struct Config {
    pub(super) tree: Node,
    /// What of it `--config` says.
    said: Node,
    /// What the person should know, in one line each.
    pub notes: Vec<String>,
    environment: BTreeMap<String, String>,
    cwd: PathBuf,
    /// `--target-dir`.
    target_dir: Option<PathBuf>,
}

impl Config {
    /// Loads and checks the configuration that cargo would have in `cwd` under `environment`, called
    /// with these values of `--config`.
    pub fn load(
        files: &dyn Files,
        cwd: &Path,
        cargo_home: &Path,
        environment: &BTreeMap<String, String>,
        words: &[String],
    ) -> Result<Self, ConfigError> {
        let loaded = config_tree::load(files, cwd, cargo_home, words)?;
        let mut notes = Vec::new();
        rejections::check(&loaded, cargo_home, environment, &mut notes)?;
        let Loaded { tree, said, .. } = loaded;
        let (environment, cwd) = (environment.clone(), cwd.to_owned());
        Ok(Config { tree, said, notes, environment, cwd, target_dir: None })
    }

    /// The same where the words say where outputs go.
    pub fn with_target_dir(self, target_dir: Option<PathBuf>) -> Self {
        Config { target_dir, ..self }
    }

    pub(super) fn variable(&self, name: &str) -> Option<&str> {
        self.environment.get(name).map(String::as_str)
    }

    /// The variable of a key, where `--config` does not set the key.
    pub(super) fn variable_of(&self, path: &[&str]) -> Option<&str> {
        let is_said = self.said.get(path).is_some();
        self.variable(&variable_name(path)).filter(|_| !is_said)
    }

    /// A list of words: the files' value, the variable's words, then those of `--config`.
    fn words(&self, path: &[&str]) -> Vec<String> {
        let of = |tree: &Node| tree.get(path).and_then(Node::words).unwrap_or_default();
        let mut words = of(&self.tree);
        if let Some(value) = self.variable(&variable_name(path)) {
            // They were put at the end of the list, or in its place.
            let at = words.len().saturating_sub(of(&self.said).len());
            words.splice(at..at, value.split_whitespace().map(str::to_owned));
        }
        words
    }

    /// A text: `--config` wins over the variable, that over the files; its paths start from the
    /// working folder.
    pub(super) fn text(&self, path: &[&str]) -> Option<Text> {
        match self.variable_of(path) {
            Some(value) => Some(Text { text: value.to_owned(), base: self.cwd.clone() }),
            None => self.tree.get(path).and_then(Node::text).cloned(),
        }
    }

    /// The `[target]` tables whose `cfg()` holds, by name.
    fn matching<'a>(&'a self, cfg: &'a [Cfg]) -> Result<Vec<(&'a str, &'a Node)>, ConfigError> {
        let mut found = Vec::new();
        for (key, node) in self.tree.get(&["target"]).and_then(Node::table).into_iter().flatten() {
            let Some(inner) = key.strip_prefix("cfg(").and_then(|rest| rest.strip_suffix(')')) else { continue };
            let expression = CfgExpr::from_str(inner)
                .map_err(|error| ConfigError::refused(format!("target.'{key}'"), error.to_string()))?;
            if expression.matches(cfg) {
                found.push((key.as_str(), node));
            }
        }
        Ok(found)
    }

    /// Flags for every rustc call: the first source that has any wins. Without `cfg` the
    /// `target.'cfg()'` tables are left out: cargo's first question to rustc goes without them.
    pub fn rustflags(&self, triple: &str, cfg: Option<&[Cfg]>) -> Result<Vec<String>, ConfigError> {
        self.flags(["CARGO_ENCODED_RUSTFLAGS", "RUSTFLAGS"], "rustflags", triple, cfg)
    }

    /// The same for every rustdoc call.
    pub fn rustdocflags(&self, triple: &str, cfg: &[Cfg]) -> Result<Vec<String>, ConfigError> {
        self.flags(["CARGO_ENCODED_RUSTDOCFLAGS", "RUSTDOCFLAGS"], "rustdocflags", triple, Some(cfg))
    }

    fn flags(
        &self,
        [encoded, plain]: [&str; 2],
        key: &str,
        triple: &str,
        cfg: Option<&[Cfg]>,
    ) -> Result<Vec<String>, ConfigError> {
        if let Some(encoded) = self.variable(encoded) {
            let flags = encoded.split('\x1f').map(str::to_owned).collect();
            return Ok(if encoded.is_empty() { Vec::new() } else { flags });
        }
        if let Some(plain) = self.variable(plain) {
            return Ok(plain.split(' ').map(str::trim).filter(|flag| !flag.is_empty()).map(str::to_owned).collect());
        }
        let mut flags = self.words(&["target", triple, key]);
        for (_, node) in self.matching(cfg.unwrap_or_default())? {
            if cfg.is_some() {
                flags.extend(node.get(&[key]).and_then(Node::words).unwrap_or_default());
            }
        }
        if flags.is_empty() {
            flags = self.words(&["build", key]);
        }
        Ok(flags)
    }

    /// The linker: `target.TRIPLE`'s, else the one table's whose `cfg()` holds.
    pub fn linker(&self, triple: &str, cfg: &[Cfg]) -> Result<Option<String>, ConfigError> {
        if let Some(linker) = self.text(&["target", triple, "linker"]) {
            return Ok(Some(program(&linker)));
        }
        let with_linker = |(key, node): (_, &Node)| Some((key, program(node.get(&["linker"])?.text()?)));
        let mut matching: Vec<(&str, String)> = self.matching(cfg)?.into_iter().filter_map(with_linker).collect();
        if let [(first, _), (second, _), ..] = matching[..] {
            let problem = format!("and `target.'{second}'.linker` both match this target; keep one");
            return Err(ConfigError::refused(format!("target.'{first}'.linker"), problem));
        }
        Ok(matching.pop().map(|(_, linker)| linker))
    }

    /// What is started in the place of a program that was built, with its first words:
    /// `target.TRIPLE.runner`, else the one table's whose `cfg()` holds.
    pub fn runner(&self, triple: &str, cfg: &[Cfg]) -> Result<Vec<String>, ConfigError> {
        let own = ["target", triple, "runner"];
        if let Some(value) = self.variable_of(&own) {
            return Ok(command(value.split_whitespace(), &self.cwd));
        }
        if let Some(node) = self.tree.get(&own) {
            return runner(node);
        }
        let matching = self.matching(cfg)?.into_iter();
        let mut matching: Vec<(&str, &Node)> =
            matching.filter_map(|(key, node)| Some((key, node.get(&["runner"])?))).collect();
        if let [(first, _), (second, _), ..] = matching[..] {
            let problem = format!("and `target.'{second}'.runner` both match this target; keep one");
            return Err(ConfigError::refused(format!("target.'{first}'.runner"), problem));
        }
        matching.pop().map_or_else(|| Ok(Vec::new()), |(_, node)| runner(node))
    }

    /// Where the person names a rustdoc that is not the toolchain's.
    pub fn names_rustdoc(&self) -> Option<String> {
        let variable = ["RUSTDOC", "CARGO_BUILD_RUSTDOC"].into_iter().find(|name| self.variable(name).is_some());
        let key = self.tree.get(&["build", "rustdoc"]).map(|_| "build.rustdoc");
        variable.or(key).map(str::to_owned)
    }

    /// What pages are shown with, as far as the person chose: `doc.browser`, else `BROWSER`, which is
    /// the path of a program.
    pub fn browser(&self) -> Result<Vec<String>, ConfigError> {
        let key = ["doc", "browser"];
        if let Some(value) = self.variable_of(&key) {
            return Ok(command(value.split_whitespace(), &self.cwd));
        }
        match self.tree.get(&key) {
            Some(node) => runner(node),
            None => Ok(self.variable("BROWSER").map(str::to_owned).into_iter().collect()),
        }
    }

    /// `[env]` as programs see it: the person's own variable wins unless `force` is set.
    pub fn env(&self) -> Result<BTreeMap<String, String>, ConfigError> {
        let mut resolved = BTreeMap::new();
        for (name, node) in self.tree.get(&["env"]).and_then(Node::table).into_iter().flatten() {
            if ["CARGO_HOME", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN"].contains(&name.as_str()) {
                return Err(ConfigError::refused(format!("env.{name}"), "cannot be set there; cargo refuses it too"));
            }
            let flag = |key: &str| matches!(node.get(&[key]), Some(Node::Bool(true)));
            let text = node.text().or_else(|| node.get(&["value"])?.text());
            let text = text.ok_or_else(|| ConfigError::refused(format!("env.{name}"), "is no string"))?;
            let value = match self.variable(name) {
                Some(own) if !flag("force") => own.to_owned(),
                _ if flag("relative") => text.base.join(&text.text).to_string_lossy().into_owned(),
                _ => text.text.clone(),
            };
            resolved.insert(name.clone(), value);
        }
        Ok(resolved)
    }

    /// Where the person expects the outputs.
    pub fn target_dir(&self, workspace_root: &Path) -> PathBuf {
        if let Some(dir) = &self.target_dir {
            return self.cwd.join(dir);
        }
        if let Some(dir) = self.variable("CARGO_TARGET_DIR").filter(|dir| !dir.is_empty()) {
            return self.cwd.join(dir);
        }
        match self.text(&["build", "target-dir"]) {
            Some(dir) => dir.base.join(dir.text),
            None => workspace_root.join("target"),
        }
    }

    /// `build.build-dir`.
    pub fn build_dir(&self) -> Option<String> {
        self.text(&["build", "build-dir"]).map(|dir| dir.text)
    }

    /// The targets of a build whose words name none.
    pub fn targets(&self) -> Vec<String> {
        match self.variable_of(&["build", "target"]) {
            Some(target) => vec![target.to_owned()],
            None => self.tree.get(&["build", "target"]).and_then(Node::words).unwrap_or_default(),
        }
    }

    /// `build.jobs`, as it is written.
    pub fn jobs(&self) -> Option<String> {
        let path = ["build", "jobs"];
        match (self.text(&path), self.tree.get(&path)) {
            (Some(jobs), _) => Some(jobs.text),
            (None, Some(Node::Other(toml::Value::Integer(jobs)))) => Some(jobs.to_string()),
            _ => None,
        }
    }

    /// What a custom profile inherits, where the configuration says so.
    pub fn profile_inherits(&self, profile: &str) -> Option<String> {
        self.text(&["profile", profile, "inherits"]).map(|text| text.text)
    }

    /// The table that stands in for running the script of a package that `links` so.
    pub fn links_override(&self, triple: &str, links: &str) -> Option<&BTreeMap<String, Node>> {
        if ["ar", "linker", "runner", "rustflags", "rustdocflags"].contains(&links) {
            return None;
        }
        self.tree.get(&["target", triple, links])?.table()
    }
}

/// A program named by configuration: a path when it has a slash, else found through PATH.
fn program(text: &Text) -> String {
    if text.text.contains('/') {
        return text.base.join(&text.text).to_string_lossy().into_owned();
    }
    text.text.clone()
}

fn runner(node: &Node) -> Result<Vec<String>, ConfigError> {
    match node {
        Node::Text(text) => Ok(command(text.text.split_whitespace(), &text.base)),
        Node::List(list) if !list.is_empty() => Ok(command(list.iter().map(|one| one.text.as_str()), &list[0].base)),
        _ => Err(ConfigError::refused("target.*.runner", "is neither a text nor a list of texts")),
    }
}

/// A program and its words; a path starts from `base`.
fn command<'a>(mut words: impl Iterator<Item = &'a str>, base: &Path) -> Vec<String> {
    let first = words.next().map(|first| program(&Text { text: first.to_owned(), base: base.to_owned() }));
    first.into_iter().chain(words.map(str::to_owned)).collect()
}

/// `target.x86_64-unknown-linux-gnu.linker` → `CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_LINKER`.
pub(super) fn variable_name(path: &[&str]) -> String {
    let words: Vec<String> = path.iter().map(|word| word.replace(['-', '.'], "_").to_uppercase()).collect();
    format!("CARGO_{}", words.join("_"))
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
