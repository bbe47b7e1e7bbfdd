//! Calls for the person's own packages: their workspace is no input but seen live and watched, as
//! in vx's own builds, and a result lies under what its run opened there.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use shared::{
    digest::Digest,
    fault::Failure,
    reapi::{record, v2},
};

use super::notes::Note;
use crate::{
    cargo::call::Call,
    live::{self, Checkout, Glance, Scan, Settled, blocking},
    records::{self, Counting, Declares, Facts, Known, Record},
    services::{Services, persist},
    sources::Hashes,
};

/// What marks a target folder.
const MARKS: [&str; 2] = ["CACHEDIR.TAG", ".rustc_info.json"];

/// The workspace of one call, and what is known of earlier runs.
pub(super) struct Own {
    /// The workspace.
    pub(super) checkout: Arc<Checkout>,
    /// The Action that holds the records: all of the call's but the workspace.
    records_at: Digest,
    records: Vec<Record>,
}

impl Own {
    /// The workspace in which cargo makes a call that writes to a folder.
    pub(super) async fn of(
        services: &Services,
        hashes: &Arc<Hashes>,
        (root, writes_to): (&Path, &Path),
        records_at: Digest,
    ) -> Result<Own, Failure> {
        let checkout = Arc::new(Checkout::new(root.to_owned(), target_dir(writes_to), Arc::clone(hashes)));
        let result = persist(async || services.cas.action_result(records_at).await).await?;
        Ok(Own { checkout, records_at, records: records::read(result.as_ref()) })
    }

    /// A result for the workspace as it is now. `base` is the Action without it.
    pub(super) async fn found(&self, services: &Services, base: &Digest) -> Result<Option<v2::ActionResult>, Failure> {
        if self.records.is_empty() {
            return Ok(None);
        }
        let (checkout, records) = (Arc::clone(&self.checkout), self.records.clone());
        let look = move || {
            let mut glance = Glance::new(&checkout);
            records.iter().map(|record| glance.facts(record)).collect::<Vec<Facts>>()
        };
        let facts = blocking(look).await?;
        let keys: Vec<Digest> = facts.iter().map(|facts| records::narrow(base, facts)).collect();
        let found = persist(async || services.cas.action_results(&keys).await).await?;
        Ok(found.into_iter().flatten().find(|result| result.exit_code == 0))
    }

    /// Stores the result of a run that began with this workspace; why not, where that cannot be.
    pub(super) async fn keep(
        &self,
        services: &Services,
        (call, base): (&Call, &Digest),
        result: &v2::ActionResult,
        (note, before): (&Note, Arc<Scan>),
    ) -> Result<Option<String>, Failure> {
        let Some(run) = record::of(result) else {
            return Ok(Some("the executor has not said what it opened".to_owned()));
        };
        if !run.unseen.is_empty() {
            return Ok(Some(run.unseen));
        }
        let known = Known {
            counting: Counting::of(call),
            package: None,
            declares: Declares::Something,
            declared: Default::default(),
            placed: true,
            variables: note.variables.clone(),
        };
        let Settled { record, facts, changed } = live::settle(&self.checkout, run, known, before).await?;
        if let Some(path) = changed {
            return Ok(Some(format!("{path} changed during the run")));
        }
        let (key, stored) = (records::narrow(base, &facts), records::lean(result));
        persist(async || services.cas.update_action_result(key, stored.clone()).await).await?;
        if let Some(list) = records::remember(&record, &self.records) {
            persist(async || services.cas.update_action_result(self.records_at, list.clone()).await).await?;
        }
        Ok(None)
    }
}

/// The target folder that a call writes into.
fn target_dir(writes_to: &Path) -> PathBuf {
    let is_marked = |folder: &&Path| MARKS.iter().any(|mark| folder.join(mark).is_file());
    writes_to.ancestors().find(is_marked).unwrap_or(writes_to).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_target_folder_is_known_by_its_mark() {
        let folder = tempfile::tempdir().expect("a folder");
        let deps = folder.path().join("t/debug/deps");
        std::fs::create_dir_all(&deps).expect("a folder");
        assert_eq!(target_dir(&deps), deps);
        std::fs::write(folder.path().join("t/CACHEDIR.TAG"), "").expect("a file");
        assert_eq!(target_dir(&deps), folder.path().join("t"));
    }
}
