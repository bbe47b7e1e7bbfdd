//! The rules of the source tree (src/README.md, "Invariants") as scans that can fail: each is a function from one file to what
//! is wrong in it, run over the whole tree and, beside it, over a snippet that breaks it. Exceptions are named, with a reason.

mod source;

use source::{Source, all, has_word};

/// One finding: the line and what is wrong there.
type Finding = (usize, String);

/// A rule, what it says, and a file that breaks it.
struct Rule {
    says: &'static str,
    check: fn(&Source) -> Vec<Finding>,
    bad: (&'static str, &'static str),
}

/// Longer than the budgets allow, each with its reason: path, function (empty: the file) and the length allowed.
const LONGER: &[(&str, &str, usize)] = &[];

const RULES: &[Rule] = &[
    Rule {
        says: "only execd/child.rs starts processes",
        check: starts_processes,
        bad: ("src/daemon/x.rs", "fn f() { std::process::Command::new(\"ls\"); }"),
    },
    Rule {
        says: "only shared/paths.rs reads the environment",
        check: reads_environment,
        bad: ("src/vx/x.rs", "fn f() { env::var_os(\"HOME\"); }"),
    },
    Rule {
        says: "only shared/service and vxctl know the init system",
        check: knows_init,
        bad: ("src/casd/x.rs", "use sd_notify::notify;"),
    },
    Rule {
        says: "only daemon/cargo names cargo's files",
        check: names_cargo_files,
        bad: ("src/daemon/session.rs", "const A: &str = \"Cargo.lock\";"),
    },
    Rule {
        says: "only control.rs files and vxctl/bus.rs name zbus",
        check: names_zbus,
        bad: ("src/casd/serve/x.rs", "use zbus::Connection;"),
    },
    Rule {
        says: "only shared/service/sockets.rs binds Unix sockets",
        check: binds_sockets,
        bad: ("src/execd/x.rs", "fn f() { UnixListener::bind(p); }"),
    },
    Rule {
        says: "daemon/graph has no async, no files, no clock",
        check: impure_graph,
        bad: ("src/daemon/graph/x.rs", "use std::time::Instant;"),
    },
    Rule {
        says: "features are gated in shared/lib.rs alone",
        check: gates_features,
        bad: ("src/casd/main.rs", "#[cfg(feature = \"service\")]\nmod x;"),
    },
    Rule { says: "every file opens with what it is for", check: has_no_header, bad: ("src/vx/x.rs", "use std::fs;") },
    Rule { says: "files and functions keep their budgets", check: too_long, bad: ("src/vx/x.rs", LONG_FUNCTION) },
    Rule {
        says: "modules import from lower floors only",
        check: imports_upwards,
        bad: ("src/shared/wire/x.rs", "use crate::service::run;"),
    },
    Rule {
        says: "vx links no runtime and few modules",
        check: thick_client,
        bad: ("src/vx/x.rs", "use shared::digest::Digest;"),
    },
    Rule { says: "anyhow stays in main.rs", check: anyhow_elsewhere, bad: ("src/casd/x.rs", "use anyhow::Result;") },
    Rule { says: "no unwrap outside tests", check: unwraps, bad: ("src/casd/x.rs", "fn f() { g().unwrap(); }") },
    Rule {
        says: "unsafe code says why it is sound",
        check: unsafe_without_reason,
        bad: ("src/execd/x.rs", "fn f() {\n  unsafe { g() }\n}"),
    },
    Rule {
        says: "public functions take no bool",
        check: bool_parameters,
        bad: ("src/shared/x.rs", "pub fn f(\n  a: u8,\n  force: bool,\n) {}"),
    },
];

const LONG_FUNCTION: &str = concat!(
    "//! d\nfn f() {\n",
    "\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n",
    "}\n"
);

#[test]
fn the_tree_keeps_its_rules() {
    let sources = all();
    let mut broken = Vec::new();
    for source in &sources {
        for rule in RULES {
            for (line, what) in (rule.check)(source) {
                broken.push(format!("{}:{line}: {what} ({})", source.path, rule.says));
            }
        }
    }
    broken.extend(unused_public_items(&sources));
    assert!(broken.is_empty(), "{} findings:\n{}", broken.len(), broken.join("\n"));
}

