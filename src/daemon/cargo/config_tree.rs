//! cargo's configuration files, and what `--config` says above them, merged as cargo merges them: a
//! tree whose every leaf remembers the folder that its relative paths start from. Knows nothing of any
//! key's meaning but which lists do not join.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use super::{config::ConfigError, files::Files};

/// `include` may nest, but not so deep.
const INCLUDE_DEPTH: usize = 16;

/// A text with the folder that it is relative to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    pub text: String,
    /// The parent of the folder that holds the file; the working folder for what `--config` sets.
    pub base: PathBuf,
}

/// A value of the merged configuration.
#[derive(Debug, Clone, PartialEq)]
pub enum Node {
    Table(BTreeMap<String, Node>),
    List(Vec<Text>),
    Text(Text),
    Bool(bool),
    /// Numbers, and lists of other things than texts: no key that matters here holds one.
    Other(toml::Value),
}

impl Node {
    pub fn get(&self, path: &[&str]) -> Option<&Node> {
        path.iter().try_fold(self, |node, key| node.table()?.get(*key))
    }

    pub fn table(&self) -> Option<&BTreeMap<String, Node>> {
        match self {
            Node::Table(table) => Some(table),
            _ => None,
        }
    }

    pub fn text(&self) -> Option<&Text> {
        match self {
            Node::Text(text) => Some(text),
            _ => None,
        }
    }

    /// A list, or a text that cargo takes for a list of words.
    pub fn words(&self) -> Option<Vec<String>> {
        match self {
            Node::List(list) => Some(list.iter().map(|one| one.text.clone()).collect()),
            Node::Text(text) => Some(text.text.split_whitespace().map(str::to_owned).collect()),
            _ => None,
        }
    }

    fn from_toml(value: toml::Value, base: &Path) -> Node {
        let text = |text: String| Text { text, base: base.to_owned() };
        match value {
            toml::Value::String(one) => Node::Text(text(one)),
            toml::Value::Boolean(one) => Node::Bool(one),
            toml::Value::Array(list) if list.iter().all(toml::Value::is_str) => {
                Node::List(list.into_iter().filter_map(|one| one.as_str().map(|one| text(one.to_owned()))).collect())
            }
            toml::Value::Table(table) => {
                Node::Table(table.into_iter().map(|(key, value)| (key, Node::from_toml(value, base))).collect())
            }
            other => Node::Other(other),
        }
    }

    /// Puts a less important value under this one: texts stay, lists join with the less
    /// important in front, tables merge key by key.
    fn merge_under(&mut self, lower: Node, path: &mut Vec<String>) {
        match (self, lower) {
            (Node::Table(upper), Node::Table(lower)) => {
                for (key, value) in lower {
                    match upper.get_mut(&key) {
                        None => drop(upper.insert(key, value)),
                        Some(node) => {
                            path.push(key);
                            node.merge_under(value, path);
                            path.pop();
                        }
                    }
                }
            }
            (Node::List(upper), Node::List(mut lower)) if joins(path) => {
                lower.append(upper);
                *upper = lower;
            }
            _ => {}
        }
    }
}

/// Programs with arguments are replaced as a whole.
fn joins(path: &[String]) -> bool {
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    !matches!(
        path[..],
        ["registries", _, "credential-provider"]
            | ["registry", "credential-provider"]
            | ["target", _, "runner"]
            | ["host", "runner"]
            | ["credential-alias", _]
            | ["doc", "browser"]
    )
}

/// The merged tree. What was looked at for it is known to `files`.
#[derive(Debug)]
pub struct Loaded {
    pub tree: Node,
    /// What of it `--config` says, which stands above variables.
    pub said: Node,
    /// The single files, most important first: some rules ask which file says something.
    pub parts: Vec<(PathBuf, Node)>,
}

/// Loads what the values of `--config` say, `.cargo/config.toml` (and the old `.cargo/config`) of
/// `cwd` and all its parents, then of CARGO_HOME.
pub fn load(files: &dyn Files, cwd: &Path, cargo_home: &Path, words: &[String]) -> Result<Loaded, ConfigError> {
    let mut loaded = said(files, cwd, words)?;
    let mut folders: Vec<PathBuf> = cwd.ancestors().map(|folder| folder.join(".cargo")).collect();
    if !folders.iter().any(|folder| folder == cargo_home) {
        folders.push(cargo_home.to_owned());
    }
    for folder in folders {
        let (old, new) = (folder.join("config"), folder.join("config.toml"));
        let old_text = read(files, &old)?;
        let new_text = read(files, &new)?;
        let (path, text) = match (old_text, new_text) {
            // The old name wins; that it is old, or that there are two, cargo says.
            (Some(text), _) => (old, text),
            (None, Some(text)) => (new, text),
            (None, None) => continue,
        };
        let node = loaded.parse(files, &path, &text, 0)?;
        loaded.tree.merge_under(node.clone(), &mut Vec::new());
        loaded.parts.push((path, node));
    }
    Ok(loaded)
}

