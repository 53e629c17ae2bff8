//! The token of a request, and headers that would lend an identity. Pure.

use super::super::error::ApiError;
use http::HeaderMap;
use http::header::{AUTHORIZATION, HeaderName};

/// Longer ones are no tokens.
const MAX_TOKEN: usize = 32 << 10;

/// The bearer token of a request; from its header only, never from a query or a cookie.
///
/// # Errors
/// 401 when there is none, or more than one.
pub(super) fn token(headers: &HeaderMap) -> Result<&str, ApiError> {
    let mut all = headers.get_all(AUTHORIZATION).iter();
    let Some(first) = all.next() else {
        return Err(ApiError::Unauthorized("there is no token"));
    };
    if all.next().is_some() {
        return Err(ApiError::Unauthorized(
            "there is more than one Authorization header",
        ));
    }
    let given = first.to_str().ok().and_then(|text| text.split_once(' '));
    let bearer = given.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    let token = bearer.map(|(_, token)| token.trim());
    token
        .filter(|token| !token.is_empty() && token.len() <= MAX_TOKEN && !token.contains(' '))
        .ok_or(ApiError::Unauthorized(
            "the Authorization header holds no bearer token",
        ))
}

/// A header that would lend somebody else's identity, as proxies of the API server use them.
pub(super) fn refused_header(headers: &HeaderMap) -> Option<&HeaderName> {
    headers.keys().find(|name| {
        let name = name.as_str();
        name.starts_with("impersonate-") || name.starts_with("x-remote-")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use proptest::prelude::*;

    fn headers(values: &[&str]) -> HeaderMap {
        values
            .iter()
            .map(|value| (AUTHORIZATION, value.parse().expect("a value")))
            .collect()
    }

    #[test]
    fn one_bearer_token_and_nothing_else() {
        for (given, expected) in [
            ("Bearer abc", "abc"),
            ("bearer  abc ", "abc"),
            ("BEARER a.b-c_d", "a.b-c_d"),
        ] {
            assert_eq!(token(&headers(&[given])), Ok(expected));
        }
        let long = format!("Bearer {}", "x".repeat(MAX_TOKEN + 1));
        for given in [
            "",
            "Bearer",
            "Bearer ",
            "Basic abc",
            "Bearer a b",
            "abc",
            &long,
        ] {
            assert_eq!(token(&headers(&[given])).expect_err(given).status(), 401);
        }
        assert!(token(&headers(&["Bearer a", "Bearer b"])).is_err());
        assert!(token(&HeaderMap::new()).is_err());
    }

    #[test]
    fn identities_are_not_lent() {
        for name in [
            "Impersonate-User",
            "impersonate-extra-scopes",
            "X-Remote-User",
            "x-remote-group",
        ] {
            let name: HeaderName = name.parse().expect("a name");
            let map: HeaderMap = [(name.clone(), HeaderValue::from_static("x"))]
                .into_iter()
                .collect();
            assert_eq!(refused_header(&map), Some(&name));
        }
        assert_eq!(refused_header(&headers(&["Bearer a"])), None);
    }

    proptest! {
        #[test]
        fn no_header_panics(bytes: Vec<u8>) {
            if let Ok(value) = HeaderValue::from_bytes(&bytes) {
                let _ = token(&[(AUTHORIZATION, value)].into_iter().collect());
            }
        }
    }
}
