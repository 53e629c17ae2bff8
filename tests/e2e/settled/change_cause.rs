//! Texts that no field of a Revision holds are cut, and cost no data.

use super::history::History;
use super::stage::{UNHELD, assert_nothing_lost, stage};
use crate::support::patch;
use crate::traffic::uri;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_change_cause_beyond_every_limit_is_cut_between_two_characters() {
    let (world, revisor) = stage();
    let history = History::recorded(world, "cause").await;
    // Wherever it is cut: one of these texts has a character of four bytes there.
    let texts = [0, 1, 2, 3].map(|shift| format!("{}{}", "x".repeat(shift), "𝄞".repeat(25_000)));
    let mut last = None;
    for (number, text) in texts.iter().enumerate() {
        let mut change = uri(number);
        change["metadata"] = json!({"annotations": {"kubernetes.io/change-cause": text}});
        last = Some(patch(&history.client, &history.path("w0"), &change).await);
    }
    let last = last.expect("edits");
    assert_eq!(history.assert_complete(&last, UNHELD).await, 5);
    let all = history.revisions().await;
    for (number, text) in texts.iter().enumerate() {
        let generation = number + 2;
        let one = all.iter().find(|r| r["spec"]["generation"] == generation);
        let spec = &one.expect("recorded")["spec"];
        let cause = spec["changeCause"].as_str().expect("a change cause");
        let kept = cause.trim_end_matches('…');
        assert!(!kept.is_empty() && text.starts_with(kept), "{kept}");
        assert_ne!(spec["snapshot"]["oversize"], true);
    }
    assert_nothing_lost(revisor);
}
