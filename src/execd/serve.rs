//! The Remote Execution API on the socket: Execute, WaitExecution, Operations, Capabilities,
//! health; what is the store's is forwarded. Translates and calls inward; what an action is and how
//! it runs is `action`'s.

mod execution;
mod forward;
mod local;
mod operations;
mod registry;
mod request;
mod result;
mod status;

use std::{io, os::unix::net::UnixListener, sync::Arc};

use shared::{
    digest::Function,
    limits::MESSAGE_BYTES,
    reapi::{
        MTIME, UNIX_MODE, api_versions,
        bytestream::byte_stream_server::ByteStreamServer,
        function_to_proto,
        longrunning::operations_server::OperationsServer,
        v2::{
            self,
            action_cache_server::ActionCacheServer,
            capabilities_client::CapabilitiesClient,
            capabilities_server::{Capabilities, CapabilitiesServer},
            content_addressable_storage_server::ContentAddressableStorageServer,
            execution_server::ExecutionServer,
        },
    },
    service::{Parts, serve_calls, sort_connections},
};
use tonic::{
    Request, Response, Status,
    transport::{Channel, Server},
};

use crate::executor::Executor;
use execution::Execute;
use forward::Forward;
use operations::Control;
use registry::Operations;

/// What a client may have on the way to the store.
const WINDOW_BYTES: u32 = 4 << 20;

/// Serves until the service is asked to stop.
pub async fn serve(listener: UnixListener, executor: Arc<Executor>, parts: &Parts) -> io::Result<()> {
    let serving = sort_connections(listener, parts)?;
    let operations = Arc::new(Operations::new());
    let inner = (Arc::clone(&executor), Arc::clone(&operations));
    let answer = move |call| local::answer(Arc::clone(&inner.0), Arc::clone(&inner.1), call);
    let calls = serve_calls(serving.calls, parts.clone(), answer);
    let calls = tokio::spawn(calls);
    let (reporter, health) = tonic_health::server::health_reporter();
    reporter.set_serving::<ExecutionServer<Execute>>().await;
    let store = executor.cas.channel();
    let execution = ExecutionServer::new(Execute { executor, operations: Arc::clone(&operations) });
    let served = Server::builder()
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(2 * WINDOW_BYTES)
        .add_service(health)
        .add_service(execution.max_decoding_message_size(MESSAGE_BYTES))
        .add_service(OperationsServer::new(Control { operations }))
        .add_service(CapabilitiesServer::new(Offer { store: store.clone() }))
        .add_service(Forward::<ContentAddressableStorageServer<()>>::new(store.clone()))
        .add_service(Forward::<ActionCacheServer<()>>::new(store.clone()))
        .add_service(Forward::<ByteStreamServer<()>>::new(store))
        .serve_with_incoming_shutdown(serving.grpc, std::future::pending())
        .await;
    let ended = calls.await;
    served.map_err(io::Error::other)?;
    ended.map_err(io::Error::other)
}

/// What this executor offers, and nothing that it does not.
struct Offer {
    store: Channel,
}

#[tonic::async_trait]
impl Capabilities for Offer {
    async fn get_capabilities(
        &self,
        request: Request<v2::GetCapabilitiesRequest>,
    ) -> Result<Response<v2::ServerCapabilities>, Status> {
        // Its services are served here too.
        let store = CapabilitiesClient::new(self.store.clone()).get_capabilities(request.into_inner()).await?;
        let functions: Vec<_> = [Function::Sha256, Function::Blake3].map(function_to_proto).into();
        let execution = v2::ExecutionCapabilities {
            digest_function: functions[0],
            digest_functions: functions,
            exec_enabled: true,
            supported_node_properties: [MTIME, UNIX_MODE].map(str::to_owned).into(),
            ..Default::default()
        };
        let (low, high) = api_versions();
        Ok(Response::new(v2::ServerCapabilities {
            cache_capabilities: store.into_inner().cache_capabilities,
            execution_capabilities: Some(execution),
            low_api_version: Some(low),
            high_api_version: Some(high),
            ..Default::default()
        }))
    }
}
