//! Every metric: its name and its help stand here, once.

use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::info::Info;
use prometheus_client::metrics::{MetricType, TypedMetric};
use prometheus_client::registry::Registry;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

/// Labels of a metric per kind of workload.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct KindLabels {
    /// Kind, for example InferenceService.
    pub kind: String,
}

/// Labels of a metric per kind of workload and reason.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct KindReason {
    /// Kind, for example InferenceService.
    pub kind: String,
    /// One of a closed list of CamelCase words.
    pub reason: &'static str,
}

/// Labels of a metric per reason.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct ReasonLabels {
    /// One of a closed list of CamelCase words.
    pub reason: &'static str,
}

/// Labels of the certificate.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct OriginLabels {
    /// Files, Secret or SelfSigned.
    pub origin: &'static str,
}

/// Labels of requests.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct RequestLabels {
    /// Which endpoint; none when there is none at the path.
    pub route: &'static str,
    /// HTTP status.
    pub code: u16,
}

/// Labels of reviews by the API server.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct ReviewLabels {
    /// token or access.
    pub review: &'static str,
    /// Yes, No, Failed, or Cached when nobody had to be asked.
    pub outcome: &'static str,
}

/// Declares every metric once: its field, its type, its name and its help.
macro_rules! metrics {
    ($($field:ident: $type:ty = $name:literal, $help:literal;)*) => {
        /// All metrics of the process. Cloning shares them.
        #[derive(Clone, Debug)]
        pub struct Metrics {
            registry: Arc<Registry>,
            $(#[doc = $help] pub $field: $type,)*
        }

        /// Name, kind of metric and meaning of every metric, for the reference.
        pub const DESCRIPTIONS: &[(&str, &str, &str)] = &[$(($name, stringify!($type), $help),)*];

        impl Default for Metrics {
            fn default() -> Self {
                Self::new()
            }
        }

        impl Metrics {
            /// Registers every metric.
            pub fn new() -> Self {
                let mut registry = Registry::with_prefix("revisor");
                let version = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
                registry.register("build", "The running program", version);
                $(let $field = <$type>::default(); registry.register($name, $help, $field.clone());)*
                Self { registry: Arc::new(registry), $($field,)* }
            }
        }
    };
}

type ByKind<M> = Family<KindLabels, M>;
type ByKindAndReason<M> = Family<KindReason, M>;
type Float = Gauge<f64, AtomicU64>;
type ByReason<M> = Family<ReasonLabels, M>;

metrics! {
    watch_events: ByKind<Counter> = "watch_events", "Events read from the watch of a kind";
    lists: ByKind<Counter> = "lists", "Lists of a kind";
    watch_expired: ByKind<Counter> = "watch_expired", "Watches that ended because their history was gone";
    stale_events: ByKind<Counter> = "watch_events_stale", "Events that were older than the last one, and dropped";
    undecodable: ByKind<Counter> = "undecodable", "Objects and events that could not be read";
    unordered: ByKind<Gauge> =
        "kind_without_generation", "1 once an object of the kind had no metadata.generation: such objects are not recorded";
    watch_resource_version: ByKind<Gauge> = "watch_resource_version", "Last resourceVersion seen by the watch";
    recorded_resource_version: ByKind<Gauge> =
        "recorded_resource_version", "Every change up to this resourceVersion is durably recorded";
    lag_seconds: ByKind<Float> = "lag_seconds", "Age of the oldest change that is seen and not yet durably recorded, or for how long nothing was heard of the kind when that is longer than a watch lasts";
    checkpoint_resource_version: ByKind<Gauge> =
        "checkpoint_resource_version", "The place from which a restart goes on";
    checkpoint_failures: Counter = "checkpoint_failures", "Attempts to write the checkpoint that failed";
    checkpoints_lost: Counter =
        "checkpoints_lost", "Kinds that have Revisions and whose recording began anew, as their checkpoint could not be used";
    repaired: ByKind<Counter> = "generations_repaired", "Generations that were missed and read back from etcd's past";
    lost: ByKindAndReason<Counter> = "generations_lost", "Generations that existed and cannot be recorded";
    gap_generations: ByKindAndReason<Counter> = "gap_generations", "Generations that Gap Revisions stand for";
    blind: ByKind<Counter> =
        "blind_intervals", "Intervals in which workloads may have been made and deleted without a trace";
    audit_repairs: ByKind<Counter> = "audit_repairs", "Workloads of which the watch has lost events";
    rewinds: Counter = "etcd_rewinds", "Times that etcd was found restored to an older state";
    recorded: ByKind<Counter> = "revisions_recorded", "Revisions created";
    present: ByKind<Counter> = "revisions_present", "Revisions that were there already, with equal content";
    recorded_again: ByKind<Counter> =
        "revisions_recorded_again", "Newest Revisions of workloads that were removed, and are recorded again";
    drift: ByKind<Counter> = "revisions_drift", "Generations whose content differs from what is recorded";
    refused: ByKindAndReason<Counter> = "revisions_refused", "Revisions that the API server will never take";
    oversize: ByKind<Counter> = "revisions_oversize", "Revisions stored without the data of their snapshot";
    quiet_generations: ByKind<Counter> = "quiet_generations", "Generations that changed nothing";
    holes: ByKindAndReason<Counter> = "generation_holes", "Generations that were not seen when they were made; most are read back";
    view_failures: ByKindAndReason<Counter> =
        "view_failures", "Runs of a kind file's programs that gave nothing; views and statuses lack what they should have found";
    retries: ByReason<Counter> = "write_retries", "Attempts to write a Revision that failed and are repeated";
    held: ByReason<Gauge> = "write_held", "1 while writing Revisions is held";
    queue_length: Gauge = "queue_length", "Revisions waiting to be written";
    queue_bytes: Gauge = "queue_bytes", "Size of the Revisions waiting to be written";
    record_seconds: Seconds = "record_seconds", "Time from the event read to the Revision stored";
    cached: Gauge = "cached_revisions", "Revisions in the cache";
    removed: Gauge = "revisions_removed", "Revisions that a stored one names as the one before it, and that are not stored: removed by retention or by hand, or still waiting to be stored";
    misplaced: Counter =
        "revisions_misplaced", "Revisions that came and were not believed; most of another replica are a moment later";
    forged: ByReason<Gauge> = "revisions_forged", "Revisions that are stored and forged: they contradict what the API server says of their workload, or themselves, and are not served";
    contested: ByKind<Counter> = "revisions_contested", "Generations whose name a Revision of another content has taken";
    served_age: Float = "served_age_seconds", "For how long nobody has confirmed what is served; 0 while the watch of Revisions is good";
    requests: Family<RequestLabels, Counter> = "requests", "Requests to the read API";
    request_seconds: Seconds = "request_seconds", "Time to answer a request to the read API";
    reviews: Family<ReviewLabels, Counter> = "reviews", "Reviews of tokens and accesses, by what came of them";
    certificate_not_after: Family<OriginLabels, Gauge> = "certificate_not_after_seconds", "When the certificate that is shown ends, in seconds since 1970; absent without TLS";
    leader: Gauge = "leader", "1 while this process leads";
    observed_pods: Gauge = "observed_pods", "Pods that are kept to tell the status of Revisions";
    observe_patches: ByKind<Counter> = "status_patches", "Patches of the status of Revisions";
    observe_failures: Counter = "status_failures", "Attempts to bring the status of a workload's Revisions up to date that failed";
    observe_reads: Counter = "status_reads", "Revisions read again for their content, to tell which pods are theirs";
    owner_reads: Counter = "owner_reads", "Objects read to find the workload of a pod";
    events_dropped: Counter = "events_dropped", "Kubernetes Events that could not be sent";
}

impl Metrics {
    /// The text format of Prometheus and OpenMetrics.
    pub fn encode(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

/// A histogram of durations from a millisecond to half a minute.
#[derive(Clone, Debug)]
pub struct Seconds(Histogram);

impl Default for Seconds {
    fn default() -> Self {
        Self(Histogram::new(exponential_buckets(0.001, 2.0, 16)))
    }
}

impl Seconds {
    /// Adds one duration.
    pub fn observe(&self, duration: Duration) {
        self.0.observe(duration.as_secs_f64());
    }
}

impl TypedMetric for Seconds {
    const TYPE: MetricType = MetricType::Histogram;
}

impl EncodeMetric for Seconds {
    fn encode(&self, encoder: MetricEncoder<'_>) -> Result<(), std::fmt::Error> {
        self.0.encode(encoder)
    }

    fn metric_type(&self) -> MetricType {
        self.0.metric_type()
    }
}

/// Labels for `kind`.
pub fn kind(kind: &str) -> KindLabels {
    KindLabels {
        kind: kind.to_owned(),
    }
}

/// Labels for `kind` and `reason`.
pub fn kind_reason(kind: &str, reason: &'static str) -> KindReason {
    KindReason {
        kind: kind.to_owned(),
        reason,
    }
}

/// Labels for the certificate.
pub fn origin(origin: &'static str) -> OriginLabels {
    OriginLabels { origin }
}

/// Labels for a request.
pub fn request(route: &'static str, code: u16) -> RequestLabels {
    RequestLabels { route, code }
}

/// Labels for a review.
pub fn review(review: &'static str, outcome: &'static str) -> ReviewLabels {
    ReviewLabels { review, outcome }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_carry_the_prefix_and_counters_their_ending() {
        let metrics = Metrics::new();
        metrics.recorded.get_or_create(&kind("Deployment")).inc();
        metrics
            .recorded_resource_version
            .get_or_create(&kind("Deployment"))
            .set(7);
        let text = metrics.encode();
        assert!(
            text.contains("revisor_revisions_recorded_total{kind=\"Deployment\"} 1"),
            "{text}"
        );
        assert!(
            text.contains("revisor_recorded_resource_version{kind=\"Deployment\"} 7"),
            "{text}"
        );
    }
}
