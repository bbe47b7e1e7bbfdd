//! What scripts and macros did beside their work, as a unit's result tells it: kept for `vx audit`,
//! a warning where it tells something, the first line where the unit failed.

use std::sync::Arc;

use shared::reapi::{record, v2};

use super::{Runner, Say};
use crate::{
    audit::Entry,
    beside,
    cargo::{call::Call, diagnostics::Words, plan::Unit},
    events::Event,
    exceptions,
};

impl Runner<'_> {
    /// A unit ended well, or its result was found.
    pub(super) async fn audit(&mut self, unit: usize, call: &Call, result: &v2::ActionResult, terminal: &impl Say) {
        if !call.needs.reads_freely {
            return;
        }
        let Some(entry) = self.audited(unit, result) else { return };
        self.warn_of_git(unit, result, terminal).await;
        if let Some(what) = entry.warning() {
            let (name, who) = self.who(unit, "@");
            let text = format!("{name}: its {who} tried to {what} and was refused; `vx audit` tells all");
            terminal.say(self.voice.warning(&text)).await;
        }
        if let Some(what) = entry.lost() {
            let (name, who) = self.who(unit, "@");
            let text =
                format!("{name}: its {who} wrote {what} in the workspace, where vx keeps nothing: OUT_DIR is for that");
            terminal.say(self.voice.warning(&text)).await;
        }
    }

    /// A unit failed: says first what it tried and did not get, which may be why.
    pub(super) async fn blame(&mut self, unit: usize, result: &v2::ActionResult, terminal: &impl Say) {
        let Some(entry) = self.audited(unit, result) else { return };
        self.warn_of_git(unit, result, terminal).await;
        if let Some(what) = entry.suspicion() {
            let (name, who) = self.who(unit, "@");
            let mut words = Words::default();
            let others = self.around.exceptions.of_others(self.plan, &self.plan.units[unit]);
            let hint = match others {
                Some(versions) => format!("vx.toml has an exception for {} alone", versions.join(", ")),
                None => "an exception in vx.toml may grant it (vx.toml(5))".to_owned(),
            };
            let text = format!("{name}: its {who} tried to {what}, and actions get none of it; {hint}");
            self.voice.report("error", &text, &mut words.err);
            terminal.say(words).await;
        }
    }

    /// Says that git knew of no commit where cargo's build would have one.
    async fn warn_of_git(&self, unit: usize, result: &v2::ActionResult, terminal: &impl Say) {
        let record = record::of(result);
        if record.is_some_and(|record| beside::lacks_git(self.plan, &self.plan.units[unit], &record)) {
            let (name, who) = self.who(unit, "@");
            let text =
                format!("{name}: its {who} asked git, which sees no repository: vx shows none above the workspace");
            terminal.say(self.voice.warning(&text)).await;
        }
    }

    /// Writes down what this build has heard. Only where something was wanted it is waited for, to
    /// say what of that is new.
    pub(super) async fn keep_audit(&mut self) {
        let (audit, root) = (Arc::clone(&self.around.audit), self.plan.workspace_root.clone());
        let entries = std::mem::take(&mut self.audited);
        let wanted = entries.values().any(Entry::wants_anything);
        let learning = tokio::task::spawn_blocking(move || {
            audit.learn(&root, entries).unwrap_or_else(|err| {
                tracing::warn!(%err, "what scripts did cannot be kept, ignoring");
                Vec::new()
            })
        });
        if wanted {
            for news in learning.await.unwrap_or_default() {
                self.tell(&Event::Wants(news));
            }
        }
    }

    fn audited(&mut self, unit: usize, result: &v2::ActionResult) -> Option<Entry> {
        let entry = Entry::of(&record::of(result)?);
        let (name, who) = self.who(unit, " v");
        self.audited.insert(format!("{name} ({who})"), entry.clone());
        Some(entry)
    }

    /// The package, its version behind `between`, and what of it ran.
    fn who(&self, unit: usize, between: &str) -> (String, &'static str) {
        let unit: &Unit = &self.plan.units[unit];
        let package = self.plan.package(unit);
        (format!("{}{between}{}", package.name, package.version), exceptions::part(unit).words())
    }
}
