//! The fixed mounts that every action sees, and the way back: real paths to fixed ones in what
//! goes into a call, fixed paths to the person's own in what comes out.

use std::path::{Path, PathBuf};

use super::unit::Unit;

/// The workspace.
pub const WORKSPACE: &str = "/vx/ws";
/// Registry packages, each in a folder NAME-VERSION.
pub const CRATES: &str = "/vx/crates";
/// Git checkouts by revision.
pub const GIT: &str = "/vx/git";
/// Path dependencies outside the workspace, numbered.
pub const OUTSIDE: &str = "/vx/ext";
/// All that `--extern` and `-L dependency` name.
pub const DEPS: &str = "/vx/deps";
/// What rustc writes.
pub const OUT: &str = "/vx/out";
/// What rustc keeps for the next compilation of the same unit.
pub const INCREMENTAL: &str = "/vx/incremental";
/// Compiled scripts, and their OUT_DIRs as `NAME-HASH/out`.
pub const BUILD: &str = "/vx/build";
/// Stands for the person's target folder, which no call sees, where one is told of it.
pub const TARGET: &str = "/vx/target";
/// The Rust toolchain.
pub const TOOLCHAIN: &str = "/vx/toolchain";
/// An empty home.
pub const HOME: &str = "/vx/home";

/// All of them.
pub const ALL: [&str; 11] = [WORKSPACE, CRATES, GIT, OUTSIDE, DEPS, OUT, INCREMENTAL, BUILD, TARGET, TOOLCHAIN, HOME];

/// Where a unit's files are for those who depend on it: apart by target, since one crate may be
/// there for two.
pub fn deps(unit: &Unit) -> String {
    unit.platform.as_ref().map_or_else(|| DEPS.to_owned(), |triple| format!("{DEPS}/{triple}"))
}

/// Which real folder stands behind which mount.
#[derive(Debug, Clone, Default)]
pub struct Mounts {
    /// The longest real path first.
    by_real: Vec<Place>,
    /// The same, the longest fixed path first.
    by_fixed: Vec<Place>,
    /// The same, and what stands for folders that no call is given the person's own of.
    by_shown: Vec<Place>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    real: String,
    fixed: String,
    /// The real path as URLs have it.
    url: String,
}

impl Place {
    fn new(real: String, fixed: &str) -> Self {
        let mut url = String::with_capacity(real.len());
        for byte in real.bytes() {
            match byte {
                b' ' | 0x7f.. => url.push_str(&format!("%{byte:02X}")),
                plain => url.push(char::from(plain)),
            }
        }
        Place { real, fixed: fixed.to_owned(), url }
    }
}

/// Whether a folder is found again wherever cargo writes it, in JSON and in URLs, which both write some
/// characters in other ways.
pub fn is_found_again(folder: &str) -> bool {
    let plain = |one: char| one.is_ascii_alphanumeric() || "/-_.~+@:,= '()!&".contains(one);
    folder.chars().all(|one| plain(one) || !one.is_ascii() && !one.is_control())
}

impl Mounts {
    /// From pairs of real folder and mount.
    pub fn new(mut pairs: Vec<(String, String)>) -> Self {
        pairs.retain(|(real, _)| real.len() > 1);
        pairs.sort_by(|a, b| b.0.len().cmp(&a.0.len()).then_with(|| a.cmp(b)));
        pairs.dedup();
        let places = |pairs: &[(String, String)]| -> Vec<Place> {
            pairs.iter().map(|(real, fixed)| Place::new(real.clone(), fixed)).collect()
        };
        let by_real = places(&pairs);
        pairs.sort_by(|a, b| b.1.len().cmp(&a.1.len()).then_with(|| a.cmp(b)));
        let by_fixed = places(&pairs);
        Mounts { by_real, by_shown: by_fixed.clone(), by_fixed }
    }

    /// The same, where texts for the person say `real` for `fixed`.
    pub fn showing(mut self, real: &Path, fixed: &str) -> Self {
        self.by_shown.push(Place::new(real.to_string_lossy().into_owned(), fixed));
        self
    }

    /// The same, where `fixed` lies below another mount that is shown as something else.
    pub fn showing_first(mut self, real: &Path, fixed: &str) -> Self {
        self.by_shown.insert(0, Place::new(real.to_string_lossy().into_owned(), fixed));
        self
    }

    /// The same, where `fixed` stands for a folder that is never replaced on the way in: nothing of it
    /// is an input.
    pub fn naming(mut self, real: &Path, fixed: &str) -> Self {
        let place = Place::new(real.to_string_lossy().into_owned(), fixed);
        self.by_fixed.push(place.clone());
        self.by_shown.push(place);
        self
    }

    /// Replaces in a text for the person every mount by what they know it as.
    pub fn to_shown(&self, text: &str) -> String {
        if !text.contains("/vx/") {
            return text.to_owned();
        }
        back(text, &self.by_shown)
    }

    /// Replaces every real folder in `text` by its mount.
    pub fn to_fixed(&self, text: &str) -> String {
        replace(text, &self.by_real, |place, is_url| (if is_url { &place.url } else { &place.real }, &place.fixed))
    }

    /// Replaces every mount in `text` by the real folder.
    pub fn to_real(&self, text: &str) -> String {
        if !text.contains("/vx/") {
            return text.to_owned();
        }
        back(text, &self.by_fixed)
    }

