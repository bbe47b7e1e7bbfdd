//! What follows `vx doc`: where the pages are, in cargo's words, or a browser of the person's that
//! shows them.

use std::path::PathBuf;

use shared::{fault::exit, wire::text::Text};

use crate::{
    after::{Browser, Built},
    build::usage,
    cargo::{diagnostics::Verbosity, process::Process, rustdoc},
    start::{self, Ended, Manners},
    workspace::NoPlan,
};

/// What shows a page where the person has chosen nothing.
const OPENER: &str = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };

/// Says it, or shows it; the exit code.
pub async fn say(built: &Built<'_>, browser: &Browser) -> Result<u8, NoPlan> {
    let pages = rustdoc::first_pages(built.plan);
    match browser {
        Browser::Program(words) => open(built, pages, words).await,
        Browser::None => {
            name(built, pages.into_iter().flatten().filter(|page| page.exists()).collect()).await;
            Ok(exit::OK)
        }
    }
}

async fn name(built: &Built<'_>, pages: Vec<PathBuf>) {
    let say = async |text: String| built.session.output.say("Generated", &text).await;
    match (built.verbosity, pages.as_slice()) {
        (Verbosity::Quiet, _) | (_, []) => {}
        (Verbosity::Normal, [first, others @ ..]) => {
            let others = match others.len() {
                0 => String::new(),
                1 => " and 1 other file".to_owned(),
                others => format!(" and {others} other files"),
            };
            say(format!("{}{others}", first.display())).await;
        }
        (_, all) => {
            for page in all {
                say(page.display().to_string()).await;
            }
        }
    }
}

/// Shows the first page, as cargo does: that a browser fails is a warning.
async fn open(built: &Built<'_>, pages: Vec<Vec<PathBuf>>, words: &[String]) -> Result<u8, NoPlan> {
    let Built { session, services, verbosity, .. } = built;
    let none = || usage("cannot open specified crate's documentation: no documentation generated");
    let first = pages.first().ok_or_else(none)?;
    let [page] = first.as_slice() else { return Err(usage("only one `--target` argument is supported")) };
    if !page.exists() {
        return Ok(exit::OK);
    }
    if *verbosity != Verbosity::Quiet {
        session.output.say("Opening", &page.display().to_string()).await;
    }
    session.output.flush().await;
    let chosen = if words.is_empty() { vec![OPENER.to_owned()] } else { words.to_vec() };
    let argv = chosen.iter().map(|word| Text::from(word.as_str()));
    let process = Process {
        argv: argv.chain([page.clone().into_os_string().into()]).collect(),
        set: [].into(),
        cwd: session.cwd.clone(),
        rustup: None,
    };
    let failed = match start::run(services, &session.ground, &process, Manners::Alone, &session.cancel).await? {
        Ended::Cancelled => return Ok(exit::INTERRUPTED),
        Ended::Ran(ended) if words.is_empty() && start::exit_code(ended) != 0 => {
            format!("couldn't open docs: {OPENER} failed")
        }
        Ended::Ran(_) => return Ok(exit::OK),
        Ended::Never(errno) => {
            format!("Couldn't open docs with {}: {}", chosen[0], std::io::Error::from_raw_os_error(errno))
        }
    };
    session.output.warning(&failed).await;
    Ok(exit::OK)
}
