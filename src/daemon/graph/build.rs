//! The states of a build's units: wanted, ready when all it needs is there, queued when it has to
//! run, running, done or failed. A unit may be there in part (its metadata) while it runs; when
//! that part turns out not to be final, what was built on it is taken back. After a failure
//! nothing new starts, unless the person wants all that can be had.

use std::collections::BinaryHeap;

use super::{Cost, Need, Strength, longest, weights};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Want,
    Ready,
    Queued,
    Running,
    /// Runs on something that was taken back.
    Stale,
    /// Failed on something that is not final yet.
    Held,
    Done,
    Failed,
}

/// What happens to the others when a unit fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AfterFailure {
    /// Nothing new starts.
    #[default]
    Stop,
    /// Everything that does not need it is built.
    GoOn,
}

/// One build's units, by their index.
#[derive(Debug)]
pub struct Build {
    states: Vec<State>,
    needs: Vec<Vec<Need>>,
    /// How many needs are not met.
    waits: Vec<usize>,
    dependents: Vec<Vec<(usize, Strength)>>,
    /// How much of each unit is there.
    there: Vec<Option<Strength>>,
    weights: Vec<u64>,
    ready: Vec<usize>,
    /// The heaviest first, among equals the first.
    queue: BinaryHeap<(u64, std::cmp::Reverse<usize>)>,
    done: usize,
    running: usize,
    held: usize,
    jobs: usize,
    failed: bool,
    after_failure: AfterFailure,
}

impl Build {
    /// A build of units with these needs (without repeats or circles) and costs, at most `jobs`
    /// running at once.
    pub fn new(needs: Vec<Vec<Need>>, costs: &[Cost], jobs: usize, after_failure: AfterFailure) -> Self {
        let mut dependents = vec![Vec::new(); needs.len()];
        for (unit, needs) in needs.iter().enumerate() {
            for need in needs {
                dependents[need.unit].push((unit, need.strength));
            }
        }
        let units = needs.len();
        let mut build = Build {
            states: vec![State::Want; units],
            waits: needs.iter().map(Vec::len).collect(),
            dependents,
            there: vec![None; units],
            weights: weights(&needs, costs),
            needs,
            ready: Vec::new(),
            queue: BinaryHeap::new(),
            done: 0,
            running: 0,
            held: 0,
            jobs: jobs.max(1),
            failed: false,
            after_failure,
        };
        for unit in 0..units {
            build.make_ready(unit);
        }
        build
    }

    fn make_ready(&mut self, unit: usize) {
        if self.waits[unit] == 0 && self.states[unit] == State::Want {
            self.states[unit] = State::Ready;
            self.ready.push(unit);
        }
    }

    /// Units whose needs are all met and which nobody took yet; none when a failure has ended it.
    pub fn take_ready(&mut self) -> Vec<usize> {
        if self.has_ended() { Vec::new() } else { std::mem::take(&mut self.ready) }
    }

    /// A ready unit has to run.
    pub fn queue(&mut self, unit: usize) {
        self.states[unit] = State::Queued;
        self.queue.push((self.weights[unit], std::cmp::Reverse(unit)));
    }

    /// The next unit to run, if there is one and a job is free. None while a failure is held: it
    /// will most likely be believed.
    pub fn start(&mut self) -> Option<usize> {
        let is_held = self.held > 0 && self.after_failure == AfterFailure::Stop;
        if self.has_ended() || is_held || self.running >= self.jobs {
            return None;
        }
        let (_, std::cmp::Reverse(unit)) = self.queue.pop()?;
        self.states[unit] = State::Running;
        self.running += 1;
        Some(unit)
    }

    /// Whether a unit runs on what is still good.
    pub fn is_running(&self, unit: usize) -> bool {
        self.states[unit] == State::Running
    }

    /// Whether a unit runs on something that was taken back: it has to run again.
    pub fn is_stale(&self, unit: usize) -> bool {
        self.states[unit] == State::Stale
    }

    /// A running unit's metadata is there.
    pub fn metadata(&mut self, unit: usize) {
        if self.states[unit] == State::Running {
            self.provide(unit, Strength::Metadata);
        }
    }

    /// A unit is there, run or found; what waited for it may become ready.
    pub fn finish(&mut self, unit: usize) {
        self.leave(unit, State::Done);
        self.done += 1;
        self.provide(unit, Strength::All);
    }

    fn provide(&mut self, unit: usize, now: Strength) {
        let before = self.there[unit].replace(now);
        for (dependent, strength) in self.dependents[unit].clone() {
            if before < Some(strength) && strength <= now {
                self.waits[dependent] -= 1;
                self.make_ready(dependent);
            }
        }
    }

