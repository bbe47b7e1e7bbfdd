//! Which `-C` options a call may have to be kept: those whose whole meaning is in their text. An
//! option that names a file, asks the machine or leaves further files is not among them.

/// Their names.
const KNOWN: [&str; 32] = [
    "opt-level",
    "panic",
    "lto",
    "embed-bitcode",
    "codegen-units",
    "debuginfo",
    "prefer-dynamic",
    "debug-assertions",
    "overflow-checks",
    "metadata",
    "extra-filename",
    "strip",
    "target-feature",
    "relocation-model",
    "code-model",
    "force-frame-pointers",
    "force-unwind-tables",
    "inline-threshold",
    "instrument-coverage",
    "link-dead-code",
    "link-self-contained",
    "linker-flavor",
    "no-prepopulate-passes",
    "no-vectorize-loops",
    "no-vectorize-slp",
    "relro-level",
    "soft-float",
    "symbol-mangling-version",
    "default-linker-libraries",
    "control-flow-guard",
    "dwarf-version",
    "no-redzone",
];
/// Linkers that the identity of the C tools holds.
const LINKERS: [&str; 6] = ["cc", "gcc", "clang", "c++", "g++", "clang++"];
/// The same of those that these call.
const CALLED: [&str; 4] = ["bfd", "gold", "lld", "mold"];

/// Says why an option makes a call unfit.
pub fn check(option: &str) -> Result<(), String> {
    let (name, value) = option.split_once('=').map_or((option, ""), |(name, value)| (name, value));
    let fits = match name {
        "linker" => LINKERS.contains(&value),
        // With a value it is a file.
        "linker-plugin-lto" => value.is_empty(),
        "split-debuginfo" => value == "off",
        "target-cpu" => value != "native",
        "link-arg" | "link-args" => value.split_whitespace().all(is_plain),
        _ => KNOWN.contains(&name),
    };
    match name {
        _ if fits => Ok(()),
        "incremental" => Err("it is compiled incrementally".to_owned()),
        _ => Err(format!("of -C {option}")),
    }
}

/// Whether an argument of the linker's says all that it means.
fn is_plain(arg: &str) -> bool {
    match arg.strip_prefix("-fuse-ld=") {
        Some(linker) => CALLED.contains(&linker),
        None => !arg.contains(['/', '@']) && !arg.starts_with("-B") && !arg.starts_with("-L"),
    }
}
