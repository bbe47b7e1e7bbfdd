//! Units that document: which of them are run as cargo runs rustdoc, since they failed with a part
//! beside their pages, and the parts that are merged, made ready for that. Those of crates that
//! earlier calls documented in the same folder are among them for as long as their pages are there.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    fs,
    path::Path,
};

use shared::{
    digest::{Digest, Function, Hasher},
    fault::{Failure, Fault},
    limits,
    reapi::{digest_from_proto, digest_to_proto, v2},
};

use super::Runner;
use crate::{
    cargo::{
        call::Role,
        parts::{self, Part, Shifts},
        place,
        plan::{Kind, Plan, Unit, UnitId},
        rustdoc::{self, Manner, Way},
    },
    documentation,
    services::{Services, persist},
    streams::read_many,
};

/// Parts by their crates' names.
type Parts = Vec<(String, Digest)>;

/// What is known of units that document.
pub(super) struct Documented {
    /// Those that are run as cargo runs them.
    as_cargo: HashSet<usize>,
    /// The crates whose pages stand in the folder of a platform.
    standing: BTreeMap<Option<String>, BTreeSet<String>>,
    /// What each unit that merges is given, and what that was made of.
    arranged: HashMap<UnitId, Parts>,
    merged: HashMap<UnitId, Parts>,
}

impl Documented {
    /// At the beginning of a build.
    pub(super) fn of(plan: &Plan) -> Self {
        let merges = plan.units.iter().filter(|unit| unit.kind == Kind::DocMerge);
        let merges = merges.filter(|unit| !documentation::is_outdated(plan, unit));
        let standing =
            merges.map(|unit| (unit.platform.clone(), standing(&plan.target_dir.join(place::doc_folder(unit)))));
        Documented {
            as_cargo: HashSet::new(),
            standing: standing.collect(),
            arranged: HashMap::new(),
            merged: HashMap::new(),
        }
    }

    /// How a unit is documented.
    pub(super) fn way(&self, unit: &Unit) -> Way<'_> {
        static NONE: BTreeSet<String> = BTreeSet::new();
        let manner = if self.as_cargo.contains(&unit.id.0) { Manner::AsCargo } else { Manner::Parted };
        Way { manner, standing: self.standing.get(&unit.platform).unwrap_or(&NONE) }
    }

    /// The parts that a unit merges.
    pub(super) fn arranged(&self, unit: UnitId) -> &[(String, Digest)] {
        self.arranged.get(&unit).map_or(&[], Vec::as_slice)
    }
}

/// The crates whose pages a folder holds.
fn standing(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let crates = entries.filter(|entry| entry.path().join("index.html").is_file());
    crates.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

impl Runner<'_> {
    /// A unit has failed; whether it is to be run again, as cargo would.
    pub(super) fn document_as_cargo(&mut self, unit: usize) -> bool {
        self.plan.units[unit].kind == Kind::Doc && self.documented.as_cargo.insert(unit)
    }

    /// Makes the parts that a unit merges ready: found in the store by what they are, else made.
    pub(super) async fn arrange_parts(&mut self, unit: usize) -> Result<(), Failure> {
        let merge = &self.plan.units[unit];
        let mut merged = self.earlier(merge).await?;
        for one in rustdoc::merged(self.plan, merge) {
            let part = one.outputs.iter().find(|output| output.role == Role::Part);
            let left = self.outcomes[one.id.0].as_ref();
            let file = part.and_then(|part| left?.files.get(&part.name));
            let (digest, _) = file.ok_or_else(|| {
                Failure::new(Fault::Bug, format!("{} is documented, and rustdoc left no part of it", one.label))
            })?;
            let name = one.target.crate_name();
            merged.retain(|(earlier, _)| *earlier != name);
            merged.push((name, *digest));
        }
        let shifts = rustdoc::shifts(&self.plan.rustc);
        let services = &self.around.services;
        let key = key("vx parts 1", &format!("{shifts:?}"), &merged);
        let arranged = match kept(services, key).await? {
            Some(arranged) => arranged,
            None => arrange(services, key, &merged, shifts).await?,
        };
        self.documented.arranged.insert(merge.id, arranged);
        self.documented.merged.insert(merge.id, merged);
        Ok(())
    }

    /// The parts of crates that earlier calls have documented in the same folder.
    async fn earlier(&self, merge: &Unit) -> Result<Parts, Failure> {
        let standing = self.documented.way(merge).standing;
        let mut earlier = kept(&self.around.services, self.folder_key(merge)).await?.unwrap_or_default();
        earlier.retain(|(name, _)| standing.contains(name));
        Ok(earlier)
    }

    /// Remembers which crates' pages are in the folders of documentation, now that they are there.
    pub async fn keep_documented(&self) {
        for (unit, merged) in &self.documented.merged {
            let key = self.folder_key(self.plan.unit(*unit));
            if let Err(err) = keep(&self.around.services, key, merged).await {
                tracing::warn!(%err, "what was documented could not be kept, ignoring");
            }
        }
    }

    /// Under which the parts of a folder are kept: another toolchain's would not fit to them.
    fn folder_key(&self, merge: &Unit) -> Digest {
        let folder = self.plan.target_dir.join(place::doc_folder(merge));
        key("vx documented 1", &format!("{} {}", self.around.identity.toolchain, folder.display()), &[])
    }
}

