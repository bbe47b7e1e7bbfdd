//! Whether the result of a wrapped call is what the person's own compiler would have left: each
//! variable that the crate named had the person's value, and no place of vx's own is in the files.

use std::{
    collections::{BTreeMap, HashSet},
    os::fd::OwnedFd,
    path::Path,
};

use memchr::memmem::Finder;
use shared::{
    client::cas::{Opened, read_at},
    digest::Digest,
    fault::{Failure, Fault},
};

use super::notes::Note;
use crate::{
    cargo::{
        call::Call,
        dep_info::DepInfo,
        locate,
        wrapped::{OUT_DIR, OutDir},
    },
    services::{Services, persist},
};

/// How places of vx's own begin.
const OWN: &[u8] = b"/vx/";
/// What is searched at once, and the longest path within.
const CHUNK_BYTES: u64 = 4 << 20;
const PATH_BYTES: u64 = 4 << 10;

/// What is to be done with a result.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is good, and this is known of its call now.
    Good(Note),
    /// The call has to run again, with this.
    Again(Note),
    /// No action's result will do, and why.
    Unfit(String),
}

/// A source that lies in none of these folders, so that no key holds it.
pub fn reads_elsewhere(info: &DepInfo, cwd: &Path, folders: &[&Path]) -> Option<String> {
    let is_shown = |file: &&String| {
        let path = locate::clean(&cwd.join(file));
        folders.iter().any(|folder| path.starts_with(folder))
    };
    info.files.iter().find(|file| !is_shown(file)).cloned()
}

/// Looks at the variables that the crate has named.
pub fn variables(info: &DepInfo, call: &Call, environment: &BTreeMap<String, String>, note: &Note) -> Verdict {
    let mut now = note.clone();
    let mut lacks = false;
    for (name, value) in info.env.iter().filter(|(name, _)| name != OUT_DIR) {
        let own = environment.get(name);
        let is_given = call.env.contains_key(name) || note.variables.contains(name);
        if !is_given {
            now.variables.insert(name.clone());
        }
        match (value.as_ref() == own, is_given) {
            (true, _) => {}
            (false, false) => lacks = true,
            (false, true) => return Verdict::Unfit(format!("its crate names the variable {name}")),
        }
    }
    if lacks { Verdict::Again(now) } else { Verdict::Good(now) }
}

