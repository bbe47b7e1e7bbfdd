//! What is there already: units that became ready are looked up together, and what is found makes
//! others ready. What is not found is left to be run.

use shared::{digest::Digest, fault::Failure, reapi::v2};

use super::{Runner, Say, Whence};
use crate::{
    action::Action,
    cargo::{call::Call, placed::Standing, plan::Kind},
    execute::Looked,
    outcome::Outcome,
    records::{self, Facts, Record},
    services::persist,
    streams::{self, Streams},
};

/// A unit that is looked up.
pub(super) struct Asked {
    pub(super) unit: usize,
    /// Of a live unit that of its static Action, until a result is found.
    pub(super) call: Call,
    /// The Action whose result is wanted, or the static one; with the digest of what was found.
    pub(super) action: Action,
    /// What was looked at of the workspace for what was found.
    facts: Facts,
    /// The records of a unit that sees the workspace.
    pub(super) live: Option<Vec<Record>>,
}

impl Runner<'_> {
    /// Looks up units that became ready, again and again, since a hit makes others ready.
    pub(super) async fn look_up_ready(&mut self, terminal: &impl Say) -> Result<(), Failure> {
        loop {
            let ready = self.build.take_ready();
            if ready.is_empty() {
                return Ok(());
            }
            self.read_programs().await?;
            let mut asked = Vec::with_capacity(ready.len());
            for unit in ready {
                if !self.plan.units[unit].has_call() {
                    // Configuration says what a script would say, or it is made where it is run.
                    self.outcomes[unit] = Some(Outcome::default());
                    self.build.finish(unit);
                    continue;
                }
                if self.plan.units[unit].kind == Kind::DocMerge {
                    self.arrange_parts(unit).await?;
                }
                asked.push(self.ask(unit)?);
            }
            let looked = self.around.flights.looked();
            let found = self.look_up(&mut asked).await?;
            let streams = self.streams_of_hits(&asked, &found).await?;
            for ((asked, result), streams) in asked.into_iter().zip(found).zip(streams) {
                match result.zip(streams) {
                    Some((result, streams)) => {
                        self.keyed(asked.unit, asked.action.digest, asked.facts);
                        self.take(asked.unit, &asked.call, &result, &streams, Whence::Found, terminal).await?;
                    }
                    None => {
                        let unit = asked.unit;
                        self.queue(asked, looked)?;
                        self.missed(unit).await?;
                    }
                }
            }
        }
    }

    /// A ready unit's call, and the Action under which something is known of it.
    fn ask(&self, unit: usize) -> Result<Asked, Failure> {
        if !self.sees_workspace(unit) {
            let call = self.render(unit)?;
            if !self.is_live(&call) {
                let action = self.action(&call, None)?;
                return Ok(Asked { unit, call, action, live: None, facts: Facts::new() });
            }
        }
        // What it is known to name is in its records.
        let call = self.render_with(unit, &[], Standing::Anywhere)?;
        let action = self.action(&call, None)?;
        Ok(Asked { unit, call, action, live: Some(Vec::new()), facts: Facts::new() })
    }

    /// The results that are there: in one call, and in one more for units of the workspace, whose
    /// records say under which keys to look.
    async fn look_up(&mut self, asked: &mut [Asked]) -> Result<Vec<Option<v2::ActionResult>>, Failure> {
        let cas = &self.around.services.cas;
        let digests: Vec<Digest> = asked.iter().map(|asked| asked.action.digest).collect();
        let mut results = persist(async || cas.action_results(&digests).await).await?;
        for (asked, result) in asked.iter_mut().zip(&mut results) {
            if let Some(records) = &mut asked.live {
                *records = records::read(result.take().as_ref());
            }
        }
        let mut placed = Vec::new();
        let candidates = self.candidates(asked).await?;
        let digests: Vec<Digest> = candidates.iter().map(|candidate| candidate.digest).collect();
        if !digests.is_empty() {
            let found = persist(async || cas.action_results(&digests).await).await?;
            for (candidate, found) in candidates.into_iter().zip(found) {
                let is_good = found.as_ref().is_some_and(|found| found.exit_code == 0);
                if results[candidate.asked].is_none() && is_good {
                    results[candidate.asked] = found;
                    let asked = &mut asked[candidate.asked];
                    placed.extend((candidate.standing == Standing::Here).then_some(asked.unit));
                    (asked.call, asked.action.digest, asked.facts) =
                        (candidate.call, candidate.digest, candidate.facts);
                }
            }
        }
        self.placed.extend(placed);
        Ok(results.into_iter().map(|result| result.filter(|result| result.exit_code == 0)).collect())
    }

    /// A unit that is not there has to run.
    fn queue(&mut self, asked: Asked, looked: Looked) -> Result<(), Failure> {
        let Asked { unit, call, action, live, .. } = asked;
        match live {
            None => drop(self.waiting.insert(unit, (call, action))),
            Some(records) => self.queue_live(unit, action.digest, records, looked)?,
        }
        self.build.queue(unit);
        Ok(())
    }

    /// The streams of hits that anybody will look at; `None` stands for a result that turned out
    /// to lack them, or for none.
    async fn streams_of_hits(
        &self,
        asked: &[Asked],
        results: &[Option<v2::ActionResult>],
    ) -> Result<Vec<Option<Streams>>, Failure> {
        let nothing = v2::ActionResult::default();
        let wanted = |(unit, result): (usize, &'_ Option<v2::ActionResult>)| {
            let unit = &self.plan.units[unit];
            let is_heard = unit.kind == Kind::BuildScriptRun || self.plan.package(unit).source.is_path();
            result.as_ref().filter(|_| is_heard).cloned().unwrap_or_else(|| nothing.clone())
        };
        let wanted: Vec<_> = asked.iter().map(|asked| asked.unit).zip(results).map(wanted).collect();
        streams::of(&self.around.services, &wanted.iter().collect::<Vec<_>>()).await
    }
}
