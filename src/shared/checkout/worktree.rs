//! What git's folder says of the work tree: the index by names and contents, without the stamps that
//! differ in every checkout, and of the configuration what a comparison with it takes. Never what may
//! hold a secret.

/// Keys of `[core]` that decide what git takes for a change, and how it writes names.
const CORE: [&str; 8] =
    ["abbrev", "autocrlf", "eol", "filemode", "ignorecase", "precomposeunicode", "quotepath", "symlinks"];
/// Longest varint in an index: five groups of seven bits hold any length of a path.
const GROUPS: usize = 5;

/// What the index says of one path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tracked {
    /// The path below the root.
    pub path: String,
    /// Mode, object and flags.
    pub said: Vec<u8>,
}

/// The entries of an index (versions 2 to 4); nothing where it is no such file. Names that
/// are no text are those of no file here: what the index says of them counts all the same.
pub fn tracked(index: &[u8], object_bytes: usize) -> Option<Vec<Tracked>> {
    let mut rest = Bytes(index);
    let is_index = rest.take(4)? == b"DIRC";
    let version = u32::from_be_bytes(rest.take(4)?.try_into().ok()?);
    let count = u32::from_be_bytes(rest.take(4)?.try_into().ok()?);
    if !is_index || !(2..=4).contains(&version) {
        return None;
    }
    let (mut found, mut path) = (Vec::new(), Vec::new());
    for _ in 0..count {
        let before = rest.0.len();
        let stamps = rest.take(40)?;
        let mut said = stamps[24..28].to_vec();
        said.extend_from_slice(rest.take(object_bytes)?);
        let flags = rest.take(2)?;
        // The low bits are the name's length.
        said.push(flags[0] & 0xf0);
        if version >= 3 && flags[0] & 0x40 != 0 {
            said.extend_from_slice(rest.take(2)?);
        }
        if version == 4 {
            let kept = path.len().checked_sub(rest.varint()?)?;
            path.truncate(kept);
        } else {
            path.clear();
        }
        path.extend_from_slice(rest.until_zero()?);
        if version < 4 {
            // The whole entry takes a multiple of eight bytes, one zero at least among them.
            let length = before - rest.0.len();
            rest.take(length.next_multiple_of(8) - length)?;
        }
        found.push(Tracked { path: String::from_utf8_lossy(&path).into_owned(), said });
    }
    Some(found)
}

/// A configuration that holds of another only what is listed here; stamps are compared as far as two
/// mounts of one file have them in common.
pub fn configuration(text: &str) -> String {
    let mut core = String::new();
    let (mut format, mut remotes) = (None, String::new());
    let mut section = String::new();
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            section = name.0.to_owned();
            continue;
        }
        let Some((key, value)) = line.split_once('=').map(|(key, value)| (key.trim(), value.trim())) else { continue };
        match section.to_lowercase().as_str() {
            "core" if CORE.contains(&key.to_lowercase().as_str()) => core.push_str(&format!("\t{key} = {value}\n")),
            "extensions" if key.eq_ignore_ascii_case("objectformat") => format = Some(value.to_lowercase()),
            name if name.starts_with("remote \"") && key.eq_ignore_ascii_case("url") => {
                let url = without_login(value);
                remotes.push_str(&format!("[{section}]\n\turl = {url}\n"));
            }
            _ => {}
        }
    }
    let version = u8::from(format.is_some());
    let format = format.map(|format| format!("[extensions]\n\tobjectformat = {format}\n")).unwrap_or_default();
    format!(
        "[core]\n\trepositoryformatversion = {version}\n\tbare = false\n\tcheckstat = minimal\n\ttrustctime = false\n\
         {core}{format}{remotes}"
    )
}

/// Bytes of an object's name, by such a configuration.
pub fn object_bytes(configuration: &str) -> usize {
    if configuration.contains("objectformat = sha256\n") { 32 } else { 20 }
}

/// An address without the name and the password in front of its host, and without what follows a `?`.
fn without_login(url: &str) -> String {
    let url = url.split('?').next().unwrap_or(url);
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let (host, path) = rest.split_once('/').map_or((rest, None), |(host, path)| (host, Some(path)));
    let host = host.rsplit('@').next().unwrap_or(host);
    path.map_or_else(|| format!("{scheme}://{host}"), |path| format!("{scheme}://{host}/{path}"))
}

struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn until_zero(&mut self) -> Option<&'a [u8]> {
        let end = self.0.iter().position(|byte| *byte == 0)?;
        let taken = self.take(end)?;
        self.take(1)?;
        Some(taken)
    }

    /// git's own kind: each further group counts from one more.
    fn varint(&mut self) -> Option<usize> {
        let mut value = 0_usize;
        for group in 0..GROUPS {
            let byte = self.take(1)?[0];
            value = (value << 7) | usize::from(byte & 0x7f);
            if byte & 0x80 == 0 {
                return Some(value);
            }
            if group + 1 < GROUPS {
                value += 1;
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(version: u8, stamp: u8, path: &[u8], tail: &[u8]) -> Vec<u8> {
        let mut entry = vec![stamp; 24];
        entry.extend([0, 0, 0x81, 0xa4]);
        entry.extend([stamp; 12]);
        entry.extend([7; 20]);
        entry.extend([0, 5]);
        entry.extend(path);
        entry.extend(tail);
        if version < 4 {
            entry.push(0);
            entry.resize(entry.len().next_multiple_of(8), 0);
        }
        entry
    }

    fn index(version: u8, entries: &[Vec<u8>]) -> Vec<u8> {
        let mut index = b"DIRC\0\0\0".to_vec();
        index.push(version);
        index.extend(u32::try_from(entries.len()).expect("few").to_be_bytes());
        entries.iter().for_each(|entry| index.extend(entry));
        index.extend(b"TREE\0\0\0\0");
        index
    }

    #[test]
    fn an_index_is_read_without_its_stamps() {
        let names = |index: &[u8]| -> Vec<String> {
            tracked(index, 20).expect("an index").into_iter().map(|one| one.path).collect()
        };
        for version in [2, 3] {
            let read =
                |stamp| index(version, &[entry(version, stamp, b"a/one", b""), entry(version, stamp, b"b", b"")]);
            assert_eq!(names(&read(1)), ["a/one", "b"]);
            assert_eq!(tracked(&read(1), 20), tracked(&read(2), 20));
        }
        // Each name without the end of the one before.
        let four = index(4, &[entry(4, 1, b"\0a/one", b"\0"), entry(4, 1, b"\x03two", b"\0")]);
        assert_eq!(names(&four), ["a/one", "a/two"]);
        assert_eq!(tracked(&four[..40], 20), None);
        assert_eq!(tracked(b"something else", 20), None);
    }

    #[test]
    fn of_the_configuration_no_secret_is_left() {
        let text = "[core]\n\tbare = true\n\tautocrlf = input\n\tsshCommand = secret\n[http]\n\textraheader = secret\n\
                    [remote \"origin\"]\n\turl = https://secret:secret@host/a/b?secret\n[extensions]\n\tobjectFormat = sha256\n";
        let kept = configuration(text);
        assert!(!kept.contains("secret") && !kept.contains("bare = true"), "{kept}");
        assert!(kept.contains("autocrlf = input") && kept.contains("url = https://host/a/b\n"), "{kept}");
        assert!(kept.contains("repositoryformatversion = 1"), "{kept}");
        assert_eq!((object_bytes(&kept), object_bytes(&configuration(""))), (32, 20));
    }
}
