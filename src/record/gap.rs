//! Generations that were lost, as a Revision of type Gap.

use crate::revision::{
    Gap, LABEL_WORKLOAD_KIND, LABEL_WORKLOAD_UID, Observed, Revision, RevisionSpec, RevisionType,
    TimeSource, View, Workload, identity,
};
use crate::view::VERSION;
use crate::watch::Lost;
use chrono::{DateTime, Utc};
use kube::api::ObjectMeta;
use std::collections::BTreeMap;

/// The Gap for `lost` generations of a workload of `kind`.
pub(super) fn gap(kind: &str, lost: &Lost, now: DateTime<Utc>) -> Revision {
    let (from, to) = lost.generations.clone().into_inner();
    let metadata = ObjectMeta {
        name: Some(identity::gap_name(&lost.name, lost.uid, from, to)),
        namespace: Some(lost.namespace.clone()),
        labels: Some(BTreeMap::from([
            (LABEL_WORKLOAD_UID.to_owned(), lost.uid.to_string()),
            (LABEL_WORKLOAD_KIND.to_owned(), kind.to_owned()),
        ])),
        ..ObjectMeta::default()
    };
    let spec = RevisionSpec {
        id: identity::gap_id(lost.uid, from, to),
        r#type: RevisionType::Gap,
        workload: Workload {
            api_version: lost.api_version.clone(),
            kind: kind.to_owned(),
            name: lost.name.clone(),
            uid: lost.uid,
        },
        generation: to,
        resource_version: lost.at.to_string(),
        observed_via: Observed::Repair,
        change_time: now,
        change_time_source: TimeSource::Observed,
        via: None,
        change_cause: None,
        source: None,
        content_digest: None,
        previous: None,
        gap: Some(Gap {
            from,
            to,
            reason: lost.reason.as_str().to_owned(),
        }),
        snapshot: None,
        expunged: None,
        view: Some(View {
            version: VERSION,
            summary: summary(from, to, lost),
            ..View::default()
        }),
    };
    Revision {
        metadata,
        spec,
        status: None,
    }
}

fn summary(from: i64, to: i64, lost: &Lost) -> String {
    let which = if from == to {
        format!("generation {from}")
    } else {
        format!("generations {from} to {to}")
    };
    format!("{which} not recorded ({})", lost.reason.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;
    use crate::watch::Reason;
    use uuid::Uuid;

    #[test]
    fn a_gap_says_what_is_missing_and_why() {
        let lost = Lost {
            uid: Uuid::from_u128(5),
            namespace: "n".into(),
            name: "llama".into(),
            generations: 3..=4,
            reason: Reason::Compacted,
            from: "99".parse().expect("a number"),
            at: "99".parse().expect("a number"),
            api_version: "g/v1".into(),
        };
        let gap = gap("Thing", &lost, clock::now());
        assert_eq!(
            gap.metadata.name.as_deref(),
            Some(identity::gap_name("llama", lost.uid, 3, 4).as_str())
        );
        assert_eq!(
            gap.spec.gap,
            Some(Gap {
                from: 3,
                to: 4,
                reason: "Compacted".into()
            })
        );
        assert_eq!(
            (gap.spec.generation, gap.spec.resource_version.as_str()),
            (4, "99")
        );
        assert_eq!(
            gap.spec.view.expect("a view").summary,
            "generations 3 to 4 not recorded (Compacted)"
        );
    }
}
