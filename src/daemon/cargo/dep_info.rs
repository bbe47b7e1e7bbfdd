//! rustc's dep-info: which files and variables a crate read. Paths stay as rustc wrote them.

/// One `.d` file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DepInfo {
    /// Sources and included files, relative to the call's working folder or absolute.
    pub files: Vec<String>,
    /// Variables that `env!` and the like asked for; none where it was not set.
    pub env: Vec<(String, Option<String>)>,
}

impl DepInfo {
    /// Reads what rustc wrote; lines of no known form are passed over, as make does.
    pub fn parse(text: &str) -> DepInfo {
        let mut info = DepInfo::default();
        for line in text.lines() {
            if let Some(env) = line.strip_prefix("# env-dep:") {
                let (name, value) = match env.split_once('=') {
                    Some((name, value)) => (name, Some(unescape(value))),
                    None => (env, None),
                };
                info.env.push((unescape(name), value));
            } else if info.files.is_empty()
                && !line.starts_with('#')
                && let Some((_, files)) = line.split_once(": ")
            {
                info.files = words(files);
            }
        }
        info
    }
}

/// Splits at spaces; `\ ` is a space within a name.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut characters = text.chars().peekable();
    while let Some(one) = characters.next() {
        match one {
            '\\' if characters.peek() == Some(&' ') => {
                characters.next();
                word.push(' ');
            }
            ' ' if !word.is_empty() => words.push(std::mem::take(&mut word)),
            ' ' => {}
            one => word.push(one),
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// rustc writes line breaks and backslashes of values escaped.
fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(one) = characters.next() {
        match (one, one == '\\') {
            (_, true) => match characters.next() {
                Some('n') => out.push('\n'),
                Some('r') => out.push('\r'),
                Some(other) => out.push(other),
                None => out.push('\\'),
            },
            (one, false) => out.push(one),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_variables() {
        let text = "/vx/out/x.d: src/main.rs src/a\\ b.rs /vx/build/p/out/g.rs\n\n/vx/out/x: src/main.rs\n\nsrc/main.rs:\n\n\
            # env-dep:CARGO_PKG_NAME=x\n# env-dep:GONE\n# env-dep:TWO=a\\nb\n";
        let info = DepInfo::parse(text);
        assert_eq!(info.files, ["src/main.rs", "src/a b.rs", "/vx/build/p/out/g.rs"]);
        assert_eq!(info.env[0], ("CARGO_PKG_NAME".to_owned(), Some("x".to_owned())));
        assert_eq!(info.env[1], ("GONE".to_owned(), None));
        assert_eq!(info.env[2].1.as_deref(), Some("a\nb"));
    }
}
