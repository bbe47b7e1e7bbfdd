//! JSON-RPC 2.0 envelopes of the client protocol and of local calls: one object a line, params
//! always an object, no batches.

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;

use crate::fault::{Failure, Fault};

/// The method asked for does not exist (JSON-RPC 2.0).
pub const UNKNOWN_METHOD: i64 = -32601;
/// The params do not fit the method (JSON-RPC 2.0).
pub const INVALID_PARAMS: i64 = -32602;
/// The line is no JSON (JSON-RPC 2.0).
pub const NO_JSON: i64 = -32700;
/// The service is draining or full; the client may come again.
pub const BUSY: i64 = 1002;
/// vx.toml is invalid.
pub const CONFIG_INVALID: i64 = 1003;
/// The two sides are of different versions.
pub const VERSION: i64 = 1005;

/// A request (with an id) or notification (without).
#[derive(Debug, Serialize, Deserialize)]
pub struct Request<'a> {
    /// Absent on notifications.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub id: Option<u64>,
    /// The method's name.
    #[serde(borrow)]
    pub method: std::borrow::Cow<'a, str>,
    /// Its parameters, an object.
    #[serde(borrow, skip_serializing_if = "Option::is_none", default)]
    pub params: Option<&'a RawValue>,
}

/// An answer: `result` or `error`.
#[derive(Debug, Serialize, Deserialize)]
pub struct Response {
    /// The request's id.
    #[serde(default)]
    pub id: Option<u64>,
    /// What was asked for.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub result: Option<Box<RawValue>>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error: Option<Error>,
}

/// A failure on the wire.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Error {
    /// One of this file's codes, or a [`Fault`]'s.
    pub code: i64,
    /// What happened, for a person.
    pub message: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub data: Option<ErrorData>,
}

/// What goes with an error.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ErrorData {
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub hint: Option<String>,
}

impl Error {
    /// An error without a hint.
    pub fn new(code: i64, message: impl Into<String>) -> Self {
        Error { code, message: message.into(), data: None }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        let data = failure.hint.map(|hint| ErrorData { hint: Some(hint) });
        Error { code: failure.fault.code(), message: failure.what, data }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let hint = error.data.and_then(|data| data.hint);
        Failure { fault: Fault::from_code(error.code), what: error.message, hint }
    }
}

#[derive(Serialize)]
struct Outgoing<'a, T> {
    jsonrpc: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    params: Option<&'a T>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<&'a T>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a Error>,
}

impl<'a, T> Outgoing<'a, T> {
    fn new(id: Option<u64>) -> Self {
        Outgoing { jsonrpc: "2.0", id, method: None, params: None, result: None, error: None }
    }
}

fn line<T: Serialize>(message: &Outgoing<'_, T>) -> Vec<u8> {
    // Only a Serialize implementation that fails on purpose or a map with keys that are no
    // strings can fail here; the wire's types have neither.
    let mut bytes = serde_json::to_vec(message).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}

/// A request's line, newline included.
pub fn request<T: Serialize>(id: u64, method: &str, params: &T) -> Vec<u8> {
    line(&Outgoing { method: Some(method), params: Some(params), ..Outgoing::new(Some(id)) })
}

/// A notification's line, newline included.
pub fn notification<T: Serialize>(method: &str, params: &T) -> Vec<u8> {
    line(&Outgoing { method: Some(method), params: Some(params), ..Outgoing::new(None) })
}

/// A result's line, newline included.
pub fn result<T: Serialize>(id: Option<u64>, result: &T) -> Vec<u8> {
    line(&Outgoing { result: Some(result), ..Outgoing::new(id) })
}

/// An error's line, newline included.
pub fn error(id: Option<u64>, error: &Error) -> Vec<u8> {
    line::<()>(&Outgoing { error: Some(error), ..Outgoing::new(id) })
}

/// Reads a request's params; absent ones count as an empty object.
pub fn params<T: DeserializeOwned>(request: &Request<'_>) -> Result<T, Error> {
    let text = request.params.map_or("{}", RawValue::get);
    serde_json::from_str(text).map_err(|err| Error::new(INVALID_PARAMS, format!("{}: {err}", request.method)))
}

impl Response {
    /// The result, read as `T`, or the error.
    pub fn read<T: DeserializeOwned>(self) -> Result<T, Error> {
        if let Some(error) = self.error {
            return Err(error);
        }
        let text = self.result.as_deref().map_or("null", RawValue::get);
        serde_json::from_str(text).map_err(|err| Error::new(NO_JSON, format!("unexpected answer: {err}")))
    }
}
