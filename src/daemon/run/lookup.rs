//! What is there already: units that became ready are looked up together, and what is found makes
//! others ready. What is not found is left to be run.

use shared::{digest::Digest, fault::Failure, reapi::v2};

use super::{Runner, Say, Whence};
use crate::{
    action::Action,
    cargo::{call::Call, plan::Kind},
    outcome::Outcome,
    services::persist,
    streams::{self, Streams},
};

impl Runner<'_> {
    /// Looks up units that became ready, again and again, since a hit makes others ready.
    pub(super) async fn look_up_ready(&mut self, terminal: &impl Say) -> Result<(), Failure> {
        loop {
            let ready = self.build.take_ready();
            if ready.is_empty() {
                return Ok(());
            }
            let mut asked = Vec::with_capacity(ready.len());
            for unit in ready {
                if self.plan.units[unit].stands_in.is_some() {
                    // Configuration says what this script would say.
                    self.outcomes[unit] = Some(Outcome::default());
                    self.build.finish(unit);
                    continue;
                }
                let call = self.render(unit)?;
                let action = self.action(&call)?;
                asked.push((unit, call, action));
            }
            let digests: Vec<Digest> = asked.iter().map(|(_, _, action)| action.digest).collect();
            let results = persist(async || self.around.services.cas.action_results(&digests).await).await?;
            let streams = self.streams_of_hits(&asked, &results).await?;
            for (((unit, call, action), result), streams) in asked.into_iter().zip(results).zip(streams) {
                let found = result.filter(|result| result.exit_code == 0).zip(streams);
                match found {
                    Some((result, streams)) => {
                        self.take(unit, &call, &result, &streams, Whence::Found, terminal).await?
                    }
                    None => {
                        self.waiting.insert(unit, (call, action));
                        self.build.queue(unit);
                    }
                }
            }
        }
    }

    /// The streams of hits that anybody will look at; `None` stands for a result that turned out
    /// to lack them, or for none.
    async fn streams_of_hits(
        &self,
        asked: &[(usize, Call, Action)],
        results: &[Option<v2::ActionResult>],
    ) -> Result<Vec<Option<Streams>>, Failure> {
        let nothing = v2::ActionResult::default();
        let wanted = |(unit, result): (usize, &'_ Option<v2::ActionResult>)| {
            let unit = &self.plan.units[unit];
            let is_heard = unit.kind == Kind::BuildScriptRun || self.plan.package(unit).source.is_path();
            result.as_ref().filter(|_| is_heard).cloned().unwrap_or_else(|| nothing.clone())
        };
        let wanted: Vec<_> = asked.iter().map(|(unit, ..)| *unit).zip(results).map(wanted).collect();
        streams::of(&self.around.services, &wanted.iter().collect::<Vec<_>>()).await
    }
}
