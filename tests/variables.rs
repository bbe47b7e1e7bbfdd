//! Which of the person's variables a build sees: those that a crate or a script named, also when it named them only in the
//! run itself, and never a stale value.

use crate::kit::{Machine, Project, Who};

/// Builds with these variables; what was said of it, once the program has said what it should.
fn built_with(machine: &Machine, project: &Project, variables: &[&str], says: &str) -> String {
    let words = ["env"].iter().chain(variables).chain(&["vx", "build"]);
    let built = machine.run_in(&project.path, words);
    assert_eq!(built.code, 0, "{}", built.stderr);
    assert_eq!(machine.run_in(&project.path, ["target/debug/app"]).ok(), says);
    built.stderr
}

#[test]
fn named_variables_reach_a_build_and_a_changed_one_builds_anew() {
    let machine = Machine::with_vx(Who::Person);
    let script = "    println!(\"cargo::rerun-if-env-changed=OF_SCRIPT\");\n    \
        println!(\"cargo::rustc-env=HEARD={}\", std::env::var(\"OF_SCRIPT\").unwrap_or_default());";
    let project = Project::write(&machine, "vars", "", script);
    machine.write(
        project.path.join("mid/src/lib.rs"),
        "pub fn say() -> String {\n    format!(\"{} {:?} {:?}\", env!(\"MUST\"), option_env!(\"MAY\"), env!(\"HEARD\"))\n}\n",
    );
    let without = machine.run_in(&project.path, ["vx", "build"]);
    assert_eq!(without.code, 101);
    assert!(without.stderr.contains("environment variable `MUST` not defined"), "{}", without.stderr);
    let build = |variables: &[&str], says: &str| built_with(&machine, &project, variables, says);
    build(&["MUST=one"], "one None \"\"\n");
    build(&["MUST=two", "MAY=m", "OF_SCRIPT=s"], "two Some(\"m\") \"s\"\n");
    machine.run(["systemctl", "--user", "stop", "vx.service"]).ok();
    let again = build(&["MUST=one"], "one None \"\"\n");
    assert!(again.contains("5 hits, 0 built"), "{again}");
    build(&["MUST=one", "OF_SCRIPT=t"], "one None \"t\"\n");
}

#[test]
fn variables_that_scripts_and_macros_read_without_a_word_reach_them_and_count() {
    let machine = Machine::with_vx(Who::Person);
    let script = "    println!(\"cargo::rerun-if-changed=build.rs\");\n    \
        println!(\"cargo::rustc-env=HEARD={}\", std::env::var(\"SILENT_S\").or(std::env::var(\"S\")).unwrap_or_default());";
    let project = Project::write(&machine, "silent", "", script);
    machine.write(project.path.join("Cargo.toml"), "[workspace]\nmembers = [\"app\", \"mid\", \"base\", \"macr\"]\n");
    let macr = "[package]\nname = \"macr\"\nversion = \"1.0.0\"\nedition = \"2021\"\n[lib]\nproc-macro = true\n";
    machine.write(project.path.join("macr/Cargo.toml"), macr);
    machine.write(
        project.path.join("macr/src/lib.rs"),
        "#[proc_macro]\npub fn heard(_: proc_macro::TokenStream) -> proc_macro::TokenStream {\n    \
         format!(\"{:?}\", std::env::var(\"SILENT_M\").unwrap_or_default()).parse().unwrap()\n}\n",
    );
    machine.sh("echo 'macr = { path = \"../macr\" }' >> silent/mid/Cargo.toml").ok();
    machine.write(
        project.path.join("mid/src/lib.rs"),
        "pub fn say() -> String {\n    format!(\"{} {} {}\", base::say(), env!(\"HEARD\"), macr::heard!())\n}\n",
    );
    let built = |variables: &[&str], says: &str| built_with(&machine, &project, variables, says);
    built(&["X=1"], "base  \n");
    built(&["SILENT_S=s", "SILENT_M=m"], "base s m\n");
    built(&["SILENT_S=s", "SILENT_M=n"], "base s n\n");
    machine.run(["systemctl", "--user", "stop", "vx.service"]).ok();
    let again = built(&["SILENT_S=s", "SILENT_M=m", "DISPLAY=:7"], "base s m\n");
    assert!(again.contains(" 0 built"), "{again}");
    // What nobody names divides no keys.
    let other = built(&["SILENT_S=s", "SILENT_M=m", "NOBODY_NAMES=it"], "base s m\n");
    assert!(other.contains(" 0 built"), "{other}");
    built(&["SILENT_S=t"], "base t \n");
    // Short names count for one's own packages.
    built(&["S=u"], "base u \n");
    // Also for cargo with vx as its wrapper.
    let wrapped = |value: &str| {
        let value = format!("SILENT_M={value}");
        let words = [
            "env",
            "RUSTC_WRAPPER=vx",
            "CARGO_INCREMENTAL=0",
            &value,
            "CARGO_TARGET_DIR=wrapped",
            "cargo",
            "build",
            "-q",
        ];
        machine.run_in(&project.path, words).ok();
        let said = machine.run_in(&project.path, ["wrapped/debug/app"]).ok();
        machine.run_in(&project.path, ["rm", "-r", "wrapped"]).ok();
        said
    };
    assert_eq!(["a", "b", "a"].map(wrapped), ["base  a\n", "base  b\n", "base  a\n"]);
}

