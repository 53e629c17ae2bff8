//! From an answer to an HTTP response: ETag, compression, headers. Pure.

use super::error::ApiError;
use super::payload::Payload;
use crate::cache::{Etag, etag};
use crate::gzip;
use crate::revision::identity::push_hex;
use bytes::Bytes;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ALLOW,
    CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, HeaderName, HeaderValue, IF_NONE_MATCH,
    ORIGIN, RETRY_AFTER, VARY, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, Response, StatusCode};

/// What comes back from a route.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its media type.
    pub media: &'static str,
    /// Its bytes.
    pub body: Payload,
    /// A hash of the body.
    pub etag: Etag,
    /// The number of values that are hidden in a whole workload.
    pub redacted: Option<usize>,
}

/// JSON.
pub const JSON: &str = "application/json";

impl Answer {
    /// An answer whose hash is not known yet.
    pub fn new(media: &'static str, body: impl Into<Bytes>) -> Self {
        let body = body.into();
        let etag = etag(&[&body]);
        Self {
            media,
            body: body.into(),
            etag,
            redacted: None,
        }
    }

    /// An answer in which so many values are hidden.
    pub fn redacted(self, values: usize) -> Self {
        Self {
            redacted: Some(values),
            ..self
        }
    }
}

/// Shorter bodies are not worth compressing.
const WORTH: usize = 1_400;
/// How a request is told apart in logs.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// How many values of the answer are hidden.
pub const REDACTED: HeaderName = HeaderName::from_static("x-revisor-redacted");
const RETRY_SECONDS: HeaderValue = HeaderValue::from_static("2");

/// Makes the response of a successful answer.
pub fn success(answer: Answer, request: &HeaderMap) -> Response<Payload> {
    let shorten = answer.body.len() >= WORTH && accepts_gzip(request);
    let known = request
        .get_all(IF_NONE_MATCH)
        .iter()
        .any(|value| matches(value, answer.etag));
    let mut response = Response::new(Payload::default());
    let headers = response.headers_mut();
    headers.insert(ETAG, tag(answer.etag, shorten));
    headers.insert(
        VARY,
        HeaderValue::from_static("Accept, Accept-Encoding, Authorization, Origin"),
    );
    if known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return response;
    }
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(answer.media));
    if let Some(values) = answer.redacted {
        headers.insert(REDACTED, HeaderValue::from(values));
    }
    if shorten && let Ok(gzip) = gzip::compress(&answer.body.joined()) {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        *response.body_mut() = gzip.into();
    } else {
        *response.body_mut() = answer.body;
    }
    response
}

/// Makes the response of an error.
pub fn failure(error: &ApiError) -> Response<Payload> {
    // Plain data with text keys always serializes.
    let body = serde_json::to_vec(&error.body()).unwrap_or_default();
    let mut response = Response::new(body.into());
    *response.status_mut() = error.status();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(JSON));
    match error {
        ApiError::Unauthorized(_) => {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        ApiError::WrongMethod { allowed, .. } => {
            headers.insert(ALLOW, HeaderValue::from_static(allowed));
        }
        ApiError::Unavailable(_) | ApiError::TooMany => {
            headers.insert(RETRY_AFTER, RETRY_SECONDS);
        }
        _ => {}
    }
    response
}

/// What every response carries.
pub fn finish(response: &mut Response<Payload>, id: &HeaderValue) {
    let headers = response.headers_mut();
    headers.insert(REQUEST_ID, id.clone());
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
}

/// The id that a request came with when that is harmless in logs, else a new one.
pub fn request_id(request: &HeaderMap) -> HeaderValue {
    request
        .get(REQUEST_ID)
        .filter(|id| id.to_str().is_ok_and(is_harmless))
        .cloned()
        .unwrap_or_else(|| hex(&fastrand::u64(..).to_be_bytes(), "", ""))
}

/// Whether a text can be logged as it is.
fn is_harmless(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}

