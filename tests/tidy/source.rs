//! The source tree as the rules see it: each file's code with comments and the contents of literals blanked, its literals, its
//! functions. A lexer and no more: what the compiler already knows (types, names) is left to the compiler.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// One file, without its tests.
pub struct Source {
    /// From the top of the tree: `src/casd/main.rs`.
    pub path: String,
    /// As it is, tests included.
    pub text: String,
    /// Line by line, comments and the contents of literals blanked, in-file tests cut off.
    pub code: Vec<String>,
    /// The string literals of that code, each with its line.
    pub literals: Vec<(usize, String)>,
}

fn is_tests(line: &str) -> bool {
    line == "#[cfg(test)]" || line.starts_with("#[cfg(all(test,")
}

impl Source {
    pub fn new(path: &str, text: &str) -> Source {
        let (blanked, mut literals) = blank(text);
        let mut code: Vec<String> = blanked.lines().map(str::to_owned).collect();
        if let Some(start) = code.iter().position(|line| is_tests(line.trim())) {
            // Tests come last in a file; a lone `mod tests;` of a sibling file ends it just as well.
            code.truncate(start);
        }
        literals.retain(|(line, _)| *line <= code.len());
        Source { path: path.to_owned(), text: text.to_owned(), code, literals }
    }

    /// Lines (from 1) on which `word` stands by itself in the code.
    pub fn lines_with<'a>(&'a self, word: &'a str) -> impl Iterator<Item = usize> + 'a {
        self.code.iter().enumerate().filter(move |(_, line)| has_word(line, word)).map(|(index, _)| index + 1)
    }

    /// Each function: its name, first line and length in lines.
    pub fn functions(&self) -> Vec<(String, usize, usize)> {
        let mut found = Vec::new();
        for (index, line) in self.code.iter().enumerate() {
            let Some(name) = function_name(line) else { continue };
            let (mut depth, mut opened) = (0_i32, false);
            for (length, line) in self.code[index..].iter().enumerate() {
                for byte in line.bytes() {
                    match byte {
                        b'{' => (depth, opened) = (depth + 1, true),
                        b'}' => depth -= 1,
                        _ => {}
                    }
                }
                // A signature of a trait ends with a semicolon and has no body.
                if opened && depth == 0 {
                    found.push((name.to_owned(), index + 1, length + 1));
                    break;
                } else if !opened && line.trim_end().ends_with(';') {
                    break;
                }
            }
        }
        found
    }
}

/// Whether `word` (a path such as `env::var` as well) stands in `line` with no letter of a name beside it.
pub fn has_word(line: &str, word: &str) -> bool {
    let part_of_name = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word)
        .any(|(at, _)| !line[..at].ends_with(part_of_name) && !line[at + word.len()..].starts_with(part_of_name))
}

fn function_name(line: &str) -> Option<&str> {
    let mut words = line.split_whitespace().skip_while(|word| {
        matches!(*word, "pub" | "async" | "const" | "unsafe" | "extern" | "pub(crate)" | "pub(super)" | "\"\"")
    });
    (words.next()? == "fn").then_some(())?;
    words.next()?.split(['(', '<']).next()
}

/// Every `.rs` file below `src`, in order; files that hold nothing but tests are left out.
pub fn all() -> Vec<Source> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = Vec::new();
    walk(&top.join("src"), &mut paths);
    paths.sort();
    assert!(paths.len() > 50, "the scan looks at the wrong folder: {} files", paths.len());
    paths
        .iter()
        .filter(|path| {
            !path.as_os_str().as_encoded_bytes().ends_with(b"tests.rs")
                && !path.components().any(|part| part.as_os_str() == "tests")
        })
        .map(|path| {
            let text = fs::read_to_string(path).unwrap_or_else(|err| panic!("{}: {err}", path.display()));
            let name = path.strip_prefix(top).expect("it was found below").to_string_lossy().into_owned();
            Source::new(&name, &text)
        })
        .collect()
}

