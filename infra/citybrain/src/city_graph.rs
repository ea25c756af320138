//! The graph in which jobs look things up, and whose packs say which jobs there are.

use std::sync::{Arc, Mutex, OnceLock};

use anyhow::{Context, Result, bail};
use arrow::array::RecordBatch;
use brain::GraphChange;
use bus::{Bus, Filter, Tap, TapReader};
use graph::{Graph, View};
use schemas::topics;
use serde_json::Value;
use tokio::sync::watch;
use tracing::warn;

use crate::city_files::CityFiles;
use crate::home::{Home, Running};
use crate::parts::asked_to_stop;
use crate::rows::Rows;
use crate::scan::scan;
use crate::sequencer::SequencerHandle;
use crate::status;

/// Where the graph is. Cheap to clone.
#[derive(Clone)]
pub enum CityGraph {
    /// In the brain of this process, as it is now.
    Live(SequencerHandle),
    /// As a brain in another process tells it on `city.graph`.
    Told(Arc<Mutex<Graph>>),
    /// In a brain that runs elsewhere and answers over HTTP.
    Asked(Running),
    /// In the files of a home, read when it is needed first.
    Files(Home, Arc<OnceLock<Graph>>),
}

impl CityGraph {
    /// The graph of the brain that runs on a home; that of the files, when none does.
    pub fn of(home: &Home) -> CityGraph {
        let running = home.running().filter(|running| running.http.is_some());
        match running.filter(|running| ask(running, "/v1/graph").is_ok_and(|(code, _)| code == 200)) {
            Some(running) => CityGraph::Asked(running),
            None => CityGraph::files(home),
        }
    }

    /// The graph of a home's files.
    pub fn files(home: &Home) -> CityGraph {
        CityGraph::Files(home.clone(), Arc::default())
    }

    /// Its version: with an equal one, nothing has changed.
    ///
    /// # Errors
    /// When the brain does not answer, or the files are wrong.
    pub fn version(&self) -> Result<String> {
        match self {
            CityGraph::Live(sequencer) => Ok(sequencer.core.lock().expect("the core is never poisoned").brain().graph().version()),
            CityGraph::Told(graph) => Ok(graph.lock().expect("the graph is never poisoned").version()),
            CityGraph::Asked(running) => Ok(ask(running, "/v1/graph")?.1["version"].as_str().unwrap_or_default().to_owned()),
            CityGraph::Files(home, read) => Ok(of_files(home, read)?.version()),
        }
    }

    /// The graph itself, when its version is another one than `known`; never that of a brain which runs elsewhere.
    pub fn unless(&self, known: &str) -> Option<Graph> {
        let changed = |graph: &Graph| (graph.version() != known).then(|| graph.clone());
        match self {
            CityGraph::Live(sequencer) => changed(sequencer.core.lock().expect("the core is never poisoned").brain().graph()),
            CityGraph::Told(graph) => changed(&graph.lock().expect("the graph is never poisoned")),
            CityGraph::Asked(_) => None,
            CityGraph::Files(home, read) => of_files(home, read).ok().and_then(changed),
        }
    }

    /// The packs that are installed.
    ///
    /// # Errors
    /// When the brain does not answer, or the files are wrong.
    pub fn packs(&self) -> Result<Vec<String>> {
        let names = |graph: &Graph| graph.packs().into_keys().map(str::to_owned).collect();
        match self {
            CityGraph::Live(sequencer) => Ok(names(sequencer.core.lock().expect("the core is never poisoned").brain().graph())),
            CityGraph::Told(graph) => Ok(names(&graph.lock().expect("the graph is never poisoned"))),
            CityGraph::Asked(running) => Ok(ask(running, "/v1/graph")?.1["packs"].as_object().map(|packs| packs.keys().cloned().collect()).unwrap_or_default()),
            CityGraph::Files(home, read) => Ok(names(of_files(home, read)?)),
        }
    }

    /// One of its tables as CSV.
    ///
    /// # Errors
    /// When it has none of that name, the brain does not answer, or the files are wrong.
    pub fn table(&self, name: &str) -> Result<String> {
        let view = match self {
            CityGraph::Live(sequencer) => sequencer.core.lock().expect("the core is never poisoned").brain().graph().view(name),
            CityGraph::Told(graph) => graph.lock().expect("the graph is never poisoned").view(name),
            CityGraph::Asked(running) => match ask(running, &format!("/v1/graph/{name}"))? {
                (200, told) => Some(serde_json::from_value::<View>(told).context("the running brain speaks of the graph in another way: it is another version of citybrain")?),
                _ => None,
            },
            CityGraph::Files(home, read) => of_files(home, read)?.view(name),
        };
        let Some(view) = view else { bail!("the graph has no view of that name: its views are {}", graph::VIEWS.join(", ")) };
        Ok(view.to_csv())
    }
}

/// The graph as `city.graph` tells it now, and a reader of what comes after.
///
/// # Errors
/// When the log cannot be read.
pub async fn told(bus: &Bus, tap: &Tap) -> Result<(Arc<Mutex<Graph>>, TapReader)> {
    let filter = Filter::topics([topics::GRAPH]);
    let reader = tap.reader("graph", filter.clone(), bus.ends(&filter).await?)?;
    let mut graph = Graph::new();
    let read = scan(bus, topics::GRAPH, 0, |chunk| take(&mut graph, &chunk.rows).map(|()| true));
    read.await.with_context(|| format!("could not read {}", topics::GRAPH))?;
    Ok((Arc::new(Mutex::new(graph)), reader))
}

/// Keeps it up to date until `stop` says so.
pub async fn follow(graph: Arc<Mutex<Graph>>, mut reader: TapReader, mut stop: watch::Receiver<bool>) -> Result<()> {
    loop {
        tokio::select! {
            () = asked_to_stop(&mut stop) => return Ok(()),
            chunk = reader.recv() => {
                let Some(chunk) = chunk else { return Ok(()) };
                take(&mut graph.lock().expect("the graph is never poisoned"), &chunk.rows)?;
            }
        }
    }
}

/// Does what is told; what was read before is done already.
fn take(graph: &mut Graph, rows: &RecordBatch) -> Result<()> {
    for data in Rows::of(rows)?.iter().filter_map(|row| row.data) {
        let change = serde_json::from_str(data).map_err(|error| error.to_string()).and_then(|told: GraphChange| told.change());
        if let Err(error) = change.and_then(|change| graph.apply(change).map_err(|error| error.to_string())) {
            warn!(error, "a change of the graph was passed over");
        }
    }
    Ok(())
}

fn of_files<'a>(home: &Home, read: &'a OnceLock<Graph>) -> Result<&'a Graph> {
    if let Some(graph) = read.get() {
        return Ok(graph);
    }
    let graph = CityFiles::of(home)?.graph(&Graph::new())?;
    Ok(read.get_or_init(|| graph))
}

/// Asks from code that is not async, wherever it runs.
fn ask(running: &Running, path: &str) -> Result<(u16, Value)> {
    let (running, path) = (running.clone(), path.to_owned());
    let asked = move || -> Result<(u16, Value)> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(status::ask(&running, "GET", &path, ""))
    };
    std::thread::spawn(asked).join().map_err(|_| anyhow::anyhow!("asking the running brain panicked"))?
}
