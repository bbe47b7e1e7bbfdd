//! What a build cost and spared, for its last line and for the order of the next one.

use std::{sync::Arc, time::Duration};

use shared::reapi::{record, v2};

use super::{Runner, Whence};
use crate::{cargo::plan::UnitId, events::Figures, history};

impl Runner<'_> {
    /// Takes down what a unit cost, now or when it was run.
    pub(super) fn count(&mut self, unit: usize, result: &v2::ActionResult, whence: Whence) {
        let Some(record) = record::of(result) else { return };
        match whence {
            Whence::Found => drop(self.saved.insert(unit, Duration::from_micros(record.wall_us))),
            Whence::Run => {
                self.costs[unit] = history::cost(&record);
                self.around.history.learn(self.plan, &self.plan.units[unit], self.costs[unit]);
            }
        }
    }

    /// The figures of a build that is over.
    pub(super) fn figures(&self) -> Figures {
        let way = self.build.longest_way(&self.costs);
        let way = way.into_iter().filter(|(_, cost)| *cost > 0);
        Figures {
            saved: self.saved.values().sum(),
            critical_path: way.map(|(unit, cost)| (UnitId(unit), Duration::from_micros(cost))).collect(),
        }
    }

    /// Writes down what was learnt; nobody waits for it.
    pub(super) fn keep_history(&self) {
        let history = Arc::clone(&self.around.history);
        tokio::task::spawn_blocking(move || history.keep());
    }
}
