//! Documentation as files to place: each crate's pages, and what all have in common, as one call left
//! it. Pages of items that are gone go too, as cargo has it; a documentation that failed leaves the
//! folder as it was.

use std::{
    collections::HashSet,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use shared::{
    digest::Digest,
    fault::{Failure, Fault},
    limits,
};

use crate::{
    cargo::{
        files, place,
        plan::{Kind, Plan, Unit},
        rustdoc,
    },
    out_dirs,
    outcome::Outcome,
    place::Item,
    services::Services,
};

/// rustdoc's own lock, which it leaves behind.
const LOCK: &str = ".lock";
/// Beside a folder of documentation, with cargo's word on the rustc that it is of: another one's
/// rustdoc may not be able to read what it goes on with.
const FINGERPRINT: &str = ".rustdoc_fingerprint.json";
/// The folder whose files are named by their content.
const SEARCH_INDEX: &str = "search.index";

/// What goes into folders of documentation.
#[derive(Default)]
pub struct Pages {
    /// All files.
    pub items: Vec<Item>,
    /// The folders of a target's documentation.
    roots: Vec<PathBuf>,
    /// Folders in which nothing else is.
    whole: Vec<PathBuf>,
    /// What is to stand beside the folders.
    fingerprint: String,
}

impl Pages {
    /// Whether there are any.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }
}

/// All that a build documented.
pub async fn pages(services: &Services, plan: &Plan, outcomes: &[Option<Outcome>]) -> Result<Pages, Failure> {
    let mut pages = Pages { fingerprint: fingerprint(plan), ..Pages::default() };
    let mut trees: Vec<(PathBuf, Digest)> = Vec::new();
    for merge in plan.units.iter().filter(|unit| unit.kind == Kind::DocMerge) {
        let Some(common) = outcomes[merge.id.0].as_ref().and_then(|left| left.folders.get(rustdoc::MERGED)) else {
            continue;
        };
        let root = plan.target_dir.join(place::doc_folder(merge));
        trees.push((root.clone(), *common));
        pages.whole.push(root.join(SEARCH_INDEX));
        for unit in rustdoc::hidden(plan, merge) {
            let left = outcomes[unit.id.0].iter().flat_map(|left| &left.folders);
            let sources = left.filter(|(name, _)| **name != unit.target.crate_name());
            trees.extend(sources.map(|(name, digest)| (root.join(name), *digest)));
        }
        let documented = rustdoc::merged(plan, merge);
        for unit in &documented {
            let left = outcomes[unit.id.0].iter().flat_map(|left| &left.folders);
            trees.extend(left.map(|(name, digest)| (root.join(name), *digest)));
            pages.whole.push(root.join(unit.target.crate_name()));
        }
        let last = documented.last().and_then(|unit| outcomes[unit.id.0].as_ref());
        for name in rustdoc::OWN_PAGES {
            let page = last.and_then(|left| left.files.get(name));
            pages.items.extend(page.map(|(digest, mode)| Item {
                path: root.join(name),
                digest: *digest,
                mode: *mode,
                dep_info: None,
            }));
        }
        pages.roots.push(root);
    }
    pages.items.extend(out_dirs::files(services, trees).await?);
    Ok(pages)
}

/// Removes what earlier runs left where only what was placed now belongs.
pub struct Sweep {
    kept: HashSet<PathBuf>,
    roots: Vec<PathBuf>,
    whole: Vec<PathBuf>,
    fingerprint: String,
}

impl From<&Pages> for Sweep {
    fn from(pages: &Pages) -> Self {
        let kept = pages.items.iter().map(|item| item.path.clone()).collect();
        Sweep { kept, roots: pages.roots.clone(), whole: pages.whole.clone(), fingerprint: pages.fingerprint.clone() }
    }
}

impl Sweep {
    /// Before anything is placed: pages of another rustc go, all of them, but for hidden files.
    pub fn clear(&self) -> Result<(), Failure> {
        // What a link leads to is not vx's to clear, and nothing will be placed there.
        let is_folder = |root: &&PathBuf| fs::symlink_metadata(root).is_ok_and(|meta| meta.is_dir());
        let outdated = |root: &&PathBuf| is_of_another(root, &self.fingerprint);
        for root in self.roots.iter().filter(is_folder).filter(outdated) {
            let clear = || {
                for entry in fs::read_dir(root)?.filter_map(Result::ok) {
                    let path = entry.path();
                    match entry.file_type()?.is_dir() {
                        _ if entry.file_name().as_encoded_bytes().starts_with(b".") => {}
                        true => fs::remove_dir_all(path)?,
                        false => fs::remove_file(path)?,
                    }
                }
                Ok(())
            };
            clear().map_err(|err: io::Error| failed(root, &err))?;
        }
        Ok(())
    }

    /// Does it, when everything is placed.
    pub fn run(&self) -> Result<(), Failure> {
        for folder in &self.whole {
            self.below(folder, limits::TREE_DEPTH).map_err(|err| failed(folder, &err))?;
        }
        for root in &self.roots {
            let beside = root.with_file_name(FINGERPRINT);
            if text(&beside).is_none_or(|text| text != self.fingerprint) {
                // A link there leads no write elsewhere.
                let _not_there = fs::remove_file(&beside);
                fs::write(&beside, &self.fingerprint).map_err(|err| failed(&beside, &err))?;
            }
            match File::create_new(root.join(LOCK)) {
                Err(err) if err.kind() != io::ErrorKind::AlreadyExists => return Err(failed(root, &err)),
                _ => {}
            }
        }
        Ok(())
    }

    /// Never through a link: what that leads to is not documentation.
    fn below(&self, folder: &Path, depth: usize) -> io::Result<()> {
        let entries = match fs::read_dir(folder) {
            Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            let path = entry.path();
            if entry.file_type()?.is_dir() {
                if depth > 0 {
                    self.below(&path, depth - 1)?;
                    // One that something is kept in stays.
                    let _is_empty = fs::remove_dir(&path);
                }
            } else if !self.kept.contains(&path) {
                fs::remove_file(&path)?;
            }
        }
        Ok(())
    }
}

/// As cargo writes it.
fn fingerprint(plan: &Plan) -> String {
    serde_json::json!({ "rustc_vv": plan.rustc.verbose }).to_string()
}

/// Whether the pages of a unit's folder are of another rustc, and go when its own are placed.
pub fn is_outdated(plan: &Plan, unit: &Unit) -> bool {
    is_of_another(&plan.target_dir.join(place::doc_folder(unit)), &fingerprint(plan))
}

fn is_of_another(root: &Path, fingerprint: &str) -> bool {
    let rustc = |text: &str| Some(serde_json::from_str::<serde_json::Value>(text).ok()?.get("rustc_vv")?.to_string());
    text(&root.with_file_name(FINGERPRINT)).is_some_and(|text| rustc(&text) != rustc(fingerprint))
}

fn text(path: &Path) -> Option<String> {
    files::text(path).ok()
}

fn failed(path: &Path, err: &io::Error) -> Failure {
    Failure::new(Fault::User, format!("failed to clear `{}`: {err}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn only_what_was_placed_stays() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        for dir in ["home", "doc/a/old", "doc/b", "doc/a/m"] {
            fs::create_dir_all(at(dir)).expect("a folder");
        }
        for file in
            ["home/mine", "doc/a/index.html", "doc/a/old/struct.X.html", "doc/b/index.html", "doc/a/m/index.html"]
        {
            fs::write(at(file), "x").expect("a file");
        }
        symlink("../../home", at("doc/a/link")).expect("a link");
        let sweep = Sweep {
            kept: [at("doc/a/index.html"), at("doc/a/m/index.html")].into(),
            roots: vec![at("doc")],
            whole: vec![at("doc/a"), at("doc/none")],
            fingerprint: r#"{"rustc_vv":"1"}"#.to_owned(),
        };
        sweep.clear().expect("nobody's pages");
        sweep.run().expect("a clean folder");
        sweep.run().expect("and again");
        let there = |name: &str| at(name).exists();
        assert!(there("doc/a/index.html") && there("doc/a/m/index.html") && there("doc/b/index.html"));
        assert!(there("home/mine") && there("doc/.lock"));
        // Only another rustc's pages go.
        for (text, stays) in [(r#"{"rustc_vv":"1","more":2}"#, true), (r#"{"rustc_vv":"2"}"#, false)] {
            fs::write(at(FINGERPRINT), text).expect("a file");
            sweep.clear().expect("a clean folder");
            assert_eq!(there("doc/b/index.html"), stays, "{text}");
        }
        sweep.run().expect("a file beside it");
        assert_eq!(fs::read_to_string(at(FINGERPRINT)).ok().as_ref(), Some(&sweep.fingerprint));
        assert!(there("doc/.lock"));
        assert!(!there("doc/a/old") && fs::symlink_metadata(at("doc/a/link")).is_err());
    }
}
