//! A home with ports of its own, and the program that works on it.

use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use super::input::{self, OrderFile};

/// A home and the program.
#[derive(Clone, Debug)]
pub struct Brain {
    binary: PathBuf,
    /// Folder of the home, its configuration and what the program said.
    pub dir: PathBuf,
    config: PathBuf,
    mapping: PathBuf,
    /// Where its HTTP door listens.
    pub http: SocketAddr,
}

/// A started program. It is killed when it is dropped.
pub struct Started {
    child: Child,
    log: PathBuf,
    what: String,
}

impl Brain {
    /// A new home in a folder that does not exist yet.
    pub fn create(binary: &Path, dir: &Path) -> Result<Brain, String> {
        std::fs::create_dir_all(dir).map_err(|error| format!("could not create {}: {error}", dir.display()))?;
        let (http, kafka) = (free_port()?, free_port()?);
        let config = dir.join("citybrain.toml");
        std::fs::write(&config, format!("http_listen = \"{http}\"\nkafka_listen = \"{kafka}\"\n"))
            .map_err(|error| format!("could not write {}: {error}", config.display()))?;
        let mapping = input::write_mapping(dir)?;
        Ok(Brain { binary: binary.to_owned(), dir: dir.to_owned(), config, mapping, http })
    }

    /// Starts an import.
    pub fn start_import(&self, file: &OrderFile) -> Result<Started, String> {
        let (mapping, path) = (self.mapping.display().to_string(), file.path.display().to_string());
        self.start(&["import", "--mapping", &mapping, &path, "--json"])
    }

    /// Starts the service.
    pub fn start_service(&self) -> Result<Started, String> {
        self.start(&["run"])
    }

    /// Imports a file, undisturbed.
    pub fn import(&self, file: &OrderFile) -> Result<(), String> {
        self.start_import(file)?.finish()
    }

    fn start(&self, args: &[&str]) -> Result<Started, String> {
        let log = self.dir.join(format!("{}.log", args[0]));
        let to = File::create(&log).map_err(|error| format!("could not write {}: {error}", log.display()))?;
        let child = self
            .command(args)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(to)
            .spawn()
            .map_err(|error| format!("could not start {}: {error}", self.binary.display()))?;
        Ok(Started { child, log, what: args.join(" ") })
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command.arg("--home").arg(self.dir.join("home")).arg("--config").arg(&self.config).args(args);
        command
    }

    /// The rows that a query gives.
    pub fn sql(&self, query: &str) -> Result<Vec<Value>, String> {
        let answer = self.ask(&["sql", query, "--format", "json"])?;
        let rows = answer.lines().filter(|line| !line.trim().is_empty());
        rows.map(|line| serde_json::from_str(line).map_err(|error| format!("{query}: a row is no JSON ({error}): {line}"))).collect()
    }

    /// The one number that a query gives.
    pub fn count(&self, query: &str) -> Result<i64, String> {
        let rows = self.sql(query)?;
        let number = rows.first().and_then(Value::as_object).and_then(|row| row.values().next()).and_then(Value::as_i64);
        number.ok_or_else(|| format!("{query}: gives no number but {rows:?}"))
    }

    /// The report of a replay of everything.
    pub fn replay(&self) -> Result<Value, String> {
        let output = self.command(&["replay", "--json"]).output().map_err(|error| format!("could not start a replay: {error}"))?;
        let (said, log) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        serde_json::from_str(&said).map_err(|_| format!("replay gave no report: {said}{log}"))
    }

    fn ask(&self, args: &[&str]) -> Result<String, String> {
        let output = self.command(args).output().map_err(|error| format!("could not start {}: {error}", self.binary.display()))?;
        if !output.status.success() {
            return Err(format!("{} ended with {}: {}", args.join(" "), output.status, String::from_utf8_lossy(&output.stderr)));
        }
        String::from_utf8(output.stdout).map_err(|error| format!("{} gave no UTF-8: {error}", args.join(" ")))
    }
}

impl Started {
    /// Whether it has ended by itself.
    pub fn ended(&mut self) -> Result<bool, String> {
        Ok(self.child.try_wait().map_err(|error| format!("could not wait for {}: {error}", self.what))?.is_some())
    }

    /// Kills it at once, as `kill -9` does. False when it had ended by itself.
    pub fn kill(&mut self) -> Result<bool, String> {
        let alive = !self.ended()?;
        let _ = self.child.kill();
        let _ = self.child.wait();
        Ok(alive)
    }

    /// Waits for its end, which must be a good one.
    pub fn finish(&mut self) -> Result<(), String> {
        let status = self.child.wait().map_err(|error| format!("could not wait for {}: {error}", self.what))?;
        if status.success() {
            return Ok(());
        }
        let said = std::fs::read_to_string(&self.log).unwrap_or_default();
        let from = said.char_indices().rev().nth(3_000).map_or(0, |(at, _)| at);
        Err(format!("{} ended with {status}: {}", self.what, &said[from..]))
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

fn free_port() -> Result<SocketAddr, String> {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).map_err(|error| format!("no free port: {error}"))
}
