//! A caller of the read API who looks at every byte of the answer.

use http::{HeaderMap, Method, Request};
use http_body_util::BodyExt;
use kube::client::Body;
use kube::{Client, Config};
use serde_json::Value;

/// One address, and perhaps a token.
#[derive(Clone)]
pub struct Rest {
    client: Client,
    token: Option<String>,
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).expect("text")
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().expect("text"))
    }

    /// An error as the contract has it.
    pub fn assert_error(&self, status: u16, named: &str) {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.header("content-type"), "application/json");
        let body = self.json();
        assert_eq!(body["code"], status, "{body}");
        assert!(
            body["message"]
                .as_str()
                .is_some_and(|text| text.contains(named)),
            "{named:?} in {body}"
        );
        assert_eq!(
            self.headers.contains_key("www-authenticate"),
            status == 401,
            "{self:?}"
        );
        assert_eq!(
            self.headers.contains_key("retry-after"),
            matches!(status, 429 | 503),
            "{self:?}"
        );
        assert_eq!(
            self.headers.contains_key("allow"),
            status == 405,
            "{self:?}"
        );
        assert!(!self.header("x-request-id").is_empty());
    }
}

impl Rest {
    /// Whoever has no token, over TLS with any certificate.
    pub fn tls(port: u16) -> Self {
        Self::at(&format!("https://127.0.0.1:{port}"))
    }

    /// Takes one certificate and no other.
    pub fn trusting(port: u16, certificate: &[u8]) -> Self {
        let mut config = Config::new(
            format!("https://localhost:{port}")
                .parse()
                .expect("an address"),
        );
        config.root_cert = Some(vec![certificate.to_vec()]);
        Self::over(config)
    }

    pub fn at(address: &str) -> Self {
        let mut config = Config::new(address.parse().expect("an address"));
        config.accept_invalid_certs = true;
        Self::over(config)
    }

    fn over(mut config: Config) -> Self {
        config.default_retry = false;
        // What comes back is looked at as it is.
        config.disable_compression = true;
        Self {
            client: Client::try_from(config).expect("a client"),
            token: None,
        }
    }

    pub fn with(&self, token: &str) -> Self {
        Self {
            token: Some(token.to_owned()),
            ..self.clone()
        }
    }

    pub async fn ask(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        self.try_ask(method, path, headers, body)
            .await
            .unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    pub async fn try_ask(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Result<Answer, String> {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request
            .body(Body::from(body.to_owned().into_bytes()))
            .expect("a request");
        let answer = self
            .client
            .send(request)
            .await
            .map_err(|error| error.to_string())?;
        let (parts, body) = answer.into_parts();
        let body = body
            .collect()
            .await
            .map_err(|error| error.to_string())?
            .to_bytes()
            .to_vec();
        Ok(Answer {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body,
        })
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.ask(Method::GET, path, &[], "").await
    }

    pub async fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.ask(Method::GET, path, headers, "").await
    }
}
