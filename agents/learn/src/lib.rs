//! Small models: features of texts and fields, linear classifiers with calibrated confidence, and the bytes of a model.
//!
//! Rows in, a model out; the same rows, options and seed give the same bytes. Knows nothing of files, clocks or Kafka.
//!
//! [`train`] reads [`Example`]s and gives a [`Model`] with a [`Report`] on rows that were held out. [`Model::predict`]
//! ranks the labels for an [`Input`] and says whether the first may be acted upon, or a person should look.
//! [`metrics`] judges answers, [`drift`] compares what a model sees today with what it was trained on.
//!
//! ```
//! use learn::{Example, Input, Model, Options, Scratch, train};
//!
//! let texts = ["路灯不亮", "路灯坏了", "井盖丢失", "井盖破损"];
//! let rows: Vec<[&str; 1]> = texts.iter().map(|text| [*text]).collect();
//! let examples: Vec<Example> = rows.iter().zip(["light", "light", "cover", "cover"])
//!     .map(|(texts, label)| Example { input: Input { texts, fields: &[], time_us: None }, label }).collect();
//! let (model, _) = train(&examples, &Options::default(), &mut |_| {}).unwrap();
//!
//! let model = Model::from_bytes(&model.to_bytes()).unwrap();
//! let mut scratch = Scratch::default();
//! let answer = model.predict(&Input { texts: &["门口的路灯"], fields: &[], time_us: None }, &mut scratch);
//! assert_eq!(answer.ranked[0].0, "light");
//! ```

mod bytes;
mod calibrate;
mod dice;
pub mod deadlines;
pub mod drift;
mod error;
mod features;
mod index;
pub mod limits;
pub mod metrics;
mod model;
pub mod route;
pub mod route_memory;
pub mod route_risk;
mod solver;
mod train;

pub use error::{BytesError, TrainError};
pub use model::{Card, Model, Prediction, Reason, Scratch};
pub use train::{Options, Progress, Report, Stage, train};

/// What is known of one row when its label is asked for.
#[derive(Debug, Clone, Copy, Default)]
pub struct Input<'a> {
    /// Its texts: of several, the first is the title.
    pub texts: &'a [&'a str],
    /// Its other columns: name and value; an empty value is none.
    pub fields: &'a [(&'a str, &'a str)],
    /// Its local time, µs since 1970-01-01 00:00 of the wall clock, for hour, weekday and month.
    pub time_us: Option<i64>,
}

/// A row with its label.
#[derive(Debug, Clone, Copy)]
pub struct Example<'a> {
    /// What is known.
    pub input: Input<'a>,
    /// What is right.
    pub label: &'a str,
}
