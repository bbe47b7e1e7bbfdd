//! What a key is made of, by name. Values are only ever compared, so long ones are cut, and those
//! of variables are hashed: they may be anybody's secret.

use std::collections::BTreeMap;

use shared::{
    client::exec::Identity,
    digest::{Digest, Function},
};

use crate::{action::KEY, cargo::call::Call, records::Facts};

/// By what it is: `variable CC`, `file src/a.rs`, …
pub type Parts = BTreeMap<String, String>;

/// What tells two digests apart.
const ENOUGH: usize = 20;

/// The parts of a call, with what its dependencies left and the roots of other packages' sources.
pub fn of_call(call: &Call, identity: &Identity, outputs: &[(String, Digest)], packages: &[(String, Digest)]) -> Parts {
    let mut parts = Parts::new();
    let mut add = |name: String, value: String| drop(parts.insert(name, value));
    add("key".to_owned(), KEY.to_owned());
    add("toolchain".to_owned(), cut(&identity.toolchain));
    add("tools".to_owned(), cut(&identity.host));
    add("arguments".to_owned(), hash(&call.args.join("\0")));
    add("place".to_owned(), call.places.iter().map(|(_, real)| real.as_str()).collect());
    for (path, content) in &call.programs {
        add(format!("program {path}"), cut(content));
    }
    if !call.granted.0.is_empty() {
        add("exception".to_owned(), hash(&format!("{:?}", call.granted)));
    }
    for (name, value) in &call.env {
        add(format!("variable {name}"), hash(value));
    }
    let mut by_unit: BTreeMap<&String, String> = BTreeMap::new();
    for (unit, digest) in outputs {
        by_unit.entry(unit).or_default().push_str(&digest.hex());
    }
    for (unit, digests) in by_unit {
        add(format!("output {unit}"), hash(&digests));
    }
    for (mount, root) in packages {
        add(format!("package {mount}"), cut(&root.hex()));
    }
    parts
}

/// The same with what a record names of the checkout.
pub fn with_facts(mut parts: Parts, facts: &Facts) -> Parts {
    for (name, value) in facts {
        let value = if name.starts_with("names ") { value.clone() } else { cut(value) };
        parts.insert(name.clone(), value);
    }
    parts
}

fn cut(text: &str) -> String {
    text.chars().take(ENOUGH).collect()
}

fn hash(text: &str) -> String {
    cut(&Digest::of(Function::Blake3, text.as_bytes()).hex())
}