/// What the values of `--config` alone say.
pub fn said(files: &dyn Files, cwd: &Path, words: &[String]) -> Result<Loaded, ConfigError> {
    let nothing = || Node::Table(BTreeMap::new());
    let mut loaded = Loaded { tree: nothing(), said: nothing(), parts: Vec::new() };
    for word in words {
        let mut node = loaded.word(files, cwd, word)?;
        // The last one is the most important.
        node.merge_under(std::mem::replace(&mut loaded.said, nothing()), &mut Vec::new());
        loaded.said = node;
    }
    if !words.is_empty() {
        loaded.tree = loaded.said.clone();
        loaded.parts.push(("--config".into(), loaded.said.clone()));
    }
    Ok(loaded)
}

impl Loaded {
    /// One value of `--config`. cargo, which is asked with the same words, refuses what it takes for no key.
    fn word(&mut self, files: &dyn Files, cwd: &Path, word: &str) -> Result<Node, ConfigError> {
        let path = cwd.join(word);
        // It is a file where one is.
        if !word.is_empty()
            && let Some(text) = read(files, &path)?
        {
            return self.parse(files, &path, &text, 0).map_err(|error| error.said(&path));
        }
        let table = word.parse().map_err(|source| ConfigError::word(word, source))?;
        self.included(files, cwd, (cwd, cwd), table, 0)
    }

    fn parse(&mut self, files: &dyn Files, path: &Path, text: &str, depth: usize) -> Result<Node, ConfigError> {
        let syntax = |source| ConfigError::Syntax { path: path.to_owned(), source: Box::new(source) };
        let table: toml::Table = toml::from_str(text).map_err(syntax)?;
        let folder = path.parent().unwrap_or(path);
        let base = folder.parent().unwrap_or(folder);
        self.included(files, path, (folder, base), table, depth)
    }

    /// A table above what it includes from `folder`; its paths start from `base`.
    fn included(
        &mut self,
        files: &dyn Files,
        path: &Path,
        (folder, base): (&Path, &Path),
        mut table: toml::Table,
        depth: usize,
    ) -> Result<Node, ConfigError> {
        let includes = table.remove("include");
        let mut node = Node::from_toml(toml::Value::Table(table), base);
        // The last include is the most important of them, the file itself stands above all.
        for (include, optional) in included(path, includes)?.into_iter().rev() {
            let include = folder.join(include);
            if depth >= INCLUDE_DEPTH {
                return Err(ConfigError::include(path, "includes nest too deep"));
            }
            match read(files, &include)? {
                Some(text) => {
                    let lower = self.parse(files, &include, &text, depth + 1)?;
                    node.merge_under(lower, &mut Vec::new());
                }
                None if optional => {}
                None => return Err(ConfigError::include(path, &format!("`{}` does not exist", include.display()))),
            }
        }
        Ok(node)
    }
}

fn read(files: &dyn Files, path: &Path) -> Result<Option<String>, ConfigError> {
    files.read(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source: source.into() })
}

/// The files named by `include`, and whether each may be absent.
fn included(path: &Path, include: Option<toml::Value>) -> Result<Vec<(String, bool)>, ConfigError> {
    let malformed = || ConfigError::include(path, "expected a list of strings or of tables with `path`");
    let Some(include) = include else { return Ok(Vec::new()) };
    let list = match include {
        toml::Value::Array(list) => list,
        _ => return Err(malformed()),
    };
    let one = |value: toml::Value| match value {
        toml::Value::String(text) => Ok((text, false)),
        toml::Value::Table(table) => {
            let optional = table.get("optional").and_then(toml::Value::as_bool).unwrap_or(false);
            let text = table.get("path").and_then(toml::Value::as_str).ok_or_else(malformed)?;
            Ok((text.to_owned(), optional))
        }
        _ => Err(malformed()),
    };
    list.into_iter().map(one).collect()
}
