//! Joining lists.
