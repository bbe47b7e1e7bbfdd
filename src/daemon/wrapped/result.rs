//! What the result of a wrapped call's action holds, read whole.

use std::collections::HashMap;

use shared::{
    digest::{Digest, Function},
    fault::{Failure, Fault},
    reapi::{digest_from_proto, tree::Mode, v2},
};

use crate::{
    cargo::call::{Call, Role},
    services::Services,
    streams,
};

/// What a call left.
#[derive(Debug, Default)]
pub struct Left {
    /// Files by name: content and whether it can be run.
    pub files: HashMap<String, (Digest, Mode)>,
    /// The text of the dep-info.
    pub dep_info: String,
    /// What was said.
    pub stdout: String,
    /// The same.
    pub stderr: String,
}

impl Left {
    /// Reads it; `None` where the store has lost a part, or the result never had it.
    pub async fn of(services: &Services, call: &Call, result: &v2::ActionResult) -> Result<Option<Left>, Failure> {
        let mut left = Left::default();
        for file in &result.output_files {
            let digest = digest_from_proto(Function::Blake3, file.digest.as_ref());
            let digest = digest.map_err(|err| Failure::new(Fault::Peer, format!("an executor's result: {err}")))?;
            let name = file.path.rsplit('/').next().unwrap_or(&file.path).to_owned();
            let mode = if file.is_executable { Mode::Executable } else { Mode::Plain };
            left.files.insert(name, (digest, mode));
        }
        if call.outputs.iter().any(|output| !left.files.contains_key(&output.name)) {
            return Ok(None);
        }
        let dep_info = call.outputs.iter().find(|output| output.role == Role::DepInfo);
        let dep_info = dep_info.and_then(|output| left.files.get(&output.name)).map(|(digest, _)| *digest);
        let mut texts = streams::read_many(services, &Vec::from_iter(dep_info)).await?;
        let dep_info = dep_info.and_then(|digest| texts.remove(&digest)).and_then(|text| String::from_utf8(text).ok());
        let said = streams::of(services, &[result]).await?.remove(0);
        let (Some(dep_info), Some(said)) = (dep_info, said) else { return Ok(None) };
        left.dep_info = dep_info;
        left.stdout = String::from_utf8_lossy(&said.stdout).into_owned();
        left.stderr = String::from_utf8_lossy(&said.stderr).into_owned();
        Ok(Some(left))
    }

    /// All but the dep-info.
    pub fn made(&self, call: &Call) -> Vec<Digest> {
        self.of_role(call, |role| role != Role::DepInfo)
    }

    /// What others are compiled against.
    pub fn libraries(&self, call: &Call) -> Vec<Digest> {
        self.of_role(call, |role| role == Role::Metadata || role.is_linkable())
    }

    fn of_role(&self, call: &Call, is_wanted: impl Fn(Role) -> bool) -> Vec<Digest> {
        let outputs = call.outputs.iter().filter(|output| is_wanted(output.role));
        outputs.filter_map(|output| self.files.get(&output.name)).map(|(digest, _)| *digest).collect()
    }
}
