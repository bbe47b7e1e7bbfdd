//! Whether what a unit left holds the place it was built at: the mounts of the workspace and of its
//! own OUT_DIR, searched for in the bytes. Metadata of libraries names the crate's own sources there, each once, with the
//! working folder beside each; that is rustc's own bookkeeping, which no program reads. Anything
//! more came from a macro or a script that asked where it is.

use std::{
    collections::{HashMap, HashSet},
    path::Path,
};

use memchr::memmem::Finder;
use shared::{
    client::cas::{Opened, read_at},
    digest::{Digest, Function},
    fault::{Failure, Fault},
    reapi::{Message, digest_from_proto, record::RunRecord, v2},
};

use crate::{
    cargo::{
        call::{Call, Role},
        dep_info::DepInfo,
        mounts::{self, WORKSPACE},
    },
    outcome::Outcome,
    services::{Services, persist},
    streams::read_many,
};

/// What is searched at once, and the longest path within.
const CHUNK_BYTES: u64 = 4 << 20;
const PATH_BYTES: u64 = 4 << 10;

/// A file with a zero in that much of its beginning is no text.
const TEXT_BYTES: usize = 512;

/// So many texts of a script's are looked into.
const TEXTS: usize = 4096;

/// What other tools' build trees hold, and files by whose ends one knows that they are for other tools.
const BUILD_TREES: [&str; 4] = ["CMakeCache.txt", "config.status", "build.ninja", "Makefile"];
const BOOKKEEPING: [&str; 12] = ["a", "cmake", "d", "la", "lo", "log", "make", "o", "pc", "so", "stamp", "tlog"];

/// How all places begin.
const TOP: &str = "/vx/";

/// What rustc's metadata has behind every text.
const END_OF_TEXT: u8 = 0xc1;

/// Whether a unit's outputs hold the place, or one of its OUT_DIRs.
pub async fn holds_place(
    services: &Services,
    call: &Call,
    outcome: &Outcome,
    result: &v2::ActionResult,
    run: &RunRecord,
    out_dirs: &[String],
) -> Result<bool, Failure> {
    let mut wanted = searched(call, outcome, run);
    wanted.extend(generated(services, result).await?);
    if wanted.is_empty() {
        return Ok(false);
    }
    let read = read_many(services, &Vec::from_iter(outcome.dep_info())).await?;
    let sources = read.values().flat_map(|text| DepInfo::parse(&String::from_utf8_lossy(text)).files);
    let sources: HashSet<Vec<u8>> =
        sources.map(|path| Path::new(WORKSPACE).join(path).into_os_string().into_encoded_bytes()).collect();
    let digests: Vec<Digest> = wanted.iter().map(|(digest, _)| *digest).collect();
    let (opened, fds) = persist(async || services.cas.open(&digests).await).await?;
    let places: Vec<String> = std::iter::once(WORKSPACE.to_owned()).chain(out_dirs.iter().cloned()).collect();
    let search = move || {
        wanted.iter().zip(opened).any(|((_, allowed), opened)| {
            let sources = if *allowed == Allowed::Sources { &sources } else { &HashSet::new() };
            // What other tools are told of their folder is no word to a program.
            let count = if *allowed == Allowed::Objects { 1 } else { places.len() };
            let mut all: Vec<Found<'_>> = places.iter().take(count).map(|place| Found::new(place, sources)).collect();
            let mut search = |bytes: &[u8], length| {
                all.iter_mut().any(|found| found.search(bytes, length)) || is_torn(bytes, length)
            };
            let holds = match opened {
                None => false,
                Some(Opened::Inline(bytes)) => !allowed.excuses(&bytes) && search(&bytes, bytes.len()),
                Some(Opened::File { fd, offset, size })
                    if allowed.excuses(&read_at(&fds[fd], offset, size.min(TEXT_BYTES as u64)).unwrap_or_default()) =>
                {
                    false
                }
                Some(Opened::File { fd, offset, size }) => (0..size).step_by(CHUNK_BYTES as usize).any(|from| {
                    let whole = (size - from).min(CHUNK_BYTES + PATH_BYTES);
                    // What cannot be read is not there either for whoever is to use it.
                    let bytes = read_at(&fds[fd], offset + from, whole).unwrap_or_default();
                    search(&bytes, CHUNK_BYTES as usize)
                }),
            };
            holds || all.iter().any(Found::has_folders_left)
        })
    };
    let searched = tokio::task::spawn_blocking(search).await;
    searched.map_err(|err| Failure::new(Fault::Bug, format!("searching outputs: {err}")))
}

