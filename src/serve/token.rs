//! `POST /api/v1/token`: what the vendor's SDK asks before anything else.
//!
//! The "application" is a ServiceAccount and its "secret" that account's token, which is reviewed and handed back. So
//! the SDK works unchanged, and Revisor keeps no secret.

use super::answer::{Answer, JSON};
use super::auth::Authenticator;
use super::error::ApiError;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http_body::Body;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tokio::time::timeout;
use utoipa::ToSchema;

const MAX_BODY: usize = 64 << 10;
/// What sending the body may take.
const DEADLINE: Duration = Duration::from_secs(10);

/// Whatever ends a body early.
pub(super) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What the SDK sends.
#[derive(Deserialize, ToSchema)]
pub struct TokenRequest {
    /// `app_token`.
    #[serde(rename = "grantType")]
    #[schema(pattern = "^app_token$")]
    pub grant_type: String,
    /// `<namespace>/<serviceaccount>`.
    #[serde(rename = "AppId", alias = "appId")]
    #[schema(pattern = "^[^/]+/[^/]+$")]
    pub app_id: String,
    /// A token of that ServiceAccount that expires.
    #[serde(rename = "AppSecret", alias = "appSecret")]
    pub app_secret: String,
}

/// What the SDK gets.
#[derive(Serialize, ToSchema)]
pub struct TokenResponse<'a> {
    /// What it sends from then on.
    #[serde(rename = "accessToken")]
    pub access_token: &'a str,
}

pub(super) async fn exchange<B>(
    authenticator: Option<&Authenticator>,
    body: B,
) -> Result<Answer, ApiError>
where
    B: Body<Data = Bytes> + Send + Unpin,
    B::Error: Into<BoxError>,
{
    let request: TokenRequest = read(body).await?;
    let token = request.app_secret.as_str();
    if request.grant_type != "app_token" {
        return Err(ApiError::BadRequest(
            "grantType: only \"app_token\" is known".to_owned(),
        ));
    }
    let Some((namespace, name)) = request.app_id.split_once('/') else {
        return Err(ApiError::BadRequest(
            "AppId: is not <namespace>/<serviceaccount>".to_owned(),
        ));
    };
    if let Some(authenticator) = authenticator {
        let caller = authenticator.holder(token).await?;
        if caller.name() != format!("system:serviceaccount:{namespace}:{name}") {
            return Err(ApiError::Unauthorized(
                "AppSecret is not a token of the ServiceAccount that AppId names",
            ));
        }
    }
    if !expires(token) {
        let why = "AppSecret: the token has no expiry, which the SDK needs: make one with `kubectl create token --duration`";
        return Err(ApiError::BadRequest(why.to_owned()));
    }
    // Plain data with text keys always serializes.
    Ok(Answer::new(
        JSON,
        serde_json::to_vec(&TokenResponse {
            access_token: token,
        })
        .unwrap_or_default(),
    ))
}

async fn read<B>(body: B) -> Result<TokenRequest, ApiError>
where
    B: Body<Data = Bytes> + Send + Unpin,
    B::Error: Into<BoxError>,
{
    let bytes = timeout(DEADLINE, Limited::new(body, MAX_BODY).collect())
        .await
        .map_err(|_| ApiError::BadRequest("the body did not come in time".to_owned()))?
        .map_err(|error| cut_short(&error))?
        .to_bytes();
    // The parser's message may repeat a value of the body, which may be a secret, so only the position is passed on.
    serde_json::from_slice(&bytes).map_err(|error| {
        let line = error.line();
        let column = error.column();
        ApiError::BadRequest(format!(
            "the body is not {{\"grantType\", \"AppId\", \"AppSecret\"}} as JSON (line {line}, column {column})"
        ))
    })
}

/// Why a body did not come to its end.
fn cut_short(error: &BoxError) -> ApiError {
    if error.is::<LengthLimitError>() {
        ApiError::TooLarge(MAX_BODY)
    } else {
        ApiError::BadRequest("the body broke off, or is not as its head says".to_owned())
    }
}

/// Whether a JWT says when it ends. It was reviewed before; this only reads it.
fn expires(token: &str) -> bool {
    #[derive(Deserialize)]
    struct Claims {
        exp: Option<f64>,
    }
    token
        .split('.')
        .nth(1)
        .and_then(|part| URL_SAFE_NO_PAD.decode(part.trim_end_matches('=')).ok())
        .and_then(|json| serde_json::from_slice::<Claims>(&json).ok())
        .is_some_and(|claims| claims.exp.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body::Frame;
    use http_body_util::{Full, StreamBody};
    use proptest::prelude::*;

    #[test]
    fn an_expiry_is_read_from_the_middle_part() {
        let jwt = |claims: &str| format!("e30.{}.x", URL_SAFE_NO_PAD.encode(claims));
        assert!(expires(&jwt("{\"exp\":1}")));
        for token in [
            jwt("{}"),
            jwt("[]"),
            "a.b.c".to_owned(),
            String::new(),
            "opaque".to_owned(),
        ] {
            assert!(!expires(&token), "{token}");
        }
    }

    #[tokio::test]
    async fn what_is_wrong_is_named_and_the_secret_is_not() {
        let asked = |body: String| exchange(None, Full::new(Bytes::from(body)));
        let body = |grant: &str, id: &str| {
            format!("{{\"grantType\":\"{grant}\",\"AppId\":\"{id}\",\"AppSecret\":\"hush\"}}")
        };
        for (given, status, text) in [
            (body("password", "a/b"), 400, "grantType"),
            (body("app_token", "ab"), 400, "AppId"),
            (
                body("app_token", "a/b"),
                400,
                "kubectl create token --duration",
            ),
            (
                "{\"grantType\":7,\"AppSecret\":\"hush\"}".to_owned(),
                400,
                "line 1",
            ),
            ("x".repeat(MAX_BODY + 1), 413, "65536"),
        ] {
            let error = asked(given).await.expect_err(text);
            assert_eq!(error.status(), status);
            assert!(
                error.to_string().contains(text) && !error.to_string().contains("hush"),
                "{error}"
            );
        }
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_is_not_too_large() {
        let parts = [
            Ok(Frame::data(Bytes::from_static(b"{"))),
            Err(std::io::Error::other("reset")),
        ];
        let body = StreamBody::new(futures::stream::iter(parts));
        let error = exchange(None, body).await.expect_err("broken");
        assert_eq!(error.status(), 400, "{error}");
    }

    proptest! {
        #[test]
        fn no_token_panics(token in "\\PC*") {
            let _ = expires(&token);
        }
    }
}
