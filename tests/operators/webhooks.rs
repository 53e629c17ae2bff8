//! Webhooks of an operator that runs beside the cluster: they are called by URL.

use crate::stage::Stage;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

/// Applies the webhook configurations of a file; all are called at `port` of loopback.
pub fn apply(stage: &Stage, file: &str, port: u16) {
    let path = stage.files.manifests.join(file);
    let text = std::fs::read_to_string(&path).expect("webhooks");
    let authority = std::fs::read(stage.cluster.authority()).expect("a certificate");
    let authority = BASE64_STANDARD.encode(authority);
    for document in text
        .split("\n---")
        .filter(|text| text.contains("webhooks:"))
    {
        let mut configuration: Value = serde_saphyr::from_str(document).expect("YAML");
        let webhooks = configuration["webhooks"].as_array_mut().expect("webhooks");
        for webhook in webhooks {
            let path = webhook["clientConfig"]["service"]["path"].as_str();
            let url = format!("https://127.0.0.1:{port}{}", path.expect("a path"));
            webhook["clientConfig"] = json!({"url": url, "caBundle": authority});
        }
        stage
            .cluster
            .apply(&configuration.to_string())
            .expect("a webhook configuration");
    }
}
