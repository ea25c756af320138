//! Asks language models: typed tasks in, checked answers out, with queue, limits, cancellation and failover between.
//!
//! `task`, `grammar` and `answer` are plain functions of their arguments. `local` and `remote` are the two ways to a model:
//! an engine in a process of its own, and endpoints that speak OpenAI's protocol. The crate knows nothing of llama.cpp
//! (only the engine does), of the log, of the graph or of what an answer is good for.

pub mod answer;
pub mod backend;
pub mod elect;
pub mod entry;
pub mod grammar;
pub mod limits;
pub mod local;
pub mod metrics;
pub mod queue;
pub mod registry;
pub mod remote;
pub mod task;
pub mod wire;

pub use answer::{Answer, AnswerError, Choice, Extracted, Span};
pub use backend::{AskError, Backend, Card, Priority, Reply, Request};
pub use elect::Asker;
pub use local::{LocalConfig, LocalPool};
pub use remote::{RemoteConfig, RemotePool};
pub use task::{Message, Task, TaskError};
