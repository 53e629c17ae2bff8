//! Errors as the contract has them: `{"code", "message", "details"}`, with `code` equal to the HTTP status.

use axum::Json;
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// An answer that is not what was asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ApiError {
    /// A parameter cannot be read.
    BadParameter(&'static str, String),
    /// There is no such thing.
    NotFound(String),
    /// The path has no such method.
    WrongMethod,
    /// The cache is still filling.
    NotReady,
}

#[derive(Serialize)]
struct Body {
    code: u16,
    message: String,
}

impl ApiError {
    fn status(&self) -> StatusCode {
        match self {
            Self::BadParameter(..) => StatusCode::BAD_REQUEST,
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::WrongMethod => StatusCode::METHOD_NOT_ALLOWED,
            Self::NotReady => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn message(self) -> String {
        match self {
            Self::BadParameter(name, value) => format!("{name}: {value:?} cannot be read"),
            Self::NotFound(what) => format!("{what} is not known"),
            Self::WrongMethod => "this path can only be read".to_owned(),
            Self::NotReady => "the cache is still filling".to_owned(),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = self.status();
        let mut response =
            (status, Json(Body { code: status.as_u16(), message: self.message() })).into_response();
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static("2"));
        }
        response
    }
}

pub(super) async fn unknown_path(uri: Uri) -> ApiError {
    ApiError::NotFound(format!("path {}", uri.path()))
}

pub(super) async fn wrong_method() -> ApiError {
    ApiError::WrongMethod
}