fn walk(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap_or_else(|err| panic!("{}: {err}", folder.display())) {
        let path = entry.expect("a folder of the tree can be listed").path();
        if path.is_dir() {
            walk(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}

/// The text with comments and literals' contents as spaces, and the string literals with their lines.
fn blank(text: &str) -> (String, Vec<(usize, String)>) {
    let bytes = text.as_bytes();
    let mut out = String::with_capacity(text.len());
    let mut literals = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &text[at..];
        let end = if rest.starts_with("//") {
            at + rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            at + comment_length(rest)
        } else if let Some((open, length)) = string_length(rest, out.chars().next_back()) {
            let line = out.matches('\n').count() + 1;
            let content = rest[open..length].trim_end_matches(['#', '"']);
            literals.push((line, content.to_owned()));
            out.push_str("\"\"");
            // Lines must keep their numbers.
            out.extend(rest[..length].chars().filter(|c| *c == '\n'));
            at += length;
            continue;
        } else if let Some(length) = char_length(rest) {
            out.push_str("' '");
            at += length;
            continue;
        } else {
            let c = rest.chars().next().expect("something is left");
            out.push(c);
            at += c.len_utf8();
            continue;
        };
        out.extend(text[at..end].chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        at = end;
    }
    (out, literals)
}

fn comment_length(rest: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        match &rest.as_bytes()[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

/// Where a string literal's content starts and how long the whole literal is, if one starts here.
fn string_length(rest: &str, before: Option<char>) -> Option<(usize, usize)> {
    if before.is_some_and(|c| c.is_alphanumeric() || c == '_') && !rest.starts_with('"') {
        return None;
    }
    let prefix = ["br", "cr", "b", "c", "r", ""].into_iter().find(|prefix| {
        rest.strip_prefix(prefix).is_some_and(|after| {
            after.starts_with('"') || (prefix.ends_with('r') && after.trim_start_matches('#').starts_with('"'))
        })
    })?;
    let hashes = rest[prefix.len()..].len() - rest[prefix.len()..].trim_start_matches('#').len();
    let open = prefix.len() + hashes + 1;
    if prefix.ends_with('r') {
        let close = format!("\"{}", "#".repeat(hashes));
        return Some((open, rest[open..].find(&close).map_or(rest.len(), |at| open + at + close.len())));
    }
    let mut escaped = false;
    for (at, byte) in rest.bytes().enumerate().skip(open) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some((open, at + 1)),
            _ => {}
        }
    }
    Some((open, rest.len()))
}

/// The length of a character literal; a lifetime is none.
fn char_length(rest: &str) -> Option<usize> {
    let inner = rest.strip_prefix('\'')?;
    if let Some(after) = inner.strip_prefix('\\') {
        // The escaped character itself may be a quote.
        return after.char_indices().skip(1).find(|(_, c)| *c == '\'').map(|(at, _)| at + 3);
    }
    let c = inner.chars().next()?;
    inner[c.len_utf8()..].starts_with('\'').then_some(c.len_utf8() + 2)
}

#[test]
fn comments_and_literals_are_no_code() {
    let text = "//! doc\nlet a = \"fork()\"; // fork()\nlet b = r#\"x\"fork()\"#;\nlet q = '\"'; let l: &'a str;\n/* fork()\n/* x */ */ fork(x)\n#[cfg(test)]\nmod tests { fn f() { fork() } }\n";
    let source = Source::new("src/x.rs", text);
    assert_eq!(source.lines_with("fork").collect::<Vec<_>>(), [6]);
    assert_eq!(source.literals, [(2, "fork()".to_owned()), (3, "x\"fork()".to_owned())]);
    assert!(!has_word("unfork(x)", "fork") && !has_word("forks", "fork") && has_word("a::fork(", "fork"));
}

#[test]
fn functions_are_measured() {
    let text = "//! d\npub async fn one(\n  a: u8,\n) {\n  if a { '}' }\n}\ntrait T { }\nfn two();\nfn three() {}\n";
    let found = Source::new("src/x.rs", text).functions();
    assert_eq!(found, [("one".to_owned(), 2, 5), ("three".to_owned(), 9, 1)]);
}
