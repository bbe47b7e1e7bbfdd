//! A unit's own name: a hash over everything that makes it another crate for rustc or another
//! script run, and nothing that says where a checkout lies. cargo's own hash is not used, because
//! it holds the absolute path of a dependency outside the workspace.

use shared::digest::{Digest, Function};

use super::{
    package::Source,
    plan::{Plan, UnitId},
};

/// 16 hexadecimal digits. The dependencies' must be there already.
pub fn of(plan: &Plan, id: UnitId) -> String {
    let unit = plan.unit(id);
    let package = plan.package(unit);
    let mut fields = Fields::default();
    fields.add("vx unit 1");
    fields.add(&package.name);
    fields.add(&package.version);
    match &package.source {
        Source::Member { path } => fields.add_all(["member", path.as_str()]),
        Source::Outside { index } => fields.add_all(["outside", index.to_string().as_str()]),
        // The id of a registry package names the registry, not the place of a copy.
        Source::Registry { .. } => fields.add_all(["registry", package.id.as_str()]),
        Source::Git { revision, .. } => fields.add_all(["git", revision.as_str()]),
    }
    fields.add(&format!("{:?}", unit.kind));
    fields.add_list(&unit.target.kind);
    fields.add_list(&unit.target.crate_types);
    fields.add_all([&unit.target.name, &unit.target.edition]);
    fields.add_list(&unit.features);
    let profile = &unit.profile;
    fields.add_all([&profile.opt_level, &profile.panic]);
    fields.add(&format!("{:?} {:?} {:?}", profile.debuginfo, profile.split_debuginfo, profile.strip.flag()));
    fields.add(&format!("{:?} {} {}", profile.codegen_units, profile.debug_assertions, profile.overflow_checks));
    fields.add(&format!("{} {:?}", profile.rpath, unit.lto));
    fields.add_list(&plan.platforms.of(unit).rustflags);
    if let Some(triple) = &unit.platform {
        fields.add_all(["target", triple]);
    }
    if unit.is_check() {
        fields.add("check");
    }
    if unit.is_doc() {
        fields.add("doc");
        fields.add_list(&plan.platforms.of(unit).rustdocflags);
        fields.add(&format!("{:?}", plan.private_items));
    }
    // What the driver keeps between compilations is not for rustc.
    if plan.lints(unit) {
        fields.add("clippy");
    }
    for dependency in &unit.dependencies {
        fields.add_all([&dependency.extern_name, &plan.unit(dependency.unit).hash]);
    }
    Digest::of(Function::Blake3, &fields.0).hex()[..16].to_owned()
}

/// Fields, each led by its length so that no two lists of fields read alike.
#[derive(Default)]
struct Fields(Vec<u8>);

impl Fields {
    fn add(&mut self, text: &str) {
        self.0.extend_from_slice(&(text.len() as u64).to_le_bytes());
        self.0.extend_from_slice(text.as_bytes());
    }

    fn add_all<T: AsRef<str>>(&mut self, texts: impl IntoIterator<Item = T>) {
        for text in texts {
            self.add(text.as_ref());
        }
    }

    fn add_list(&mut self, texts: &[String]) {
        self.add(&texts.len().to_string());
        self.add_all(texts);
    }
}
