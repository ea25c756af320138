//! Group commit: one writer of a table for all jobs of the process.
//!
//! What the jobs hand over while one commit is under way gathers, and goes into the next one. A commit of a few rows costs
//! what one of many does, so that many jobs cost hardly more than one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use arrow::array::RecordBatch;
use lakehouse::{Lake, LakeError, TableName, Txn};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};
use tracing::warn;

/// Pieces on their way to the writer; whoever comes later waits.
const QUEUE_MAX: usize = 1_024;
/// Pieces that nobody waits for and that make a commit before its time.
const TOGETHER: usize = 256;
/// Pieces that nobody waits for which are kept while the table refuses them; the oldest go first.
const KEPT_MAX: usize = 16_384;

/// The writer of one table. Cheap to clone; it ends with its last clone.
#[derive(Clone)]
pub struct GroupWriter {
    table: TableName,
    pieces: mpsc::Sender<Piece>,
}

/// What a job hands over.
struct Piece {
    /// The rows, and the position of the job that moves with them; nothing when somebody only waits for what came before.
    part: Option<(RecordBatch, Txn)>,
    /// Who waits for it.
    done: Option<oneshot::Sender<Result<(), Arc<LakeError>>>>,
}

impl GroupWriter {
    /// Starts the writer. What nobody waits for is in the table after `within` at the latest.
    pub fn start(lake: Lake, table: TableName, within: Duration) -> GroupWriter {
        let (pieces, queue) = mpsc::channel(QUEUE_MAX);
        tokio::spawn(write(lake, table.clone(), within, queue));
        GroupWriter { table, pieces }
    }

    /// Hands rows over and waits until they are in the table. Rows at a position that the table has already are passed over.
    ///
    /// # Errors
    /// When the commit was refused: none of its rows are in the table then, and the same call may be made again.
    pub async fn append(&self, rows: RecordBatch, txn: Txn) -> Result<()> {
        self.wait_for(Some((rows, txn))).await
    }

    /// Hands rows over and does not wait for them. A crash may lose them.
    ///
    /// # Errors
    /// When the writer has ended.
    pub async fn leave(&self, rows: RecordBatch, txn: Txn) -> Result<()> {
        self.send(Piece { part: Some((rows, txn)), done: None }).await
    }

    /// Waits until everything that was handed over before is in the table.
    ///
    /// # Errors
    /// When the commit was refused.
    pub async fn flush(&self) -> Result<()> {
        self.wait_for(None).await
    }

    async fn wait_for(&self, part: Option<(RecordBatch, Txn)>) -> Result<()> {
        let (done, told) = oneshot::channel();
        self.send(Piece { part, done: Some(done) }).await?;
        let told = told.await.map_err(|_| self.ended())?;
        told.with_context(|| format!("could not commit to {}", self.table))
    }

    async fn send(&self, piece: Piece) -> Result<()> {
        self.pieces.send(piece).await.map_err(|_| self.ended())
    }

    fn ended(&self) -> anyhow::Error {
        anyhow!("the writer of {} has ended", self.table)
    }
}

/// Commits what comes until nobody can hand anything over any more.
async fn write(lake: Lake, table: TableName, within: Duration, mut queue: mpsc::Receiver<Piece>) {
    let mut waiting = Vec::new();
    loop {
        let goes_on = gather(&mut queue, &mut waiting, within).await;
        let committed = commit(&lake, &table, &waiting).await.map_err(Arc::new);
        if let Err(error) = &committed {
            warn!(%table, %error, pieces = waiting.len(), "could not commit what jobs handed over");
        }
        let (told, left): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|piece| piece.done.is_some());
        // Whoever waits is told and comes again. What nobody waits for is tried again here, when the next comes.
        waiting = if committed.is_ok() { Vec::new() } else { left };
        waiting.drain(..waiting.len().saturating_sub(KEPT_MAX));
        for done in told.into_iter().filter_map(|piece| piece.done) {
            // Nobody waits any more when the job was stopped meanwhile.
            let _ = done.send(committed.clone());
        }
        if !goes_on {
            return;
        }
    }
}

/// Takes in the next pieces, at least one. Answers whether more may come.
async fn gather(queue: &mut mpsc::Receiver<Piece>, waiting: &mut Vec<Piece>, within: Duration) -> bool {
    let deadline = Instant::now() + within;
    let (mut fresh, mut urgent) = (0, false);
    while !urgent && fresh < TOGETHER {
        let next = match fresh {
            0 => Ok(queue.recv().await),
            _ => timeout_at(deadline, queue.recv()).await,
        };
        match next {
            Ok(Some(piece)) => {
                fresh += 1;
                urgent = piece.done.is_some();
                waiting.push(piece);
            }
            Ok(None) => return false,
            Err(_) => break,
        }
    }
    waiting.extend(std::iter::from_fn(|| queue.try_recv().ok()));
    true
}

