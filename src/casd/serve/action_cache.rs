//! ActionCache. An ActionResult is checked once, when it is stored: paths, digests, trees; its
//! closure is remembered, so that a hit costs look-ups only.

use std::sync::Arc;

use shared::{
    digest::{Digest, Function},
    reapi::{
        Message,
        v2::{self, action_cache_server::ActionCache},
    },
    service::Peer,
};
use tonic::{Request, Response, Status};

use super::{edge, foreign, inline, trees};
use crate::{
    actions::{Actions, Entry, Table, Update},
    store::Store,
};

pub struct Cache {
    pub store: Arc<dyn Store>,
    pub actions: Arc<Actions>,
}

#[tonic::async_trait]
impl ActionCache for Cache {
    async fn get_action_result(
        &self,
        request: Request<v2::GetActionResultRequest>,
    ) -> Result<Response<v2::ActionResult>, Status> {
        let request = request.into_inner();
        let function = edge::function(request.digest_function)?;
        let action = edge::digest(function, request.action_digest.as_ref())?;
        // One read of some hundred bytes that are in memory: a thread of its own would cost more.
        let entry = self.actions.get(Table::Action, &action, &*self.store).map_err(|error| edge::status(&error))?;
        let entry = entry.ok_or_else(|| Status::not_found(format!("no result of the action {action} is here")))?;
        let result = v2::ActionResult::decode(&*entry.value);
        let mut result = result.map_err(|_| Status::not_found("the stored result cannot be read"))?;
        inline::settle(&*self.store, function, &request, &mut result);
        Ok(Response::new(result))
    }

    async fn update_action_result(
        &self,
        request: Request<v2::UpdateActionResultRequest>,
    ) -> Result<Response<v2::ActionResult>, Status> {
        let peer = Peer::of(&request);
        let request = request.into_inner();
        let function = edge::function(request.digest_function)?;
        let key = edge::digest(function, request.action_digest.as_ref())?;
        let result = request.action_result.ok_or_else(|| Status::invalid_argument("the request holds no result"))?;
        let (store, actions) = (self.store.clone(), self.actions.clone());
        edge::blocking(move || {
            foreign::check_update(&*store, peer, &key)?;
            let closure = closure(&*store, function, &result)?;
            let entry = Entry { closure, value: result.encode_to_vec() };
            actions.put(vec![Update { table: Table::Action, key, entry }]).map_err(|error| edge::status(&error))?;
            Ok(Response::new(result))
        })
        .await?
    }
}

/// Every blob that a result needs to be served. Files may still be missing (then it is not
/// served); trees must be here, because what they need is not known without them.
fn closure(store: &dyn Store, function: Function, result: &v2::ActionResult) -> Result<Vec<Digest>, Status> {
    let mut needed = Vec::new();
    for file in &result.output_files {
        check_path(&file.path)?;
        needed.push(edge::digest(function, file.digest.as_ref())?);
    }
    #[expect(deprecated, reason = "older clients still send the two")]
    let links =
        result.output_symlinks.iter().chain(&result.output_file_symlinks).chain(&result.output_directory_symlinks);
    for link in links {
        check_path(&link.path)?;
        if link.target.is_empty() || link.target.contains('\0') {
            return Err(Status::invalid_argument(format!("the output symlink {:?} has no target", link.path)));
        }
    }
    for stream in [&result.stdout_digest, &result.stderr_digest].into_iter().flatten() {
        needed.push(edge::digest(function, Some(stream))?);
    }
    for directory in &result.output_directories {
        if !directory.path.is_empty() {
            check_path(&directory.path)?;
        }
        if directory.tree_digest.is_none() && directory.root_directory_digest.is_none() {
            return Err(Status::invalid_argument(format!("the output directory {:?} has no digest", directory.path)));
        }
        if let Some(tree) = &directory.tree_digest {
            let tree = edge::digest(function, Some(tree))?;
            needed.push(tree);
            of_tree(store, function, &tree, &mut needed)?;
        }
        if let Some(root) = &directory.root_directory_digest {
            let root = edge::digest(function, Some(root))?;
            of_root(store, &root, &mut needed)?;
        }
    }
    needed.sort_unstable();
    needed.dedup();
    needed.retain(|digest| !digest.is_empty());
    Ok(needed)
}

fn of_tree(store: &dyn Store, function: Function, digest: &Digest, needed: &mut Vec<Digest>) -> Result<(), Status> {
    let tree = trees::read::<v2::Tree>(store, digest)?.ok_or_else(|| absent(digest))?;
    for directory in tree.root.iter().chain(&tree.children) {
        needed.extend(trees::check(function, directory)?.files);
    }
    Ok(())
}

fn of_root(store: &dyn Store, root: &Digest, needed: &mut Vec<Digest>) -> Result<(), Status> {
    trees::walk(store, root, |digest, found| {
        let (_, named) = found.ok_or_else(|| absent(digest))?;
        needed.push(*digest);
        needed.extend(&named.files);
        Ok(())
    })
}

fn absent(digest: &Digest) -> Status {
    Status::failed_precondition(format!("the result names the tree {digest}, which is not here: upload it first"))
}

/// Output paths are relative to the working directory and may use `..` within the root.
fn check_path(path: &str) -> Result<(), Status> {
    let component = |name: &str| !name.is_empty() && name != "." && name.len() <= shared::limits::NAME_BYTES;
    if !path.contains('\0') && path.split('/').all(component) {
        return Ok(());
    }
    let path: String = path.chars().take(120).collect();
    Err(Status::invalid_argument(format!("{path:?} is no relative output path")))
}