#[test]
fn every_rule_can_fail() {
    for rule in RULES {
        let source = Source::new(rule.bad.0, rule.bad.1);
        assert!(!(rule.check)(&source).is_empty(), "nothing is found in the snippet against: {}", rule.says);
    }
    let unused = [Source::new("src/shared/x.rs", "pub fn lonely() {}"), Source::new("src/vx/main.rs", "fn main() {}")];
    assert_eq!(unused_public_items(&unused).len(), 1);
}

/// The exceptions must not outlive their reason.
#[test]
fn every_exception_is_needed() {
    let sources = all();
    for (path, function, _) in LONGER {
        let source = sources.iter().find(|source| source.path == *path);
        let needed = source.is_some_and(|source| match *function {
            "" => source.code.len() > FILE_LINES,
            name => source.functions().iter().any(|(found, _, length)| found == name && *length > FUNCTION_LINES),
        });
        assert!(needed, "{path} {function} keeps the budget now: take it off the list");
    }
}

fn words(source: &Source, words: &[&str]) -> Vec<Finding> {
    words.iter().flat_map(|word| source.lines_with(word).map(move |line| (line, format!("`{word}`")))).collect()
}

fn below(source: &Source, folders: &[&str]) -> bool {
    folders.iter().any(|folder| source.path.starts_with(folder))
}

fn starts_processes(source: &Source) -> Vec<Finding> {
    if source.path == "src/execd/child.rs" {
        return Vec::new();
    }
    // The Remote Execution API has a Command of its own, so the word alone says nothing.
    let mut found = words(
        source,
        &[
            "process::Command",
            "Command::new",
            "unistd::fork",
            "libc::fork",
            "vfork",
            "posix_spawn",
            "sched::clone",
            "spawn_process",
        ],
    );
    if !source.path.starts_with("src/execd/sandbox/") {
        // The filter that refuses it names the call; exec without fork replaces the process that child.rs made.
        found.extend(words(source, &["SYS_clone", "SYS_clone3", "execve", "fexecve", "execvp"]));
    }
    found
}

fn reads_environment(source: &Source) -> Vec<Finding> {
    if source.path == "src/shared/paths.rs" {
        return Vec::new();
    }
    words(
        source,
        &[
            "env::var",
            "env::vars",
            "env::var_os",
            "env::vars_os",
            "env::set_var",
            "env::remove_var",
            "var_os",
            "vars_os",
            "environ",
            "getenv",
            "from_default_env",
        ],
    )
}

fn knows_init(source: &Source) -> Vec<Finding> {
    if below(source, &["src/shared/service/", "src/vxctl/"]) {
        return Vec::new();
    }
    let mut found = words(source, &["sd_notify", "listenfd"]);
    for (line, literal) in &source.literals {
        if ["NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_PID", "org.freedesktop.systemd1"]
            .iter()
            .any(|name| literal.contains(name))
        {
            found.push((*line, format!("\"{literal}\"")));
        }
    }
    found
}

fn names_cargo_files(source: &Source) -> Vec<Finding> {
    if below(source, &["src/daemon/cargo/"]) {
        return Vec::new();
    }
    const FILES: &[&str] =
        &["Cargo.toml", "Cargo.lock", ".fingerprint", ".cargo-lock", "rust-toolchain", "config.toml"];
    let is_cargos = |literal: &str| FILES.iter().any(|file| literal.contains(file));
    source
        .literals
        .iter()
        .filter(|(_, literal)| is_cargos(literal))
        .map(|(line, literal)| (*line, format!("\"{literal}\"")))
        .collect()
}

fn names_zbus(source: &Source) -> Vec<Finding> {
    let allowed = source.path.ends_with("/control.rs")
        || below(source, &["src/shared/control/", "src/vxctl/bus.rs", "src/vxctl/bus/"]);
    if allowed { Vec::new() } else { words(source, &["zbus"]) }
}

fn binds_sockets(source: &Source) -> Vec<Finding> {
    if source.path == "src/shared/service/sockets.rs" {
        return Vec::new();
    }
    words(source, &["UnixListener::bind", "UnixDatagram::bind", "bind_addr", "UnixListener::bind_addr"])
}

