//! Units that are there in part while they run: their metadata makes others ready. What was built
//! on metadata that turns out not to be final is taken back and looked up anew; its results are
//! right all the same, under their own keys, which name that metadata. A failure is believed when
//! nothing below it can change any more.

use shared::{
    digest::Function,
    reapi::{digest_from_proto, tree::Mode, v2},
};

use super::{Runner, Say};
use crate::{cargo::call::Role, execute::Early, outcome::Outcome, streams::Streams};

impl Runner<'_> {
    /// A running unit has handed out its metadata.
    pub(super) fn early(&mut self, Early { unit, file }: Early) {
        let Some(early) = self.partial(unit, &file).filter(|_| self.build.is_running(unit)) else { return };
        if self.outcomes[unit].as_ref() == Some(&early) {
            return;
        }
        // An executor that was lost has run it again, to another end.
        self.retract(unit);
        self.outcomes[unit] = Some(early);
        self.build.metadata(unit);
    }

    /// An outcome of the metadata alone.
    fn partial(&self, unit: usize, file: &v2::OutputFile) -> Option<Outcome> {
        let name = file.path.rsplit('/').next()?;
        let output = self.plan.units[unit].outputs.iter().find(|output| output.role == Role::Metadata)?;
        let digest = digest_from_proto(Function::Blake3, file.digest.as_ref()).ok()?;
        let mode = if file.is_executable { Mode::Executable } else { Mode::Plain };
        (output.name == name)
            .then(|| Outcome { files: [(name.to_owned(), (digest, mode))].into(), ..Outcome::default() })
    }

    /// A unit has its outcome; what was built on other metadata is taken back.
    pub(super) fn settle(&mut self, unit: usize, outcome: Outcome) {
        let kept = |early: &Outcome| early.files.iter().all(|(name, file)| outcome.files.get(name) == Some(file));
        if self.outcomes[unit].as_ref().is_some_and(|early| !kept(early)) {
            tracing::info!(unit = self.plan.units[unit].label, "its metadata is not what it handed out");
            self.retract(unit);
        }
        self.outcomes[unit] = Some(outcome);
        self.build.finish(unit);
    }

    /// Takes back what was built on what a unit gave.
    pub(super) fn retract(&mut self, unit: usize) {
        self.outcomes[unit] = None;
        for affected in self.build.retract(unit) {
            self.outcomes[affected] = None;
            self.waiting.remove(&affected);
            self.held.remove(&affected);
            if let Some(cancel) = self.cancels.get(&affected) {
                cancel.cancel();
            }
        }
    }

    /// A unit failed on something that is not final.
    pub(super) fn hold(&mut self, unit: usize, result: v2::ActionResult, streams: Streams) {
        self.build.hold(unit);
        self.held.insert(unit, (result, streams));
    }

    /// Says the failures that nothing can change any more.
    pub(super) async fn believe_held(&mut self, terminal: &impl Say) {
        let certain: Vec<usize> = self.held.keys().copied().filter(|unit| !self.build.is_tentative(*unit)).collect();
        for unit in certain {
            if let Some((result, streams)) = self.held.remove(&unit) {
                self.failed(unit, &result, &streams, terminal).await;
            }
        }
    }

    /// Says all failures, at the end of a build that failed before they could be believed.
    pub(super) async fn give_up_held(&mut self, terminal: &impl Say) {
        while let Some((unit, (result, streams))) = self.held.pop_first() {
            self.failed(unit, &result, &streams, terminal).await;
        }
    }
}
