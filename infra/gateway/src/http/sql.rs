//! `POST /v1/sql`: a query in, JSON, JSON lines or an Arrow stream out; rows and time are limited.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::ipc::writer::StreamWriter;
use arrow::json::writer::{LineDelimited, WriterBuilder};
use axum::body::{Body, Bytes};
use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::trail::{Caller, Noted, without_literals};
use super::{Gateway, Problem};
use crate::limits::{SQL_BYTES_MAX, SQL_ROWS_DEFAULT, SQL_ROWS_MAX, SQL_TIME_MAX};
use crate::people::Permission;
use crate::view::{SqlAnswer, SqlRequest, ViewError};

/// Bytes of one JSON answer; an Arrow stream or JSON lines are for more.
const JSON_BYTES_MAX: usize = 64 * 1024 * 1024;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    query: String,
    as_of: Option<Value>,
    limit: Option<usize>,
}

#[derive(Clone, Copy)]
enum Form {
    Json,
    Lines,
    Arrow,
}

pub(super) async fn sql(State(gateway): State<Arc<Gateway>>, Extension(caller): Extension<Caller>, headers: HeaderMap, body: Bytes) -> Result<Response, Problem> {
    let question = question(&headers, &body)?;
    let masked = !caller.actor.may(Permission::Personal);
    let mut noted = Noted::default();
    noted.details.insert("query".to_owned(), without_literals(&question.query));
    noted.details.insert("masked".to_owned(), masked.to_string());
    match answer(&gateway, &headers, question, masked).await {
        Ok(response) => Ok(noted.on(response)),
        Err(problem) => Err(problem.noting(noted)),
    }
}

async fn answer(gateway: &Gateway, headers: &HeaderMap, question: Question, masked: bool) -> Result<Response, Problem> {
    let limit = question.limit.unwrap_or(SQL_ROWS_DEFAULT).min(SQL_ROWS_MAX);
    let as_of = question.as_of.map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned));
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let form = match accept {
        _ if accept.contains("arrow") => Form::Arrow,
        _ if accept.contains("ndjson") || accept.contains("jsonl") => Form::Lines,
        _ => Form::Json,
    };
    let deadline = Instant::now() + SQL_TIME_MAX;
    let asked = gateway.view.sql(SqlRequest { query: question.query, as_of, masked });
    let answer = tokio::time::timeout_at(deadline, asked).await.unwrap_or(Err(ViewError::Timeout))?;
    let SqlAnswer { schema, batches } = answer;
    let rows = Rows { batches, left: limit, deadline };
    match form {
        Form::Json => json_answer(&schema, rows, limit).await,
        Form::Lines => Ok(streamed("application/x-ndjson", None, rows, |batch| json_lines(batch))),
        Form::Arrow => arrow_answer(&schema, rows),
    }
}

fn question(headers: &HeaderMap, body: &Bytes) -> Result<Question, Problem> {
    if body.len() > SQL_BYTES_MAX {
        return Err(Problem::too_large(SQL_BYTES_MAX as u64));
    }
    let text = crate::encoding::utf8(body)
        .map_err(|wrong| Problem::bad_request(format!("the query {}", wrong.en()), format!("查询{}", wrong.zh())))?;
    let media = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if media.starts_with("application/json") {
        return serde_json::from_str(text).map_err(|error| {
            Problem::bad_request(
                format!("the body is not {{\"query\": \"...\", \"as_of\": ..., \"limit\": ...}}: {error}"),
                format!("正文应为 {{\"query\": \"...\", \"as_of\": ..., \"limit\": ...}}：{error}"),
            )
        });
    }
    Ok(Question { query: text.to_owned(), as_of: None, limit: None })
}

/// The rows of an answer, up to the limits.
struct Rows {
    batches: BoxStream<'static, Result<RecordBatch, ViewError>>,
    left: usize,
    deadline: Instant,
}

