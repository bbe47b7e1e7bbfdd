//! The directives table, row by row, and cargo's errors.

use super::*;

fn target(kind: &str, name: &str) -> Target {
    let crate_type = if ["bin", "test", "example"].contains(&kind) { "bin" } else { kind };
    Target {
        kind: vec![kind.to_owned()],
        crate_types: vec![crate_type.to_owned()],
        name: name.to_owned(),
        edition: "2021".to_owned(),
        ..Target::default()
    }
}

fn said_by(stdout: &str, targets: &[Target], rust_version: Option<&str>) -> Result<Directives, DirectiveError> {
    let speaker = Speaker {
        package: "p v1.0.0",
        targets,
        rust_version,
        library: Some("p"),
        bootstrap: None,
        out_dir: ("/old/out", "/vx/build/p-1/out"),
    };
    parse(stdout.as_bytes(), speaker)
}

#[test]
fn both_syntaxes_and_replaced_out_dir() {
    let stdout = "noise\ncargo:rustc-link-search=native=/old/out/lib\ncargo::rustc-link-lib=static=z \n\
        cargo:rustc-flags=-L /x -lfoo\ncargo:root=/old/out\ncargo::metadata=a=b=c\ncargo:rustc-env=A=/old/out/a\n\
        cargo::rustc-cfg=has=\"x\"\ncargo::rustc-check-cfg=cfg(has)\ncargo:rerun-if-changed=\ncargo:rerun-if-env-changed=CC\n\
        cargo::warning=careful\n";
    let said = said_by(stdout, &[], None).expect("directives");
    assert_eq!(said.library_paths, ["native=/vx/build/p-1/out/lib", "/x"]);
    assert_eq!(said.libraries, ["static=z", "foo"]);
    let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    assert_eq!(said.metadata, [pair("root", "/vx/build/p-1/out"), pair("a", "b=c")]);
    assert_eq!(said.env, [pair("A", "/vx/build/p-1/out/a")]);
    assert_eq!((said.cfgs[0].as_str(), said.check_cfgs[0].as_str()), ("has=\"x\"", "cfg(has)"));
    assert_eq!((said.rerun_if_changed[0].as_str(), said.rerun_if_env_changed[0].as_str()), ("", "CC"));
    assert!(!said.has_errors() && said.messages.len() == 1);
    assert!(said_by("cargo::error=no\n", &[], None).expect("directives").has_errors());
}

#[test]
fn link_args_need_their_targets() {
    let bins = [target("bin", "x"), target("cdylib", "y")];
    let stdout = "cargo:rustc-link-arg=-a\ncargo:rustc-link-arg-bins=-b\ncargo:rustc-link-arg-bin=x=-c=d\ncargo:rustc-cdylib-link-arg=-e\n";
    let said = said_by(stdout, &bins, None).expect("directives");
    let of = |target: &Target| -> Vec<&str> {
        said.link_args
            .iter()
            .filter(|(which, _)| which.applies(target, Kind::Lib))
            .map(|(_, arg)| arg.as_str())
            .collect()
    };
    assert_eq!(of(&bins[0]), ["-a", "-b", "-c=d"]);
    assert_eq!(of(&bins[1]), ["-a", "-e"]);
    assert_eq!(of(&target("bin", "z")), ["-a", "-b"]);
    let error = |stdout: &str| said_by(stdout, &[], None).expect_err("an error").to_string();
    assert!(error("cargo:rustc-link-arg-bins=-b").contains("does not have a bin target"));
    assert!(error("cargo:rustc-link-arg-tests=-b").contains("does not have a test target"));
    assert!(error("cargo:rustc-link-arg-bin=x").contains("=BIN=ARG"));
    let cdylib = said_by("cargo:rustc-cdylib-link-arg=-e", &[], None).expect("directives");
    assert!(cdylib.messages[0].1.contains("does not contain a cdylib target"));
}

#[test]
fn errors_as_cargo_words_them() {
    let error = |stdout: &str, version| said_by(stdout, &[], version).expect_err("an error").to_string();
    assert!(error("cargo::nonsense=1", None).contains("Unknown key: `nonsense`."));
    assert!(error("cargo::rustc-cfg", None).contains("Expected a line with `cargo::KEY=VALUE`"));
    assert!(error("cargo:x", None).contains("`cargo:KEY=VALUE`"));
    assert!(error("cargo::rustc-cfg=a", Some("1.76")).contains("Switch to the old `cargo:rustc-cfg=a`"));
    assert!(said_by("cargo::rustc-cfg=a", &[], Some("1.77")).is_ok());
    assert!(said_by("cargo:rustc-cfg=a", &[], Some("1.5")).is_ok());
    assert!(
        error("cargo:rustc-env=RUSTC_BOOTSTRAP=1", None).contains("set the environment variable `RUSTC_BOOTSTRAP=p`")
    );
    assert!(error("cargo:rustc-flags=-x", None).contains("only `-l` and `-L`"));
    assert!(error("cargo:rustc-env=A", None).contains("no value"));
}
