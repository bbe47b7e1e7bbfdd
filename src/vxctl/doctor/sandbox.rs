//! The isolation that vx-execd reached, what keeps it from more, and what the kernel allows.

use std::fs;

use shared::{control::Value, paths::Service};

use super::Finding;
use crate::bus::{Answer, Facts};

/// What vx-execd says, and what would change it.
pub fn findings(facts: &[Facts]) -> Vec<Finding> {
    let mut findings: Vec<Finding> = Vec::new();
    let exec = facts.iter().find(|facts| facts.service == Service::Exec);
    if let Some(Facts { answer: Answer::Report(report), .. }) = exec {
        let text = |key: &str| match report.status.get(key) {
            Some(Value::Str(text)) => text.as_str(),
            _ => "",
        };
        findings.extend(rungs(text("rung"), text("sandbox_minimum"), text("rung_why")));
    }
    findings.extend(namespaces());
    findings.extend(controllers());
    findings
}

/// Rungs, lowest first, as vx.toml names them.
const RUNGS: [&str; 4] = ["process", "landlock", "namespaces", "full"];

fn rungs(rung: &str, minimum: &str, why: &str) -> Vec<Finding> {
    let height = |name: &str| RUNGS.iter().position(|known| *known == name);
    let mut findings = Vec::new();
    if height(rung) < height(minimum) {
        let cure =
            format!("reach a higher rung as below, or permit this one in vx.toml:\n[sandbox]\nminimum = \"{rung}\"");
        findings.push(Finding::fail("sandbox", format!("{rung} is below the minimum, {minimum}: no build runs"), cure));
    } else {
        findings.push(Finding::ok("sandbox", format!("rung {rung}, minimum {minimum}")));
    }
    for missed in why.split("; ").filter(|missed| !missed.is_empty()) {
        let (name, reason) = missed.split_once(": ").unwrap_or(("", missed));
        if height(name).is_some() {
            findings.push(Finding::warn(format!("sandbox {name}"), format!("is not reached: {reason}"), cure(reason)));
        }
    }
    findings
}

/// What to do about a reason; vx-execd's words are looked through for what they are about.
fn cure(reason: &str) -> &'static str {
    let about = |word: &str| reason.contains(word);
    if about("apparmor") {
        "sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0, or an AppArmor profile with `userns,` for vx-execd"
    } else if about("max_user_namespaces") {
        "sudo sysctl user.max_user_namespaces=15000, and the same in /etc/sysctl.d"
    } else if about("unprivileged_userns_clone") {
        "sudo sysctl kernel.unprivileged_userns_clone=1; in a container: a seccomp profile that allows namespaces"
    } else if about("Landlock") {
        "a kernel of 5.13 or newer with landlock in lsm= of its command line; in a container a seccomp profile that allows it"
    } else if about("control group") || about("cgroup") {
        "run vx-execd as its unit, which has Delegate= (packaging/install); control groups of version 2 are needed"
    } else if about("Linux 5.") {
        "a newer kernel"
    } else {
        "man vx-execd says what each rung needs"
    }
}

/// The kernel's switches for namespaces of ordinary users. A file that is not there is a switch that
/// this kernel has not.
fn namespaces() -> Vec<Finding> {
    let number = |path: &str| fs::read_to_string(path).ok().and_then(|text| text.trim().parse::<u64>().ok());
    let subject = "user namespaces";
    if rustix::process::getuid().is_root() || cfg!(target_os = "macos") {
        return Vec::new();
    }
    if number("/proc/sys/user/max_user_namespaces") == Some(0) {
        return vec![Finding::warn(subject, "are off", cure("max_user_namespaces"))];
    }
    if number("/proc/sys/kernel/unprivileged_userns_clone") == Some(0) {
        return vec![Finding::warn(subject, "are for root only", cure("unprivileged_userns_clone"))];
    }
    if number("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == Some(1) {
        return vec![Finding::warn(subject, "are made without rights by AppArmor", cure("apparmor"))];
    }
    vec![Finding::ok(subject, "are allowed")]
}

/// What the person's manager may share out between actions.
fn controllers() -> Option<Finding> {
    let own = fs::read_to_string("/proc/self/cgroup").ok()?;
    let uid = rustix::process::getuid().as_raw();
    let path = format!("/user.slice/user-{uid}.slice/user@{uid}.service/cgroup.controllers");
    let roots = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];
    let has = roots.iter().find_map(|root| fs::read_to_string(format!("{root}{path}")).ok())?;
    // Only where this person has a manager at all; elsewhere the rung says it.
    own.contains("user.slice").then(|| controllers_of(&has))
}

fn controllers_of(has: &str) -> Finding {
    let missing: Vec<&str> =
        ["cpu", "memory", "pids"].into_iter().filter(|name| !has.split_whitespace().any(|one| one == *name)).collect();
    let subject = "cgroup delegation";
    if missing.is_empty() {
        return Finding::ok(subject, "cpu, memory and pids");
    }
    let cure =
        "sudo systemctl edit user@.service, with the lines\n[Service]\nDelegate=cpu memory pids\nthen log in again";
    Finding::warn(subject, format!("{} cannot be limited for each action", missing.join(", ")), cure)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Verdict;

    #[test]
    fn each_missed_rung_has_its_cure() {
        let why = "full: control group /x is not marked as delegated; namespaces: clone: Operation not permitted \
                   (user namespaces are refused: sysctl kernel.unprivileged_userns_clone=1, or a container's seccomp profile)";
        let found = rungs("landlock", "landlock", why);
        assert_eq!(found[0].verdict, Verdict::Ok);
        assert_eq!(found.len(), 3);
        assert_eq!((found[1].subject.as_str(), found[1].verdict), ("sandbox full", Verdict::Warn));
        assert!(found[1].cure.as_deref().unwrap_or_default().contains("Delegate="));
        assert!(found[2].cure.as_deref().unwrap_or_default().contains("unprivileged_userns_clone=1"));
    }

    #[test]
    fn below_the_minimum_nothing_is_built() {
        let found = rungs("process", "landlock", "landlock: the kernel has no Landlock");
        assert_eq!(found[0].verdict, Verdict::Fail);
        assert!(found[0].cure.as_deref().unwrap_or_default().contains("minimum = \"process\""));
    }

    #[test]
    fn a_controller_that_is_not_delegated_is_named() {
        assert_eq!(controllers_of("cpu io memory pids\n").verdict, Verdict::Ok);
        let found = controllers_of("memory pids\n");
        assert!(found.verdict == Verdict::Warn && found.found.starts_with("cpu "), "{found:?}");
    }
}
