//! One look at a checkout: what a record of an action names there, as it is now, and the first of it that
//! changed while the action ran. What is recorded is `records`'s.

use std::{
    collections::HashMap,
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use shared::{
    checkout::Git,
    digest::{Digest, Function, Hasher},
    fault::{Failure, Fault},
    limits,
    reapi::record::RunRecord,
};

use super::{Checkout, Scan, join};
use crate::{
    records::{Facts, Known, Record},
    sources::{self, Nested, Scope, Stamp},
};

/// Other tools' packages: what is opened of them counts, but not every name.
const ASIDE: &str = "node_modules";

/// What a run that is over comes to.
pub struct Settled {
    /// What it opened.
    pub record: Record,
    /// All that this names, as it is now.
    pub facts: Facts,
    /// The first of it that changed since the run began.
    pub changed: Option<String>,
}

/// Looks at all that a run has opened; `before` is the checkout when it began.
pub async fn settle(
    checkout: &Arc<Checkout>,
    run: RunRecord,
    known: Known,
    before: Arc<Scan>,
) -> Result<Settled, Failure> {
    let checkout = Arc::clone(checkout);
    let look = move || {
        let record = Record::of(&run, known, &before);
        let mut glance = Glance::new(&checkout);
        let facts = glance.facts(&record);
        Settled { record, facts, changed: glance.changed_since(&before) }
    };
    blocking(look).await
}

/// Looks at the checkout where that may block.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Failure> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|err| Failure::new(Fault::Bug, format!("looking at the checkout: {err}")))
}

/// One look at the checkout: nothing is looked at twice.
#[derive(Debug)]
pub struct Glance<'a> {
    checkout: &'a Checkout,
    files: HashMap<String, String>,
    folders: HashMap<String, String>,
    trees: HashMap<(String, Nested), String>,
}

impl<'a> Glance<'a> {
    /// A look at what is there now.
    pub fn new(checkout: &'a Checkout) -> Self {
        Glance { checkout, files: HashMap::new(), folders: HashMap::new(), trees: HashMap::new() }
    }

    /// All that a record names, as it is now. A key is the digest over these.
    pub fn facts(&mut self, record: &Record) -> Facts {
        let mut facts = Facts::new();
        for path in record.opened.iter().chain(&record.links) {
            facts.insert(format!("file {path}"), self.file(path));
        }
        for path in &record.declared {
            facts.insert(format!("declared {path}"), self.declared(path));
        }
        for folder in record.folders() {
            facts.insert(format!("names {folder}"), self.names(&folder));
        }
        // Also where all names on the way count: the other place may lie in a folder beside the way.
        for path in record.alternatives() {
            facts.insert(format!("module {path}"), self.kind(&path).to_owned());
        }
        if let Some(package) = &record.package {
            if !package.is_empty() {
                self.names_below(package, &mut facts);
            }
            // A script also asks whether something is there beside its package, and nothing sees that it asked.
            self.names_below("", &mut facts);
        }
        if let Some(package) = &record.whole {
            facts.insert(format!("package {package}"), self.tree(package, Nested::LeftOut));
        }
        if record.git {
            facts.insert("commit".to_owned(), self.commit());
        }
        if record.index {
            facts.insert("tracked".to_owned(), self.tracked());
        }
        facts
    }

    /// Such facts by their names alone, for what is named so; others are left out.
    pub fn again(&mut self, names: &[String]) -> Facts {
        let mut facts = Facts::new();
        for name in names {
            let fact = match name.split_once(' ').unwrap_or((name, "")) {
                ("file", path) => self.file(path),
                ("declared", path) => self.declared(path),
                ("names", folder) => self.names(folder),
                ("module", path) => self.kind(path).to_owned(),
                ("package", folder) if !folder.starts_with('/') => self.tree(folder, Nested::LeftOut),
                ("commit", "") => self.commit(),
                ("tracked", "") => self.tracked(),
                _ => continue,
            };
            facts.insert(name.clone(), fact);
        }
        facts
    }