async fn arrange(
    services: &Services,
    key: Digest,
    merged: &[(String, Digest)],
    shifts: Shifts,
) -> Result<Parts, Failure> {
    if merged.iter().map(|(_, digest)| digest.size()).sum::<u64>() > limits::DOC_PARTS_BYTES {
        let what = format!("the search index is larger than {} MiB", limits::DOC_PARTS_BYTES >> 20);
        return Err(Failure::new(Fault::User, what).hint("document fewer packages, or with --no-deps"));
    }
    let mut read = read_many(services, &merged.iter().map(|(_, digest)| *digest).collect::<Vec<_>>()).await?;
    let mut own: Vec<Part> = Vec::with_capacity(merged.len());
    for (name, digest) in merged {
        let gone = || Failure::new(Fault::Environment, format!("store: {digest} is gone")).hint("run it again");
        let bytes = read.remove(digest).ok_or_else(gone)?;
        own.push((name.clone(), String::from_utf8_lossy(&bytes).into_owned()));
    }
    let arranged = tokio::task::spawn_blocking(move || parts::arrange(&own, shifts)).await;
    let arranged = arranged.map_err(|err| Failure::new(Fault::Bug, format!("merging documentation: {err}")))?;
    let arranged = arranged.map_err(|err| Failure::new(Fault::Environment, err.to_string()))?;
    let (mut parts, mut blobs) = (Parts::with_capacity(arranged.len()), HashMap::with_capacity(arranged.len()));
    for (name, text) in arranged {
        let digest = Digest::of(Function::Blake3, text.as_bytes());
        parts.push((name, digest));
        blobs.insert(digest, text.into_bytes());
    }
    persist(async || services.cas.put_missing(&blobs).await).await?;
    keep(services, key, &parts).await?;
    Ok(parts)
}

/// A list of parts in the store, which goes when one of them does.
async fn kept(services: &Services, key: Digest) -> Result<Option<Parts>, Failure> {
    let Some(kept) = persist(async || services.cas.action_result(key).await).await? else { return Ok(None) };
    let part =
        |file: v2::OutputFile| Some((file.path, digest_from_proto(Function::Blake3, file.digest.as_ref()).ok()?));
    Ok(kept.output_files.into_iter().map(part).collect())
}

async fn keep(services: &Services, key: Digest, parts: &[(String, Digest)]) -> Result<(), Failure> {
    let file = |(name, digest): &(String, Digest)| v2::OutputFile {
        path: name.clone(),
        digest: Some(digest_to_proto(digest)),
        ..Default::default()
    };
    let result = v2::ActionResult { output_files: parts.iter().map(file).collect(), ..Default::default() };
    Ok(persist(async || services.cas.update_action_result(key, result.clone()).await).await?)
}

fn key(what: &str, about: &str, parts: &[(String, Digest)]) -> Digest {
    let mut hasher = Hasher::new(Function::Blake3);
    let mut add = |text: &str| {
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    };
    add(what);
    add(about);
    for (name, digest) in parts {
        add(name);
        add(&digest.to_string());
    }
    hasher.finish()
}
