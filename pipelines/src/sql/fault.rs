//! A mistake in a job file, while it is not yet known whose file it is.

use datafusion::error::DataFusionError;
use datafusion::sql::sqlparser::parser::ParserError;
use datafusion::sql::sqlparser::tokenizer::Location;

use crate::error::SqlError;

/// What is wrong, where, and what to write instead.
#[derive(Debug, Clone)]
pub(crate) struct Fault {
    at: Location,
    message: String,
    hint: Option<String>,
}

impl Fault {
    pub(crate) fn new(at: Location, message: impl Into<String>) -> Fault {
        Fault { at, message: message.into(), hint: None }
    }

    /// A fault that has no place in the SQL text.
    pub(crate) fn nowhere(message: impl Into<String>) -> Fault {
        Fault::new(Location { line: 0, column: 0 }, message)
    }

    pub(crate) fn hint(self, hint: impl Into<String>) -> Fault {
        Fault { hint: Some(hint.into()), ..self }
    }

    pub(crate) fn of_job(self, job: &str) -> SqlError {
        SqlError { job: job.to_owned(), line: self.at.line, column: self.at.column, message: self.message, hint: self.hint }
    }

    /// The parser's error; it carries its place at the end of its text.
    pub(crate) fn parser(error: ParserError) -> Fault {
        let text = match error {
            ParserError::TokenizerError(text) | ParserError::ParserError(text) => text,
            ParserError::RecursionLimitExceeded => "the query is nested too deeply".to_owned(),
        };
        let Some((message, place)) = text.rsplit_once(" at Line: ") else { return Fault::nowhere(text) };
        match place.split_once(", Column: ").map(|(line, column)| (line.parse(), column.parse())) {
            Some((Ok(line), Ok(column))) => Fault::new(Location { line, column }, message),
            _ => Fault::nowhere(text),
        }
    }

    /// The planner's error, at its own place where it knows one and at `at` otherwise.
    pub(crate) fn planner(at: Location, error: &DataFusionError) -> Fault {
        let place = error.diagnostic().and_then(|diagnostic| diagnostic.span);
        let at = place.map_or(at, |span| Location { line: span.start.line, column: span.start.column });
        let text = error.strip_backtrace();
        let text = text.strip_prefix("Error during planning: ").or(text.strip_prefix("Schema error: ")).unwrap_or(&text);
        // DataFusion puts its advice behind the complaint.
        let advice = ["Did you mean", "Valid fields are"].iter().filter_map(|advice| text.find(advice)).min();
        match advice.map(|place| text.split_at(place)) {
            Some((message, hint)) => Fault::new(at, message.trim_end()).hint(hint.replace('\n', " ")),
            None => Fault::new(at, text.trim_end()),
        }
    }
}
