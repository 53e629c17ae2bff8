//! The rules by which the API server refuses a Revision, or a change of one. Pure.
//!
//! A create is refused where its type and its parts do not fit. Of a stored one the view may be rewritten, and the
//! content may be taken out together with setting `expunged`; nothing else. Rules that judge a create are not asked about
//! an update: Revisions that an earlier release stored otherwise stay writable.

use kube::core::{Reason, Rule};

/// Every field of spec that never changes.
pub const IMMUTABLE: &[&str] = &[
    "id",
    "type",
    "workload",
    "generation",
    "resourceVersion",
    "observedVia",
    "changeTime",
    "changeTimeSource",
    "via",
    "contentDigest",
    "previous",
    "gap",
];

/// Fields of spec that may go when the content does: they may repeat a part of it.
pub const EXPUNGED_TOO: &[&str] = &["changeCause", "source"];

/// Every field of the snapshot but `data`.
const ENVELOPE: &[&str] = &["encoding", "size", "oversize"];

/// Whether a field is as it was. The `has()` form, because `self.?x == oldSelf.?x` exceeds the API server's cost budget.
fn same(field: &str) -> String {
    format!(
        "(has(self.{field}) == has(oldSelf.{field}) && (!has(self.{field}) || self.{field} == oldSelf.{field}))"
    )
}

fn all_same<'a>(fields: impl IntoIterator<Item = &'a &'a str>) -> Vec<String> {
    fields.into_iter().map(|field| same(field)).collect()
}

/// Whether this update is the one that takes the content out.
const EXPUNGES: &str = "!has(oldSelf.expunged) && has(self.expunged)";

fn update(rule: String, message: &str) -> Rule {
    Rule::new(rule)
        .message(message)
        .reason(Reason::FieldValueForbidden)
}

/// A rule about a create, which holds for every update.
fn create(rule: &str, message: &str) -> Rule {
    Rule::new(format!("oldSelf.hasValue() || {rule}"))
        .message(message)
        .reason(Reason::FieldValueInvalid)
        .optional_old_self(true)
}

/// One rule over all of spec but the snapshot.
pub(in crate::revision) fn immutable() -> Rule {
    let mut rules = all_same(IMMUTABLE);
    rules.extend(
        EXPUNGED_TOO
            .iter()
            .map(|field| format!("({} || ({EXPUNGES} && !has(self.{field})))", same(field))),
    );
    update(
        rules.join(" && "),
        "spec is immutable, except spec.view, and except expunging spec.snapshot.data",
    )
}

/// The snapshot stays, and its data goes only when the Revision is expunged.
pub(in crate::revision) fn snapshot_stays() -> Rule {
    let envelope: Vec<_> = ENVELOPE
        .iter()
        .map(|field| format!("snapshot.{field}"))
        .collect();
    let envelope: Vec<_> = envelope.iter().map(|field| same(field)).collect();
    let data = same("snapshot.data");
    let goes = format!("has(oldSelf.snapshot.data) && !has(self.snapshot.data) && {EXPUNGES}");
    update(
        format!(
            "has(self.snapshot) == has(oldSelf.snapshot) && (!has(self.snapshot) || ({} && ({data} || ({goes}))))",
            envelope.join(" && ")
        ),
        "spec.snapshot is immutable; its data goes only together with setting spec.expunged",
    )
}

/// What is expunged stays that.
pub(in crate::revision) fn expunged_stays() -> Rule {
    update(
        "!has(oldSelf.expunged) || (has(self.expunged) && self.expunged == oldSelf.expunged)"
            .to_owned(),
        "spec.expunged is immutable",
    )
}

/// What is expunged has no content.
pub(in crate::revision) fn expunged_is_empty() -> Rule {
    Rule::new("!has(self.expunged) || !has(self.snapshot) || !has(self.snapshot.data)")
        .message("spec.expunged is set only where spec.snapshot.data is taken out")
        .reason(Reason::FieldValueForbidden)
}

/// A Gap, and nothing else, has generations that it stands for.
pub(in crate::revision) fn gap_is_a_gap() -> Rule {
    create(
        "(self.type == 'Gap') == has(self.gap)",
        "spec.gap is of type Gap only, and a Gap has one",
    )
}

/// A Gap has no content.
pub(in crate::revision) fn gap_is_empty() -> Rule {
    create(
        "self.type != 'Gap' || !has(self.snapshot)",
        "a Gap has no spec.snapshot",
    )
}

/// The generations of a Gap are in order.
pub(in crate::revision) fn gap_is_in_order() -> Rule {
    create(
        "!has(self.gap) || (self.gap.from <= self.gap.to && self.gap.to == self.generation)",
        "spec.gap.from is not above spec.gap.to, which is spec.generation",
    )
}
