//! The services and their units: enabled, up, of one version, from one place.

use shared::paths::Service;

use super::Finding;
use crate::{
    bus::{Facts, Units, Ways},
    state::{Row, State},
};

/// How services can be asked at all.
pub fn ways(ways: &Ways) -> Vec<Finding> {
    let manager = match ways.manager() {
        Some(_) => Finding::ok("service manager", "systemd answers on the session bus"),
        None if cfg!(target_os = "macos") => Finding::ok("service manager", "launchd, which vxctl does not ask"),
        None if ways.has_bus() => Finding::warn(
            "service manager",
            "none on the session bus: nobody starts the services when they are wanted",
            "packaging/without-init plays its part where there is no systemd",
        ),
        None => Finding::warn(
            "service manager",
            "no session bus, so none can be asked",
            "log in by ssh, a console or machinectl (not su), and: apt-get install dbus-user-session; \
             where there is no systemd: packaging/without-init",
        ),
    };
    vec![manager]
}

/// A service's units, where a manager has them.
pub fn of_units(facts: &Facts) -> Vec<Finding> {
    let Some(units) = &facts.units else { return Vec::new() };
    let mut findings = vec![socket(facts.service, units)];
    let unit = format!("{}.service", facts.service.unit());
    if units.stale {
        let found = "its file has changed since the service manager read it";
        findings.push(Finding::warn(&unit, found, "systemctl --user daemon-reload"));
    }
    if !units.program.is_empty() && !std::path::Path::new(&units.program).exists() {
        let found = format!("starts {}, which is not there", units.program);
        findings.push(Finding::fail(&unit, found, "packaging/install, or --uninstall where the units are left over"));
    }
    let own = std::env::current_exe().ok().and_then(|path| Some(path.parent()?.parent()?.join("libexec/vx")));
    if let Some(own) = own.filter(|own| own.is_dir())
        && !units.program.is_empty()
        && !std::path::Path::new(&units.program).starts_with(&own)
    {
        let found = format!("starts {}, but this vxctl came with {}", units.program, own.display());
        findings.push(Finding::warn(&unit, found, "packaging/install --uninstall one of the two"));
    }
    findings
}

fn socket(service: Service, units: &Units) -> Finding {
    let name = format!("{}.socket", service.unit());
    let start = format!("systemctl --user enable --now {name}");
    match (units.socket_load.as_str(), units.socket_active.as_str(), units.socket_enabled.as_str()) {
        ("not-found", ..) => Finding::fail(&name, "is not installed", "packaging/install"),
        (_, "failed", _) => {
            let cure = format!("systemctl --user reset-failed {name} && systemctl --user start {name}");
            Finding::fail(&name, "has failed", cure)
        }
        (_, "active", "disabled") => Finding::warn(&name, "listens, but will not after the next login", start),
        (_, "active", _) => Finding::ok(&name, "listens"),
        (_, state, _) => Finding::fail(&name, format!("is {state}: nobody listens"), start),
    }
}

/// A service that was asked.
pub fn of_service(row: &Row) -> Vec<Finding> {
    let program = row.service.program();
    let unit = row.service.unit();
    let cause = row.cause.clone().unwrap_or_default();
    let mut findings = Vec::new();
    match row.state {
        State::Running => {
            let version = row.report.as_ref().map_or("", |report| &report.version);
            if cause.is_empty() {
                findings.push(Finding::ok(program, format!("runs version {version}")));
            } else {
                findings.push(Finding::warn(program, cause, format!("vxctl drain {unit}")));
            }
        }
        State::Starting | State::Stopping | State::Idle => {
            findings.push(Finding::warn(
                program,
                format!("is {} and did not come up: {cause}", row.state.word()),
                format!("vxctl logs {unit}"),
            ));
        }
        state => {
            findings.push(Finding::fail(program, format!("{}: {cause}", state.word()), format!("vxctl logs {unit}")))
        }
    }
    if row.pid.is_some_and(was_replaced) {
        let found = "runs a program that has been replaced since";
        findings.push(Finding::warn(program, found, format!("vxctl drain {unit}")));
    }
    if row.restarts > 0 {
        let found = format!("was restarted {} times after failures", row.restarts);
        findings.push(Finding::warn(program, found, format!("vxctl logs -n 200 {unit}")));
    }
    findings
}

/// The kernel says so of a program's file that is gone.
fn was_replaced(pid: u32) -> bool {
    std::fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|path| path.to_string_lossy().ends_with(" (deleted)"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Verdict;

    #[test]
    fn a_socket_is_up_now_and_after_the_next_login() {
        let units = |load: &str, active: &str, enabled: &str| Units {
            socket_load: load.into(),
            socket_active: active.into(),
            socket_enabled: enabled.into(),
            ..Units::default()
        };
        let cases = [
            (units("loaded", "active", "enabled"), Verdict::Ok, ""),
            (units("loaded", "active", "disabled"), Verdict::Warn, "enable --now vx-casd.socket"),
            (units("loaded", "inactive", "enabled"), Verdict::Fail, "enable --now"),
            (units("loaded", "failed", "enabled"), Verdict::Fail, "reset-failed"),
            (units("not-found", "inactive", ""), Verdict::Fail, "packaging/install"),
        ];
        for (units, verdict, cure) in cases {
            let finding = socket(Service::Cas, &units);
            assert_eq!(finding.verdict, verdict, "{finding:?}");
            assert!(finding.cure.clone().unwrap_or_default().contains(cure), "{finding:?}");
        }
    }
}
