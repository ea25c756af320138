//! Small models: features of texts and fields, linear classifiers with calibrated confidence, and the bytes of a model.
//!
//! Rows in, a model out; the same rows and seed give the same bytes. Knows nothing of files, clocks or Kafka.
