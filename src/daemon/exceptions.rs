//! Exceptions of vx.toml as one build uses them: which unit is given what, as properties of its
//! Action and variables of its call. What a path to read holds is looked at here, once a build, so
//! that it is part of the key. What the properties mean is the executor's.

use std::{
    collections::{BTreeMap, HashMap},
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use shared::{
    config::{Exception, Network, Part},
    digest::{Function, Hasher},
    fault::{Failure, Fault},
    limits, paths,
    reapi::property::{NETWORK, READ, SOCKET, WRITE},
};

use crate::{
    cargo::{
        call::{Call, Granted},
        environment::Ambient,
        plan::{Kind, Plan, Unit},
    },
    sources::Hashes,
};

/// What the exceptions in use give the packages of one plan.
#[derive(Debug, Default)]
pub struct Exceptions {
    given: HashMap<(usize, Part), Given>,
    /// Versions that have one, by package and part.
    versions: BTreeMap<(String, Part), Vec<String>>,
}

#[derive(Debug, Default)]
struct Given {
    granted: Granted,
    read: Vec<PathBuf>,
    env: Vec<String>,
}

impl Exceptions {
    /// Those of a plan's packages, with what there is to read now.
    pub async fn gather(all: &[Exception], plan: &Arc<Plan>, hashes: &Arc<Hashes>) -> Result<Self, Failure> {
        if all.is_empty() {
            return Ok(Exceptions::default());
        }
        let (all, plan, hashes) = (all.to_vec(), Arc::clone(plan), Arc::clone(hashes));
        let gathered = tokio::task::spawn_blocking(move || read(&all, &plan, &hashes)).await;
        gathered.map_err(|err| Failure::new(Fault::Bug, format!("looking at exceptions: {err}")))?
    }

    /// Gives a unit's call what is its own.
    pub fn give(&self, unit: &Unit, call: &mut Call, ambient: &Ambient) {
        if self.given.is_empty() || !call.needs.reads_freely {
            return;
        }
        let Some(given) = self.given.get(&(unit.package, part(unit))) else { return };
        call.granted = given.granted.clone();
        for name in &given.env {
            if let Some(value) = ambient.get(name) {
                call.env.entry(name.clone()).or_insert_with(|| value.to_owned());
            }
        }
    }

    /// What a unit's exceptions let it read.
    pub fn to_read(&self, unit: &Unit) -> &[PathBuf] {
        self.given.get(&(unit.package, part(unit))).map_or(&[], |given| &given.read)
    }

    /// The versions of a package that have an exception, where the one at hand is none of them.
    pub fn of_others(&self, plan: &Plan, unit: &Unit) -> Option<&[String]> {
        let package = plan.package(unit);
        let versions = self.versions.get(&(package.name.clone(), part(unit)))?;
        (!versions.contains(&package.version)).then_some(versions)
    }
}

/// What of its package a unit is.
pub fn part(unit: &Unit) -> Part {
    if unit.kind == Kind::BuildScriptRun { Part::Script } else { Part::Macros }
}

fn read(all: &[Exception], plan: &Plan, hashes: &Hashes) -> Result<Exceptions, Failure> {
    let mut exceptions = Exceptions::default();
    for one in all {
        exceptions.versions.entry((one.package.clone(), one.part)).or_default().push(one.version.clone());
        let is_its = |(_, package): &(usize, &crate::cargo::package::Package)| {
            package.name == one.package && package.version == one.version
        };
        for (package, _) in plan.packages.iter().enumerate().filter(is_its) {
            let given = exceptions.given.entry((package, one.part)).or_default();
            let of = |err: io::Error, path: &Path| {
                let what = format!("the exception for {} {}: {}: {err}", one.package, one.version, path.display());
                Failure::new(Fault::User, what)
            };
            let mut add = |name: &'static str, value: String| given.granted.0.extend([(name, value)]);
            if one.network == Network::Host {
                add(NETWORK, "host".to_owned());
            }
            for path in &one.read {
                let path = at_home(path);
                let content = content(hashes, &path).map_err(|err| of(err, &path))?;
                add(READ, format!("{content}:{}", path.display()));
                given.read.push(path);
            }
            for (name, paths) in [(WRITE, &one.write), (SOCKET, &one.socket)] {
                paths.iter().for_each(|path| add(name, at_home(path).display().to_string()));
            }
            given.env.extend(one.env.iter().cloned());
        }
    }
    Ok(exceptions)
}

fn at_home(path: &Path) -> PathBuf {
    match (path.strip_prefix("~"), paths::home()) {
        (Ok(below), Some(home)) => home.join(below),
        _ => path.to_owned(),
    }
}

/// What tells one content of a path from another: names, links and files, all the way down.
pub fn content(hashes: &Hashes, top: &Path) -> io::Result<String> {
    let mut hasher = Hasher::new(Function::Blake3);
    let mut open = vec![top.to_owned()];
    let mut count = 0;
    while let Some(path) = open.pop() {
        count += 1;
        if count > limits::TREE_NODES {
            return Err(io::Error::other(format!("it holds more than {} files", limits::TREE_NODES)));
        }
        let meta = match if count == 1 { fs::metadata(&path) } else { fs::symlink_metadata(&path) } {
            Ok(meta) => meta,
            Err(err) if err.kind() == io::ErrorKind::NotFound => continue,
            Err(err) => return Err(err),
        };
        let what = if meta.is_dir() {
            let names: io::Result<Vec<PathBuf>> = fs::read_dir(&path)?.map(|entry| Ok(entry?.path())).collect();
            let mut names = names?;
            names.sort_unstable_by(|a, b| b.cmp(a));
            open.extend(names);
            "folder".to_owned()
        } else if meta.is_symlink() {
            format!("link {}", fs::read_link(&path)?.display())
        } else if meta.is_file() {
            hashes.of(&path, &meta)?.hex()
        } else {
            "other".to_owned()
        };
        let below = path.strip_prefix(top).unwrap_or(&path);
        for text in [below.as_os_str().as_encoded_bytes(), what.as_bytes()] {
            hasher.update(&(text.len() as u64).to_le_bytes());
            hasher.update(text);
        }
    }
    Ok(hasher.finish().hex())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_change_below_a_path_is_another_content() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let (hashes, path) = (Hashes::default(), dir.path().join("sdk"));
        let now = || content(&hashes, &path).expect("it can be read");
        let mut seen = vec![now()];
        let mut changed = |what: &str| {
            let now = now();
            assert!(!seen.contains(&now), "{what}");
            seen.push(now);
        };
        fs::create_dir_all(path.join("lib/deep")).expect("a folder");
        changed("it appeared");
        fs::write(path.join("lib/deep/a"), "a").expect("a file");
        changed("a file");
        fs::write(path.join("lib/deep/a"), "longer").expect("a file");
        changed("its content");
        fs::rename(path.join("lib/deep/a"), path.join("lib/a")).expect("another place");
        changed("its place");
        std::os::unix::fs::symlink("a", path.join("lib/b")).expect("a link");
        changed("a link");
        assert_eq!(now(), *seen.last().expect("many"));
    }
}
