//! Other words for the same: values that mean no value, quantities in another notation, and defaults of the API that are
//! written out. Pure.

use super::Meaning;
use crate::json::Value;
use crate::quantity::Quantity;
use crate::view::normal::{holds_quantities, is_nothing, quantity};

/// What the API server fills in for a container that says nothing.
const CONTAINER: &[(&str, &str)] = &[
    ("terminationMessagePath", "\"/dev/termination-log\""),
    ("terminationMessagePolicy", "\"File\""),
];
/// The same for a pod.
const POD: &[(&str, &str)] = &[
    ("dnsPolicy", "\"ClusterFirst\""),
    ("enableServiceLinks", "true"),
    ("restartPolicy", "\"Always\""),
    ("schedulerName", "\"default-scheduler\""),
    ("terminationGracePeriodSeconds", "30"),
];
/// The same for a port.
const PORT: &[(&str, &str)] = &[("protocol", "\"TCP\"")];
/// The same for a probe.
const PROBE: &[(&str, &str)] = &[
    ("failureThreshold", "3"),
    ("periodSeconds", "10"),
    ("successThreshold", "1"),
    ("timeoutSeconds", "1"),
];

/// What it means that the field `key` of an object differs; `above` is the key at which the object stands.
pub(super) fn meaning(
    above: Option<&str>,
    objects: [Value<'_>; 2],
    key: &str,
    values: [Option<Value<'_>>; 2],
) -> Meaning {
    let is_same_amount = || match values {
        [Some(old), Some(new)] if above.is_some_and(holds_quantities) => {
            let [old, new] = [old, new].map(|value| quantity(value).map(Quantity::canonical));
            old.is_some() && old == new
        }
        _ => false,
    };
    let is_absent = |side: usize| {
        values[side].is_none_or(|value| is_nothing(value) || is_default(objects[side], key, value))
    };
    if is_same_amount() || (is_absent(0) && is_absent(1)) {
        Meaning::Nothing
    } else {
        Meaning::Value
    }
}

/// Whether a value is what the API server would fill in.
fn is_default(object: Value<'_>, key: &str, value: Value<'_>) -> bool {
    let is_listed = |defaults: &[(&str, &str)]| {
        let mut defaults = defaults.iter();
        defaults.any(|(name, default)| *name == key && value.canonical() == *default)
    };
    let has = |field: &str| object.get(field).is_some();
    if has("containers") {
        is_listed(POD)
    } else if has("containerPort") {
        is_listed(PORT)
    } else if has("httpGet") || has("tcpSocket") || has("exec") || has("grpc") {
        is_listed(PROBE)
    } else if key == "imagePullPolicy" {
        is_pull_default(object, value)
    } else {
        has("name") && is_listed(CONTAINER)
    }
}

/// `Always` of an image that is the latest one, `IfNotPresent` of any other.
fn is_pull_default(container: Value<'_>, policy: Value<'_>) -> bool {
    let Some(image) = container.get("image").and_then(Value::as_str) else {
        return false;
    };
    let name = image.rsplit('/').next().unwrap_or_default();
    let is_latest = !image.contains('@') && (!name.contains(':') || name.ends_with(":latest"));
    policy.as_str() == Some(if is_latest { "Always" } else { "IfNotPresent" })
}
