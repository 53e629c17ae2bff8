//! What is known of objects.
