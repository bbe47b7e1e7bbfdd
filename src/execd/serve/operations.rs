//! google.longrunning.Operations: look at, cancel and forget what Execute began.

use std::sync::Arc;

use shared::reapi::{
    longrunning::{self, operations_server::Operations},
    protobuf,
};
use tonic::{Request, Response, Status};

use super::{
    execution::snapshot,
    registry::{Operation, Operations as Registry, Progress},
};

/// The Operations service.
pub struct Control {
    pub operations: Arc<Registry>,
}

impl Control {
    fn find(&self, name: &str) -> Result<Arc<Operation>, Status> {
        self.operations.get(name).ok_or_else(|| Status::not_found(format!("no operation {name:?}")))
    }
}

#[tonic::async_trait]
impl Operations for Control {
    async fn list_operations(
        &self,
        _: Request<longrunning::ListOperationsRequest>,
    ) -> Result<Response<longrunning::ListOperationsResponse>, Status> {
        let operations = self.operations.all().iter().map(|operation| snapshot(operation)).collect();
        Ok(Response::new(longrunning::ListOperationsResponse { operations, ..Default::default() }))
    }

    async fn get_operation(
        &self,
        request: Request<longrunning::GetOperationRequest>,
    ) -> Result<Response<longrunning::Operation>, Status> {
        Ok(Response::new(snapshot(&*self.find(&request.into_inner().name)?)))
    }

    async fn delete_operation(
        &self,
        request: Request<longrunning::DeleteOperationRequest>,
    ) -> Result<Response<protobuf::Empty>, Status> {
        let name = request.into_inner().name;
        self.find(&name)?;
        self.operations.forget(&name);
        Ok(Response::new(protobuf::Empty {}))
    }

    async fn cancel_operation(
        &self,
        request: Request<longrunning::CancelOperationRequest>,
    ) -> Result<Response<protobuf::Empty>, Status> {
        self.find(&request.into_inner().name)?.cancel.cancel();
        Ok(Response::new(protobuf::Empty {}))
    }

    async fn wait_operation(
        &self,
        request: Request<longrunning::WaitOperationRequest>,
    ) -> Result<Response<longrunning::Operation>, Status> {
        let request = request.into_inner();
        let operation = self.find(&request.name)?;
        let mut follower = operation.follow();
        let ended = follower.wait_for(|progress| matches!(progress, Progress::Ended(_)));
        let limit = request.timeout.and_then(|limit| u64::try_from(limit.seconds).ok()).unwrap_or(60);
        // Its time being over is an answer too: the operation as it is then.
        let _ended_or_not = tokio::time::timeout(std::time::Duration::from_secs(limit), ended).await.map(drop);
        Ok(Response::new(snapshot(&operation)))
    }
}
