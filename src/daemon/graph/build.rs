//! The states of a build's units: wanted, ready when all it needs is done, queued when it has to
//! run, running, done or failed. After a failure nothing new starts.

use std::collections::BinaryHeap;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Want,
    Ready,
    Queued,
    Running,
    Done,
    Failed,
}

/// One build's units, by their index.
#[derive(Debug)]
pub struct Build {
    states: Vec<State>,
    /// How many dependencies are not done.
    waits: Vec<usize>,
    dependents: Vec<Vec<usize>>,
    weights: Vec<u32>,
    ready: Vec<usize>,
    /// The heaviest first, among equals the first.
    queue: BinaryHeap<(u32, std::cmp::Reverse<usize>)>,
    done: usize,
    running: usize,
    jobs: usize,
    failed: bool,
}

impl Build {
    /// A build of units with these dependencies (without repeats or circles), at most `jobs`
    /// running at once.
    pub fn new(dependencies: &[Vec<usize>], jobs: usize) -> Self {
        let mut dependents = vec![Vec::new(); dependencies.len()];
        for (unit, needs) in dependencies.iter().enumerate() {
            for &need in needs {
                dependents[need].push(unit);
            }
        }
        let waits: Vec<usize> = dependencies.iter().map(Vec::len).collect();
        let mut build = Build {
            states: vec![State::Want; dependencies.len()],
            dependents,
            weights: super::weights(dependencies),
            ready: Vec::new(),
            queue: BinaryHeap::new(),
            done: 0,
            running: 0,
            jobs: jobs.max(1),
            failed: false,
            waits,
        };
        for unit in 0..dependencies.len() {
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

    /// Units whose dependencies are all done and which nobody took yet; none after a failure.
    pub fn take_ready(&mut self) -> Vec<usize> {
        if self.failed { Vec::new() } else { std::mem::take(&mut self.ready) }
    }

    /// A ready unit has to run.
    pub fn queue(&mut self, unit: usize) {
        self.states[unit] = State::Queued;
        self.queue.push((self.weights[unit], std::cmp::Reverse(unit)));
    }

    /// The next unit to run, if there is one and a job is free.
    pub fn start(&mut self) -> Option<usize> {
        if self.failed || self.running >= self.jobs {
            return None;
        }
        let (_, std::cmp::Reverse(unit)) = self.queue.pop()?;
        self.states[unit] = State::Running;
        self.running += 1;
        Some(unit)
    }

    /// A unit is there, run or found; what waited for it may become ready.
    pub fn finish(&mut self, unit: usize) {
        if self.states[unit] == State::Running {
            self.running -= 1;
        }
        self.states[unit] = State::Done;
        self.done += 1;
        for dependent in self.dependents[unit].clone() {
            self.waits[dependent] -= 1;
            self.make_ready(dependent);
        }
    }

    /// A running unit has to be looked up and maybe run once more.
    pub fn again(&mut self, unit: usize) {
        if self.states[unit] == State::Running {
            self.running -= 1;
            self.states[unit] = State::Ready;
            self.ready.push(unit);
        }
    }

    /// A unit failed: nothing new starts.
    pub fn fail(&mut self, unit: usize) {
        if self.states[unit] == State::Running {
            self.running -= 1;
        }
        self.states[unit] = State::Failed;
        self.failed = true;
    }

    /// Whether nothing runs and nothing more can start.
    pub fn is_over(&self) -> bool {
        self.running == 0 && (self.failed || self.done == self.states.len())
    }

    /// Whether a unit failed.
    pub fn has_failed(&self) -> bool {
        self.failed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_become_ready_when_all_they_need_is_done() {
        let mut build = Build::new(&[vec![], vec![], vec![0, 1], vec![2]], 2);
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
        let mut build = Build::new(&[vec![], vec![], vec![1], vec![2]], 1);
        for unit in build.take_ready() {
            build.queue(unit);
        }
        assert_eq!(build.start(), Some(1));
        assert_eq!(build.start(), None);
        build.finish(1);
        build.take_ready();
        assert_eq!(build.start(), Some(0));
    }

    #[test]
    fn a_unit_may_run_again() {
        let mut build = Build::new(&[vec![], vec![0]], 1);
        for unit in build.take_ready() {
            build.queue(unit);
        }
        build.start();
        build.again(0);
        assert_eq!(build.take_ready(), [0]);
        build.finish(0);
        assert_eq!(build.take_ready(), [1]);
    }

    #[test]
    fn after_a_failure_only_what_runs_ends() {
        let mut build = Build::new(&[vec![], vec![], vec![]], 2);
        for unit in build.take_ready() {
            build.queue(unit);
        }
        let (one, two) = (build.start().expect("a job is free"), build.start().expect("a job is free"));
        build.fail(one);
        assert!(!build.is_over());
        assert_eq!(build.start(), None);
        build.finish(two);
        assert!(build.is_over() && build.has_failed() && build.take_ready().is_empty());
    }
}
