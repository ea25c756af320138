//! Hot issues: messages of one matter grouped as they come (一事多诉), one caller's many counted apart (一人多诉).
//!
//! One message in, memberships and raised issues out; memory is bounded. Knows nothing of files, clocks or Kafka.