    fn commit(&self) -> String {
        let git = Git::of(&self.checkout.root);
        let text = git.as_ref().map_or_else(String::new, Git::text);
        format!("{} {}", git.as_ref().map_or("", Git::commit), blake3(&text))
    }

    /// All that git tracks, as the index says and as it is.
    fn tracked(&mut self) -> String {
        let Some(git) = Git::of(&self.checkout.root) else { return String::new() };
        let Some(tracked) = git.tracked() else {
            // Of a form that nobody knows here all of it counts, stamps too.
            return git.index.as_deref().map_or_else(String::new, |index| self.content(index));
        };
        let mut hidden = HashMap::from([(PathBuf::new(), false)]);
        let mut hasher = Hasher::new(Function::Blake3);
        for one in tracked {
            let folder = Path::new(&one.path).parent().unwrap_or(Path::new(""));
            // What an action does not see it does not compare, and no scan has it.
            if self.is_below_hidden(folder, &mut hidden) {
                continue;
            }
            for part in [one.path.as_bytes(), &one.said, self.file(&one.path).as_bytes()] {
                hasher.update(&(part.len() as u64).to_le_bytes());
                hasher.update(part);
            }
        }
        hasher.finish().hex()
    }

    fn is_below_hidden(&self, folder: &Path, known: &mut HashMap<PathBuf, bool>) -> bool {
        if let Some(known) = known.get(folder) {
            return *known;
        }
        let real = self.checkout.root.join(folder);
        let above = folder.parent().is_some_and(|above| self.is_below_hidden(above, known));
        let hides = above || self.checkout.scope().hides_folder(&real);
        known.insert(folder.to_owned(), hides);
        hides
    }

    /// The first thing that is not as it was, of all that was looked at.
    pub fn changed_since(&self, before: &Scan) -> Option<String> {
        for (path, fact) in &self.files {
            let now = fs::symlink_metadata(self.checkout.root.join(path)).ok();
            let same = match (before.files.get(path), &now) {
                (Some((stamp, content)), Some(meta)) => {
                    let same_content = content.is_none_or(|content| fact.starts_with(&content.hex()));
                    *stamp == Stamp::of(meta) && same_content
                }
                (None, Some(meta)) => meta.is_dir() && before.folders.contains_key(path),
                (known, None) => known.is_none() && !before.folders.contains_key(path),
            };
            if !same {
                return Some(path.clone());
            }
        }
        let folder = self.folders.iter().find(|(folder, names)| {
            let before = before.folders.get(*folder).map_or("absent", String::as_str);
            before != names.as_str()
        });
        if let Some((folder, _)) = folder {
            return Some(if folder.is_empty() { "the workspace's folder".to_owned() } else { folder.clone() });
        }
        if self.trees.is_empty() {
            return None;
        }
        let now = Scan::take(self.checkout).ok()?;
        self.trees.keys().find_map(|(folder, _)| before.differs_below(&now, folder))
    }

    fn file(&mut self, path: &str) -> String {
        if let Some(known) = self.files.get(path) {
            return known.clone();
        }
        let real = self.checkout.root.join(path);
        let fact = match fs::symlink_metadata(&real) {
            Err(_) => "absent".to_owned(),
            Ok(meta) if meta.is_dir() => "folder".to_owned(),
            Ok(meta) if meta.is_symlink() => {
                let target = fs::read_link(&real).unwrap_or_default();
                format!("-> {} {}", target.to_string_lossy(), self.content(&real))
            }
            Ok(meta) if meta.is_file() => {
                let content = self.checkout.hashes.of(&real, &meta);
                let mode = if meta.mode() & 0o100 == 0 { "" } else { " x" };
                content.map_or_else(|err| format!("unreadable: {err}"), |digest| format!("{}{mode}", digest.hex()))
            }
            Ok(_) => "special".to_owned(),
        };
        self.files.insert(path.to_owned(), fact.clone());
        fact
    }

    /// What a link leads to.
    fn content(&self, real: &Path) -> String {
        match fs::metadata(real) {
            Ok(meta) if meta.is_file() => self.checkout.hashes.of(real, &meta).map_or(String::new(), |one| one.hex()),
            Ok(_) => "folder".to_owned(),
            Err(_) => "absent".to_owned(),
        }
    }