/// The outputs to look into, and what they may say: all, but for those that the executor has
/// looked into and found free of it.
fn searched(call: &Call, outcome: &Outcome, run: &RunRecord) -> Vec<(Digest, Allowed)> {
    let naming: HashSet<&str> = run.naming.iter().filter_map(|path| path.rsplit('/').next()).collect();
    let is_free = |name: &str| run.searched && !naming.contains(name);
    let mut wanted = Vec::new();
    for output in call.outputs.iter().filter(|output| !is_free(&output.name)) {
        let allowed = match output.role {
            Role::Executable | Role::Cdylib | Role::Staticlib => Allowed::Nothing,
            Role::Rlib | Role::Metadata | Role::Dylib | Role::Macro => Allowed::Sources,
            Role::DepInfo | Role::DebugInfo | Role::OutDir => continue,
            // rustdoc names sources by their place in the package.
            Role::Pages | Role::Sources | Role::Page | Role::Part => continue,
        };
        wanted.extend(outcome.files.get(&output.name).map(|(digest, _)| (*digest, allowed)));
    }
    wanted
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Allowed {
    Nothing,
    Sources,
    /// Anything in what is no text.
    Objects,
}

impl Allowed {
    fn excuses(self, beginning: &[u8]) -> bool {
        self == Allowed::Objects && beginning.iter().take(TEXT_BYTES).any(|byte| *byte == 0)
    }
}

/// The Rust sources that a script left, and the texts that programs may include. Objects and build trees of other tools name
/// their place in their own bookkeeping.
async fn generated(services: &Services, result: &v2::ActionResult) -> Result<Vec<(Digest, Allowed)>, Failure> {
    let trees = result.output_directories.iter();
    let trees: Vec<Digest> =
        trees.filter_map(|one| digest_from_proto(Function::Blake3, one.tree_digest.as_ref()).ok()).collect();
    let mut found = Vec::new();
    for bytes in read_many(services, &trees).await?.into_values() {
        let Ok(tree) = v2::Tree::decode(bytes.as_slice()) else { continue };
        let all = || tree.root.iter().chain(&tree.children);
        let is_build_tree =
            all().flat_map(|folder| &folder.files).any(|file| BUILD_TREES.contains(&file.name.as_str()));
        let mut texts = 0;
        for (place, folder) in all().enumerate() {
            for file in &folder.files {
                let end = Path::new(&file.name).extension().and_then(|end| end.to_str()).unwrap_or_default();
                let allowed = match end {
                    "rs" => Allowed::Nothing,
                    _ if (is_build_tree && place > 0) || BOOKKEEPING.contains(&end) || texts == TEXTS => continue,
                    _ => Allowed::Objects,
                };
                texts += usize::from(allowed == Allowed::Objects);
                found.extend(digest_from_proto(Function::Blake3, file.digest.as_ref()).ok().map(|one| (one, allowed)));
            }
        }
    }
    Ok(found)
}

/// What was found of one place in one output so far.
struct Found<'a> {
    place: &'a str,
    sources: &'a HashSet<Vec<u8>>,
    finder: Finder<'static>,
    seen: HashMap<Vec<u8>, usize>,
    folders: usize,
}

impl<'a> Found<'a> {
    fn new(place: &'a str, sources: &'a HashSet<Vec<u8>>) -> Self {
        Found { place, sources, finder: Finder::new(place).into_owned(), seen: HashMap::new(), folders: 0 }
    }

