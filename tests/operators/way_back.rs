//! From the newest state back to the first by the plugin, beside the operator, and forward again by the user's own
//! `kubectl apply`.

use crate::stage::Stage;
use crate::support::{Kind, read};
use serde_json::Value;

/// Four states of a workload; the operator must not have a say in any field of them.
pub struct WayBack<'a> {
    pub kind: Kind,
    /// The file of the user in a state, from 1.
    pub file: &'a dyn Fn(usize) -> Value,
}

const STATES: usize = 4;

impl WayBack<'_> {
    /// Once for a user of client-side apply, and once for one of server-side apply.
    pub async fn run(&self, stage: &mut Stage) {
        for flags in [&[][..], &["--server-side"]] {
            self.run_with(stage, flags).await;
        }
    }

    async fn run_with(&self, stage: &mut Stage, flags: &[&str]) {
        let namespace = stage.namespace("way-back").await;
        let first = (self.file)(1);
        let name = first["metadata"]["name"].as_str().expect("a name");
        let path = format!("{}/{name}", self.kind.path(&namespace));
        let target = format!("{}/{name}", self.kind.kind.to_lowercase());
        let mut specs = Vec::new();
        for number in 1..=STATES {
            stage
                .apply(&namespace, &(self.file)(number), flags)
                .expect("an apply");
            specs.push(spec(stage, &path).await);
        }
        let version = read(&stage.client, &path).await["metadata"]["resourceVersion"].clone();
        let version = version.as_str().and_then(|it| it.parse().ok());
        stage
            .revisor
            .wait_recorded(self.kind, version.expect("a number"));
        let told = stage.plugin(&namespace, &["rollback", &target, "1", "--yes"]);
        assert_eq!(spec(stage, &path).await, specs[0], "{told}");
        let newest = (self.file)(STATES);
        if !flags.is_empty() {
            let refused = stage
                .apply(&namespace, &newest, flags)
                .expect_err("a conflict");
            assert!(refused.contains("with \"kubectl-revisor\""), "{refused}");
            let forced = [flags, &["--force-conflicts"]].concat();
            stage.apply(&namespace, &newest, &forced).expect("an apply");
        } else {
            stage.apply(&namespace, &newest, flags).expect("an apply");
        }
        assert_eq!(spec(stage, &path).await, specs[STATES - 1], "{target}");
        stage.kubectl(&["delete", &target, "-n", &namespace, "--wait=false"]);
    }
}

async fn spec(stage: &Stage, path: &str) -> Value {
    read(&stage.client, path).await["spec"].clone()
}
