//! `vxctl start`, `stop` and `restart`: jobs for the service manager, over the bus. Where none can be
//! asked, what to type is said.

use shared::{fault::exit, paths::Service};

use crate::bus::{JobError, Manager, Verb, Ways};
use crate::print;

/// Runs the word; the exit code.
pub async fn run(verb: Verb, services: &[Service]) -> u8 {
    let ways = Ways::open().await;
    let Some(manager) = ways.manager() else {
        eprintln!("vxctl: {}", by_hand(verb, services));
        return exit::UNREACHABLE;
    };
    // Those that others need come up first and go down last.
    let mut order: Vec<Service> = [Service::Cas, Service::Exec, Service::Daemon].into();
    order.retain(|service| services.contains(service));
    if verb != Verb::Start {
        order.reverse();
    }
    let mut code = exit::OK;
    for service in order {
        match jobs(manager, verb, service).await {
            Ok(()) => print(&format!("{:9}  {}\n", service.program(), done(verb))),
            Err(e) => {
                eprintln!("vxctl: {}: {e}", service.program());
                if matches!(&e, JobError::Refused(text) if text.contains("not found")) {
                    eprintln!("  packaging/install puts the units in place");
                }
                code = exit::FAILED;
            }
        }
    }
    code
}

/// The socket unit keeps a stopped service from being started by the next connect, and is there
/// before the service.
async fn jobs(manager: &Manager, verb: Verb, service: Service) -> Result<(), JobError> {
    let unit = service.unit();
    match verb {
        // A socket whose service runs without it (from before an upgrade) cannot be started, and comes with the service.
        Verb::Start => {
            manager.job(verb, &format!("{unit}.socket")).await?;
            manager.job(verb, &format!("{unit}.service")).await
        }
        Verb::Stop => {
            manager.job(verb, &format!("{unit}.socket")).await?;
            manager.job(verb, &format!("{unit}.service")).await
        }
        Verb::Restart => manager.job(verb, &format!("{unit}.service")).await,
    }
}

fn done(verb: Verb) -> &'static str {
    match verb {
        Verb::Start => "started",
        Verb::Stop => "stopped",
        Verb::Restart => "restarted",
    }
}

/// What to type where no manager can be asked over a bus.
fn by_hand(verb: Verb, services: &[Service]) -> String {
    if !cfg!(target_os = "macos") {
        return "no service manager can be asked (no session bus, or no systemd on it): \
                packaging/without-init plays its part where there is none"
            .to_owned();
    }
    let mut text = "launchd is told by launchctl, which vxctl does not run:".to_owned();
    for service in services {
        text.push_str("\n  ");
        text.push_str(&launchctl(verb, *service));
    }
    text
}

/// launchd's words for the same.
fn launchctl(verb: Verb, service: Service) -> String {
    let label = service.label();
    match verb {
        Verb::Start => format!("launchctl bootstrap gui/$(id -u) ~/Library/LaunchAgents/{label}.plist"),
        Verb::Stop => format!("launchctl bootout gui/$(id -u)/{label}"),
        Verb::Restart => format!("launchctl kickstart -k gui/$(id -u)/{label}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn launchd_is_told_by_hand() {
        assert_eq!(launchctl(Verb::Stop, Service::Cas), "launchctl bootout gui/$(id -u)/build.vx.casd");
        assert!(launchctl(Verb::Start, Service::Daemon).ends_with("/build.vx.daemon.plist"));
        assert!(launchctl(Verb::Restart, Service::Exec).contains("kickstart -k"));
    }
}