fn impure_graph(source: &Source) -> Vec<Finding> {
    if !source.path.starts_with("src/daemon/graph/") {
        return Vec::new();
    }
    words(
        source,
        &["async", "await", "tokio", "std::fs", "fs", "File", "Instant", "SystemTime", "std::net", "std::thread"],
    )
}

fn gates_features(source: &Source) -> Vec<Finding> {
    if source.path == "src/shared/lib.rs" {
        return Vec::new();
    }
    let gate = |line: &str| {
        (line.contains("cfg(") || line.contains("cfg!(") || line.contains("cfg_attr(")) && has_word(line, "feature")
    };
    source
        .code
        .iter()
        .enumerate()
        .filter(|(_, line)| gate(line))
        .map(|(index, _)| (index + 1, "a feature gate".to_owned()))
        .collect()
}

fn has_no_header(source: &Source) -> Vec<Finding> {
    if source.text.starts_with("//! ") { Vec::new() } else { vec![(1, "no `//!` on the first line".to_owned())] }
}

const FILE_LINES: usize = 400;
const FUNCTION_LINES: usize = 70;
/// No reason makes a file longer than this.
const WALL_LINES: usize = 600;

fn too_long(source: &Source) -> Vec<Finding> {
    let allowed = |function: &str, budget: usize| {
        let named = LONGER.iter().find(|(path, name, _)| *path == source.path && *name == function);
        named.map_or(budget, |(_, _, length)| *length)
    };
    let mut found = Vec::new();
    let lines = source.code.len();
    if lines > allowed("", FILE_LINES).min(WALL_LINES) {
        found.push((lines, format!("{lines} lines without tests")));
    }
    for (name, line, length) in source.functions() {
        if length > allowed(&name, FUNCTION_LINES) {
            found.push((line, format!("`{name}` has {length} lines")));
        }
    }
    found
}

/// The floors of `shared`, lowest first.
const FLOORS: [&[&str]; 3] = [
    &["checkout", "digest", "fault", "limits", "paths"],
    &["config", "failpoint", "reapi", "wire"],
    &["client", "control", "service", "telemetry"],
];

fn imports_upwards(source: &Source) -> Vec<Finding> {
    let Some(path) = source.path.strip_prefix("src/shared/") else { return Vec::new() };
    let module = path.split(['/', '.']).next().unwrap_or_default();
    let Some(floor) = FLOORS.iter().position(|floor| floor.contains(&module)) else { return Vec::new() };
    let mut refused: Vec<&str> = FLOORS[floor..].concat();
    let company = ["control", "telemetry", "limits", "paths"];
    refused.retain(|name| *name != module && *name != "fault" && !(module == "service" && company.contains(name)));
    let mut found: Vec<Finding> = refused
        .iter()
        .flat_map(|name| imports(source, "crate").into_iter().filter(move |(_, used)| used == name))
        .map(|(line, used)| (line, format!("`crate::{used}` from `{module}`")))
        .collect();
    if floor < 2 {
        found.extend(words(source, &["tokio"]));
    }
    found
}

/// Modules that a file names after `root::`, in paths and in braces alike, with their lines.
fn imports(source: &Source, root: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let name = |text: &str| {
        text.trim_start().split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default().to_owned()
    };
    let start = format!("{root}::");
    let mut index = 0;
    while index < source.code.len() {
        let line = &source.code[index];
        for (at, _) in line.match_indices(&start) {
            let after = &line[at + start.len()..];
            let Some(list) = after.strip_prefix('{') else {
                found.push((index + 1, name(after)));
                continue;
            };
            // use crate::{a::{b, c}, d}: only what stands at depth one is a module of the root.
            let rest = std::iter::once(list)
                .chain(source.code[index + 1..].iter().map(String::as_str))
                .collect::<Vec<_>>()
                .join(" ");
            let (mut depth, mut part) = (1, String::new());
            for c in rest.chars() {
                match c {
                    '{' => depth += 1,
                    '}' => depth -= 1,
                    _ => {}
                }
                if depth == 0 || (c == ',' && depth == 1) {
                    found.push((index + 1, name(&part)));
                    part.clear();
                } else {
                    part.push(c);
                }
                if depth == 0 {
                    break;
                }
            }
        }
        index += 1;
    }
    found.retain(|(_, name)| !name.is_empty());
    found
}

