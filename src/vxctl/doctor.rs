//! `vxctl doctor`: what a person would look at when vx does not work, looked at in order, each finding
//! with its cure. Services are started, as a build would. What is found lies in the files beside this;
//! what is said of it here.

mod place;
mod sandbox;
mod services;

use futures_util::future::join_all;
use shared::{
    config::Config,
    fault::exit,
    paths::{self, Service},
};

use crate::{
    bus::{Answer, Facts, Ways},
    journal::Journal,
    print,
    running::started_quietly,
    state::judge,
};

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// Builds work, and something is worse than it could be.
    Warn,
    /// Builds do not work.
    Fail,
}

/// One line of the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at.
    pub subject: String,
    /// How bad it is.
    pub verdict: Verdict,
    /// What was found.
    pub found: String,
    /// What to do.
    pub cure: Option<String>,
}

impl Finding {
    /// As it should be.
    pub fn ok(subject: impl Into<String>, found: impl Into<String>) -> Self {
        Finding { subject: subject.into(), verdict: Verdict::Ok, found: found.into(), cure: None }
    }

    /// Worse than it could be.
    pub fn warn(subject: impl Into<String>, found: impl Into<String>, cure: impl Into<String>) -> Self {
        Finding { verdict: Verdict::Warn, cure: Some(cure.into()), ..Finding::ok(subject, found) }
    }

    /// Broken.
    pub fn fail(subject: impl Into<String>, found: impl Into<String>, cure: impl Into<String>) -> Self {
        Finding { verdict: Verdict::Fail, cure: Some(cure.into()), ..Finding::ok(subject, found) }
    }
}

/// Runs the word; the exit code is 1 when something is broken.
pub async fn run() -> u8 {
    let mut findings = vec![place::runtime_folder()];
    let config = config(&mut findings);
    let ways = Ways::open().await;
    findings.extend(services::ways(&ways));
    let facts = join_all(Service::ALL.map(|service| started(&ways, service))).await;
    for facts in &facts {
        findings.extend(services::of_units(facts));
    }
    findings.extend(sandbox::findings(&facts));
    let rows: Vec<_> = facts.into_iter().map(judge).collect();
    for row in &rows {
        findings.extend(services::of_service(row));
    }
    findings.push(place::store(&config, &rows));
    findings.extend(place::tools());
    findings.push(place::journal(Journal::of(&Service::ALL).as_ref()));
    findings.extend(place::linger(ways.manager()));
    print(&text(&findings));
    if findings.iter().any(|finding| finding.verdict == Verdict::Fail) { exit::FAILED } else { exit::OK }
}

fn config(findings: &mut Vec<Finding>) -> Config {
    let Some(file) = paths::config_file() else { return Config::default() };
    match Config::load(&file) {
        Ok(config) => {
            let found = if file.exists() { format!("{} is valid", file.display()) } else { "all defaults".to_owned() };
            findings.push(Finding::ok("vx.toml", found));
            config
        }
        Err(e) => {
            findings.push(Finding::fail("vx.toml", e.to_string(), "mend it (man vx.toml), then: vxctl reload"));
            Config::default()
        }
    }
}

/// All that can be known of a service, which is started for it.
async fn started(ways: &Ways, service: Service) -> Facts {
    // Why it did not start is asked next.
    let _ = started_quietly(ways, service).await;
    let facts = ways.facts(service).await;
    // On its way up it is not asked; a moment later it is.
    if matches!(facts.answer, Answer::NotAsked) {
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        return ways.facts(service).await;
    }
    facts
}

fn text(findings: &[Finding]) -> String {
    let width = findings.iter().map(|finding| finding.subject.len()).max().unwrap_or(0);
    let mut text = String::new();
    for Finding { subject, verdict, found, cure } in findings {
        let word = match verdict {
            Verdict::Ok => "ok",
            Verdict::Warn => "warn",
            Verdict::Fail => "fail",
        };
        let indent = format!("\n{:6}{:width$}  ", "", "");
        text += &format!("{word:4}  {subject:width$}  {}\n", found.replace('\n', &indent));
        if let Some(cure) = cure {
            text += &format!("{:6}{:width$}  → {}\n", "", "", cure.replace('\n', &indent));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_finding_is_one_line_and_its_cure() {
        let findings = [
            Finding::ok("journal", "is read"),
            Finding::fail("vx.socket", "has failed", "systemctl --user reset-failed vx.socket"),
        ];
        let expected = "\
ok    journal    is read
fail  vx.socket  has failed
                 → systemctl --user reset-failed vx.socket
";
        assert_eq!(text(&findings), expected);
    }
}
