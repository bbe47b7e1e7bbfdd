//! Vendored packages: a file in each says what all others hold, and cargo builds none that was changed
//! since. Where the files lie, and how they are read as inputs, is `sources`'s.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, BufRead, BufReader},
    path::{Path, PathBuf},
};

use serde::Deserialize;
use shared::{
    digest::{Digest, Function, Hasher},
    fault::{Failure, Fault},
};

use crate::{
    cargo::{
        VENDORED, files,
        package::{Package, Source},
    },
    sources::Hashes,
};

/// A package that may be a vendored copy.
#[derive(Debug)]
pub struct Vendored {
    described: String,
    folder: PathBuf,
    /// What the lock file says of its archive.
    locked: Option<String>,
}

/// What is written beside its files.
#[derive(Deserialize)]
struct Checksums {
    package: Option<String>,
    #[serde(default)]
    files: BTreeMap<String, String>,
}

impl Vendored {
    /// What is no path package may be one.
    pub fn of(package: &Package) -> Option<Vendored> {
        let locked = match &package.source {
            Source::Registry { checksum, .. } => checksum.clone(),
            Source::Git { .. } => None,
            Source::Member { .. } | Source::Outside { .. } => return None,
        };
        let described = format!("{} v{}", package.name, package.version);
        Some(Vendored { described, folder: package.real.clone(), locked })
    }

    /// Whether its files are those that were vendored. `root` is what all of them come to: what was found
    /// good once is so as long as that is the same.
    pub fn check(&self, hashes: &Hashes, root: Digest) -> Result<(), Failure> {
        let listing = match files::text(&self.folder.join(VENDORED)) {
            Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(()),
            read => read.map_err(|err| failed(&self.folder.join(VENDORED), &err))?,
        };
        let locked = self.locked.as_deref().unwrap_or_default();
        let good = Digest::of(Function::Blake3, format!("vx vendored {} {locked}", root.hex()).as_bytes());
        if hashes.is_vetted(&good) {
            return Ok(());
        }
        let listing: Checksums = serde_json::from_str(&listing).map_err(|err| {
            let file = self.folder.join(VENDORED);
            Failure::new(Fault::User, format!("failed to parse `{}`: {err}", file.display()))
        })?;
        self.of_the_lock(&listing)?;
        for (name, expected) in &listing.files {
            let file = self.folder.join(name);
            let actual = sum(&self.folder, name).map_err(|err| failed(&file, &err))?;
            if actual != *expected {
                let what = format!(
                    "the listed checksum of `{}` has changed:\nexpected: {expected}\nactual:   {actual}\n\n\
                     directory sources are not intended to be edited, if modifications are required then it is \
                     recommended that `[patch]` is used with a forked copy of the source",
                    file.display()
                );
                return Err(Failure::new(Fault::User, what));
            }
        }
        hashes.vet(good);
        Ok(())
    }

    fn of_the_lock(&self, listing: &Checksums) -> Result<(), Failure> {
        let how = match (&self.locked, &listing.package) {
            (Some(locked), Some(own)) if locked != own => "changed between lock files",
            (Some(_), None) => "could not be calculated, but a checksum is listed in the existing lock file",
            _ => return Ok(()),
        };
        let what = format!("checksum for `{}` {how}", self.described);
        Err(Failure::new(Fault::User, what)
            .hint(format!("vendor it again: {} is not what the lock file names", self.folder.display())))
    }
}

/// The SHA-256 of a file of the package, in hexadecimal digits. The listing came with the package and may name anything: only
/// what lies in its folder, and ends, is read.
fn sum(folder: &Path, name: &str) -> io::Result<String> {
    let real = fs::canonicalize(folder.join(name))?;
    if !real.starts_with(fs::canonicalize(folder)?) || !real.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "is no file of the package"));
    }
    let mut hasher = Hasher::new(Function::Sha256);
    let mut file = BufReader::with_capacity(256 << 10, File::open(real)?);
    loop {
        let bytes = file.fill_buf()?;
        if bytes.is_empty() {
            return Ok(hasher.finish().hex());
        }
        hasher.update(bytes);
        let count = bytes.len();
        file.consume(count);
    }
}

fn failed(path: &Path, err: &io::Error) -> Failure {
    Failure::new(Fault::User, format!("failed to read `{}`: {err}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_vendored_is_good() {
        let folder = tempfile::tempdir().expect("a folder");
        let sum = |text: &str| Digest::of(Function::Sha256, text.as_bytes()).hex();
        let root = |text: &str| Digest::of(Function::Blake3, text.as_bytes());
        let list = |package: &str, file: &str| {
            let text = format!("{{\"package\":{package},\"files\":{{\"src/lib.rs\":\"{}\"}}}}", sum(file));
            fs::write(folder.path().join(VENDORED), text).expect("a file");
        };
        let one = Vendored { described: "a v1.0.0".into(), folder: folder.path().into(), locked: Some("11".into()) };
        let hashes = Hashes::default();
        let says = |text: &str| one.check(&hashes, root(text)).map_err(|failure| failure.what);
        assert_eq!(says("no vendored package"), Ok(()));
        fs::create_dir(folder.path().join("src")).expect("a folder");
        fs::write(folder.path().join("src/lib.rs"), "one").expect("a file");
        list("\"11\"", "one");
        assert_eq!(says("one"), Ok(()));
        fs::write(folder.path().join("src/lib.rs"), "two").expect("a file");
        assert!(says("two").expect_err("another file").contains(&format!("expected: {}", sum("one"))));
        list("\"22\"", "two");
        assert!(says("listed").expect_err("another package").contains("checksum for `a v1.0.0` changed"));
        fs::write(folder.path().join(VENDORED), r#"{"package":"11","files":{"/dev/zero":"x"}}"#).expect("a file");
        assert!(says("a device").expect_err("no file of it").contains("`/dev/zero`: is no file of the package"));
        list("null", "two");
        assert!(says("of nothing").expect_err("no package").contains("could not be calculated"));
    }
}