#[test]
fn the_home_and_what_cargos_configuration_sets_are_the_persons() {
    let machine = Machine::with_vx(Who::Person);
    let project = Project::write(&machine, "own", "", "");
    machine.write(
        project.path.join("mid/src/lib.rs"),
        "pub fn say() -> String {\n    format!(\"{:?} {:?}\", option_env!(\"HOME\"), option_env!(\"SET\"))\n}\n",
    );
    machine.write(project.path.join(".cargo/config.toml"), "[env]\nSET = \"by cargo\"\n");
    let home = machine.home().display().to_string();
    // What is set in the environment goes over the file, also where the plan is the one of before.
    for (variable, set) in [("X=1", "by cargo"), ("SET=own", "own"), ("SET=other", "other"), ("X=1", "by cargo")] {
        machine.run_in(&project.path, ["env", variable, "vx", "build"]).ok();
        let said = machine.run_in(&project.path, ["target/debug/app"]).ok();
        assert_eq!(said, format!("Some({home:?}) Some({set:?})\n"), "{variable}");
    }
}

#[test]
fn a_crate_that_names_its_folder_places_no_other_of_its_name() {
    let machine = Machine::with_vx(Who::Person);
    let placed = Project::write(&machine, "placed", "", "");
    let names_it = "pub fn say() -> &'static str {\n    env!(\"CARGO_MANIFEST_DIR\")\n}\n";
    machine.write(placed.path.join("base/src/lib.rs"), names_it);
    machine.run_in(&placed.path, ["vx", "build"]).ok();
    let folder = placed.path.join("base");
    assert_eq!(machine.run_in(&placed.path, ["target/debug/app"]).ok(), format!("{} ran\n", folder.display()));
    let one = Project::write(&machine, "one", "", "");
    let two = Project::write(&machine, "two", "", "");
    machine.run_in(&one.path, ["vx", "build"]).ok();
    let second = machine.run_in(&two.path, ["vx", "build"]);
    assert!(second.code == 0 && second.stderr.contains("5 units, 5 hits, 0 built"), "{}", second.stderr);
}

/// Tests start cargo by the name that they were compiled with.
#[test]
fn a_program_that_names_cargo_finds_it() {
    let machine = Machine::with_vx(Who::Person);
    let project = Project::write(
        &machine,
        "names-cargo",
        "",
        "    println!(\"cargo::rustc-env=OF_SCRIPT={}\", std::env::var(\"CARGO\").unwrap());",
    );
    let names_it = r#"pub fn say() -> String {
    let version = |cargo: &str| std::process::Command::new(cargo).arg("-V").output().unwrap().status.success();
    format!("{} {} {}", version(env!("CARGO")), version(env!("OF_SCRIPT")), env!("SCRIPT"))
}
"#;
    machine.write(project.path.join("mid/src/lib.rs"), names_it);
    machine.run_in(&project.path, ["vx", "build"]).ok();
    assert_eq!(machine.run_in(&project.path, ["target/debug/app"]).ok(), "true true ran\n");
}
