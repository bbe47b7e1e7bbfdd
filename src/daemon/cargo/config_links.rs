//! Configuration files that are links, or lie in folders that are: what cargo has to be shown to read them too, and which of a
//! checkout's lead out of it. What they say is `config_tree`'s.

use std::{
    fs, iter,
    path::{Path, PathBuf},
};

use super::{locate, outside};

/// So many links are followed.
const LINKS: usize = 8;

/// Where a file is led to by links, at each step: configuration is often kept elsewhere.
pub fn led_to(file: &Path) -> Vec<PathBuf> {
    let step = |at: &PathBuf| Some(locate::clean(&at.parent()?.join(fs::read_link(at).ok()?)));
    let real = fs::canonicalize(file).ok();
    iter::successors(Some(file.to_owned()), step).skip(1).take(LINKS).chain(real).filter(|at| at != file).collect()
}

/// Whether something really lies in the workspace, or in the repository that it is part of.
pub fn is_at_home(root: &Path, path: &Path) -> bool {
    let Ok(real) = fs::canonicalize(path) else { return false };
    let is_of_repository = |repository: PathBuf| outside::is_of_repository(&repository, &real);
    fs::canonicalize(root).is_ok_and(|root| real.starts_with(root))
        || outside::repository(root).is_some_and(is_of_repository)
}

/// A configuration file of the checkout that leads elsewhere: it would be somebody else's, and came with the checkout.
pub fn astray(root: &Path, cwd: &Path) -> Option<PathBuf> {
    let folders = cwd.ancestors().take_while(|folder| folder.starts_with(root)).map(|folder| folder.join(".cargo"));
    let mut files = folders.flat_map(|folder| ["config", "config.toml"].map(|name| folder.join(name)));
    files.find(|file| file.is_file() && !is_at_home(root, file))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_checkouts_file_may_lead_within_its_repository() {
        let folder = tempfile::tempdir().expect("a folder");
        let (root, file) = (folder.path().join("top/ws"), folder.path().join("top/ws/.cargo/config.toml"));
        fs::create_dir_all(root.join(".cargo")).expect("folders");
        for path in ["top/shared.toml", "other.toml"] {
            fs::write(folder.path().join(path), "").expect("a file");
        }
        symlink("../../shared.toml", &file).expect("a link");
        assert_eq!(astray(&root, &root.join("src")), Some(file.clone()));
        fs::create_dir(folder.path().join("top/.git")).expect("a folder");
        assert_eq!(astray(&root, &root.join("src")), None);
        assert!(led_to(&file).contains(&folder.path().join("top/shared.toml")));
        fs::remove_file(&file).and_then(|()| symlink("../../../other.toml", &file)).expect("a link");
        assert_eq!(astray(&root, &root.join("src")), Some(file));
        assert_eq!(astray(&root.join("deeper"), folder.path()), None, "above it is the person's own");
    }
}
