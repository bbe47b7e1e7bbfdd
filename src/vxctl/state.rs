//! Judges what bus.rs learned: one state a service, with the cause and the cure in its own words.
//! Pure, so that every cause has a test; how it is printed lies in render.rs.

use shared::{
    control::{ControlError, Report},
    paths::Service,
};

use crate::bus::{Answer, Facts, Units};

/// What a service is doing, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It answers.
    Running,
    /// The manager listens for it and starts it on the first connect.
    Idle,
    /// On its way up.
    Starting,
    /// On its way down.
    Stopping,
    /// It ended badly and the manager has not started it again.
    Failed,
    /// Nobody listens, and no socket file says that somebody did.
    SocketOff,
    /// A socket file is left of one that no longer listens.
    Refused,
    /// It is there and silent.
    NoAnswer,
    /// It runs as another user.
    Foreign,
    /// It answers, but not what this vxctl asks.
    Skewed,
}

impl State {
    /// The word for people and JSON.
    pub fn word(self) -> &'static str {
        match self {
            State::Running => "running",
            State::Idle => "idle",
            State::Starting => "starting",
            State::Stopping => "stopping",
            State::Failed => "failed",
            State::SocketOff => "socket off",
            State::Refused => "refused",
            State::NoAnswer => "no answer",
            State::Foreign => "other user",
            State::Skewed => "version skew",
        }
    }

    /// Whether the service ought to answer and does not. Not running is nothing of the kind.
    pub fn is_trouble(self) -> bool {
        matches!(self, State::Failed | State::Refused | State::NoAnswer | State::Foreign | State::Skewed)
    }
}

/// One line of the table and what stands below it.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Which service.
    pub service: Service,
    /// Its state.
    pub state: State,
    /// Its process, when it has one.
    pub pid: Option<u32>,
    /// When it started, in microseconds since 1970.
    pub started_usec: Option<u64>,
    /// Restarts by the manager after failures.
    pub restarts: u32,
    /// Its own words.
    pub report: Option<Report>,
    /// Why the state is what it is, and what to do.
    pub cause: Option<String>,
}

/// What the facts mean.
pub fn judge(facts: Facts) -> Row {
    let Facts { service, units, answer } = facts;
    let (state, cause) = match &answer {
        Answer::Report(report) => (State::Running, skew(service, report)),
        Answer::NotAsked => by_manager(service, units.as_ref()),
        Answer::NoSocket => (State::SocketOff, Some(socket_off(service, units.as_ref()))),
        // A file that the manager's unit left behind says no more than the unit does.
        Answer::Refused(_) if units.as_ref().is_some_and(|units| units.socket_load == "loaded") => {
            (State::SocketOff, Some(socket_off(service, units.as_ref())))
        }
        Answer::Refused(path) => {
            let path = path.display();
            (State::Refused, Some(format!("{path} is there and nobody listens on it: what made it is gone")))
        }
        Answer::Failed(e) => by_failure(service, e),
    };
    let report = match answer {
        Answer::Report(report) => Some(report),
        _ => None,
    };
    let live = units.as_ref().filter(|units| units.main_pid != 0);
    Row {
        service,
        state,
        pid: report.as_ref().map(|r| r.pid).or(live.map(|units| units.main_pid)),
        started_usec: report
            .as_ref()
            .map(|r| r.started_usec)
            .or(live.map(|units| units.active_since_usec).filter(|&usec| usec != 0)),
        restarts: units.as_ref().map_or(0, |units| units.restarts),
        report,
        cause,
    }
}

fn by_manager(service: Service, units: Option<&Units>) -> (State, Option<String>) {
    let Some(units) = units else { return (State::SocketOff, None) };
    let unit = service.unit();
    match units.active.as_str() {
        "activating" if units.result == "success" => (State::Starting, None),
        "activating" => (
            State::Starting,
            Some(format!("ended by {} and is being restarted: journalctl --user -u {unit}", units.result)),
        ),
        "deactivating" => (State::Stopping, Some(units.status_text.clone()).filter(|s| !s.is_empty())),
        "failed" => (
            State::Failed,
            Some(format!("ended by {}; the next connect starts it again: journalctl --user -u {unit}", units.result)),
        ),
        _ => (State::Idle, Some("starts on the first connect".to_owned())),
    }
}

fn socket_off(service: Service, units: Option<&Units>) -> String {
    let unit = service.unit();
    match units {
        None => "no service manager can be asked and no socket is there: packaging/without-init starts the services"
            .to_owned(),
        Some(units) if units.socket_load == "not-found" => "not installed: see packaging/install".to_owned(),
        Some(units) if units.socket_active == "failed" => {
            format!(
                "{unit}.socket has failed: systemctl --user reset-failed {unit}.socket && systemctl --user start {unit}.socket"
            )
        }
        Some(_) => format!("systemctl --user start {unit}.socket"),
    }
}

