//! What the init system is told (sd_notify(3)). Without one every call does nothing.

use std::time::Duration;

use sd_notify::NotifyState;

fn tell(states: &[NotifyState<'_>]) {
    if let Err(err) = sd_notify::notify(states) {
        tracing::debug!(%err, "the service manager could not be told, ignoring");
    }
}

pub fn ready() {
    tell(&[NotifyState::Ready]);
}

pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// The line that `systemctl status` shows.
pub fn status(text: &str) {
    // A newline would start another assignment.
    tell(&[NotifyState::Status(&text.replace('\n', " "))]);
}

pub fn alive() {
    tell(&[NotifyState::Watchdog]);
}

/// How often the watchdog wants to hear from the main loop.
pub fn watchdog_interval() -> Option<Duration> {
    sd_notify::watchdog_enabled().map(|limit| limit / 3)
}