fn thick_client(source: &Source) -> Vec<Finding> {
    let (allowed, never): (&[&str], &[&str]) = match source.path.split('/').nth(1) {
        Some("vx") => (&["fault", "limits", "paths", "wire"], &["tokio", "clap", "toml"]),
        Some("vxctl") => (&["fault", "limits", "paths", "digest", "config", "control"], &["tonic"]),
        _ => return Vec::new(),
    };
    let mut found = words(source, never);
    for (line, used) in imports(source, "shared") {
        if !allowed.contains(&used.as_str()) {
            found.push((line, format!("`shared::{used}`")));
        }
    }
    found
}

fn anyhow_elsewhere(source: &Source) -> Vec<Finding> {
    if source.path.ends_with("/main.rs") { Vec::new() } else { words(source, &["anyhow"]) }
}

fn unwraps(source: &Source) -> Vec<Finding> {
    source
        .code
        .iter()
        .enumerate()
        .filter(|(_, line)| line.contains(".unwrap()"))
        .map(|(index, _)| (index + 1, "`unwrap`".to_owned()))
        .collect()
}

fn unsafe_without_reason(source: &Source) -> Vec<Finding> {
    let text: Vec<&str> = source.text.lines().collect();
    let says_why =
        |index: usize| text[index.saturating_sub(8)..=index].iter().any(|line| line.to_lowercase().contains("safety"));
    let opens = |line: &str| line.contains("unsafe {") || line.contains("unsafe impl") || line.contains("unsafe fn");
    source
        .code
        .iter()
        .enumerate()
        .filter(|(index, line)| opens(line) && !says_why(*index))
        .map(|(index, _)| (index + 1, "unsafe without a SAFETY reason".to_owned()))
        .collect()
}

fn bool_parameters(source: &Source) -> Vec<Finding> {
    let mut found = Vec::new();
    for (index, line) in source.code.iter().enumerate() {
        let head = line.trim_start();
        if !head.starts_with("pub fn") && !head.starts_with("pub async fn") && !head.starts_with("pub const fn") {
            continue;
        }
        let signature = source.code[index..]
            .iter()
            .map(String::as_str)
            .take_while(|line| !line.trim_start().starts_with('}'))
            .collect::<Vec<_>>()
            .join(" ");
        // What stands before the body or the result is the list of parameters.
        let parameters = signature.split(['{', ';']).next().unwrap_or_default().split("->").next().unwrap_or_default();
        if has_word(parameters, ": bool") || parameters.contains(": bool") {
            found.push((index + 1, "a `bool` parameter; say it with an enum".to_owned()));
        }
    }
    found
}

/// Public items of `shared` that no program's code leads to: named in no other file, and nowhere else in their own.
fn unused_public_items(sources: &[Source]) -> Vec<String> {
    let mut unused = Vec::new();
    for source in sources.iter().filter(|source| source.path.starts_with("src/shared/")) {
        for (index, line) in source.code.iter().enumerate() {
            let Some(name) = public_item(line) else { continue };
            let elsewhere = sources.iter().any(|other| {
                other.path != source.path && !other.path.ends_with("/mod.rs") && other.lines_with(name).next().is_some()
            });
            let here = source.lines_with(name).any(|line| line != index + 1);
            if !elsewhere && !here {
                unused.push(format!(
                    "{}:{}: nothing uses `{name}` (every public item of shared is used)",
                    source.path,
                    index + 1
                ));
            }
        }
    }
    unused
}

fn public_item(line: &str) -> Option<&str> {
    let mut words = line
        .trim_start()
        .strip_prefix("pub ")?
        .split_whitespace()
        .skip_while(|word| matches!(*word, "async" | "const" | "unsafe"));
    let mut first = words.next()?;
    if matches!(first, "fn" | "struct" | "enum" | "trait" | "type" | "static") {
        first = words.next()?;
    } else if !line.trim_start().starts_with("pub const ") {
        return None;
    }
    first.split(|c: char| !c.is_alphanumeric() && c != '_').next().filter(|name| !name.is_empty())
}