/// Lets a page of another origin read the answer, when it is one of `allowed`.
pub fn allow_origin(
    response: &mut Response<Payload>,
    request: &HeaderMap,
    allowed: &[HeaderValue],
) {
    let Some(origin) = request
        .get(ORIGIN)
        .filter(|origin| allowed.contains(origin))
    else {
        return;
    };
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    headers.insert(
        ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static("ETag, Retry-After, X-Request-Id, X-Revisor-Redacted"),
    );
}

/// The answer to a CORS preflight.
pub fn preflight(methods: &'static str) -> Response<Payload> {
    let mut response = Response::new(Payload::default());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.insert(
        ACCESS_CONTROL_ALLOW_METHODS,
        HeaderValue::from_static(methods),
    );
    headers.insert(
        ACCESS_CONTROL_ALLOW_HEADERS,
        HeaderValue::from_static("Authorization, Content-Type, If-None-Match, X-Request-Id"),
    );
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    headers.insert(VARY, HeaderValue::from_static("Origin"));
    response
}

/// Whether the caller would rather have one of `others` than what is sent usually.
pub fn prefers(request: &HeaderMap, usual: &str, others: &[&str]) -> bool {
    let accepted: Vec<_> = weighted_items(request, ACCEPT).collect();
    best_weight(&accepted, others)
        .is_some_and(|other| best_weight(&accepted, &[usual]).is_none_or(|usual| other > usual))
}

/// The greatest weight of any of these media types; none when none of them is accepted.
fn best_weight(accepted: &[(&str, f32)], media: &[&str]) -> Option<f32> {
    accepted
        .iter()
        .filter(|(name, weight)| {
            *weight > 0.0 && media.iter().any(|media| name.eq_ignore_ascii_case(media))
        })
        .map(|(_, weight)| *weight)
        .max_by(f32::total_cmp)
}

/// The items of a header that is a list, with their weights.
fn weighted_items(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = (&str, f32)> {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(weighted)
}

/// `gzip;q=0.5` as name and weight.
fn weighted(item: &str) -> (&str, f32) {
    let mut parts = item.split(';').map(str::trim);
    let name = parts.next().unwrap_or_default();
    let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
    (
        name,
        weight.map_or(1.0, |weight| weight.parse().unwrap_or(0.0)),
    )
}

fn accepts_gzip(request: &HeaderMap) -> bool {
    weighted_items(request, ACCEPT_ENCODING)
        .any(|(name, weight)| name.eq_ignore_ascii_case("gzip") && weight > 0.0)
}

/// A compressed body is another representation, so its tag is a weak one.
fn tag(etag: Etag, weak: bool) -> HeaderValue {
    hex(&etag, if weak { "W/\"" } else { "\"" }, "\"")
}

fn hex(bytes: &[u8], before: &str, after: &str) -> HeaderValue {
    let mut text = String::with_capacity(before.len() + after.len() + 2 * bytes.len());
    text.push_str(before);
    push_hex(&mut text, bytes);
    text.push_str(after);
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""))
}