    /// The real path behind a fixed one.
    pub fn real_path(&self, fixed: &str) -> PathBuf {
        PathBuf::from(self.to_real(fixed))
    }
}

/// Replaces mounts by real folders.
fn back(text: &str, places: &[Place]) -> String {
    replace(text, places, |place, is_url| (&place.fixed, if is_url { &place.url } else { &place.real }))
}

/// Replaces prefixes of paths within a text in one pass, so that what was put in is not replaced
/// again; a folder's name must end where the prefix ends. What by what is told for paths and for URLs.
fn replace(text: &str, places: &[Place], pair: impl Fn(&Place, bool) -> (&String, &String)) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    'text: while let Some(at) = rest.find('/') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        if !goes_on(&out) {
            // Packages go by URLs.
            let is_url = out.ends_with("file://");
            for (from, to) in places.iter().map(|place| pair(place, is_url)) {
                let Some(tail) = rest.strip_prefix(from.as_str()) else { continue };
                let is_name = |next: char| next.is_alphanumeric() || matches!(next, '_' | '-' | '.');
                if !tail.starts_with(|next: char| is_name(next) || is_url && next == '%') {
                    out.push_str(to);
                    rest = tail;
                    continue 'text;
                }
            }
        }
        out.push('/');
        rest = &rest[1..];
    }
    out.push_str(rest);
    out
}

/// Whether a slash after `before` continues a path. It does not after a flag of one letter, as in
/// `-L/usr/lib`, nor after a colour's escape sequence, which ends in a letter too, nor where a URL's path begins.
fn goes_on(before: &str) -> bool {
    let is_code = |one: char| one.is_ascii_digit() || one == ';';
    let colour = before.strip_suffix('m').map(|rest| rest.trim_end_matches(is_code));
    if colour.is_some_and(|rest| rest.ends_with("\u{1b}[")) {
        return false;
    }
    if before.ends_with("file://") {
        return false;
    }
    let in_name = |one: &char| one.is_alphanumeric() || matches!(one, '_' | '-' | '.' | '/');
    let mut back = before.chars().rev();
    match (back.next(), back.next(), back.next()) {
        (Some(flag), Some('-'), None) if flag.is_alphabetic() => false,
        (Some(flag), Some('-'), Some(first)) if flag.is_alphabetic() && !in_name(&first) => false,
        (Some(last), _, _) => in_name(&last),
        (None, _, _) => false,
    }
}

/// `path` below `base` as text, empty for `base` itself.
pub fn below(path: &Path, base: &Path) -> Option<String> {
    path.strip_prefix(base).ok()?.to_str().map(str::to_owned)
}

/// Joins a mount and a relative path that may be empty.
pub fn join(mount: &str, relative: &str) -> String {
    if relative.is_empty() { mount.to_owned() } else { format!("{mount}/{relative}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_whole_folders_there_and_back() {
        let mounts = Mounts::new(vec![
            ("/w".to_owned(), WORKSPACE.to_owned()),
            ("/w/vendor/a".to_owned(), "/vx/crates/a-1.0.0".to_owned()),
        ]);
        assert_eq!(
            mounts.to_fixed("-L/w/lib:/w/vendor/a/x /world /x/w"),
            "-L/vx/ws/lib:/vx/crates/a-1.0.0/x /world /x/w"
        );
        assert_eq!(mounts.to_fixed("native=/w/lib"), "native=/vx/ws/lib");
        assert_eq!(mounts.to_fixed("/w"), "/vx/ws");
        assert_eq!(mounts.to_fixed("path+file:///w/m#1.0.0"), "path+file:///vx/ws/m#1.0.0");
        assert_eq!(mounts.to_fixed("file:///w%20/m file:///w"), "file:///w%20/m file:///vx/ws");
        assert_eq!(mounts.to_real("path+file:///vx/ws/m#1.0.0 https://x/w"), "path+file:///w/m#1.0.0 https://x/w");
        let shown = "\u{1b}[1m--> \u{1b}[0m/vx/crates/a-1.0.0/src/lib.rs:1:1 (/vx/ws/x) /vx/ws2";
        assert_eq!(mounts.to_real(shown), "\u{1b}[1m--> \u{1b}[0m/w/vendor/a/src/lib.rs:1:1 (/w/x) /vx/ws2");
    }

    #[test]
    fn urls_have_the_same_folders_in_their_own_letters() {
        let mounts = Mounts::new(vec![("/w/Größe 2".to_owned(), WORKSPACE.to_owned())]);
        let both = "path+file:///w/Gr%C3%B6%C3%9Fe%202/m#1.0.0 /w/Größe 2/m (file:///w/Größe 2)";
        let fixed = mounts.to_fixed(both);
        assert_eq!(fixed, "path+file:///vx/ws/m#1.0.0 /vx/ws/m (file:///w/Größe 2)");
        assert_eq!(mounts.to_real(&fixed), both);
        assert!(is_found_again("/w/Größe 2"));
        for other in ["/w/50%", "/w/a#b", "/w/a\"b", "/w/a\nb", "/w/{a}", "/w/a\\b", "/w/a?"] {
            assert!(!is_found_again(other), "{other}");
        }
    }
}
