//! The tokens of one action, in the way of GNU make: bytes in a pipe, read to start another thread
//! or process, written back at its end. Two pipes, so that what comes back comes to execd and not
//! to whoever of the same action reads next. How many tokens there are is `slots`'.

use std::{io, os::fd::OwnedFd, sync::Arc};

use tokio::net::unix::pipe;

use crate::{action::Request, executor::Executor, kernel::Pipe, sandbox::Job, slots::Tokens};

/// Where an action finds the pipes: numbers that neither programs nor shells use by themselves.
pub const DESCRIPTORS: [i32; 2] = [198, 199];
/// A token, as make writes it.
const TOKEN: &[u8] = b"+";

/// Tokens beyond those of slots that a compiler which works incrementally may have, if it has some:
/// what it gives back comes to execd first, and it would wait for each of its hundreds of short
/// pieces of work.
const AHEAD: usize = 2;

/// Bytes that are looked at in one go, were there more: an action may write what it likes.
const AT_ONCE: usize = 4096;

/// The variable that says so, as cargo sets it for rustc and scripts.
pub fn variable() -> (&'static str, String) {
    let [read, write] = DESCRIPTORS;
    ("CARGO_MAKEFLAGS", format!("-j --jobserver-fds={read},{write} --jobserver-auth={read},{write}"))
}

/// Lends free slots to an action that asks for them. One without is slower, no more.
pub fn lend(executor: &Executor, request: &Request, job: &mut Job) -> Option<(Tokens, Pipes)> {
    if !request.style.has_jobserver() {
        return None;
    }
    // A number of the client's choice would tell machines apart in the key.
    if let Some((_, jobs)) = job.env.iter_mut().find(|(name, _)| name.0 == b"NUM_JOBS") {
        *jobs = executor.slots.total().to_string().as_str().into();
    }
    let ahead = if request.style.incremental().is_some() { AHEAD } else { 0 };
    match executor.slots.jobserver(ahead) {
        Ok(lent) => {
            let (name, value) = variable();
            job.env.push((name.into(), value.as_str().into()));
            Some(lent)
        }
        Err(err) => {
            tracing::warn!(%err, "no jobserver for an action, ignoring");
            None
        }
    }
}

/// execd's side.
#[derive(Debug)]
pub struct Purse {
    /// Tokens go in here, and are read out again when they are asked back.
    give: OwnedFd,
    reclaim: OwnedFd,
    returned: Arc<pipe::Receiver>,
    lent: usize,
    ahead: usize,
    most_ahead: usize,
}

/// The action's side.
#[derive(Debug)]
pub struct Pipes {
    /// Tokens to take.
    pub tokens: OwnedFd,
    /// Where they go back.
    pub returned: OwnedFd,
}

impl Purse {
    /// An empty one, which may have so many tokens ahead of slots.
    pub fn open(most_ahead: usize) -> io::Result<(Purse, Pipes)> {
        let Pipe { reader, peeker, writer } = Pipe::open()?;
        let (returned, back) = io::pipe()?;
        let returned = Arc::new(pipe::Receiver::from_owned_fd(returned.into())?);
        let purse = Purse { give: writer, reclaim: peeker, returned, lent: 0, ahead: 0, most_ahead };
        Ok((purse, Pipes { tokens: reader, returned: back.into() }))
    }

    /// Where tokens come back: readable when there are some.
    pub fn returned(&self) -> Arc<pipe::Receiver> {
        Arc::clone(&self.returned)
    }

    /// Tokens of slots in the action's hands, those that lie unused included.
    pub fn lent(&self) -> usize {
        self.lent
    }

    /// Tokens of slots that lie unused.
    pub fn lying(&self) -> usize {
        let lying = rustix::io::ioctl_fionread(&self.reclaim).unwrap_or(0);
        usize::try_from(lying).unwrap_or(0).saturating_sub(self.ahead).min(self.lent)
    }

    /// Adds a token; `false` when that is not possible.
    pub fn lend(&mut self) -> bool {
        let lent = self.give();
        self.lent += usize::from(lent);
        lent
    }

    /// Adds what goes ahead of slots, for an action that has some.
    pub fn lend_ahead(&mut self) {
        while self.lent > 0 && self.ahead < self.most_ahead && self.give() {
            self.ahead += 1;
        }
    }

    /// Takes all unused tokens back; how many of slots. What lies went ahead, as far as it may.
    pub fn reclaim_all(&mut self) -> usize {
        let got = self.take_back(self.lent + self.ahead);
        let ahead = got.min(self.ahead);
        self.ahead -= ahead;
        let got = (got - ahead).min(self.lent);
        self.lent -= got;
        got
    }

    /// Turns what went ahead and is in use into tokens of the free slots; how many of those are left.
    pub fn settle(&mut self, free: usize) -> usize {
        let settled = free.min(self.ahead);
        self.ahead -= settled;
        self.lent += settled;
        free - settled
    }

    /// Takes up to `most` unused tokens of slots back; how many.
    pub fn reclaim(&mut self, most: usize) -> usize {
        let got = self.take_back(most.min(self.lent));
        self.lent -= got;
        if self.lent == 0 {
            self.ahead -= self.take_back(self.ahead);
        }
        got
    }

    /// Takes what was returned; how many of slots, which come first: somebody may wait for them.
    /// Bytes that were no tokens do not count.
    pub fn collect(&mut self) -> usize {
        let got = read(AT_ONCE, |bytes| self.returned.try_read(bytes)).min(self.lent + self.ahead);
        let of_slots = got.min(self.lent);
        self.lent -= of_slots;
        self.ahead -= got - of_slots;
        of_slots
    }

    fn take_back(&self, most: usize) -> usize {
        read(most, |bytes| Ok(rustix::io::read(&self.reclaim, bytes)?))
    }

    fn give(&self) -> bool {
        rustix::io::write(&self.give, TOKEN) == Ok(TOKEN.len())
    }
}

/// How many bytes there are to read, up to `most`.
fn read(most: usize, mut read: impl FnMut(&mut [u8]) -> io::Result<usize>) -> usize {
    let mut bytes = [0; 256];
    let mut total = 0;
    while total < most {
        let room = bytes.len().min(most - total);
        match read(&mut bytes[..room]) {
            Ok(0) | Err(_) => break,
            Ok(got) => total += got,
        }
    }
    total
}
