//! execd's side of a run: hands a job to the spawner, waits for what the first process reports,
//! ends it when asked. No decision about what runs or where is made here.

use std::{
    io::{self, Write},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
        mpsc,
    },
    time::Duration,
};

use tokio::{io::Interest, net::UnixDatagram};

use crate::{
    child::{Request, Spawner},
    jobserver::Pipes,
    kernel, packets,
    sandbox::{
        Ended, Fail, Job, Report,
        supervise::{END, GO, signal_packet},
    },
};

/// How long a first process may take to sweep before it is killed itself.
const SWEEP: Duration = Duration::from_secs(5);

/// Why a run brought no end of its own.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A step before the program's first instruction failed.
    #[error(transparent)]
    Failed(#[from] Fail),
    /// The first process was killed, or the spawner is gone.
    #[error("the action's first process is gone without a report")]
    Lost,
    /// A system call of execd failed.
    #[error("talk to the spawner: {0}")]
    Io(#[from] io::Error),
}

/// Starts runs; cheap to clone.
#[derive(Clone, Debug)]
pub struct Launcher {
    spawner: Arc<Spawner>,
}

/// One run in progress. Dropping it ends the run.
#[derive(Debug)]
pub struct Running {
    /// Tokio's type for datagrams drives it, reading is `packets`'.
    result: UnixDatagram,
    /// The handle of the first process, where the kernel has such.
    first: Option<OwnedFd>,
    ended: bool,
    /// Where the end that hears of the payload's calls goes.
    ears: Option<mpsc::Sender<OwnedFd>>,
    pid: Arc<AtomicU32>,
}

impl Launcher {
    /// A launcher on the one spawner.
    pub fn new(spawner: Spawner) -> Self {
        Launcher { spawner: Arc::new(spawner) }
    }

    /// Starts `job` on the given standard streams, in the control group whose `cgroup.procs` is
    /// handed along, with a jobserver if it has one.
    pub fn launch(
        &self,
        job: &Job,
        streams: [BorrowedFd<'_>; 3],
        cgroup: Option<BorrowedFd<'_>>,
        jobserver: Option<&Pipes>,
    ) -> Result<Running, RunError> {
        let (ours, theirs) = packets::pair()?;
        let mut text = kernel::nameless_file()?;
        text.write_all(&serde_json::to_vec(job).map_err(io::Error::from)?)?;
        rustix::io::ioctl_fionbio(&ours, true).map_err(io::Error::from)?;
        let result = theirs.as_fd();
        let jobserver = jobserver.map(|pipes| [pipes.tokens.as_fd(), pipes.returned.as_fd()]);
        let (rung, network, job) = (job.rung, job.network, text.as_fd());
        let request = Request { rung, network, job, result, streams, cgroup, jobserver };
        self.spawner.request(&request).map_err(|err| match err.kind() {
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => RunError::Lost,
            _ => err.into(),
        })?;
        let result = UnixDatagram::from_std(ours.into())?;
        Ok(Running { result, first: None, ended: false, ears: None, pid: Arc::default() })
    }
}

impl Running {
    /// Waits until the payload has ended and nothing of it is left. May be dropped and called
    /// again.
    pub async fn wait(&mut self) -> Result<Ended, RunError> {
        loop {
            let (report, fd) = self.next().await?;
            match report {
                Some(Report::Started(pid)) => self.began(pid, fd),
                // Where nobody listens the end is closed, and calls are answered by the kernel.
                Some(Report::Heard) => {
                    let _nobody_listens = self.ears.take().zip(fd).map(|(ears, listener)| ears.send(listener));
                }
                Some(Report::Laid) => {}
                Some(Report::Ended(ended)) => {
                    self.ended = true;
                    return Ok(ended);
                }
                Some(Report::Failed(fail)) => {
                    self.settle().await;
                    return Err(fail.into());
                }
                None => {
                    self.ended = true;
                    return Err(RunError::Lost);
                }
            }
        }
    }

    /// Waits for the place that the job wants watched; the payload starts with [`Running::go`].
    pub async fn laid(&mut self) -> Result<OwnedFd, RunError> {
        loop {
            match self.next().await? {
                (Some(Report::Started(pid)), first) => self.began(pid, first),
                (Some(Report::Laid), Some(place)) => return Ok(place),
                (Some(Report::Failed(fail)), _) => {
                    self.settle().await;
                    return Err(fail.into());
                }
                _ => {
                    self.ended = true;
                    return Err(RunError::Lost);
                }
            }
        }
    }

    /// Where the end that hears of the payload's calls is to go.
    pub fn hear(&mut self, ears: mpsc::Sender<OwnedFd>) {
        self.ears = Some(ears);
    }

    /// The number of the first process, as seen from here; 0 before it has started.
    pub fn pid(&self) -> Arc<AtomicU32> {
        Arc::clone(&self.pid)
    }

    fn began(&mut self, pid: u32, first: Option<OwnedFd>) {
        self.pid.store(pid, Ordering::Relaxed);
        self.first = first;
    }

    /// Lets the payload start.
    pub fn go(&self) {
        let _gone_already = packets::send(&self.result, GO, &[]);
    }

    /// Sends a signal to the payload, which must be no action.
    pub fn signal(&self, number: u8) {
        let _gone_already = packets::send(&self.result, &signal_packet(number), &[]);
    }

    /// Ends the payload and everything below it, and waits until that is done.
    pub async fn end(&mut self) -> Result<Ended, RunError> {
        let _gone_already = packets::send(&self.result, END, &[]);
        match tokio::time::timeout(SWEEP, self.wait()).await {
            Ok(ended) => ended,
            Err(_) => {
                self.kill();
                self.wait().await
            }
        }
    }

    /// After a failed start: waits for the first process to be gone too.
    async fn settle(&mut self) {
        let gone = async { while let Ok((Some(_), _)) = self.next().await {} };
        if tokio::time::timeout(SWEEP, gone).await.is_err() {
            self.kill();
        }
        self.ended = true;
    }

    async fn next(&self) -> io::Result<(Option<Report>, Option<OwnedFd>)> {
        self.result.async_io(Interest::READABLE, || receive(&self.result)).await
    }

    fn kill(&self) {
        kernel::kill(self.pid.load(Ordering::Relaxed), self.first.as_ref());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.ended {
            // Closing the socket says the same; the signal is for a first process that is stuck.
            let _gone_already = packets::send(&self.result, END, &[]);
        }
    }
}

/// One packet: its report, or `None` when the other side is closed.
fn receive(socket: &UnixDatagram) -> io::Result<(Option<Report>, Option<OwnedFd>)> {
    let Some(mut packet) = packets::receive(socket)? else { return Ok((None, None)) };
    let report = serde_json::from_slice(&packet.bytes).map_err(io::Error::from)?;
    Ok((Some(report), packet.fds.pop()))
}