fn by_failure(service: Service, e: &ControlError) -> (State, Option<String>) {
    let program = service.program();
    match e {
        ControlError::NoAnswer => {
            (State::NoAnswer, Some(format!("{e}: it is stopped or hangs; journalctl --user -u {}", service.unit())))
        }
        ControlError::Foreign { .. } => (State::Foreign, Some(e.to_string())),
        ControlError::Connect(_) => (State::NoAnswer, Some(format!("the connection failed: {e}"))),
        _ => (State::Skewed, Some(format!("{program} does not understand vxctl {}: {e}", env!("CARGO_PKG_VERSION")))),
    }
}

fn skew(service: Service, report: &Report) -> Option<String> {
    let own = env!("CARGO_PKG_VERSION");
    (report.version != own).then(|| {
        format!(
            "runs version {} beside vxctl {own}; the new one starts when it leaves: systemctl --user stop {}",
            report.version,
            service.unit()
        )
    })
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, io};

    use super::*;

    fn units(socket: &str, active: &str) -> Units {
        Units {
            socket_load: "loaded".into(),
            socket_active: socket.into(),
            active: active.into(),
            result: "success".into(),
            ..Units::default()
        }
    }

    fn judged(units: Option<Units>, answer: Answer) -> Row {
        judge(Facts { service: Service::Cas, units, answer })
    }

    fn report(version: &str) -> Answer {
        Answer::Report(Report { version: version.into(), pid: 7, started_usec: 1, status: BTreeMap::new() })
    }

    #[test]
    fn each_cause_has_its_own_words() {
        let socket = || "/run/user/1/vx/cas.control.sock".into();
        let failed = Units { result: "exit-code".into(), ..units("active", "failed") };
        let missing = Units { socket_load: "not-found".into(), ..units("inactive", "inactive") };
        let cases = [
            (None, report(env!("CARGO_PKG_VERSION")), State::Running, ""),
            (None, report("0.0.1"), State::Running, "runs version 0.0.1"),
            (Some(units("active", "inactive")), Answer::NotAsked, State::Idle, "starts on the first connect"),
            (Some(units("active", "activating")), Answer::NotAsked, State::Starting, ""),
            (Some(units("active", "deactivating")), Answer::NotAsked, State::Stopping, ""),
            (Some(failed), Answer::NotAsked, State::Failed, "ended by exit-code"),
            (
                Some(units("inactive", "inactive")),
                Answer::NoSocket,
                State::SocketOff,
                "systemctl --user start vx-casd.socket",
            ),
            (Some(units("failed", "inactive")), Answer::NoSocket, State::SocketOff, "reset-failed"),
            (Some(missing), Answer::NoSocket, State::SocketOff, "not installed"),
            (None, Answer::NoSocket, State::SocketOff, "packaging/without-init"),
            (None, Answer::Refused(socket()), State::Refused, "nobody listens"),
            (
                Some(units("inactive", "inactive")),
                Answer::Refused(socket()),
                State::SocketOff,
                "systemctl --user start",
            ),
            (None, Answer::Failed(ControlError::NoAnswer), State::NoAnswer, "no answer within 5 s"),
            (None, Answer::Failed(ControlError::Foreign { theirs: 0, own: 1000 }), State::Foreign, "uid 0"),
            (
                None,
                Answer::Failed(io::Error::from(io::ErrorKind::ConnectionReset).into()),
                State::NoAnswer,
                "connection failed",
            ),
            (None, Answer::Failed(ControlError::Protocol("no such method".into())), State::Skewed, "no such method"),
        ];
        for (units, answer, state, words) in cases {
            let row = judged(units, answer);
            assert_eq!(row.state, state);
            assert!(row.cause.as_deref().unwrap_or_default().contains(words), "{state:?}: {:?}", row.cause);
        }
    }

    #[test]
    fn the_manager_knows_the_process_of_a_silent_service() {
        let units = Units { main_pid: 42, active_since_usec: 9, ..units("active", "active") };
        let row = judged(Some(units), Answer::Failed(ControlError::NoAnswer));
        assert_eq!((row.pid, row.started_usec), (Some(42), Some(9)));
    }

    #[test]
    fn not_running_is_no_trouble() {
        for state in [State::Running, State::Idle, State::Starting, State::Stopping, State::SocketOff] {
            assert!(!state.is_trouble(), "{state:?}");
        }
        for state in [State::Failed, State::Refused, State::NoAnswer, State::Foreign, State::Skewed] {
            assert!(state.is_trouble(), "{state:?}");
        }
    }
}
