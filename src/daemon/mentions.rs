//! Which of the person's variables the text of a program names. A script or macro may read one without saying so, and the
//! sandbox does not see it; but its name stands in the program, as nearly all names do. Such a call is given the variable,
//! and keyed by it. Names that are put together only at run time are not found; `[env] pass` of vx.toml is for those.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use aho_corasick::{AhoCorasick, Input, MatchKind};
use shared::{
    client::cas::{Opened, read_at},
    digest::{Digest, Function},
    fault::{Failure, Fault},
    limits,
    reapi::v2,
};

use crate::services::{Services, persist};

/// What is searched at once; what lies across its end is looked at twice.
const CHUNK_BYTES: u64 = 4 << 20;
/// How a stored line begins, for a name that stands in the program and for one that does not.
const THERE: char = '+';
const ABSENT: char = '-';

/// By a program's content, which names it is known to hold or not.
#[derive(Debug, Default)]
pub struct Mentions(Mutex<HashMap<Digest, Names>>);

type Names = BTreeMap<String, bool>;

/// A program, and where it lies if the store need not have it.
pub type Program<'a> = (Digest, Option<&'a Path>);

impl Mentions {
    /// Which of `wanted` each of these programs names; one that cannot be read names nothing, as nobody can run it either.
    /// Fails where the store does.
    pub async fn of(
        &self,
        services: &Services,
        wanted: &[String],
        programs: &[Program<'_>],
    ) -> Result<HashMap<Digest, BTreeSet<String>>, Failure> {
        let mut known = Known::default();
        self.recall(wanted, programs, &mut known);
        if known.lacks(wanted, programs).next().is_some() {
            self.find(services, wanted, programs, &mut known).await?;
        }
        let named = |names: &Names| wanted.iter().filter(|name| names.get(*name) == Some(&true)).cloned().collect();
        Ok(known.0.iter().map(|(program, names)| (*program, named(names))).collect())
    }

    /// Asks the store, and searches those of which that does not know all.
    async fn find(
        &self,
        services: &Services,
        wanted: &[String],
        programs: &[Program<'_>],
        known: &mut Known,
    ) -> Result<(), Failure> {
        let fresh: Vec<Digest> = known.lacks(wanted, programs).map(|((program, _), _)| program).collect();
        let keys: Vec<Digest> = fresh.iter().map(key).collect();
        let stored = persist(async || services.cas.action_results(&keys).await).await?;
        for (program, result) in fresh.into_iter().zip(stored) {
            self.remember(known, program, result.map_or_else(Names::new, |result| read(&result.stdout_raw)));
        }
        let fresh: Vec<(Program<'_>, Vec<String>)> = known.lacks(wanted, programs).collect();
        let of_store: Vec<Digest> =
            fresh.iter().filter(|((_, file), _)| file.is_none()).map(|((one, _), _)| *one).collect();
        let (opened, fds) = persist(async || services.cas.open(&of_store).await).await?;
        let mut opened = opened.into_iter();
        let searches = fresh.into_iter().map(|((program, file), names)| {
            let source = match file {
                Some(file) => Source::File(file.to_owned()),
                None => opened.next().flatten().map_or(Source::Nowhere, Source::Store),
            };
            (program, names, source)
        });
        let searches: Vec<_> = searches.collect();
        let search = move || {
            let found = searches.into_iter().map(|(program, names, source)| {
                let held = source.held(program, &fds, &names)?;
                let names = names.into_iter().map(|name| (name.clone(), held.contains(&name)));
                Some((program, names.collect::<Names>()))
            });
            // What was not read is not known, and is looked for again by the next who asks.
            found.flatten().collect::<Vec<_>>()
        };
        let found = tokio::task::spawn_blocking(search).await;
        for (program, names) in found.map_err(|err| Failure::new(Fault::Bug, format!("searching programs: {err}")))? {
            self.remember(known, program, names);
            store(services, program, &known.0[&program]).await;
        }
        Ok(())
    }

    fn recall(&self, wanted: &[String], programs: &[Program<'_>], known: &mut Known) {
        let memory = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (program, _) in programs {
            let names = memory.get(program).into_iter().flatten();
            let names =
                names.filter(|(name, _)| wanted.contains(name)).map(|(name, is_there)| (name.clone(), *is_there));
            known.0.insert(*program, names.collect());
        }
    }

    fn remember(&self, known: &mut Known, program: Digest, names: Names) {
        known.0.entry(program).or_default().extend(names.clone());
        let mut memory = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if memory.len() >= limits::MENTIONING_PROGRAMS {
            memory.clear();
        }
        memory.entry(program).or_default().extend(names);
    }
}

/// What one question has found out so far.
#[derive(Default)]
struct Known(HashMap<Digest, Names>);

impl Known {
    /// The programs of which not all is known, with what is not.
    fn lacks<'a, 'p>(
        &'a self,
        wanted: &'a [String],
        programs: &'a [Program<'p>],
    ) -> impl Iterator<Item = (Program<'p>, Vec<String>)> + use<'a, 'p> {
        let unknown = |program: &Digest| {
            let names = self.0.get(program);
            wanted.iter().filter(move |name| names.is_none_or(|names| !names.contains_key(*name))).cloned().collect()
        };
        programs
            .iter()
            .map(move |one| (*one, unknown(&one.0)))
            .filter(|(_, names): &(_, Vec<String>)| !names.is_empty())
    }
}

/// Where a program is read.
enum Source {
    Store(Opened),
    File(PathBuf),
    Nowhere,
}

impl Source {
    /// Which names stand in it; `None` where it cannot be read, or is another one by now.
    fn held(&self, program: Digest, fds: &[OwnedFd], names: &[String]) -> Option<BTreeSet<String>> {
        let Ok(search) = Search::new(names) else { return Some(names.iter().cloned().collect()) };
        let mut found = BTreeSet::new();
        let mut through = |fd: &OwnedFd, offset: u64, size: u64| {
            for from in (0..size).step_by(CHUNK_BYTES as usize) {
                let bytes = read_at(fd, offset + from, (size - from).min(CHUNK_BYTES + search.longest)).ok()?;
                search.look(&bytes, &mut found);
            }
            Some(())
        };
        match self {
            Source::Nowhere => return None,
            Source::Store(Opened::Inline(bytes)) => search.look(bytes, &mut found),
            Source::Store(Opened::File { fd, offset, size }) => through(&fds[*fd], *offset, *size)?,
            Source::File(path) => {
                let bytes = fs::read(path).ok().filter(|bytes| Digest::of(Function::Blake3, bytes) == program)?;
                search.look(&bytes, &mut found);
            }
        }
        Some(found)
    }
}

/// Looks for names, all at once: a build's programs are some hundred megabytes.
struct Search<'a> {
    names: &'a [String],
    longest: u64,
    finder: AhoCorasick,
}

impl<'a> Search<'a> {
    /// Fails for more names than an environment can hold.
    fn new(names: &'a [String]) -> Result<Self, aho_corasick::BuildError> {
        let longest = names.iter().map(String::len).max().unwrap_or_default() as u64;
        // The fast way of looking finds the first of those that lie over each other, and the next is looked for behind its start.
        let finder = AhoCorasick::builder().match_kind(MatchKind::LeftmostFirst).build(names)?;
        Ok(Search { names, longest, finder })
    }

    /// Rust's texts lie beside each other without anything between, so a name may begin and end anywhere.
    fn look(&self, bytes: &[u8], found: &mut BTreeSet<String>) {
        let mut from = 0;
        while let Some(first) = self.finder.find(Input::new(bytes).range(from..)) {
            let here = self.names.iter().filter(|name| bytes[first.start()..].starts_with(name.as_bytes()));
            for name in here {
                if !found.contains(name) {
                    found.insert(name.clone());
                }
            }
            from = first.start() + 1;
        }
    }
}

/// For the next daemon.
async fn store(services: &Services, program: Digest, names: &Names) {
    let line = |(name, is_there): (&String, &bool)| format!("{}{name}\n", if *is_there { THERE } else { ABSENT });
    let text: String = names.iter().map(line).collect();
    let result = v2::ActionResult { stdout_raw: text.into_bytes(), ..Default::default() };
    let keep = async || services.cas.update_action_result(key(&program), result.clone()).await;
    if let Err(err) = persist(keep).await {
        tracing::warn!(%err, "the variables that a program names could not be kept, ignoring");
    }
}

/// Where it is kept.
fn key(program: &Digest) -> Digest {
    Digest::of(Function::Blake3, format!("vx mentions 1 {program}").as_bytes())
}

fn read(text: &[u8]) -> Names {
    let text = String::from_utf8_lossy(text);
    let line = |line: &str| match line.strip_prefix(THERE) {
        Some(name) => Some((name.to_owned(), true)),
        None => Some((line.strip_prefix(ABSENT)?.to_owned(), false)),
    };
    text.lines().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_between_other_texts_and_come_back_from_the_store() {
        let names = ["MINE", "MINE_TOO", "XMINE", "OTHER"].map(str::to_owned);
        let held = |bytes: &[u8]| {
            let bytes = Source::Store(Opened::Inline(bytes.to_vec()));
            Vec::from_iter(bytes.held(Digest::of(Function::Blake3, b""), &[], &names).expect("it is at hand"))
        };
        assert_eq!(held(b"\0srcMINE_TOsrc/main.rs"), ["MINE"]);
        assert_eq!(held(b"aXMINE_TOO"), ["MINE", "MINE_TOO", "XMINE"]);
        assert!(held(b"MIN").is_empty());
        let known = read(b"+MINE\n-OTHER\nodd\n");
        assert_eq!(known, Names::from([("MINE".to_owned(), true), ("OTHER".to_owned(), false)]));
    }

    #[test]
    fn what_is_known_of_a_program_is_not_looked_for_again() {
        let program = Digest::of(Function::Blake3, b"p");
        let wanted = ["A", "B", "C"].map(str::to_owned);
        let mentions = Mentions::default();
        mentions.remember(&mut Known::default(), program, read(b"+A\n-B\n"));
        let mut known = Known::default();
        mentions.recall(&wanted, &[(program, None)], &mut known);
        let lacks: Vec<_> = known.lacks(&wanted, &[(program, None)]).collect();
        assert_eq!(lacks, [((program, None), vec!["C".to_owned()])]);
    }

    #[test]
    fn what_cannot_be_read_is_not_known_to_name_nothing() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        fs::write(file.path(), "a MINE").expect("a file");
        let (names, program) = (["MINE".to_owned()], Digest::of(Function::Blake3, b"a MINE"));
        let held = |source: Source| source.held(program, &[], &names);
        assert_eq!(held(Source::File(file.path().to_owned())), Some(names.clone().into()));
        fs::write(file.path(), "b none").expect("a file");
        assert_eq!(held(Source::File(file.path().to_owned())), None, "another one by now");
        assert_eq!(held(Source::File("/nowhere".into())), None);
        assert_eq!(held(Source::Nowhere), None);
    }
}
