//! Fixed places in an action's words become real ones where there are no mounts, and real ones in
//! what it says become fixed ones again, so that nobody outside execd has to know of them.

use std::{fs, path::Path};

use super::{Place, paths::Output};

/// The largest dep-info file that is read.
const DEP_INFO_BYTES: u64 = 64 << 20;

/// Pairs of fixed and real folders; empty where the two are the same.
#[derive(Clone, Debug, Default)]
pub struct Words {
    /// (fixed, real), the longest fixed first.
    forth: Vec<(String, String)>,
    /// (real, fixed), the longest real first.
    back: Vec<(String, String)>,
}

/// Whether a folder's name may begin in the middle of a word.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Begin {
    Anywhere,
    AtWord,
}

impl Words {
    /// From pairs of fixed and real folder.
    pub fn new(pairs: Vec<(String, String)>) -> Words {
        let mut back: Vec<_> = pairs.iter().map(|(fixed, real)| (real.clone(), fixed.clone())).collect();
        let mut forth = pairs;
        forth.sort_by_key(|(fixed, _)| std::cmp::Reverse(fixed.len()));
        back.sort_by_key(|(real, _)| std::cmp::Reverse(real.len()));
        Words { forth, back }
    }

    /// A word of the command as the process gets it.
    pub fn real(&self, word: &str) -> String {
        let replaced = replace(word.as_bytes(), &self.forth, Begin::AtWord);
        String::from_utf8(replaced).unwrap_or_else(|_| word.to_owned())
    }

    /// What the process said, as its client knows places.
    pub fn fixed(&self, said: Vec<u8>) -> Vec<u8> {
        if self.back.is_empty() { said } else { replace(&said, &self.back, Begin::Anywhere) }
    }

    /// Dep-info among the outputs names fixed places afterwards: it is text by its format. Of
    /// other outputs nobody can tell which bytes are a name.
    pub fn settle(&self, outputs: &[Output], places: &[Place]) {
        if self.back.is_empty() {
            return;
        }
        for output in outputs.iter().filter(|output| output.path.extension().is_some_and(|end| end == "d")) {
            let at = Path::new("/").join(&output.path);
            let file = places.iter().find_map(|place| Some(place.dir.join(at.strip_prefix(&place.at).ok()?)));
            let small = |file: &Path| {
                fs::symlink_metadata(file).is_ok_and(|meta| meta.is_file() && meta.len() <= DEP_INFO_BYTES)
            };
            let Some(file) = file.filter(|file| small(file)) else { continue };
            if let Ok(said) = fs::read(&file) {
                let _collected_as_it_is = fs::write(&file, self.fixed(said));
            }
        }
    }
}

/// One pass, so that what was put in is not replaced again; a folder's name ends where the pair's
/// does.
fn replace(text: &[u8], pairs: &[(String, String)], begin: Begin) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 64);
    let mut at = 0;
    'text: while at < text.len() {
        let rest = &text[at..];
        if rest[0] == b'/' && (begin == Begin::Anywhere || begins(&text[..at])) {
            for (from, to) in pairs {
                let Some(tail) = rest.strip_prefix(from.as_bytes()) else { continue };
                if !tail.first().is_some_and(|next| is_name(*next)) {
                    out.extend_from_slice(to.as_bytes());
                    at += from.len();
                    continue 'text;
                }
            }
        }
        out.push(text[at]);
        at += 1;
    }
    out
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.') || byte >= 0x80
}

/// Whether a path begins after these bytes: not within a name, but after `-L` and `-I`.
fn begins(before: &[u8]) -> bool {
    match before {
        [.., first, b'-', flag] if flag.is_ascii_alphabetic() => !is_name(*first) && *first != b'/',
        [b'-', flag] if flag.is_ascii_alphabetic() => true,
        [.., last] => !is_name(*last) && *last != b'/',
        [] => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_go_there_and_back() {
        let pairs = [("/vx", "/c/0/vx"), ("/vx/ws", "/c/1/vx/ws"), ("/vx/toolchain", "/opt/rust")];
        let words = Words::new(pairs.map(|(fixed, real)| (fixed.to_owned(), real.to_owned())).to_vec());
        for (fixed, real) in [
            ("/vx/ws/a.rs", "/c/1/vx/ws/a.rs"),
            ("--remap-path-prefix=/vx/ws=.", "--remap-path-prefix=/c/1/vx/ws=."),
            ("-L/vx/deps:/vx/toolchain/lib", "-L/c/0/vx/deps:/opt/rust/lib"),
            ("native=/vx/build/a-1/out", "native=/c/0/vx/build/a-1/out"),
            ("/usr/vx/ws /vxx x-L/vx/ws", "/usr/vx/ws /vxx x-L/vx/ws"),
            ("/vx/ws2", "/c/0/vx/ws2"),
        ] {
            assert_eq!(words.real(fixed), real);
            assert_eq!(words.fixed(real.as_bytes().to_vec()), fixed.as_bytes());
        }
        assert_eq!(Words::default().fixed(b"/vx/ws".to_vec()), b"/vx/ws");
    }
}