    /// Looks for places that begin in the first `length` bytes; whether there is more than may be.
    fn search(&mut self, bytes: &[u8], length: usize) -> bool {
        let finder = self.finder.clone();
        for at in finder.find_iter(bytes).take_while(|at| *at < length) {
            let rest = &bytes[at + self.place.len()..];
            if self.place != WORKSPACE && is_included(&bytes[..at]) {
                continue;
            }
            match rest.first() {
                Some(b'/') => {
                    // The longest one: a name may begin like another.
                    let path = &bytes[at..];
                    let source =
                        self.sources.iter().filter(|source| path.starts_with(source)).max_by_key(|one| one.len());
                    let Some(source) = source else { return true };
                    if is_noted_text(path, source) {
                        continue;
                    }
                    let count = self.seen.entry(source.clone()).or_default();
                    *count += 1;
                    if *count > 1 {
                        return true;
                    }
                }
                // Whatever stands behind: in a program one text begins where another ends.
                _ => self.folders += 1,
            }
        }
        false
    }

    /// Whether the place itself stands there more often than may be. The workspace's is the working
    /// folder and does beside each source, those elsewhere too.
    fn has_folders_left(&self) -> bool {
        if self.place != WORKSPACE {
            return self.folders > 0;
        }
        let elsewhere = self.sources.iter().filter(|source| !source.starts_with(WORKSPACE.as_bytes())).count();
        self.folders > self.seen.len() + elsewhere
    }
}

/// Whether the shortest place stands there in parts: in optimised code the few bytes of a text are numbers, of four bytes the first.
fn is_torn(bytes: &[u8], length: usize) -> bool {
    let finder = Finder::new(TOP);
    let mut found = finder.find_iter(bytes).take_while(|at| *at < length);
    found.any(|at| !mounts::ALL.iter().any(|place| bytes[at..].starts_with(place.as_bytes())))
}

/// Whether what follows is read when it is compiled, by that name.
fn is_included(before: &[u8]) -> bool {
    let opening = before.iter().rev().take_while(|byte| b"r#\" \n".contains(byte)).count();
    let name = before[..before.len() - opening].strip_suffix(b"(").unwrap_or_default();
    ["include!", "include_str!", "include_bytes!"].iter().any(|one| name.ends_with(one.as_bytes()))
}

/// Whether a source is named in rustc's note of a text: its name as it was asked for, here the whole path, the working folder,
/// and the whole path again, which is counted. Code that was asked for so is known to programs by that name: it is in its panics.
fn is_noted_text(at: &[u8], source: &[u8]) -> bool {
    if source.ends_with(b".rs") {
        return false;
    }
    let parts = [WORKSPACE.as_bytes(), source].into_iter();
    let mut rest = at.get(source.len()..);
    for part in parts {
        rest = rest.and_then(|rest| rest.strip_prefix(&[END_OF_TEXT])).and_then(|rest| after_length(rest, part.len()));
        rest = rest.and_then(|rest| rest.strip_prefix(part));
    }
    rest.and_then(<[u8]>::first) == Some(&END_OF_TEXT)
}

