//! Capabilities: what this store offers, and nothing that it does not.

use std::sync::Arc;

use shared::{
    limits::BATCH_BYTES,
    reapi::{
        api_versions, function_to_proto,
        v2::{self, capabilities_server::Capabilities, symlink_absolute_path_strategy},
    },
};
use tonic::{Request, Response, Status};

use super::packing;
use crate::store::Store;

pub struct Offer {
    pub store: Arc<dyn Store>,
}

#[tonic::async_trait]
impl Capabilities for Offer {
    async fn get_capabilities(
        &self,
        _: Request<v2::GetCapabilitiesRequest>,
    ) -> Result<Response<v2::ServerCapabilities>, Status> {
        let able = self.store.capabilities();
        let compressors: Vec<i32> = packing::offered().iter().map(|packing| packing.to_proto()).collect();
        let cache = v2::CacheCapabilities {
            digest_functions: able.functions.iter().map(|function| function_to_proto(*function)).collect(),
            action_cache_update_capabilities: Some(v2::ActionCacheUpdateCapabilities { update_enabled: true }),
            max_batch_total_size_bytes: i64::try_from(BATCH_BYTES).unwrap_or(i64::MAX),
            max_cas_blob_size_bytes: i64::try_from(able.max_blob_bytes).unwrap_or(i64::MAX),
            symlink_absolute_path_strategy: symlink_absolute_path_strategy::Value::Allowed as i32,
            supported_compressors: compressors.clone(),
            supported_batch_update_compressors: compressors,
            ..Default::default()
        };
        let (low, high) = api_versions();
        Ok(Response::new(v2::ServerCapabilities {
            cache_capabilities: Some(cache),
            low_api_version: Some(low),
            high_api_version: Some(high),
            ..Default::default()
        }))
    }
}