    /// What a unit gave is not final: takes back everything that was built on it, and says which
    /// units that are. Those that run are stale from then on.
    pub fn retract(&mut self, unit: usize) -> Vec<usize> {
        let mut affected = Vec::new();
        if self.there[unit].take().is_none() {
            return affected;
        }
        let mut open = vec![unit];
        while let Some(from) = open.pop() {
            for (dependent, _) in self.dependents[from].clone() {
                let next = match self.states[dependent] {
                    State::Want | State::Stale | State::Failed => continue,
                    State::Running => State::Stale,
                    State::Ready | State::Queued | State::Held | State::Done => State::Want,
                };
                self.done -= usize::from(self.states[dependent] == State::Done);
                self.held -= usize::from(self.states[dependent] == State::Held);
                self.states[dependent] = next;
                affected.push(dependent);
                if self.there[dependent].take().is_some() {
                    open.push(dependent);
                }
            }
        }
        self.ready.retain(|one| self.states[*one] == State::Ready);
        self.queue.retain(|(_, std::cmp::Reverse(one))| self.states[*one] == State::Queued);
        for unit in 0..self.states.len() {
            let unmet = |need: &&Need| self.there[need.unit] < Some(need.strength);
            self.waits[unit] = self.needs[unit].iter().filter(unmet).count();
        }
        affected
    }

    /// A running unit has to be looked up and maybe run once more. What it gave must have been
    /// taken back.
    pub fn again(&mut self, unit: usize) {
        if self.leave(unit, State::Want) {
            self.make_ready(unit);
        }
    }

    /// Whether something that a unit was built on, near or far, is not final.
    pub fn is_tentative(&self, unit: usize) -> bool {
        let mut seen = vec![false; self.states.len()];
        let mut open = vec![unit];
        while let Some(unit) = open.pop() {
            for need in &self.needs[unit] {
                if self.states[need.unit] != State::Done {
                    return true;
                }
                if !std::mem::replace(&mut seen[need.unit], true) {
                    open.push(need.unit);
                }
            }
        }
        false
    }

    /// A unit failed, on something that is not final.
    pub fn hold(&mut self, unit: usize) {
        self.leave(unit, State::Held);
        self.held += 1;
    }

    fn has_ended(&self) -> bool {
        self.failed && self.after_failure == AfterFailure::Stop
    }

    /// A unit failed.
    pub fn fail(&mut self, unit: usize) {
        self.held -= usize::from(self.states[unit] == State::Held);
        self.leave(unit, State::Failed);
        self.failed = true;
    }

    /// Goes to another state; whether the unit was running.
    fn leave(&mut self, unit: usize, next: State) -> bool {
        let ran = matches!(self.states[unit], State::Running | State::Stale);
        self.running -= usize::from(ran);
        self.states[unit] = next;
        ran
    }

    /// The longest way through the whole build at these costs: its units, each with what it adds.
    pub fn longest_way(&self, costs: &[Cost]) -> Vec<(usize, u64)> {
        longest(&self.needs, costs)
    }

    /// Whether nothing runs and nothing more can start.
    pub fn is_over(&self) -> bool {
        // Of units that were looked up none is left where everything that can be had is there.
        let is_idle = self.running == 0 && self.ready.is_empty() && self.queue.is_empty();
        self.running == 0 && (self.has_ended() || is_idle)
    }

