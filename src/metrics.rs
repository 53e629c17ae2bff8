//! Every metric: its name and its help stand here, once.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

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

/// All metrics of the process. Cloning shares them.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: std::sync::Arc<Registry>,
    /// Events read from the watch of a kind.
    pub watch_events: Family<KindLabels, Counter>,
    /// Lists of a kind.
    pub lists: Family<KindLabels, Counter>,
    /// Watches that ended in 410.
    pub watch_expired: Family<KindLabels, Counter>,
    /// Objects and events that could not be read.
    pub undecodable: Family<KindLabels, Counter>,
    /// Last place seen by the watch.
    pub watch_resource_version: Family<KindLabels, Gauge>,
    /// Place up to which everything is durable.
    pub recorded_resource_version: Family<KindLabels, Gauge>,
    /// Revisions created.
    pub recorded: Family<KindLabels, Counter>,
    /// Revisions that were there already, equal.
    pub present: Family<KindLabels, Counter>,
    /// Revisions that were there already, different; or content that moved without a generation.
    pub drift: Family<KindLabels, Counter>,
    /// Revisions that the API server will never take.
    pub refused: Family<KindReason, Counter>,
    /// Revisions stored without the snapshot's data.
    pub oversize: Family<KindLabels, Counter>,
    /// Generations that changed nothing.
    pub quiet: Family<KindLabels, Counter>,
    /// Generations that existed and were not seen.
    pub holes: Family<KindReason, Counter>,
    /// Attempts to write that failed and are repeated.
    pub retries: Family<ReasonLabels, Counter>,
    /// 1 while writing is held.
    pub held: Family<ReasonLabels, Gauge>,
    /// Revisions waiting to be written.
    pub queue_length: Gauge,
    /// Their size.
    pub queue_bytes: Gauge,
    /// From the event read to the Revision stored.
    pub record_seconds: Histogram,
    /// Revisions in the cache.
    pub cached: Gauge,
    /// Kubernetes Events that could not be sent.
    pub events_dropped: Counter,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Registers every metric.
    pub fn new() -> Self {
        let mut r = Registry::with_prefix("revisor");
        r.register("build", "The running program", Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]));
        macro_rules! metric {
            ($name:literal, $help:literal, $metric:expr) => {{
                let metric = $metric;
                r.register($name, $help, metric.clone());
                metric
            }};
        }
        let seconds = Histogram::new(exponential_buckets(0.001, 2.0, 16));
        Self {
            watch_events: metric!("watch_events", "Events read from the watch of a kind", Family::default()),
            lists: metric!("lists", "Lists of a kind", Family::default()),
            watch_expired: metric!("watch_expired", "Watches that ended because their history was gone", Family::default()),
            undecodable: metric!("undecodable", "Objects and events that could not be read", Family::default()),
            watch_resource_version: metric!("watch_resource_version", "Last resourceVersion seen by the watch", Family::default()),
            recorded_resource_version: metric!(
                "recorded_resource_version",
                "Every change up to this resourceVersion is durably recorded",
                Family::default()
            ),
            recorded: metric!("revisions_recorded", "Revisions created", Family::default()),
            present: metric!("revisions_present", "Revisions that were there already, with equal content", Family::default()),
            drift: metric!("revisions_drift", "Generations whose content differs from what is recorded", Family::default()),
            refused: metric!("revisions_refused", "Revisions that the API server will never take", Family::default()),
            oversize: metric!("revisions_oversize", "Revisions stored without their snapshot's data", Family::default()),
            quiet: metric!("quiet_generations", "Generations that changed nothing", Family::default()),
            holes: metric!("generation_holes", "Generations that existed and were not seen", Family::default()),
            retries: metric!("write_retries", "Attempts to write a Revision that failed and are repeated", Family::default()),
            held: metric!("write_held", "1 while writing Revisions is held", Family::default()),
            queue_length: metric!("queue_length", "Revisions waiting to be written", Gauge::default()),
            queue_bytes: metric!("queue_bytes", "Size of the Revisions waiting to be written", Gauge::default()),
            record_seconds: metric!("record_seconds", "Time from the event read to the Revision stored", seconds),
            cached: metric!("cached_revisions", "Revisions in the cache", Gauge::default()),
            events_dropped: metric!("events_dropped", "Kubernetes Events that could not be sent", Counter::default()),
            registry: std::sync::Arc::new(r),
        }
    }

    /// The text format of Prometheus and OpenMetrics.
    pub fn encode(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

/// Labels for `kind`.
pub fn kind(kind: &str) -> KindLabels {
    KindLabels { kind: kind.to_owned() }
}

/// Labels for `kind` and `reason`.
pub fn kind_reason(kind: &str, reason: &'static str) -> KindReason {
    KindReason { kind: kind.to_owned(), reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_carry_the_prefix_and_counters_their_ending() {
        let metrics = Metrics::new();
        metrics.recorded.get_or_create(&kind("Deployment")).inc();
        metrics.recorded_resource_version.get_or_create(&kind("Deployment")).set(7);
        let text = metrics.encode();
        assert!(text.contains("revisor_revisions_recorded_total{kind=\"Deployment\"} 1"), "{text}");
        assert!(text.contains("revisor_recorded_resource_version{kind=\"Deployment\"} 7"), "{text}");
    }
}
