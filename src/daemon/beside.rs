//! Files of the person's repository that lie beside the workspace: a schema, a README, migrations in
//! a folder above. They are no part of the view until a unit is seen to ask for one; then it runs
//! again with that, read-only where it looks for it, and its content is part of the key. Outside of
//! the repository only what an exception of vx.toml names is shown so.

use std::{
    fs,
    path::{Path, PathBuf},
};

use shared::{
    checkout::Scope,
    limits, paths,
    reapi::{
        property::{BESIDE, READ},
        record::RunRecord,
    },
};

use crate::{
    cargo::{
        call::Call,
        locate, outside,
        package::Source,
        placed::Standing,
        plan::{Plan, Unit},
        unshown::{MISSED, MODULE},
    },
    exceptions::{self, Exceptions},
    sources::Hashes,
};

/// What such a name begins with, before the way from the workspace's root; no variable's does.
const NAME: &str = "beside ";
/// What programs say that miss a file.
const LACKS: [&str; 4] = ["os error 2", "No such file", "not exist", "file not found for module"];
/// Links from one to the next.
const LINKS: usize = 8;

/// What of the person's around a workspace a unit may be shown.
struct Around<'a> {
    root: &'a Path,
    /// The repository, where that is more than the workspace.
    repository: Option<PathBuf>,
    /// What exceptions name.
    excepted: &'a [PathBuf],
}

impl<'a> Around<'a> {
    fn of(plan: &'a Plan, unit: &Unit, excepted: &'a [PathBuf]) -> Option<Self> {
        let root = plan.workspace_root.as_path();
        let is_member = matches!(plan.package(unit).source, Source::Member { .. });
        let is_more = |repository: &PathBuf| fs::canonicalize(root).is_ok_and(|root| root != *repository);
        let repository = outside::repository(root).filter(is_more);
        let may = is_member && (repository.is_some() || !excepted.is_empty());
        may.then_some(Around { root, repository, excepted })
    }

    /// What really lies at a path of the person's, if it may be shown.
    fn real(&self, path: &Path) -> Option<PathBuf> {
        let real = fs::canonicalize(path).ok()?;
        let is_of_it = self.repository.as_ref().is_some_and(|repository| outside::is_of_repository(repository, &real));
        let lies_in = |one: &PathBuf| fs::canonicalize(one).is_ok_and(|one| real.starts_with(one));
        let holds_root = fs::canonicalize(self.root).is_ok_and(|root| root.starts_with(&real));
        let may = !holds_root && !path.starts_with(self.root) && (is_of_it || self.excepted.iter().any(lies_in));
        may.then_some(real)
    }

    /// Where the links on the way to a path in the workspace lead, as far as they say it from where they are: an
    /// absolute one leads nowhere in a view.
    fn beyond(&self, path: PathBuf) -> PathBuf {
        let mut path = path;
        for _ in 0..LINKS {
            let above: Vec<&Path> = path.ancestors().take_while(|above| *above != self.root).collect();
            let link = above.into_iter().rev().find_map(|above| Some((above, fs::read_link(above).ok()?)));
            let Some((link, target)) = link.filter(|(_, target)| target.is_relative()) else { break };
            if !link.starts_with(self.root) {
                break;
            }
            let (folder, rest) = (link.parent().unwrap_or(self.root), path.strip_prefix(link).unwrap_or(Path::new("")));
            path = locate::clean(&folder.join(target).join(rest));
        }
        path
    }

    /// Where links in a package lead to beside the workspace.
    fn by_links(&self, package: &Path, target_dir: &Path) -> Vec<PathBuf> {
        let scope = Scope { root: self.root, target_dir };
        let (mut found, mut open, mut looked) = (Vec::new(), vec![package.to_owned()], 0);
        while let Some(folder) = open.pop() {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                let (path, Ok(kind)) = (entry.path(), entry.file_type()) else { continue };
                looked += 1;
                if looked > limits::SEEN_PATHS {
                    return found;
                }
                if kind.is_symlink() {
                    found.push(self.beyond(path));
                } else if kind.is_dir() && !scope.hides_folder(&path) {
                    open.push(path);
                }
            }
        }
        found.retain(|path| self.real(path).is_some());
        found
    }

    /// The way from the root to a path beside it.
    fn way(&self, path: &Path) -> Option<String> {
        let mut up = PathBuf::new();
        for above in self.root.ancestors() {
            if let Ok(below) = path.strip_prefix(above) {
                return up.join(below).to_str().map(str::to_owned);
            }
            up.push("..");
        }
        None
    }
}

