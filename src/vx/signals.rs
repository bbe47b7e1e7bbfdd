//! Signals as bytes on a pipe, so that one poll waits for them and for the daemon.

use std::{
    io::{self, PipeReader},
    os::fd::IntoRawFd,
    sync::atomic::{AtomicI32, Ordering},
};

/// What is forwarded to the daemon. What wants the run to end comes first.
const FORWARDED: [libc::c_int; 9] = [
    libc::SIGINT,
    libc::SIGTERM,
    libc::SIGHUP,
    libc::SIGQUIT,
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGTSTP,
    libc::SIGCONT,
    libc::SIGWINCH,
];

/// The pipe's writing end, open for the life of the process.
static WRITE_END: AtomicI32 = AtomicI32::new(-1);

extern "C" fn on_signal(signal: libc::c_int) {
    let byte = [signal as u8];
    // SAFETY: write(2) is async-signal-safe; the descriptor is never closed. A full pipe loses a
    // signal that is there many times already.
    unsafe { libc::write(WRITE_END.load(Ordering::Relaxed), byte.as_ptr().cast(), 1) };
}

/// Whether a signal wants the run to end.
pub fn ends(signal: libc::c_int) -> bool {
    !matches!(signal, libc::SIGTSTP | libc::SIGCONT | libc::SIGWINCH)
}

/// Stops this process, as its terminal asked.
pub fn stop() {
    // SAFETY: raising a signal touches no memory.
    unsafe { libc::raise(libc::SIGSTOP) };
}

/// From now on the forwarded signals arrive as their number's byte on the returned pipe; those
/// that whoever started this program ignores stay ignored.
pub fn catch() -> io::Result<PipeReader> {
    let (reader, writer) = io::pipe()?;
    rustix::io::ioctl_fionbio(&writer, true)?;
    WRITE_END.store(writer.into_raw_fd(), Ordering::Relaxed);
    for signal in FORWARDED {
        // SAFETY: the action is fully initialised (zero is a valid mask and flags), and the handler
        // only calls what is async-signal-safe.
        let outcome = unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = on_signal as extern "C" fn(libc::c_int) as usize;
            action.sa_flags = libc::SA_RESTART;
            let mut before: libc::sigaction = std::mem::zeroed();
            match libc::sigaction(signal, &action, &mut before) {
                0 if before.sa_sigaction == libc::SIG_IGN => libc::sigaction(signal, &before, std::ptr::null_mut()),
                outcome => outcome,
            }
        };
        if outcome != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(reader)
}
