//! Units that document: which of them are run as cargo runs rustdoc, since they failed with its part
//! beside it, and the parts that are merged, made ready for that.

use std::collections::{HashMap, HashSet};

use shared::{
    digest::{Digest, Function, Hasher},
    fault::{Failure, Fault},
    limits,
    reapi::{digest_from_proto, digest_to_proto, tree::Mode, v2},
};

use super::Runner;
use crate::{
    cargo::{
        call::Placed,
        parts,
        plan::{Kind, UnitId},
        rustdoc::{self, Manner},
    },
    services::persist,
    streams::read_many,
};

/// What is known of units that document.
#[derive(Default)]
pub(super) struct Documented {
    /// Those that are run as cargo runs them.
    as_cargo: HashSet<usize>,
    /// Their parts as they are merged.
    aligned: HashMap<UnitId, Digest>,
}

impl Documented {
    /// What stands for a unit's part where parts are merged.
    pub(super) fn aligned(&self, placed: &Placed) -> Option<(Digest, Mode)> {
        self.aligned.get(&placed.unit).map(|digest| (*digest, Mode::Plain))
    }
}

impl Runner<'_> {
    /// How a unit is documented.
    pub(super) fn manner(&self, unit: usize) -> Manner {
        if self.documented.as_cargo.contains(&unit) { Manner::AsCargo } else { Manner::Parted }
    }

    /// A unit has failed; whether it is to be run again, as cargo would.
    pub(super) fn document_as_cargo(&mut self, unit: usize) -> bool {
        self.plan.units[unit].kind == Kind::Doc && self.documented.as_cargo.insert(unit)
    }

    /// Makes the parts that a unit merges ready: found in the store by what they are, else made.
    pub(super) async fn align_parts(&mut self, unit: usize) -> Result<(), Failure> {
        let call = rustdoc::render_merge(self.plan, &self.plan.units[unit]);
        let units: Vec<UnitId> = call.needs.files.iter().map(|placed| placed.unit).collect();
        let mut own = Vec::with_capacity(units.len());
        for placed in &call.needs.files {
            let file = self.outcomes[placed.unit.0].as_ref().and_then(|outcome| outcome.files.get(&placed.name));
            let (digest, _) = file.ok_or_else(|| {
                let label = &self.plan.unit(placed.unit).label;
                Failure::new(Fault::Bug, format!("{label} is documented, and rustdoc left no part of it"))
            })?;
            own.push(*digest);
        }
        if !rustdoc::shifts_too_little(&self.plan.rustc) {
            return Ok(());
        }
        let aligned = match self.aligned_before(&own).await? {
            Some(aligned) => aligned,
            None => self.align(&own).await?,
        };
        self.documented.aligned.extend(units.into_iter().zip(aligned));
        Ok(())
    }

    async fn aligned_before(&self, own: &[Digest]) -> Result<Option<Vec<Digest>>, Failure> {
        let cas = &self.around.services.cas;
        let Some(kept) = persist(async || cas.action_result(key(own)).await).await? else { return Ok(None) };
        let digests = kept.output_files.iter().map(|file| digest_from_proto(Function::Blake3, file.digest.as_ref()));
        let digests: Option<Vec<Digest>> = digests.map(Result::ok).collect();
        Ok(digests.filter(|digests| digests.len() == own.len()))
    }

    async fn align(&self, own: &[Digest]) -> Result<Vec<Digest>, Failure> {
        let services = &self.around.services;
        if own.iter().map(Digest::size).sum::<u64>() > limits::DOC_PARTS_BYTES {
            let what = format!("the search index is larger than {} MiB", limits::DOC_PARTS_BYTES >> 20);
            return Err(Failure::new(Fault::User, what).hint("document fewer packages, or with --no-deps"));
        }
        let read = read_many(services, own).await?;
        let mut texts = Vec::with_capacity(own.len());
        for digest in own {
            let bytes = read.get(digest);
            let gone = || Failure::new(Fault::Environment, format!("store: {digest} is gone")).hint("run it again");
            texts.push(String::from_utf8_lossy(bytes.ok_or_else(gone)?).into_owned());
        }
        drop(read);
        let aligned = tokio::task::spawn_blocking(move || parts::align(&texts)).await;
        let aligned = aligned.map_err(|err| Failure::new(Fault::Bug, format!("merging documentation: {err}")))?;
        let aligned = aligned.map_err(|err| Failure::new(Fault::Environment, err.to_string()))?;
        let digests: Vec<Digest> = aligned.iter().map(|text| Digest::of(Function::Blake3, text.as_bytes())).collect();
        let blobs: HashMap<Digest, Vec<u8>> =
            digests.iter().copied().zip(aligned.into_iter().map(String::into_bytes)).collect();
        persist(async || services.cas.put_missing(&blobs).await).await?;
        let file = |(number, digest): (usize, &Digest)| v2::OutputFile {
            path: number.to_string(),
            digest: Some(digest_to_proto(digest)),
            ..Default::default()
        };
        let result =
            v2::ActionResult { output_files: digests.iter().enumerate().map(file).collect(), ..Default::default() };
        persist(async || services.cas.update_action_result(key(own), result.clone()).await).await?;
        Ok(digests)
    }
}

/// Under which it is kept what parts were made into.
fn key(own: &[Digest]) -> Digest {
    let mut hasher = Hasher::new(Function::Blake3);
    hasher.update(b"vx parts 1");
    for digest in own {
        hasher.update(digest.to_string().as_bytes());
    }
    hasher.finish()
}
