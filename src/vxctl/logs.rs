//! `vxctl logs`: from the journal; where none can be read, the lines that the running services
//! remember, which end with them.

use std::{collections::BTreeMap, time::Duration};

use shared::{control::LogLine, fault::exit, paths::Service};

use crate::{
    bus::Ways,
    journal::{Entry, Journal},
    print, sys,
};

/// Whether new lines are waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Follow {
    /// Show and end.
    No,
    /// Show until interrupted.
    On,
}

/// How often the services are asked for new lines.
const POLL: Duration = Duration::from_millis(250);

/// Runs the word; the exit code.
pub async fn run(services: &[Service], lines: u32, follow: Follow) -> u8 {
    match Journal::of(services) {
        Some(journal) if journal.knows_any() => from_journal(journal, lines, follow),
        other => {
            let why = if other.is_some() { "it has no line of theirs" } else { "libsystemd cannot be loaded" };
            eprintln!("vxctl: no journal can be read ({why}): these are the lines that the running services remember");
            from_services(services, lines, follow).await
        }
    }
}

fn from_journal(mut journal: Journal, lines: u32, follow: Follow) -> u8 {
    for entry in journal.last(lines) {
        show(&entry);
    }
    if follow == Follow::On {
        loop {
            match journal.wait() {
                Ok(entries) => entries.iter().for_each(show),
                Err(code) => {
                    eprintln!("vxctl: the journal cannot be read on: error {code}");
                    return exit::FAILED;
                }
            }
        }
    }
    exit::OK
}

async fn from_services(services: &[Service], lines: u32, follow: Follow) -> u8 {
    let ways = Ways::open().await;
    let mut seen: BTreeMap<Service, (u32, u64)> = BTreeMap::new();
    let mut most = lines;
    loop {
        let mut entries = Vec::new();
        let mut reached = false;
        for service in services {
            let Ok(remote) = ways.reach(*service).await.1 else { continue };
            // Another instance counts from the beginning.
            let Ok(report) = remote.report().await else { continue };
            let (pid, after) = seen.get(service).copied().unwrap_or_default();
            let after = if pid == report.pid { after } else { 0 };
            let Ok(found) = remote.log(after, most).await else { continue };
            reached = true;
            let last = found.last().map_or(after, |line| line.number);
            seen.insert(*service, (report.pid, last));
            entries.extend(found.into_iter().map(|line| remembered(*service, line)));
        }
        entries.sort_by_key(|entry: &Entry| entry.usec);
        let surplus = entries.len().saturating_sub(most as usize);
        entries.iter().skip(surplus).for_each(show);
        if follow == Follow::No {
            if !reached {
                eprintln!("vxctl: no service runs, so none remembers anything");
            }
            return if reached { exit::OK } else { exit::UNREACHABLE };
        }
        most = u32::MAX;
        tokio::time::sleep(POLL).await;
    }
}

fn remembered(service: Service, line: LogLine) -> Entry {
    Entry { usec: line.usec, priority: line.priority, program: service.program().to_owned(), text: line.text }
}

fn show(entry: &Entry) {
    print(&format!("{} {}: {}{}\n", sys::local_time(entry.usec), entry.program, mark(entry.priority), entry.text));
}

/// What is not plain information says so.
fn mark(priority: u8) -> &'static str {
    match priority {
        0..=3 => "error: ",
        4 => "warning: ",
        7 => "debug: ",
        _ => "",
    }
}
