//! A unit's result is there, run or found: what it left, what the person reads, whether it has to
//! run again seeing more.

use shared::{
    fault::Failure,
    reapi::{record, v2},
};

use super::{Finished, Runner, Say, Whence, live::Kept};
use crate::{
    beside,
    cargo::{
        call::Call,
        diagnostics::{self, End, Words},
        directives::{self, Severity},
        messages::Fresh,
        plan::{Kind, Plan, Unit, UnitId},
        script,
    },
    events::Event,
    names,
    outcome::{Outcome, how_it_ended},
    programs,
    streams::{self, Streams},
};

impl Runner<'_> {
    /// A unit that ran has to run again, seeing more.
    fn repeat(&mut self, unit: usize) {
        self.tell(&Event::Repeated(UnitId(unit)));
        self.retract(unit);
        self.build.again(unit);
    }

    /// A unit's action has ended.
    pub(super) async fn finished(&mut self, finished: Finished, terminal: &impl Say) -> Result<(), Failure> {
        let Finished { unit, call, outcome, before, flight, joined } = finished;
        self.flight = flight;
        self.cancels.remove(&unit);
        if self.build.is_stale(unit) {
            self.tell(&Event::Repeated(UnitId(unit)));
            self.build.again(unit);
            return Ok(());
        }
        if joined && !self.around.cancel.is_cancelled() {
            self.repeat(unit);
            return Ok(());
        }
        let label = &self.plan.units[unit].label;
        let named = |failure: Failure| Failure { what: format!("{label}: {}", failure.what), ..failure };
        let Some(result) = outcome.map_err(named)? else {
            self.build.fail(unit);
            return Ok(());
        };
        let streams = streams::of(&self.around.services, &[&result]).await?.remove(0).unwrap_or_default();
        let Some(call) = self.learn(unit, call, &result, &streams).await? else {
            self.repeat(unit);
            return Ok(());
        };
        if result.exit_code == 0 {
            match self.keep(unit, &call, &result, &streams, before).await? {
                Kept::Stored => {}
                Kept::Embeds => {
                    tracing::info!(
                        unit = self.plan.units[unit].label,
                        "it holds the place of the checkout, again there"
                    );
                    self.repeat(unit);
                    return Ok(());
                }
                Kept::Changed(path) if self.may_repeat(unit) => {
                    tracing::info!(unit = self.plan.units[unit].label, path, "changed while it was built, again");
                    self.repeat(unit);
                    return Ok(());
                }
                Kept::Changed(path) => {
                    let label = &self.plan.units[unit].label;
                    let what = format!("{label} was built while {path} kept changing; its result is not kept");
                    terminal.say(self.voice.warning(&what)).await;
                    self.unkept(unit, format!("{path} kept changing during the run"));
                }
                Kept::Not(why) => {
                    tracing::warn!(unit = self.plan.units[unit].label, why, "a result is not kept");
                    self.unkept(unit, why);
                }
            }
            self.take(unit, &call, &result, &streams, Whence::Run, terminal).await?;
        } else if self.may_lack(unit, &result, &streams) || self.document_as_cargo(unit) {
            // What it lacks comes first: documented as cargo does, it leaves no part to be merged.
            self.repeat(unit);
            return Ok(());
        } else if self.build.is_tentative(unit) {
            self.hold(unit, result, streams);
        } else {
            self.failed(unit, &result, &streams, terminal).await;
        }
        self.believe_held(terminal).await;
        Ok(())
    }

    /// Whether a unit failed in a way that is understood when it is heard, which a second run is.
    fn may_lack(&mut self, unit: usize, result: &v2::ActionResult, streams: &Streams) -> bool {
        let unheard = record::of(result).is_none_or(|record| record.tried.is_empty());
        let stderr = String::from_utf8_lossy(&streams.stderr);
        let (own, excepted) = (&self.plan.units[unit], self.around.exceptions.to_read(&self.plan.units[unit]));
        unheard && beside::may_lack(self.plan, own, excepted, &stderr) && self.heard.insert(unit)
    }

    /// What a run has named; its call as it would be with that, or none where it has to run with it.
    async fn learn(
        &mut self,
        unit: usize,
        call: Call,
        result: &v2::ActionResult,
        streams: &Streams,
    ) -> Result<Option<Call>, Failure> {
        let services = &self.around.services;
        let run = names::Run {
            plan: self.plan,
            unit: &self.plan.units[unit],
            call: &call,
            result,
            streams,
            ambient: &self.around.ambient,
            excepted: self.around.exceptions.to_read(&self.plan.units[unit]),
            given: &self.around.names.of(&self.subjects[unit]),
        };
        let named = run.named(services).await?;
        if !self.around.names.learn(services, &self.subjects[unit], named).await {
            return Ok(Some(call));
        }
        let known = self.render(unit)?;
        if !programs::is_same_run(&call, &known) {
            return Ok(None);
        }
        if known != call && result.exit_code == 0 {
            self.keep_as(unit, &known, result)?;
        }
        Ok(Some(known))
    }

    pub(super) async fn failed(
        &mut self,
        unit: usize,
        result: &v2::ActionResult,
        streams: &Streams,
        terminal: &impl Say,
    ) {
        self.is_not_there(unit);
        self.build.fail(unit);
        self.blame(unit, result, terminal).await;
        let one = &self.plan.units[unit];
        let how = how_it_ended(result.exit_code);
        let stderr = String::from_utf8_lossy(&streams.stderr);
        let words = if one.kind == Kind::BuildScriptRun {
            let stdout = String::from_utf8_lossy(&streams.stdout);
            terminal.say(self.voice.streams(self.plan, one, &stdout, &stderr)).await;
            let backtrace = self.around.ambient.get(names::BACKTRACE);
            let failure = diagnostics::Failure::Ended { how: &how, stdout: &stdout, stderr: &stderr, backtrace };
            self.voice.script_failed(self.plan, one, &directives::messages(&streams.stdout), &failure)
        } else {
            let words = self.voice.compiled(self.plan, one, &stderr, &End::Failed(how));
            Words { out: printed(self.plan, streams, Whence::Run) + &words.out, ..words }
        };
        self.tell(&Event::Failed(UnitId(unit)));
        terminal.say(words).await;
    }

    /// A unit's result is there: what it left, what it says.
    pub(super) async fn take(
        &mut self,
        unit: usize,
        call: &Call,
        result: &v2::ActionResult,
        streams: &Streams,
        whence: Whence,
        terminal: &impl Say,
    ) -> Result<(), Failure> {
        let one = &self.plan.units[unit];
        let outcome = Outcome::of(one, call, result)?;
        self.audit(unit, call, result, terminal).await;
        let one = &self.plan.units[unit];
        let stderr = String::from_utf8_lossy(&streams.stderr);
        let words = if one.kind == Kind::BuildScriptRun {
            let stdout = String::from_utf8_lossy(&streams.stdout);
            terminal.say(self.voice.streams(self.plan, one, &stdout, &stderr)).await;
            match self.hear_script(one, &streams.stdout) {
                Ok(words) => words,
                Err(words) => {
                    self.tell(&Event::Failed(UnitId(unit)));
                    self.build.fail(unit);
                    terminal.say(words).await;
                    return Ok(());
                }
            }
        } else {
            let fresh = if whence == Whence::Found { Fresh::Yes } else { Fresh::No };
            let printed = printed(self.plan, streams, whence);
            let words = self.voice.compiled(self.plan, one, &stderr, &End::Succeeded(fresh));
            Words { out: printed + &words.out, ..words }
        };
        terminal.say(words).await;
        self.tell(&match whence {
            Whence::Found => Event::Hit(UnitId(unit)),
            Whence::Run => Event::Built(UnitId(unit)),
        });
        self.count(unit, result, whence);
        self.settle(unit, outcome);
        self.is_there(unit, call, whence)?;
        Ok(())
    }

    /// Takes in what a script printed; what the person reads, also when it is refused.
    fn hear_script(&mut self, unit: &Unit, stdout: &[u8]) -> Result<Words, Words> {
        let failed = |messages: &[(Severity, String)], failure| {
            Err(self.voice.script_failed(self.plan, unit, messages, &failure))
        };
        match script::heard(self.plan, unit, &self.around.ambient, stdout) {
            Ok(directives) if directives.has_errors() => {
                let (how, stdout, stderr) = ("exit status: 0", "", "");
                let failure = diagnostics::Failure::Ended { how, stdout, stderr, backtrace: None };
                failed(&directives.messages, failure)
            }
            Ok(directives) => {
                let words = self.voice.scripted(self.plan, unit, &directives);
                self.said.insert(unit.id, directives);
                Ok(words)
            }
            Err(err) => failed(&[], diagnostics::Failure::Said(&err.to_string())),
        }
    }
}

/// What macros print goes where cargo's own output does, when it is printed and never again.
fn printed(plan: &Plan, streams: &Streams, whence: Whence) -> String {
    if whence == Whence::Run { plan.shown(&String::from_utf8_lossy(&streams.stdout)) } else { String::new() }
}
