//! A structure that was read from a text: each of its texts has its place there. Pure.

use super::flow::Flow;
use crate::redact::hidden::Hidden;
use crate::redact::lex::Piece;
use crate::redact::name::NameClass;
use crate::redact::scan::Scan;
use crate::redact::structure::{Judge, NameContext, Scalar, Structure};
use std::ops::Range;

/// A structure that is nested deeper is read as text.
pub(super) const MAX_LEVELS: usize = 48;

/// A part of a structure.
pub(super) enum Node<'t> {
    Object(Vec<(String, Node<'t>)>),
    List(Vec<Node<'t>>),
    Text(Piece<'t>),
}

impl<'t> Structure<'t> for &'t Node<'t> {
    fn scalar(self) -> Option<Scalar<'t>> {
        match self {
            Node::Text(piece) => Some(Scalar::Text(&piece.text)),
            _ => None,
        }
    }

    fn is_list(self) -> bool {
        matches!(self, Node::List(_))
    }

    fn fields(self) -> Vec<(&'t str, Self)> {
        match self {
            Node::Object(fields) => fields
                .iter()
                .map(|(key, field)| (key.as_str(), field))
                .collect(),
            _ => Vec::new(),
        }
    }

    fn list(self) -> Vec<Self> {
        match self {
            Node::List(items) => items.iter().collect(),
            _ => Vec::new(),
        }
    }

    fn field(self, key: &str) -> Option<Self> {
        match self {
            Node::Object(fields) => fields
                .iter()
                .find(|(known, _)| known == key)
                .map(|(_, field)| field),
            _ => None,
        }
    }
}

/// Judges a structure, and adds the places of its secrets.
pub(super) fn judge(scan: Scan<'_>, node: &Node<'_>, found: &mut Vec<Range<usize>>) {
    judge_within(scan, node, NameContext::default(), found);
}

/// Judges the object or list in brackets that begins at a place, below a name of a class, and returns the place behind it;
/// none when it is not closed.
pub(super) fn read_below(
    scan: Scan<'_>,
    class: NameClass,
    at: usize,
    found: &mut Vec<Range<usize>>,
) -> Option<usize> {
    let mut flow = Flow::new(scan.text, at);
    let node = flow.value();
    judge_within(scan, &node, NameContext::below(class), found);
    flow.is_closed.then_some(flow.at)
}

fn judge_within(
    scan: Scan<'_>,
    node: &Node<'_>,
    context: NameContext,
    found: &mut Vec<Range<usize>>,
) {
    let mut judge = Judge::new(
        scan.names,
        scan.depth + 1,
        |node: &Node<'_>, hidden: Hidden| {
            if let Node::Text(piece) = node {
                let parts = hidden.ranges(&piece.text);
                found.extend(parts.iter().map(|part| piece.place_of(part)));
            }
        },
    );
    judge.judge(node, context, &[]);
}
