//! `vx why`: what became of units in the last build of the workspace, and for what reasons.

use std::{fmt::Write as _, path::Path, sync::Arc};

use shared::fault::{Failure, Fault};

use super::{End, Entry, Memory, Workspace};
use crate::{cargo::locate::locate, cli::WhyArgs};

/// Reasons shown for one unit.
const REASONS: usize = 10;

/// Answers `vx why`.
pub async fn answer(memory: &Arc<Memory>, cwd: &Path, args: WhyArgs) -> Result<String, Failure> {
    let root = locate(cwd, args.manifest_path.as_deref())?.root;
    let memory = Arc::clone(memory);
    let asked = tokio::task::spawn_blocking(move || run(&memory, &root, &args.unit));
    let answer = asked.await.map_err(|err| Failure::new(Fault::Bug, format!("why: {err}")))?;
    answer.map_err(|why| Failure::new(Fault::User, why))
}

/// The answer to the words after `why`, and whether there is one. Without words: all that was run.
fn run(memory: &Memory, root: &Path, words: &[String]) -> Result<String, String> {
    let workspace = memory.workspace(root);
    if workspace.build == 0 {
        return Err(format!("nothing is known of a build of {} yet; build it first", root.display()));
    }
    let wanted: Vec<String> = words.iter().flat_map(|word| split(word)).filter(|word| word != "of").collect();
    let found = matching(&workspace, &wanted);
    let mut text = String::new();
    for (name, entry) in &found {
        let earlier = if entry.build < workspace.build { " (in an earlier build)" } else { "" };
        if !(wanted.is_empty() && (entry.end == End::Hit || !earlier.is_empty())) {
            tell(label(name), entry, earlier, &mut text);
        }
    }
    match (found.is_empty(), text.is_empty()) {
        (true, _) => {
            Err(format!("no unit of the workspace's builds is called `{}`; see `vx build -v`", words.join(" ")))
        }
        (false, true) => Ok("nothing was run in the last build: all units were found\n".to_owned()),
        (false, false) => Ok(text),
    }
}

/// Units whose labels hold all words; those of the last build alone where there are any.
fn matching<'a>(workspace: &'a Workspace, wanted: &[String]) -> Vec<(&'a str, &'a Entry)> {
    let holds = |name: &str| {
        let has: Vec<String> = split(label(name)).collect();
        wanted.iter().all(|word| has.contains(word))
    };
    let all = workspace.units.iter().map(|(name, entry)| (name.as_str(), entry));
    let (last, earlier): (Vec<_>, Vec<_>) =
        all.filter(|(name, _)| holds(name)).partition(|(_, entry)| entry.build == workspace.build);
    if last.is_empty() { earlier } else { last }
}

/// What is known under `PROFILE NUMBER LABEL` of a unit.
fn label(name: &str) -> &str {
    name.splitn(3, ' ').nth(2).unwrap_or(name)
}

fn split(text: &str) -> impl Iterator<Item = String> {
    let parts = text.split(|one: char| one.is_whitespace() || matches!(one, '(' | ')' | '"' | '`' | '@'));
    parts.filter(|part| !part.is_empty()).map(|part| {
        let version = part.strip_prefix('v').filter(|rest| rest.starts_with(|one: char| one.is_ascii_digit()));
        version.unwrap_or(part).to_owned()
    })
}

fn tell(label: &str, entry: &Entry, earlier: &str, text: &mut String) {
    let (what, reasons) = match &entry.end {
        End::Hit => ("hit: its result was found", &[][..]),
        End::Built(reasons) => ("built", reasons.as_slice()),
        End::Failed(reasons) => ("failed", reasons.as_slice()),
    };
    let _ = writeln!(text, "{label}: {what}{earlier}");
    for reason in reasons.iter().take(REASONS) {
        let _ = writeln!(text, "  {reason}");
    }
    if reasons.len() > REASONS {
        let _ = writeln!(text, "  and {} more", reasons.len() - REASONS);
    }
    if let Some(why) = &entry.unkept {
        let _ = writeln!(text, "  its result was not stored: {why}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::why::Reason;

    #[test]
    fn units_are_found_by_the_words_of_their_labels() {
        let memory = Memory::new(None);
        let root = Path::new("/w");
        assert!(run(&memory, root, &[]).is_err());
        let entry = |end| Entry { build: 0, end, unkept: None, key: String::new(), parts: Default::default() };
        let built = entry(End::Built(vec![Reason::File("src/main.rs".to_owned())]));
        let units = [
            ("dev 0 fd-find v10.5.0 (bin \"fd\")".to_owned(), built),
            ("dev 0 x v1.0.0 (build script run)".to_owned(), entry(End::Hit)),
        ];
        memory.learn(root, units.into());
        let ask = |words: &str| run(&memory, root, &words.split(' ').map(str::to_owned).collect::<Vec<_>>());
        let fd = "fd-find v10.5.0 (bin \"fd\"): built\n  src/main.rs changed\n";
        for words in ["fd-find", "fd-find bin fd", "fd-find@10.5.0", "fd"] {
            assert_eq!(ask(words).as_deref(), Ok(fd), "{words}");
        }
        assert_eq!(ask("build script of x").as_deref(), Ok("x v1.0.0 (build script run): hit: its result was found\n"));
        assert!(ask("none").is_err());
        assert_eq!(run(&memory, root, &[]).as_deref(), Ok(fd));
    }
}