/// Weak comparison (RFC 9110, 13.1.2).
fn matches(value: &HeaderValue, etag: Etag) -> bool {
    let Ok(text) = value.to_str() else {
        return false;
    };
    let own = tag(etag, false);
    text.split(',').map(str::trim).any(|one| {
        one == "*"
            || own
                .to_str()
                .is_ok_and(|own| one.strip_prefix("W/").unwrap_or(one) == own)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;
    use proptest::prelude::*;

    fn headers(pairs: &[(HeaderName, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (name.clone(), value.parse().expect("a value")))
            .collect()
    }

    #[tokio::test]
    async fn what_the_caller_has_is_not_sent_again() {
        let answer = Answer::new(JSON, "x".repeat(2_000));
        let first = success(answer.clone(), &HeaderMap::new());
        let tag = first.headers()[ETAG].to_str().expect("text").to_owned();
        for (given, status) in [
            (tag.clone(), 304),
            (format!("W/{tag}"), 304),
            (format!("\"a\", {tag}"), 304),
            ("*".to_owned(), 304),
            ("\"a\"".to_owned(), 200),
        ] {
            let response = success(answer.clone(), &headers(&[(IF_NONE_MATCH, &given)]));
            assert_eq!(response.status().as_u16(), status, "{given}");
            let length = response
                .into_body()
                .collect()
                .await
                .expect("a body")
                .to_bytes()
                .len();
            assert_eq!(length, if status == 304 { 0 } else { 2_000 });
        }
    }

    #[test]
    fn compressed_only_when_asked_for_and_worth_it() {
        let long = Answer::new(JSON, "x".repeat(2_000));
        let encoding = |answer: &Answer, accept: &str| {
            let response = success(answer.clone(), &headers(&[(ACCEPT_ENCODING, accept)]));
            response
                .headers()
                .get(CONTENT_ENCODING)
                .map(|value| value.to_str().expect("text").to_owned())
        };
        for accept in ["gzip", "br, GZIP;q=0.5", "deflate,gzip"] {
            assert_eq!(encoding(&long, accept).as_deref(), Some("gzip"), "{accept}");
        }
        for accept in ["", "br", "gzip;q=0", "gzip;q=x"] {
            assert_eq!(encoding(&long, accept), None, "{accept}");
        }
        assert_eq!(encoding(&Answer::new(JSON, "short"), "gzip"), None);
        let gzip = success(long, &headers(&[(ACCEPT_ENCODING, "gzip")]));
        assert!(
            gzip.headers()[ETAG]
                .to_str()
                .expect("text")
                .starts_with("W/")
        );
    }

    #[test]
    fn an_id_that_could_forge_a_log_line_is_replaced() {
        for (given, kept) in [
            ("abc-1.2_3", true),
            ("", false),
            ("a b", false),
            (&*"x".repeat(65), false),
        ] {
            let id = request_id(&headers(&[(REQUEST_ID, given)]));
            assert_eq!(id == given, kept, "{given}");
            assert!(!id.is_empty());
        }
    }

    #[test]
    fn the_other_form_is_sent_only_when_it_is_preferred() {
        let yaml = |accept: &str| {
            prefers(
                &headers(&[(ACCEPT, accept)]),
                JSON,
                &["application/yaml", "text/yaml"],
            )
        };
        for accept in [
            "application/yaml",
            "text/yaml, */*",
            "application/json;q=0.5, application/yaml",
        ] {
            assert!(yaml(accept), "{accept}");
        }
        for accept in [
            "",
            "*/*",
            "application/json, application/yaml",
            "application/yaml;q=0",
        ] {
            assert!(!yaml(accept), "{accept}");
        }
    }

    #[test]
    fn only_known_origins_may_read() {
        let allowed = [HeaderValue::from_static("https://ui.example")];
        for (origin, expected) in [
            ("https://ui.example", true),
            ("https://evil.example", false),
            ("null", false),
        ] {
            let mut response = failure(&ApiError::Internal);
            allow_origin(&mut response, &headers(&[(ORIGIN, origin)]), &allowed);
            assert_eq!(
                response.headers().contains_key(ACCESS_CONTROL_ALLOW_ORIGIN),
                expected,
                "{origin}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_header_panics(value: Vec<u8>) {
            let Ok(value) = HeaderValue::from_bytes(&value) else { return Ok(()) };
            let names = [ACCEPT, ACCEPT_ENCODING, IF_NONE_MATCH, ORIGIN, REQUEST_ID];
            let all: HeaderMap = names.into_iter().map(|name| (name, value.clone())).collect();
            let mut response = success(Answer::new(JSON, "x".repeat(2_000)), &all);
            allow_origin(&mut response, &all, std::slice::from_ref(&value));
            let _ = (prefers(&all, JSON, &["a/b"]), request_id(&all));
        }
    }
}
