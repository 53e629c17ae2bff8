//! Errors as the contract has them: `{"code", "message", "details"}`, with `code` equal to the HTTP status.

use crate::text::cut;
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

/// An answer that is not what was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// A parameter cannot be read.
    #[error("{name}: {value:?} is not {expected}")]
    BadParameter {
        /// Its name.
        name: &'static str,
        /// What was given.
        value: String,
        /// What it should be.
        expected: &'static str,
    },
    /// The body, or a part of it, cannot be used.
    #[error("{0}")]
    BadRequest(String),
    /// Nobody, or somebody unknown, asks.
    #[error("{0}")]
    Unauthorized(&'static str),
    /// The caller may not.
    #[error("{0}")]
    Forbidden(String),
    /// There is no such thing.
    #[error("{0} is not known")]
    NotFound(String),
    /// There is one, and it cannot be shown.
    #[error("{0}")]
    NotShown(String),
    /// The path has no such method.
    #[error("this path does not take {method}; it takes {allowed}")]
    WrongMethod {
        /// What was tried.
        method: String,
        /// What there is.
        allowed: &'static str,
    },
    /// The body is too long.
    #[error("the body is longer than {0} bytes")]
    TooLarge(usize),
    /// The head of a request is no HTTP/1.1 that can be read, or is too long.
    #[error("the head of the request cannot be read: {0}")]
    Unread(StatusCode),
    /// The caller asks more often than one may.
    #[error("more requests a second than one caller may make")]
    TooMany,
    /// It cannot be answered now.
    #[error("{0}")]
    Unavailable(&'static str),
    /// A defect of Revisor.
    #[error("this is a defect of Revisor; its log has more under this request's id")]
    Internal,
}

/// The body of every error.
#[derive(Serialize, ToSchema, Debug)]
#[schema(as = Error)]
pub struct ErrorBody {
    /// The HTTP status.
    pub code: u16,
    /// What is wrong, for people.
    pub message: String,
    /// More of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<String>,
}

impl ApiError {
    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::BadParameter { .. } | Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::Unauthorized(_) => StatusCode::UNAUTHORIZED,
            Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::NotFound(_) | Self::NotShown(_) => StatusCode::NOT_FOUND,
            Self::WrongMethod { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Unread(status) => *status,
            Self::TooMany => StatusCode::TOO_MANY_REQUESTS,
            Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The body of the answer. It never holds any part of a token.
    pub fn body(&self) -> ErrorBody {
        let details = match self {
            Self::Unauthorized(_) => Some("send `Authorization: Bearer TOKEN`".to_owned()),
            Self::Unavailable(_) | Self::TooMany => {
                Some("ask again after the time in Retry-After".to_owned())
            }
            _ => None,
        };
        ErrorBody {
            code: self.status().as_u16(),
            message: self.to_string(),
            details,
        }
    }
}

/// What was given, cut so that an answer stays short.
pub fn shown(value: &str) -> String {
    const MAX: usize = 100;
    cut(value, MAX).into_owned()
}