    fn kind(&mut self, path: &str) -> &'static str {
        match self.file(path).as_str() {
            "absent" => "absent",
            "folder" => "folder",
            _ => "file",
        }
    }

    fn names(&mut self, folder: &str) -> String {
        let checkout = self.checkout;
        self.folders.entry(folder.to_owned()).or_insert_with(|| checkout.names(folder)).clone()
    }

    /// What a script asked to be rerun for: a file's content, a folder's whole, or that there is
    /// nothing.
    fn declared(&mut self, path: &str) -> String {
        match self.file(path) {
            fact if fact == "folder" => self.tree(path, Nested::Kept),
            fact => fact,
        }
    }

    fn tree(&mut self, folder: &str, nested: Nested) -> String {
        let checkout = self.checkout;
        let read = || {
            let scope = Scope { checkout: &checkout.root, target_dir: &checkout.target_dir, nested };
            let read = sources::tree(&checkout.hashes, &checkout.root.join(folder), scope);
            read.map_or_else(|err| format!("unreadable: {err}"), |tree| tree.root.hex())
        };
        self.trees.entry((folder.to_owned(), nested)).or_insert_with(read).clone()
    }

    /// The names in every folder of a package, or of the workspace; packages inside are their own.
    fn names_below(&mut self, package: &str, facts: &mut Facts) {
        let mut open = vec![package.to_owned()];
        while let Some(folder) = open.pop() {
            let names = self.names(&folder);
            for name in names.lines().filter_map(|line| line.strip_suffix('/')) {
                let below = join(&folder, name);
                let is_own = self.checkout.root.join(&below).join(crate::cargo::MANIFEST).is_file();
                if name != ASIDE && !is_own && facts.len() < limits::SEEN_PATHS {
                    open.push(below);
                }
            }
            facts.insert(format!("names {folder}"), names);
        }
    }
}

fn blake3(text: &str) -> String {
    Digest::of(Function::Blake3, text.as_bytes()).hex()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::Counting;

    fn record(opened: &[&str], package: Option<&str>) -> Record {
        Record {
            opened: opened.iter().map(|&path| path.to_owned()).collect(),
            listed: Default::default(),
            links: Default::default(),
            counting: Counting::All,
            package: package.map(str::to_owned),
            whole: None,
            declared: Default::default(),
            git: false,
            index: false,
            variables: Default::default(),
            placed: Default::default(),
        }
    }

    #[test]
    fn what_a_script_may_ask_for_beside_its_package_counts() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path().to_owned();
        for (path, text) in
            [("mine/Cargo.toml", ""), ("other/Cargo.toml", ""), ("shared/a/b/held", ""), ("other/src/a", "")]
        {
            let path = root.join(path);
            fs::create_dir_all(path.parent().expect("a file lies in a folder")).expect("a folder");
            fs::write(path, text).expect("a file");
        }
        let record = record(&["mine/Cargo.toml"], Some("mine"));
        let checkout = Checkout::new(root.clone(), root.join("target"), Arc::default());
        let before = Glance::new(&checkout).facts(&record);
        fs::write(root.join("other/src/b"), "").expect("a file");
        assert_eq!(Glance::new(&checkout).facts(&record), before, "another package is not asked");
        fs::write(root.join("shared/a/b/flag"), "").expect("a file");
        assert_ne!(Glance::new(&checkout).facts(&record), before);
    }

    #[test]
    fn a_second_place_of_a_module_counts_beside_the_way_too() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path().to_owned();
        fs::create_dir_all(root.join("src/m")).expect("a folder");
        fs::write(root.join("src/m.rs"), "").expect("a file");
        let record = record(&["src/m.rs"], None);
        let checkout = Checkout::new(root.clone(), root.join("target"), Arc::default());
        let before = Glance::new(&checkout).facts(&record);
        fs::write(root.join("src/m/mod.rs"), "").expect("a file");
        assert_ne!(Glance::new(&checkout).facts(&record), before);
    }
}
