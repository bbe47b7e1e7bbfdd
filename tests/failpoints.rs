//! A service that dies at any of the recorded places costs time: the build ends well right after, and the store is clean.

use crate::kit::{Machine, Project, Who};

/// By point: the unit of the service that dies there, and how often the place is passed first.
const POINTS: [(&str, &str, u32); 10] = [
    ("blob-acknowledged", "vx-casd", 0),
    ("blob-acknowledged", "vx-casd", 6),
    ("segment-torn", "vx-casd", 3),
    ("before-result", "vx-casd", 3),
    ("result-torn", "vx-casd", 3),
    ("announced", "vx-execd", 0),
    ("mid-capture", "vx-execd", 2),
    ("captured", "vx-execd", 4),
    ("before-rename", "vx", 0),
    ("after-rename", "vx", 0),
];

#[test]
fn a_death_at_any_recorded_place_costs_neither_build_nor_store() {
    let machine = Machine::with_failpoints(Who::Person);
    for (number, (point, unit, skip)) in POINTS.into_iter().enumerate() {
        let name = format!("{point}-{number}");
        let project = Project::write(&machine, &name, &name, "");
        if point == "announced" {
            // What is handed out is on disk first, and a disk may be slow: the library has enough to do after its metadata.
            let more = (0..3000).map(|n| format!("pub fn f{n}() -> String {{\n    format!(\"{{}} {n}\", {n})\n}}\n"));
            let say = "pub fn say() -> &'static str {\n    \"base\"\n}\n".to_owned();
            machine.write(project.path.join("base/src/lib.rs"), more.chain([say]).collect::<String>());
        }
        let restarts = || machine.property(&format!("{unit}.service"), "NRestarts");
        let before = restarts();
        machine.write(machine.home().join("points").join(point), skip.to_string());
        let built = machine.run_in(&project.path, ["vx", "build"]);
        assert_eq!(built.code, 0, "{name}:\n{}\n{}", built.stderr, machine.journal());
        let armed = machine.outside(machine.home().join("points").join(point));
        assert!(!armed.exists(), "{name}: the place was not reached, {:?} more", std::fs::read_to_string(armed));
        machine.until("the service was started again", |_| restarts() != before);
        assert_eq!(machine.run_in(&project.path, ["target/debug/app"]).ok(), Project::SAYS, "{name}");
        let again = machine.run_in(&project.path, ["vx", "build"]);
        assert!(again.code == 0 && again.stderr.contains(", 0 built"), "{name}, again:\n{}", again.stderr);
        let verified = machine.run(["vxctl", "cas", "verify"]);
        assert_eq!(verified.code, 0, "{name}: {}{}", verified.stdout, verified.stderr);
        let left = machine.sh(&format!("ls -A {}/target/debug | grep vx-", project.path.display())).stdout;
        assert_eq!(left, "", "{name}: something was left beside what was placed");
    }
}