/// Looks for places of vx's own in what was left. The sources that a script made stand in every
/// compiler's bookkeeping; any other mention of their folder says that the program will look there.
pub async fn places(
    services: &Services,
    info: &DepInfo,
    files: &[Digest],
    out_dir: Option<&OutDir>,
    note: Note,
) -> Result<Verdict, Failure> {
    let (opened, fds) = persist(async || services.cas.open(files).await).await?;
    let sources: HashSet<Vec<u8>> = info.files.iter().map(|path| path.clone().into_bytes()).collect();
    let folder = out_dir.map(|out_dir| out_dir.mount.clone().into_bytes());
    let search = move || search_all(&opened, &fds, &Looked { sources, folder });
    let found = tokio::task::spawn_blocking(search).await;
    let found = found.map_err(|err| Failure::new(Fault::Bug, format!("searching outputs: {err}")))?;
    Ok(match found {
        Found::Nothing => Verdict::Good(note),
        Found::OutDir if !note.placed => Verdict::Again(Note { placed: true, ..note }),
        Found::OutDir | Found::Other => Verdict::Unfit("what it leaves names a place that only actions see".to_owned()),
    })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Found {
    Nothing,
    OutDir,
    Other,
}

struct Looked {
    sources: HashSet<Vec<u8>>,
    folder: Option<Vec<u8>>,
}

fn search_all(opened: &[Option<Opened>], fds: &[OwnedFd], looked: &Looked) -> Found {
    let search = |one: &Option<Opened>| match one {
        None => Found::Nothing,
        Some(Opened::Inline(bytes)) => looked.search(bytes, bytes.len()),
        Some(Opened::File { fd, offset, size }) => {
            let chunks = (0..*size).step_by(CHUNK_BYTES as usize).map(|from| {
                let whole = (size - from).min(CHUNK_BYTES + PATH_BYTES);
                // What cannot be read is no result to be sure of.
                let bytes = read_at(&fds[*fd], offset + from, whole);
                bytes.map_or(Found::Other, |bytes| looked.search(&bytes, CHUNK_BYTES as usize))
            });
            chunks.max().unwrap_or(Found::Nothing)
        }
    };
    opened.iter().map(search).max().unwrap_or(Found::Nothing)
}

impl Looked {
    /// Looks at places that begin in the first `length` bytes.
    fn search(&self, bytes: &[u8], length: usize) -> Found {
        let finder = Finder::new(OWN);
        let kinds = finder.find_iter(bytes).take_while(|at| *at < length).map(|at| self.kind(&bytes[at..]));
        kinds.max().unwrap_or(Found::Nothing)
    }

    fn kind(&self, place: &[u8]) -> Found {
        if self.sources.iter().any(|source| place.starts_with(source)) {
            return Found::Nothing;
        }
        match &self.folder {
            Some(folder) if place.starts_with(folder) => Found::OutDir,
            _ => Found::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cargo::call::{Granted, Needs};

    fn call(env: &[(&str, &str)]) -> Call {
        Call {
            program: String::new(),
            args: Vec::new(),
            env: env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            cwd: String::new(),
            outputs: Vec::new(),
            scratch: Vec::new(),
            incremental: None,
            places: Vec::new(),
            granted: Granted::default(),
            programs: BTreeMap::new(),
            needs: Needs::default(),
        }
    }

    #[test]
    fn named_variables_must_have_had_the_persons_values() {
        let person: BTreeMap<String, String> =
            [("A", "1"), ("HOME", "/home/p")].map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let look = |text: &str, given: &[(&str, &str)], named: &[&str]| {
            let note = Note { variables: named.iter().map(|&name| name.to_owned()).collect(), placed: false };
            variables(&DepInfo::parse(text), &call(given), &person, &note)
        };
        let note =
            |names: &[&str]| Note { variables: names.iter().map(|&name| name.to_owned()).collect(), placed: false };
        assert_eq!(look("# env-dep:A=1\n# env-dep:OUT_DIR=/x\n", &[("A", "1")], &[]), Verdict::Good(note(&[])));
        assert_eq!(look("# env-dep:A\n", &[], &[]), Verdict::Again(note(&["A"])));
        assert_eq!(look("# env-dep:GONE\n", &[], &[]), Verdict::Good(note(&["GONE"])));
        assert!(matches!(look("# env-dep:HOME=/vx/home\n", &[("HOME", "/vx/home")], &[]), Verdict::Unfit(_)));
        // Never given, because it looks like a secret.
        assert!(matches!(look("# env-dep:A\n", &[], &["A"]), Verdict::Unfit(_)));
    }

    #[test]
    fn sources_lie_in_what_is_shown() {
        let look = |files: &str| {
            let info = DepInfo::parse(&format!("/vx/out/a.d: {files}\n"));
            reads_elsewhere(&info, Path::new("/h/a-1"), &[Path::new("/h/a-1"), Path::new("/vx/build/a-1/out")])
        };
        assert_eq!(look("src/lib.rs src/../x.rs /vx/build/a-1/out/g.rs"), None);
        assert_eq!(look("src/lib.rs /usr/share/x").as_deref(), Some("/usr/share/x"));
        assert_eq!(look("src/lib.rs ../b/x").as_deref(), Some("../b/x"));
    }

    #[test]
    fn bookkeeping_is_told_from_places_that_a_program_will_look_in() {
        let folder = Some(b"/vx/build/a-1/out".to_vec());
        let looked = Looked { sources: [b"/vx/build/a-1/out/g.rs".to_vec()].into(), folder };
        let search = |text: &str| looked.search(text.as_bytes(), text.len());
        assert_eq!(search("x/vx/build/a-1/out/g.rs\u{1}"), Found::Nothing);
        assert_eq!(search("x/vx/build/a-1/out/g.rs /vx/build/a-1/out/data"), Found::OutDir);
        assert_eq!(search("x/vx/build/a-1/out\u{0}"), Found::OutDir);
        assert_eq!(search("/vx/out/liba.rlib"), Found::Other);
    }
}
