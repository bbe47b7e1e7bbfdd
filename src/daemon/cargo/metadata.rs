//! What is needed of `cargo metadata` (format version 1) and of the lock file: the packages, the
//! workspace's root, the checksums. Everything else in those files is skipped unread.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, de::IgnoredAny};

use super::unit_graph::Target;

/// Why metadata or lock file could not be read.
#[derive(Debug, thiserror::Error)]
pub enum MetadataError {
    #[error("read cargo metadata: {0}")]
    Json(#[from] serde_json::Error),
    #[error("read Cargo.lock: {0}")]
    Lock(#[from] toml::de::Error),
}

/// `cargo metadata --format-version 1`.
#[derive(Debug, Deserialize)]
pub struct Metadata {
    pub packages: Vec<MetadataPackage>,
    pub workspace_root: String,
    /// Ids of the members.
    #[serde(default)]
    pub workspace_members: Vec<String>,
    /// Those that are meant where none is named.
    #[serde(default)]
    pub workspace_default_members: Vec<String>,
}

/// One package of the resolve.
#[derive(Debug, Deserialize)]
pub struct MetadataPackage {
    pub name: String,
    pub version: String,
    pub id: String,
    pub source: Option<String>,
    pub targets: Vec<Target>,
    /// The declared features; only their names matter.
    pub features: BTreeMap<String, IgnoredAny>,
    pub manifest_path: String,
    pub authors: Vec<String>,
    pub description: Option<String>,
    pub license: Option<String>,
    pub license_file: Option<String>,
    pub readme: Option<String>,
    pub repository: Option<String>,
    pub homepage: Option<String>,
    pub links: Option<String>,
    pub rust_version: Option<String>,
    /// The binary that `run` means.
    #[serde(default)]
    pub default_run: Option<String>,
}

impl Metadata {
    pub fn parse(json: &[u8]) -> Result<Self, MetadataError> {
        Ok(serde_json::from_slice(json)?)
    }
}

/// The checksums of Cargo.lock.
#[derive(Debug, Default)]
pub struct Lock {
    checksums: HashMap<(String, String, String), String>,
}

#[derive(Deserialize)]
struct LockFile {
    #[serde(default)]
    package: Vec<LockPackage>,
    /// Where lock files of version 1 keep checksums: `"checksum NAME VERSION (SOURCE)" = HEX`.
    #[serde(default)]
    metadata: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct LockPackage {
    name: String,
    version: String,
    source: Option<String>,
    checksum: Option<String>,
}

impl Lock {
    pub fn parse(text: &str) -> Result<Self, MetadataError> {
        let file: LockFile = toml::from_str(text)?;
        let mut checksums = HashMap::with_capacity(file.package.len());
        for package in file.package {
            let Some(source) = package.source else { continue };
            let key = format!("checksum {} {} ({source})", package.name, package.version);
            if let Some(checksum) = package.checksum.or_else(|| file.metadata.get(&key).cloned()) {
                checksums.insert((package.name, package.version, source), checksum);
            }
        }
        Ok(Lock { checksums })
    }

    /// The sha256 of the package's archive in hexadecimal digits.
    pub fn checksum(&self, name: &str, version: &str, source: &str) -> Option<&str> {
        let key = (name.to_owned(), version.to_owned(), source.to_owned());
        self.checksums.get(&key).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_of_new_and_old_lock_files() {
        let source = "registry+https://example.org/index";
        let new = format!(
            "version = 4\n[[package]]\nname = 'a'\nversion = '1.0.0'\nsource = '{source}'\nchecksum = 'ab'\n[[package]]\nname='own'\nversion='0.1.0'\n"
        );
        assert_eq!(Lock::parse(&new).expect("a lock").checksum("a", "1.0.0", source), Some("ab"));
        let old = format!(
            "[[package]]\nname = 'a'\nversion = '1.0.0'\nsource = '{source}'\n[metadata]\n\"checksum a 1.0.0 ({source})\" = 'cd'\n"
        );
        let old = Lock::parse(&old).expect("a lock");
        assert_eq!(old.checksum("a", "1.0.0", source), Some("cd"));
        assert_eq!(old.checksum("a", "1.0.1", source), None);
    }
}
