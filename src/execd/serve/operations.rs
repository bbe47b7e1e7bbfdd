//! google.longrunning.Operations: look at, wait for, cancel and forget what Execute began. Each
//! client sees what came in by the same way as itself.

use std::{sync::Arc, time::Duration};

use shared::{
    limits::{OPERATION_WAIT, OPERATIONS_PAGE},
    reapi::{
        longrunning::{self, operations_server::Operations},
        protobuf,
    },
    service::Peer,
};
use tonic::{Request, Response, Status};

use super::{
    execution::{Inline, snapshot},
    registry::{Operation, Operations as Registry, Progress},
};

/// The Operations service.
pub struct Control {
    pub operations: Arc<Registry>,
}

impl Control {
    fn find(&self, peer: Peer, name: &str) -> Result<Arc<Operation>, Status> {
        self.operations.get(peer, name).ok_or_else(|| Status::not_found(format!("no operation {name:?}")))
    }
}

#[tonic::async_trait]
impl Operations for Control {
    async fn list_operations(
        &self,
        request: Request<longrunning::ListOperationsRequest>,
    ) -> Result<Response<longrunning::ListOperationsResponse>, Status> {
        let peer = Peer::of(&request);
        let request = request.into_inner();
        if !request.filter.is_empty() {
            return Err(Status::invalid_argument("operations are not filtered here: leave the filter empty"));
        }
        let page = match usize::try_from(request.page_size) {
            Ok(0) => OPERATIONS_PAGE,
            Ok(size) => size.min(OPERATIONS_PAGE),
            Err(_) => return Err(Status::invalid_argument("the page size is negative")),
        };
        let all = self.operations.all(peer);
        // A name that is gone by now: what came after it is not known any more, so from the start.
        let after = all.iter().position(|one| one.name == request.page_token).map_or(0, |at| at + 1);
        let shown = &all[after..(after + page).min(all.len())];
        let more = after + shown.len() < all.len();
        let next_page_token = shown.last().filter(|_| more).map(|last| last.name.clone()).unwrap_or_default();
        let operations = shown.iter().map(|operation| snapshot(operation, Inline::NOTHING)).collect();
        Ok(Response::new(longrunning::ListOperationsResponse { operations, next_page_token, ..Default::default() }))
    }

    async fn get_operation(
        &self,
        request: Request<longrunning::GetOperationRequest>,
    ) -> Result<Response<longrunning::Operation>, Status> {
        let operation = self.find(Peer::of(&request), &request.get_ref().name)?;
        Ok(Response::new(snapshot(&operation, Inline::ALL)))
    }

    async fn delete_operation(
        &self,
        request: Request<longrunning::DeleteOperationRequest>,
    ) -> Result<Response<protobuf::Empty>, Status> {
        let operation = self.find(Peer::of(&request), &request.get_ref().name)?;
        self.operations.forget(&operation.name);
        Ok(Response::new(protobuf::Empty {}))
    }

    async fn cancel_operation(
        &self,
        request: Request<longrunning::CancelOperationRequest>,
    ) -> Result<Response<protobuf::Empty>, Status> {
        self.find(Peer::of(&request), &request.get_ref().name)?.cancel.cancel();
        Ok(Response::new(protobuf::Empty {}))
    }

    async fn wait_operation(
        &self,
        request: Request<longrunning::WaitOperationRequest>,
    ) -> Result<Response<longrunning::Operation>, Status> {
        let operation = self.find(Peer::of(&request), &request.get_ref().name)?;
        let mut follower = operation.follow();
        let ended = follower.wait_for(|progress| matches!(progress, Progress::Ended(_)));
        let limit = request.into_inner().timeout.map_or(OPERATION_WAIT, duration).min(OPERATION_WAIT);
        // Its time being over is an answer too: the operation as it is then.
        let _ended_or_not = tokio::time::timeout(limit, ended).await.map(drop);
        Ok(Response::new(snapshot(&operation, Inline::ALL)))
    }
}

/// What is less than nothing is nothing.
fn duration(given: protobuf::Duration) -> Duration {
    let (seconds, nanos) = (u64::try_from(given.seconds), u32::try_from(given.nanos));
    Duration::from_secs(seconds.unwrap_or(0)) + Duration::from_nanos(nanos.unwrap_or(0).into())
}
