//! Kinds whose operators are not here.
