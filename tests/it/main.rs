//! Tests that need no cluster: pure ones across stages, and scripted servers for faults a real one does not show.
