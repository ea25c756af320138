//! The queries, as they stand in `pipelines/nexmark/`: the streaming job, what it gives over all events at once, and what
//! Flink does.

/// One query.
#[derive(Debug, Clone, Copy)]
pub struct Query {
    /// Its name, which is also that of its table or the end of that of its topic.
    pub name: &'static str,
    /// The job.
    pub job: &'static str,
    /// The same result in one batch, over the tables `persons`, `auctions` and `bids`.
    pub batch: &'static str,
    /// What is compared when not the whole result is, as SQL over its table.
    pub compared: Option<&'static str>,
    /// Events for each second and core of Flink, as published; from a generator in the process into nothing.
    pub flink: Option<f64>,
}

macro_rules! query {
    ($name:literal, $flink:expr) => {
        query!($name, $flink, None)
    };
    ($name:literal, $flink:expr, $compared:expr) => {
        Query {
            name: $name,
            job: include_str!(concat!("../../../../../pipelines/nexmark/", $name, ".sql")),
            batch: include_str!(concat!("../../../../../pipelines/nexmark/", $name, ".batch.sql")),
            compared: $compared,
            flink: $flink,
        }
    };
}

/// The lookup file of q13, which lies beside the job.
pub const SIDE_INPUT: (&str, &str) = ("side_input.csv", include_str!("../../../../../pipelines/nexmark/side_input.csv"));

/// All of them.
pub const QUERIES: [Query; 20] = [
    query!("q0", None),
    query!("q1", Some(158e3)),
    query!("q2", Some(175e3)),
    query!("q3", Some(152e3)),
    query!("q4", None),
    query!("q5", Some(22e3)),
    query!("q7", Some(12.3e3)),
    query!("q8", Some(146e3)),
    query!("q11", None),
    // In which window a bid is depends on the clock; how many somebody made does not.
    query!("q12", None, Some("SELECT bidder, sum(bids) AS bids FROM nexmark.q12 GROUP BY bidder")),
    query!("q13", None),
    query!("q14", None),
    query!("q15", None),
    query!("q16", None),
    query!("q17", None),
    query!("q18", None),
    query!("q19", None),
    query!("q20", None),
    query!("q21", None),
    query!("q22", None),
];