    /// Whether a unit failed.
    pub fn has_failed(&self) -> bool {
        self.failed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn build(needs: &[&[usize]], jobs: usize) -> Build {
        let all = |unit: &usize| Need { unit: *unit, strength: Strength::All };
        let needs: Vec<Vec<Need>> = needs.iter().map(|needs| needs.iter().map(all).collect()).collect();
        let costs = vec![Cost { whole: 1, metadata: 1 }; needs.len()];
        Build::new(needs, &costs, jobs, AfterFailure::Stop)
    }

    /// 0 ← 1 ← 2 by metadata, and 3 links all of them.
    fn pipeline() -> Build {
        let metadata = |unit| Need { unit, strength: Strength::Metadata };
        let all = |unit| Need { unit, strength: Strength::All };
        let needs = vec![vec![], vec![metadata(0)], vec![metadata(1)], vec![all(0), all(1), all(2)]];
        Build::new(needs, &[Cost { whole: 2, metadata: 1 }; 4], 4, AfterFailure::Stop)
    }

    fn start_ready(build: &mut Build) -> Vec<usize> {
        for unit in build.take_ready() {
            build.queue(unit);
        }
        std::iter::from_fn(|| build.start()).collect()
    }

    #[test]
    fn units_become_ready_when_all_they_need_is_done() {
        let mut build = build(&[&[], &[], &[0, 1], &[2]], 2);
        assert_eq!(build.take_ready(), [0, 1]);
        build.finish(0);
        assert!(build.take_ready().is_empty());
        build.queue(1);
        assert_eq!(build.start(), Some(1));
        build.finish(1);
        assert_eq!(build.take_ready(), [2]);
        build.finish(2);
        build.take_ready();
        build.finish(3);
        assert!(build.is_over());
    }

    #[test]
    fn the_heaviest_goes_first_and_jobs_bound() {
        let mut build = build(&[&[], &[], &[1], &[2]], 1);
        assert_eq!(start_ready(&mut build), [1]);
        build.finish(1);
        build.take_ready();
        assert_eq!(build.start(), Some(0));
    }

    #[test]
    fn a_unit_may_run_again() {
        let mut build = build(&[&[], &[0]], 1);
        start_ready(&mut build);
        build.again(0);
        assert_eq!(build.take_ready(), [0]);
        build.finish(0);
        assert_eq!(build.take_ready(), [1]);
    }

    #[test]
    fn what_does_not_need_the_failed_may_go_on() {
        let mut build = build(&[&[], &[], &[0], &[1], &[2]], 1);
        build.after_failure = AfterFailure::GoOn;
        assert_eq!(start_ready(&mut build), [0]);
        build.fail(0);
        assert!(!build.is_over());
        assert_eq!(start_ready(&mut build), [1]);
        build.finish(1);
        assert_eq!(start_ready(&mut build), [3]);
        build.finish(3);
        assert_eq!(start_ready(&mut build), [] as [usize; 0]);
        assert!(build.is_over() && build.has_failed());
    }

    #[test]
    fn after_a_failure_only_what_runs_ends() {
        let mut build = build(&[&[], &[], &[]], 2);
        let started = start_ready(&mut build);
        let [one, two] = started[..] else { panic!("two jobs are free") };
        build.fail(one);
        assert!(!build.is_over());
        assert_eq!(build.start(), None);
        build.finish(two);
        assert!(build.is_over() && build.has_failed() && build.take_ready().is_empty());
    }

    #[test]
    fn metadata_is_enough_for_some_and_not_for_all() {
        let mut build = pipeline();
        assert_eq!(start_ready(&mut build), [0]);
        build.metadata(0);
        assert_eq!(start_ready(&mut build), [1]);
        build.metadata(1);
        build.metadata(1);
        build.finish(1);
        assert_eq!(start_ready(&mut build), [2]);
        build.finish(2);
        assert!(start_ready(&mut build).is_empty());
        build.finish(0);
        assert_eq!(start_ready(&mut build), [3]);
        build.finish(3);
        assert!(build.is_over());
    }

    #[test]
    fn what_was_built_on_metadata_that_was_not_final_is_taken_back() {
        let mut build = pipeline();
        start_ready(&mut build);
        build.metadata(0);
        start_ready(&mut build);
        build.finish(1);
        assert_eq!(start_ready(&mut build), [2]);
        // Unit 0 ends with other metadata: 1 was done and 2 runs on what came of it.
        assert_eq!(build.retract(0), [1, 2]);
        assert!(build.is_stale(2) && !build.is_over());
        build.finish(0);
        assert_eq!(start_ready(&mut build), [1]);
        build.again(2);
        assert!(start_ready(&mut build).is_empty());
        build.finish(1);
        assert_eq!(start_ready(&mut build), [2]);
        build.finish(2);
        assert_eq!(start_ready(&mut build), [3]);
        build.finish(3);
        assert!(build.is_over() && !build.has_failed());
    }

    #[test]
    fn what_waits_is_taken_back_too() {
        let mut build = pipeline();
        start_ready(&mut build);
        build.metadata(0);
        for unit in build.take_ready() {
            build.queue(unit);
        }
        assert_eq!(build.retract(0), [1]);
        assert_eq!(build.start(), None);
        build.again(0);
        assert_eq!(start_ready(&mut build), [0]);
        build.metadata(0);
        assert_eq!(build.retract(0), [1]);
        assert!(build.take_ready().is_empty());
        build.finish(0);
        assert_eq!(build.take_ready(), [1]);
    }

    #[test]
    fn a_failure_on_what_is_not_final_is_held() {
        let mut build = pipeline();
        start_ready(&mut build);
        build.metadata(0);
        start_ready(&mut build);
        build.finish(1);
        start_ready(&mut build);
        assert!(build.is_tentative(2) && build.is_tentative(1) && !build.is_tentative(0));
        build.hold(2);
        assert!(!build.is_over() && !build.has_failed());
        build.finish(0);
        assert!(!build.is_tentative(2));
        build.fail(2);
        assert!(build.is_over() && build.has_failed());

        let mut build = pipeline();
        start_ready(&mut build);
        build.metadata(0);
        start_ready(&mut build);
        build.hold(1);
        assert_eq!(build.retract(0), [1]);
        build.finish(0);
        assert_eq!(start_ready(&mut build), [1]);
    }
}
