//! The graph in which jobs look things up, and whose packs say which jobs there are.

use std::sync::{Arc, OnceLock};

use anyhow::{Context, Result, bail};
use graph::{Graph, View};
use serde_json::Value;

use crate::city_files::CityFiles;
use crate::home::{Home, Running};
use crate::sequencer::SequencerHandle;
use crate::status;

/// Where the graph is. Cheap to clone.
#[derive(Clone)]
pub enum CityGraph {
    /// In the brain of this process, as it is now.
    Live(SequencerHandle),
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
            CityGraph::Asked(running) => Ok(ask(running, "/v1/graph")?.1["version"].as_str().unwrap_or_default().to_owned()),
            CityGraph::Files(home, read) => Ok(of_files(home, read)?.version()),
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
