//! One reason why a unit was run, in words, and how two builds' parts become reasons.

use std::{collections::BTreeSet, fmt};

use serde::{Deserialize, Serialize};

use super::Parts;

/// A reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// Nothing is known of an earlier build here.
    First,
    /// Nothing changed, but the store has no result: it was never kept, or made room for others.
    Gone,
    /// Another version of vx makes other actions.
    Key,
    /// rustc and its libraries.
    Toolchain,
    /// The host's C tools.
    Tools,
    /// Arguments: profile, features, flags, lints.
    Arguments,
    /// It names where it lies.
    Place,
    /// What vx.toml grants it, or what is there to read.
    Exception,
    /// A program of the host that it runs.
    Program(String),
    /// A variable.
    Variable(String),
    /// A file is another one.
    File(String),
    /// A file is there that was not.
    Appeared(String),
    /// A file is gone.
    Disappeared(String),
    /// A package of which everything counts.
    Package(String),
    /// The commit or the tags.
    Commit,
    /// The index, or a file that it names.
    Tracked,
    /// What a dependency left.
    Output(String),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::First => f.write_str("first build here"),
            Reason::Gone => f.write_str("nothing changed, but the store has no result"),
            Reason::Key => f.write_str("another version of vx"),
            Reason::Toolchain => f.write_str("the toolchain changed"),
            Reason::Tools => f.write_str("the system's C tools changed"),
            Reason::Arguments => f.write_str("arguments changed (profile, features, flags or lints)"),
            Reason::Place => f.write_str("it names the place of the checkout"),
            Reason::Exception => f.write_str("its exception in vx.toml changed, or what that lets it read"),
            Reason::Program(path) => write!(f, "the system's {path} changed"),
            Reason::Variable(name) => write!(f, "variable {name} changed"),
            Reason::File(path) => write!(f, "{path} changed"),
            Reason::Appeared(path) => write!(f, "{path} is new"),
            Reason::Disappeared(path) => write!(f, "{path} is gone"),
            Reason::Package(path) if path.is_empty() => f.write_str("its package changed"),
            Reason::Package(path) => write!(f, "package {path} changed"),
            Reason::Commit => f.write_str("the commit changed"),
            Reason::Tracked => f.write_str("what git tracks changed, or its index"),
            Reason::Output(unit) => write!(f, "{unit} changed"),
        }
    }
}

/// What is not as it was, what people do most first.
pub fn differences(before: &Parts, now: &Parts) -> Vec<Reason> {
    let mut found: Vec<(u8, Reason)> = Vec::new();
    let names: BTreeSet<&String> = before.keys().chain(now.keys()).collect();
    for name in names {
        let (old, new) = (before.get(name).map(String::as_str), now.get(name).map(String::as_str));
        if old != new {
            let (kind, about) = name.split_once(' ').unwrap_or((name, ""));
            found.extend(reasons(kind, about, old.unwrap_or_default(), new.unwrap_or_default()));
        }
    }
    found.sort_by_key(|(order, _)| *order);
    let mut reasons: Vec<Reason> = Vec::new();
    for (_, reason) in found {
        if !reasons.contains(&reason) {
            reasons.push(reason);
        }
    }
    reasons
}

fn reasons(kind: &str, about: &str, old: &str, new: &str) -> Vec<(u8, Reason)> {
    let about = about.to_owned();
    let one = |order, reason| vec![(order, reason)];
    match kind {
        "file" | "declared" | "module" => match (old, new) {
            ("" | "absent", _) => one(0, Reason::Appeared(about)),
            (_, "" | "absent") => one(0, Reason::Disappeared(about)),
            _ => one(0, Reason::File(about)),
        },
        "names" => names(&about, old, new),
        "commit" => one(1, Reason::Commit),
        "tracked" => one(2, Reason::Tracked),
        "output" => one(2, Reason::Output(about)),
        "variable" => one(3, Reason::Variable(about)),
        "package" => one(1, Reason::Package(about)),
        "arguments" => one(4, Reason::Arguments),
        "place" => one(5, Reason::Place),
        "program" => one(1, Reason::Program(about)),
        "exception" => one(0, Reason::Exception),
        "toolchain" => one(0, Reason::Toolchain),
        "tools" => one(0, Reason::Tools),
        _ => one(0, Reason::Key),
    }
}

/// Which names of a folder came and went.
fn names(folder: &str, old: &str, new: &str) -> Vec<(u8, Reason)> {
    let path = |name: &str| {
        let name = name.split(" -> ").next().unwrap_or(name).trim_end_matches('/');
        if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
    };
    let (old, new): (BTreeSet<&str>, BTreeSet<&str>) = (old.lines().collect(), new.lines().collect());
    let came = new.difference(&old).map(|name| (1, Reason::Appeared(path(name))));
    came.chain(old.difference(&new).map(|name| (1, Reason::Disappeared(path(name))))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(pairs: &[(&str, &str)]) -> Parts {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn what_people_do_most_comes_first() {
        let before = parts(&[
            ("variable CC", "1"),
            ("file src/a.rs", "1"),
            ("names src", "a.rs\nm/"),
            ("output base v1 (lib)", "1"),
            ("module src/a/mod.rs", "absent"),
            ("key", "1"),
        ]);
        let mut now = before.clone();
        now.insert("variable CC".to_owned(), "2".to_owned());
        now.insert("output base v1 (lib)".to_owned(), "2".to_owned());
        let words = |now: &Parts| differences(&before, now).iter().map(Reason::to_string).collect::<Vec<_>>();
        assert_eq!(words(&now), ["base v1 (lib) changed", "variable CC changed"]);
        now.insert("file src/a.rs".to_owned(), "2".to_owned());
        now.insert("names src".to_owned(), "a.rs\nb.rs".to_owned());
        now.insert("module src/a/mod.rs".to_owned(), "file".to_owned());
        assert_eq!(words(&now)[..4], ["src/a.rs changed", "src/a/mod.rs is new", "src/b.rs is new", "src/m is gone"]);
        assert!(differences(&before, &before).is_empty());
    }
}