/// Commits the pieces together, less what the table has already.
///
/// The table swallows a commit only when none of its positions is news. A piece that is repeated is left out here, or
/// the news of another job would bring its rows in a second time.
async fn commit(lake: &Lake, table: &TableName, pieces: &[Piece]) -> Result<(), LakeError> {
    let (mut rows, mut reached) = (Vec::new(), BTreeMap::new());
    for (batch, txn) in pieces.iter().filter_map(|piece| piece.part.as_ref()) {
        let there = match reached.get(&txn.app_id) {
            Some(version) => Some(*version),
            None => lake.position(table, &txn.app_id).await?,
        };
        if there.is_none_or(|there| txn.version > there) {
            rows.push(batch.clone());
            reached.insert(txn.app_id.clone(), txn.version);
        }
    }
    if !rows.is_empty() {
        let txns: Vec<_> = reached.into_iter().map(|(app_id, version)| Txn { app_id, version }).collect();
        lake.append(table, rows, &txns).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, Int64Array, StringArray};
    use futures::future::{join_all, try_join_all};

    use super::*;

    struct World {
        lake: Lake,
        table: TableName,
        writer: GroupWriter,
        _dir: tempfile::TempDir,
    }

    impl World {
        async fn new(within: Duration) -> World {
            let dir = tempfile::tempdir().unwrap();
            let lake = Lake::open(dir.path()).await.unwrap();
            let table = TableName::new("ops", "late");
            lake.create(&table, rows("", &[]).schema()).await.unwrap();
            World { writer: GroupWriter::start(lake.clone(), table.clone(), within), lake, table, _dir: dir }
        }

        async fn rows(&self) -> Vec<String> {
            let found = crate::lake::rows(&self.lake, "SELECT job || ' ' || n AS line FROM ops.late ORDER BY job, n").await.unwrap();
            found.iter().map(|row| row["line"].as_str().unwrap().to_owned()).collect()
        }

        fn commits(&self) -> usize {
            let log = std::fs::read_dir(self.lake.path(&self.table).join("_delta_log")).unwrap();
            log.filter(|entry| entry.as_ref().unwrap().path().extension().is_some_and(|end| end == "json")).count()
        }
    }

    fn rows(job: &str, numbers: &[i64]) -> RecordBatch {
        let jobs: ArrayRef = Arc::new(StringArray::from_iter_values(numbers.iter().map(|_| job)));
        let numbers: ArrayRef = Arc::new(Int64Array::from(numbers.to_vec()));
        RecordBatch::try_from_iter_with_nullable([("job", jobs, true), ("n", numbers, true)]).unwrap()
    }

    fn txn(job: &str, version: i64) -> Txn {
        Txn { app_id: format!("job/{job}"), version }
    }

    fn piece(job: &str, version: i64) -> Piece {
        Piece { part: Some((rows(job, &[version]), txn(job, version))), done: None }
    }

    #[tokio::test]
    async fn a_repeated_piece_beside_a_new_one_stands_once() {
        let world = World::new(Duration::ZERO).await;
        world.writer.append(rows("a", &[1]), txn("a", 1)).await.unwrap();
        // Job a offers its epoch again after a crash, job b brings a new one, and both go into one commit.
        let group = [piece("a", 1), piece("b", 1), piece("b", 1), piece("a", 2)];
        commit(&world.lake, &world.table, &group).await.unwrap();
        assert_eq!(world.rows().await, ["a 1", "a 2", "b 1"]);
        let commits = world.commits();
        commit(&world.lake, &world.table, &group).await.unwrap();
        assert_eq!((world.rows().await.len(), world.commits()), (3, commits), "a group without news is no commit");
        let another = Lake::open(world.lake.root()).await.unwrap();
        assert_eq!(another.position(&world.table, "job/a").await.unwrap(), Some(2));
        assert_eq!(another.position(&world.table, "job/b").await.unwrap(), Some(1));
    }

    #[tokio::test]
    async fn what_gathers_while_a_commit_is_under_way_goes_into_one() {
        let world = World::new(Duration::ZERO).await;
        let names: Vec<String> = (10..42).map(|number| format!("job{number}")).collect();
        let before = world.commits();
        try_join_all(names.iter().map(|name| world.writer.append(rows(name, &[7]), txn(name, 1)))).await.unwrap();
        assert_eq!(world.rows().await, names.iter().map(|name| format!("{name} 7")).collect::<Vec<_>>());
        assert!(world.commits() - before < names.len() / 2, "{} commits", world.commits() - before);
    }

    #[tokio::test]
    async fn a_refused_commit_reaches_everybody_who_waits_and_loses_nothing() {
        let world = World::new(Duration::from_secs(3_600)).await;
        // A folder stands where the next commit goes.
        let next = world.lake.path(&world.table).join("_delta_log/00000000000000000001.json");
        std::fs::create_dir(&next).unwrap();
        world.writer.leave(rows("left", &[1]), txn("left", 1)).await.unwrap();
        let names = ["a", "b", "c"];
        let all = || join_all(names.map(|name| world.writer.append(rows(name, &[1, 2]), txn(name, 1))));
        for refused in all().await {
            let text = format!("{:#}", refused.unwrap_err());
            assert!(text.contains("could not commit to ops.late"), "{text}");
        }
        assert!(world.rows().await.is_empty());
        std::fs::remove_dir(&next).unwrap();
        assert!(all().await.iter().all(Result::is_ok));
        assert_eq!(world.rows().await, ["a 1", "a 2", "b 1", "b 2", "c 1", "c 2", "left 1"]);
    }

    #[tokio::test]
    async fn what_nobody_waits_for_is_there_after_a_flush() {
        let world = World::new(Duration::from_secs(3_600)).await;
        let before = world.commits();
        for number in 1..=40 {
            world.writer.leave(rows("a", &[number]), txn("a", number)).await.unwrap();
        }
        world.writer.flush().await.unwrap();
        assert_eq!((world.rows().await.len(), world.commits() - before), (40, 1));
    }
}