/// The names of what a unit's run asked for and could have, where exceptions name these paths.
pub fn names(
    plan: &Plan,
    unit: &Unit,
    call: &Call,
    excepted: &[PathBuf],
    record: Option<&RunRecord>,
    stderr: &str,
) -> Vec<String> {
    let Some(around) = Around::of(plan, unit, excepted) else { return Vec::new() };
    let missed = stderr.split(MISSED).skip(1).filter_map(|rest| rest.split_once('`'));
    // rustc's words come as text in JSON too.
    let escaped = MODULE.replace('"', "\\\"");
    let modules = [MODULE, &escaped].into_iter().flat_map(|words| stderr.split(words).skip(1));
    let missed = missed.chain(modules.filter_map(|rest| rest.split_once(['"', '\\'])));
    let missed = missed.map(|(path, _)| locate::clean(&around.root.join(plan.mounts.to_real(path))));
    let tried = record.into_iter().flat_map(|record| &record.tried);
    let tried = tried.filter(|tried| tried.kind == "open").filter_map(|tried| at_home(&tried.what));
    let asked = missed.chain(tried).map(|path| around.beyond(path)).filter(|path| around.real(path).is_some());
    // Nobody hears of a path that goes through a link, and a script may do without what is not there.
    let package = &plan.package(unit).real;
    let linked = if call.needs.reads_freely { around.by_links(package, &plan.target_dir) } else { Vec::new() };
    let asked = asked.chain(linked);
    asked.filter_map(|path| Some(format!("{NAME}{}", around.way(&path)?))).collect()
}

/// A path as the executor names it: the person's, with `~` for the home.
fn at_home(what: &str) -> Option<PathBuf> {
    match what.strip_prefix("~/") {
        Some(below) => Some(paths::home()?.join(below)),
        None => what.starts_with('/').then(|| PathBuf::from(what)),
    }
}

/// Whether a unit's run asked git, whose folder lies above the workspace and is not shown.
pub fn lacks_git(plan: &Plan, unit: &Unit, record: &RunRecord) -> bool {
    let asked = record.tools.iter().any(|tool| Path::new(tool).file_name().is_some_and(|name| name == "git"));
    asked && Around::of(plan, unit, &[]).is_some()
}

/// Whether a unit that failed may have lacked such a file, which is seen when it runs again.
pub fn may_lack(plan: &Plan, unit: &Unit, excepted: &[PathBuf], stderr: &str) -> bool {
    LACKS.iter().any(|words| stderr.contains(words)) && Around::of(plan, unit, excepted).is_some()
}

/// Gives the call of a unit what it is known to ask for.
pub fn give(
    plan: &Plan,
    unit: &Unit,
    (hashes, exceptions): (&Hashes, &Exceptions),
    named: &[String],
    standing: Standing,
    call: &mut Call,
) {
    let mut ways = named.iter().filter_map(|name| name.strip_prefix(NAME)).peekable();
    let excepted = exceptions.to_read(unit);
    let Some(around) = ways.peek().and_then(|_| Around::of(plan, unit, excepted)) else { return };
    for way in ways {
        let path = locate::clean(&around.root.join(way));
        let Some(real) = around.real(&path) else { continue };
        let content = exceptions::content(hashes, &real).unwrap_or_else(|err| err.to_string().replace(':', " "));
        call.granted.0.insert((BESIDE, format!("{content}:{way}")));
        if standing == Standing::Here && path == real {
            call.granted.0.insert((READ, format!("{content}:{}", path.display())));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_rest_of_the_repository_may_be_shown() {
        let folder = tempfile::tempdir().expect("a folder");
        let top = fs::canonicalize(folder.path()).expect("it is there");
        for made in ["repo/.git", "repo/a/ws/src", "repo/proto", "other", "named/deep"] {
            fs::create_dir_all(top.join(made)).expect("folders");
        }
        for file in ["named/deep/x", "repo/proto/x", "other/secret", "repo/.git/config"] {
            fs::write(top.join(file), "x").expect("a file");
        }
        std::os::unix::fs::symlink(top.join("other"), top.join("repo/out")).expect("a link");
        let root = top.join("repo/a/ws");
        let excepted = [top.join("named")];
        let around = Around { root: &root, repository: Some(top.join("repo")), excepted: &excepted };
        let shown = |path: &str| around.real(&locate::clean(&root.join(path))).is_some();
        for path in ["../../proto", "../../proto/x", "../../../named", "../../../named/deep/x"] {
            assert!(shown(path), "{path}");
        }
        for path in ["src", "..", "../..", "../../../other/secret", "../../out/secret", "../../.git/config", "../gone"]
        {
            assert!(!shown(path), "{path}");
        }
        assert_eq!(around.way(&top.join("repo/proto/x")).as_deref(), Some("../../proto/x"));
        let link = |target: &str, at: &str| std::os::unix::fs::symlink(target, root.join(at)).expect("a link");
        link("../../../proto", "src/proto");
        link("proto", "src/again");
        link("../src/again/x", "x");
        link("/etc", "src/etc");
        for (path, leads) in [
            ("src/proto/x", "repo/proto/x"),
            ("src/again/x", "repo/proto/x"),
            ("src/etc/x", "repo/a/ws/src/etc/x"),
            ("src/gone", "repo/a/ws/src/gone"),
        ] {
            assert_eq!(around.beyond(root.join(path)), top.join(leads), "{path}");
        }
    }
}
