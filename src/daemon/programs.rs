//! Programs of the host that a unit has been seen to run, beside those whose identity is in every
//! key: names among the others that a unit is known by (`names`), and with their content part of
//! its key. That one is not there is a content too.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::Path,
};

use shared::reapi::record::RunRecord;

use crate::{cargo::call::Call, sources::Hashes};

/// What such a name begins with; no variable's does.
const PROGRAM: &str = "program ";

/// The names of what a run is recorded to have run.
pub fn names(record: &RunRecord) -> impl Iterator<Item = String> {
    record.tools.iter().map(|path| format!("{PROGRAM}{path}"))
}

/// Of the names that a unit is known by those of programs, with what is there now.
pub fn now(hashes: &Hashes, named: &[String]) -> BTreeMap<String, String> {
    let content = |path: &str| match fs::metadata(path) {
        Ok(meta) if meta.is_file() => {
            hashes.of(Path::new(path), &meta).map_or_else(|err| err.to_string(), |it| it.hex())
        }
        Ok(_) => "no file".to_owned(),
        Err(err) if err.kind() == io::ErrorKind::NotFound => "absent".to_owned(),
        Err(err) => err.to_string(),
    };
    let paths: BTreeSet<&str> = named.iter().filter_map(|name| name.strip_prefix(PROGRAM)).collect();
    paths.into_iter().map(|path| (path.to_owned(), content(path))).collect()
}

/// Whether two calls differ in nothing but what is known of their programs: those are seen anyway.
pub fn is_same_run(a: &Call, b: &Call) -> bool {
    Call { programs: b.programs.clone(), ..a.clone() } == *b
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_told_from_variables_and_by_their_content() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("tool").to_str().expect("text").to_owned();
        let record = RunRecord { tools: vec![path.clone()], ..RunRecord::default() };
        let named: Vec<String> = names(&record).chain(["CC".to_owned()]).collect();
        let now = || now(&Hashes::default(), &named);
        assert_eq!(now(), BTreeMap::from([(path.clone(), "absent".to_owned())]));
        fs::write(&path, "one").expect("a file");
        let first = now();
        fs::write(&path, "two").expect("a file");
        assert!(first != now() && first.len() == 1);
    }
}
