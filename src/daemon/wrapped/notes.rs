//! What is known of a wrapped call beside its words: variables that its crate names, and whether
//! what it left holds its script's folder. A result without such a note was never looked at.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::{Mutex, PoisonError},
};

use serde::{Deserialize, Serialize};
use shared::{
    digest::{Digest, Function},
    fault::Failure,
    limits,
    reapi::v2,
};

use crate::services::{Services, persist};

/// One call's note.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// Variables beside those that every call of its kind gets.
    pub variables: BTreeSet<String>,
    /// Whether its script's folder is shown at its own place.
    pub placed: bool,
}

/// All notes, by the digest of the Action that nothing was known of.
#[derive(Debug, Default)]
pub struct Notes(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    notes: HashMap<Digest, Note>,
    /// Calls that fail as actions, which may be the sandbox's doing.
    failing: HashSet<Digest>,
}

impl Notes {
    /// What is known of a call.
    pub async fn of(&self, services: &Services, call: &Digest) -> Result<Option<Note>, Failure> {
        if let Some(note) = self.lock().notes.get(call) {
            return Ok(Some(note.clone()));
        }
        let key = key(call);
        let found = persist(async || services.cas.action_result(key).await).await?;
        let note: Option<Note> = found.and_then(|result| serde_json::from_slice(&result.stdout_raw).ok());
        if let Some(note) = &note {
            self.remember(*call, note.clone());
        }
        Ok(note)
    }

    /// A call's result was looked at.
    pub async fn keep(&self, services: &Services, call: Digest, note: &Note) -> Result<(), Failure> {
        let text = serde_json::to_vec(note).unwrap_or_default();
        let result = v2::ActionResult { stdout_raw: text, ..Default::default() };
        persist(async || services.cas.update_action_result(key(&call), result.clone()).await).await?;
        self.remember(call, note.clone());
        Ok(())
    }

    /// Whether a call has failed as an action.
    pub fn has_failed(&self, call: &Digest) -> bool {
        self.lock().failing.contains(call)
    }

    /// A call has failed as an action.
    pub fn failed(&self, call: Digest) {
        let failing = &mut self.lock().failing;
        if failing.len() >= limits::WRAPPED_NOTES {
            failing.clear();
        }
        failing.insert(call);
    }

    fn remember(&self, call: Digest, note: Note) {
        let notes = &mut self.lock().notes;
        if notes.len() >= limits::WRAPPED_NOTES {
            notes.clear();
        }
        notes.insert(call, note);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where a note is kept.
fn key(call: &Digest) -> Digest {
    Digest::of(Function::Blake3, format!("vx wrapped note 1 {call}").as_bytes())
}