/// What follows a length, seven bits a byte.
fn after_length(bytes: &[u8], mut length: usize) -> Option<&[u8]> {
    let mut rest = bytes;
    loop {
        let more = if length > 0x7f { 0x80 } else { 0 };
        rest = rest.strip_prefix(&[(length & 0x7f) as u8 | more])?;
        length >>= 7;
        if length == 0 {
            return Some(rest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bookkeeping_is_told_from_embedded_places() {
        let sources: HashSet<Vec<u8>> =
            ["/vx/ws/a/src/lib.rs", "/vx/ws/a/src/m.rs"].map(|path| path.as_bytes().to_vec()).into();
        let holds = |sources: &HashSet<Vec<u8>>, text: &str| {
            let mut found = Found::new(WORKSPACE, sources);
            found.search(text.as_bytes(), text.len()) || found.has_folders_left()
        };
        let metadata = "x/vx/ws\u{1}/vx/ws/a/src/lib.rs\u{1}/vx/ws\u{1}/vx/ws/a/src/m.rs\u{1}";
        assert!(!holds(&sources, metadata));
        for more in ["/vx/ws/a/src/lib.rs", "/vx/ws/a", "/vx/ws/assets/x", "/vx/ws\u{1}", "/vx/wsa text behind it"] {
            assert!(holds(&sources, &format!("{metadata}{more}")), "{more}");
        }
        let none = HashSet::new();
        for place in ["in /vx/ws.", "in /vx/ws", "/vx/ws/a/src/lib.rs"] {
            assert!(holds(&none, place), "{place}");
        }
        assert!(!holds(&none, "/vx/build/a-1/out/x.rs /vx/w s"));
    }

    #[test]
    fn what_is_included_by_a_place_is_no_word_of_it() {
        let none = HashSet::new();
        let holds = |text: &str| {
            let mut found = Found::new("/vx/build/a-1/out", &none);
            found.search(text.as_bytes(), text.len()) || found.has_folders_left()
        };
        assert!(!holds("include!(\"/vx/build/a-1/out/b.rs\"); f(include_bytes!( \"/vx/build/a-1/out/c\"))"));
        for text in [
            "const A: &str = \"/vx/build/a-1/out/c\";",
            "f(\"/vx/build/a-1/out\")",
            "include_dir!(\"/vx/build/a-1/out\")",
        ] {
            assert!(holds(text), "{text}");
        }
    }

    #[test]
    fn a_place_in_code_is_found_by_its_first_part() {
        let code = b"\xc7\x00/vx/\x66\xc7\x40\x04ws";
        assert!(is_torn(code, code.len()) && !is_torn(code, 2));
        let places = mounts::ALL.join("");
        assert!(!is_torn(places.as_bytes(), places.len()));
    }

    #[test]
    fn a_text_that_a_macro_included_is_noted_by_its_whole_path() {
        let long = format!("/vx/ws/{}.html", "x".repeat(200));
        let sources: HashSet<Vec<u8>> =
            ["/vx/ws/src/a.pest", "/vx/ws/src/a.rs", &long].map(|path| path.as_bytes().to_vec()).into();
        let text = |text: &str| {
            let length = if text.len() > 127 {
                vec![text.len() as u8 | 0x80, (text.len() >> 7) as u8]
            } else {
                vec![text.len() as u8]
            };
            [length, text.as_bytes().to_vec(), vec![0xc1]].concat()
        };
        let holds = |parts: &[&str]| {
            let bytes = parts.iter().flat_map(|part| text(part)).collect::<Vec<u8>>();
            let mut found = Found::new(WORKSPACE, &sources);
            found.search(&bytes, bytes.len()) || found.has_folders_left()
        };
        let pest = "/vx/ws/src/a.pest";
        for source in [pest, &long] {
            assert!(!holds(&["x", source, "/vx/ws", source, "y"]), "{source}");
        }
        for more in [
            &["/vx/ws/src/a.rs", "/vx/ws", "/vx/ws/src/a.rs"][..],
            &[pest, "/vx/ws", pest, pest],
            &[pest, pest, "/vx/ws", pest],
            &[pest, "/vx/ws2", pest],
            &[pest, "x", pest],
            &[pest, "/vx/ws", pest, "/vx/ws", pest],
        ] {
            assert!(holds(more), "{more:?}");
        }
    }

    #[test]
    fn an_out_dir_may_stand_in_the_name_of_what_was_made_there() {
        let sources: HashSet<Vec<u8>> = [b"/vx/build/a-1/out/made.rs".to_vec()].into();
        let holds = |text: &str| {
            let mut found = Found::new("/vx/build/a-1/out", &sources);
            found.search(text.as_bytes(), text.len()) || found.has_folders_left()
        };
        let metadata = "/vx/ws\u{1}/vx/build/a-1/out/made.rs\u{1}/vx/build/a-12/out /vx/build/b-1/out/x";
        assert!(!holds(metadata));
        for more in ["/vx/build/a-1/out", "/vx/build/a-1/out/data", "/vx/build/a-1/out/made.rs", "/vx/build/a-1/outabc"]
        {
            assert!(holds(&format!("{metadata}{more}")), "{more}");
        }
    }
}