impl Rows {
    async fn next(&mut self) -> Option<Result<RecordBatch, ViewError>> {
        if self.left == 0 {
            return None;
        }
        match tokio::time::timeout_at(self.deadline, self.batches.next()).await {
            Err(_) => Some(Err(ViewError::Timeout)),
            Ok(Some(Ok(batch))) => {
                let batch = batch.slice(0, batch.num_rows().min(self.left));
                self.left -= batch.num_rows();
                Some(Ok(batch))
            }
            Ok(other) => other,
        }
    }

    /// Whether rows are left that the limit kept back.
    async fn more(&mut self) -> bool {
        let rest = tokio::time::timeout(Duration::from_millis(200), self.batches.next()).await;
        matches!(rest, Ok(Some(Ok(batch))) if batch.num_rows() > 0)
    }
}

async fn json_answer(schema: &SchemaRef, mut rows: Rows, limit: usize) -> Result<Response, Problem> {
    let columns: Vec<Value> = schema
        .fields()
        .iter()
        .map(|field| json!({ "name": field.name(), "type": field.data_type().to_string() }))
        .collect();
    let mut body = format!("{{\"columns\":{},\"rows\":[", Value::Array(columns)).into_bytes();
    let mut count = 0;
    while let Some(batch) = rows.next().await {
        let batch = batch?;
        let lines = json_lines(&batch)?;
        for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            if count > 0 {
                body.push(b',');
            }
            body.extend_from_slice(line);
            count += 1;
        }
        if body.len() > JSON_BYTES_MAX {
            return Err(Problem::bad_request(
                "the answer is too large for JSON; ask for fewer columns or rows, or with Accept: application/vnd.apache.arrow.stream",
                "结果过大；请减少列或行，或使用 Accept: application/vnd.apache.arrow.stream",
            ));
        }
    }
    let truncated = count >= limit && rows.more().await;
    body.extend_from_slice(format!("],\"row_count\":{count},\"truncated\":{truncated}}}").as_bytes());
    Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response())
}

fn arrow_answer(schema: &SchemaRef, rows: Rows) -> Result<Response, Problem> {
    let failed = |error: arrow::error::ArrowError| Problem::from(ViewError::Failed(error.to_string()));
    let mut writer = StreamWriter::try_new(Vec::new(), schema).map_err(failed)?;
    let head = std::mem::take(writer.get_mut());
    Ok(streamed("application/vnd.apache.arrow.stream", Some(head), rows, move |batch| {
        writer.write(batch).map_err(|error| ViewError::Failed(error.to_string()))?;
        Ok(std::mem::take(writer.get_mut()))
    }))
}

/// A body that is written while the rows come. An error cuts the connection, so that half an answer is not taken for one.
fn streamed(
    content_type: &'static str,
    head: Option<Vec<u8>>,
    rows: Rows,
    write: impl FnMut(&RecordBatch) -> Result<Vec<u8>, ViewError> + Send + 'static,
) -> Response {
    let head = stream::iter(head.map(Ok::<_, ViewError>));
    let body = stream::unfold((rows, write), |(mut rows, mut write)| async move {
        let written = match rows.next().await? {
            Ok(batch) => write(&batch),
            Err(error) => Err(error),
        };
        if let Err(error) = &written {
            tracing::warn!(%error, "an SQL answer was cut off");
            rows.left = 0;
        }
        Some((written, (rows, write)))
    });
    ([(header::CONTENT_TYPE, content_type)], Body::from_stream(head.chain(body))).into_response()
}

pub(super) fn json_lines(batch: &RecordBatch) -> Result<Vec<u8>, ViewError> {
    let mut writer = WriterBuilder::new().with_explicit_nulls(true).build::<_, LineDelimited>(Vec::new());
    writer.write(batch).and_then(|()| writer.finish()).map_err(|error| ViewError::Failed(error.to_string()))?;
    Ok(writer.into_inner())
}
