//! Commands that change which jobs run: they write files, and the brain that runs on the home follows them.

use std::io::{BufRead, IsTerminal, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use pipelines::Job;

use super::catalog::{Catalog, Wish};
use super::manager::Report;
use super::{record, show};
use crate::cli::{Ended, Invocation, JobRunArgs};
use crate::home::{Home, Running, write_atomically};
use crate::lang::t;

/// How long a command waits for the brain to follow.
const FOLLOW_WITHIN: Duration = Duration::from_secs(60);
/// How often it looks.
const LOOK_EVERY: Duration = Duration::from_millis(300);

/// Reports about all jobs: of the brain that runs, else of the files.
///
/// # Errors
/// When the brain does not answer, or the folder cannot be read.
pub async fn reports(home: &Home) -> Result<Vec<Report>> {
    match home.running() {
        Some(running) if running.http.is_some() => ask(&running).await,
        Some(running) => {
            eprintln!("citybrain {}: {}", running.pid, t("没有 HTTP 入口，只能显示文件中的作业", "it has no HTTP door: what follows is from the files"));
            show::at_rest(home)
        }
        None => show::at_rest(home),
    }
}

/// Why a job cannot run beside the brain.
pub fn runs_in_the_brain(name: &str) -> String {
    format!("the brain that runs on this home has the job {name}: stop it there with `citybrain job stop {name}`")
}

async fn ask(running: &Running) -> Result<Vec<Report>> {
    let answer = crate::status::get(running, "/v1/jobs").await?;
    serde_json::from_value(answer["items"].clone()).context("the running brain speaks of jobs in another way: it is another version of citybrain")
}

/// The job of a file, or by its name.
///
/// # Errors
/// When there is neither, or it is wrong.
pub fn find(home: &Home, file: &Path) -> Result<Job> {
    if file.is_file() {
        return super::load(file, home.root());
    }
    let entries = Catalog::new(home).look()?;
    match file.to_str().and_then(|name| entries.get(name)) {
        Some(entry) => entry.job.clone().map_err(anyhow::Error::msg),
        None => bail!("there is neither a file nor a job {}; jobs are {}", file.display(), entries.into_keys().collect::<Vec<_>>().join(", ")),
    }
}

/// `job run FILE` while a brain runs on the home: the file becomes one of its jobs.
pub async fn deploy(context: &Invocation, home: &Home, running: &Running, job: &Job, args: &JobRunArgs) -> Result<Ended> {
    let name = job.name();
    let before = Catalog::new(home).look()?.remove(name);
    let known = reports(home).await?.into_iter().find(|report| report.name == name);
    let old = before.as_ref().and_then(|entry| entry.job.as_ref().ok());
    let drops = announce(old, known.as_ref(), job, args)?;
    if drops && !agreed(args.yes, t("丢弃打开的窗口？", "drop the open windows?"))? {
        bail!("{}", t("未做任何更改", "nothing was changed"));
    }
    install(home, job, before.as_ref().is_some_and(|entry| entry.from_file))?;
    if args.drop_state {
        Wish::DropState.make(home, name, &job.digest())?;
    }
    // Last, as it is what the brain looks for.
    write_atomically(&home.dir("jobs.d").join(format!("{name}.sql")), job.sql().as_bytes())?;
    Wish::Off.clear(home, name)?;
    let digest = job.digest();
    let verdict = follow(running, name, |report| {
        let report = report?;
        let taken = report.state == "running" && report.version.as_ref() == Some(&digest);
        let refused = report.asked.as_ref() == Some(&digest) && report.note.is_some();
        (taken || refused).then(|| report.clone())
    })
    .await?;
    finish(context, verdict)
}

/// Says what will happen to the state. Answers whether open windows will be dropped.
fn announce(old: Option<&Job>, known: Option<&Report>, job: &Job, args: &JobRunArgs) -> Result<bool> {
    let name = job.name();
    let Some(old) = old else {
        eprintln!("{name}: {}", t("新作业，从主题开头读起", "a new job; it begins where its topics begin"));
        return Ok(false);
    };
    let keeps = known.is_some_and(|report| report.figures.state_bytes > 0);
    let Some(what) = job.loses_state_of(old).filter(|_| keeps) else {
        eprintln!("{name}: {}", t("状态保留，从原位置继续", "its state is kept, and it goes on where it was"));
        return Ok(false);
    };
    if !args.drop_state {
        bail!(
            "{name}: {} ({what}). {}",
            t("状态无法保留", "its state cannot be kept"),
            t("旧版本继续运行；--drop-state 丢弃打开的窗口，从原位置继续", "The version before runs on; --drop-state drops the open windows and goes on from the same positions")
        );
    }
    eprintln!("{name}: {} ({what})", t("打开的窗口将被丢弃，从原位置继续", "its open windows will be dropped, and it goes on from the same positions"));
    Ok(true)
}

/// Copies the lookup files of a job to those of the home.
fn install(home: &Home, job: &Job, replaces: bool) -> Result<()> {
    let folder = home.dir("jobs.d");
    let others = Catalog::new(home).look()?;
    for (path, text) in job.lookup_files() {
        let plain = Path::new(path).components().all(|part| matches!(part, std::path::Component::Normal(_)));
        if !plain {
            bail!("{}: the lookup file {path} lies outside of the job's folder: put it beside the job's file", job.name());
        }
        let target = folder.join(path);
        let user = others.iter().find(|(name, other)| {
            let files = other.job.iter().filter(|_| other.from_file).flat_map(Job::lookup_files);
            **name != *job.name() && files.clone().any(|(file, there)| file == path && there != text)
        });
        if let Some((user, _)) = user {
            bail!("{}: job {user} has a lookup file {path} with another content: give this one another name", job.name());
        }
        if let Some(parent) = target.parent() {
            std::fs::create_dir_all(parent).with_context(|| format!("could not create {}", parent.display()))?;
        }
        let same = replaces && std::fs::read_to_string(&target).is_ok_and(|there| there == *text);
        if !same {
            write_atomically(&target, text.as_bytes())?;
        }
    }
    Ok(())
}

/// `job stop NAME` and `job start NAME`: hold across restarts.
pub async fn stand(context: &Invocation, name: &str, still: bool) -> Result<Ended> {
    let home = context.home()?;
    let job = Catalog::new(&home).look()?;
    if !job.contains_key(name) {
        bail!("there is no job {name}; jobs are {}", job.into_keys().collect::<Vec<_>>().join(", "));
    }
    match still {
        true => Wish::Off.make(&home, name, "")?,
        false => _ = Wish::Off.clear(&home, name)?,
    }
    let Some(running) = home.running() else {
        println!("{name}: {}", if still { t("大脑运行时将不启动它", "it will stand still when the brain runs") } else { t("大脑运行时将启动它", "it will run when the brain runs") });
        return Ok(Ended::Done);
    };
    let state = if still { "stopped" } else { "running" };
    let verdict = follow(&running, name, |report| {
        let report = report?;
        (report.state == state || (!still && report.state == "failed")).then(|| report.clone())
    })
    .await?;
    match verdict {
        Some(report) if still => {
            println!("{name}: {}", t("已停止，状态保留", "stopped; its state is kept"));
            drop(report);
            Ok(Ended::Done)
        }
        verdict => finish(context, verdict),
    }
}

/// `job reset NAME`: drops state and positions.
pub async fn reset(context: &Invocation, name: &str, yes: bool) -> Result<Ended> {
    let home = context.home()?;
    let has_state = record::state_dir(&home, name).exists() || record::parts_dir(&home, name).exists();
    let is_known = Catalog::new(&home).look()?.contains_key(name) || has_state;
    if !is_known {
        bail!("there is no job {name}, and no state of one");
    }
    let question = t(
        "丢弃状态和位置，从头再读？结果表中已有的行会保留，再次读到的会再写一遍",
        "drop its state and positions, and read from the beginning? Rows that it has written stay, and what is read again is written again",
    );
    if !agreed(yes, &format!("{name}: {question}"))? {
        bail!("{}", t("未做任何更改", "nothing was changed"));
    }
    match home.running() {
        Some(running) if Catalog::new(&home).look()?.contains_key(name) => {
            Wish::Reset.make(&home, name, "")?;
            let deadline = Instant::now() + FOLLOW_WITHIN;
            while Wish::Reset.is_there(&home, name) {
                if Instant::now() > deadline {
                    bail!("citybrain {} has not reset {name} yet: citybrain job list says why", running.pid);
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
        }
        Some(_) | None => record::drop_state(&home, name, &Default::default())?,
    }
    println!("{name}: {}", t("已重置", "reset"));
    Ok(Ended::Done)
}

/// Waits until the brain says of a job what is looked for; nothing when it has no HTTP door to say it.
async fn follow(running: &Running, name: &str, done: impl Fn(Option<&Report>) -> Option<Report>) -> Result<Option<Report>> {
    if running.http.is_none() {
        return Ok(None);
    }
    let deadline = Instant::now() + FOLLOW_WITHIN;
    loop {
        let reports = ask(running).await?;
        if let Some(report) = done(reports.iter().find(|report| report.name == name)) {
            return Ok(Some(report));
        }
        if Instant::now() > deadline {
            bail!("citybrain {} has not taken {name} up yet: citybrain job list says how it is", running.pid);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Waits until the jobs of a pack run, or until they do not; gives what is said of them. One that was stopped by hand stays
/// so, and where no jobs run there is nothing to wait for.
///
/// # Errors
/// When the brain does not follow.
pub async fn follow_pack(home: &Home, running: &Running, jobs: &[String], runs: bool) -> Result<Vec<Report>> {
    let names: Vec<&String> = jobs.iter().filter(|name| !(runs && Wish::Off.is_there(home, name))).collect();
    let deadline = Instant::now() + FOLLOW_WITHIN;
    loop {
        let all = ask(running).await?;
        let mine: Vec<Report> = all.iter().filter(|report| names.contains(&&report.name)).cloned().collect();
        let settled = match runs {
            true => mine.len() == names.len() && mine.iter().all(|report| report.state != "stopped"),
            false => mine.iter().all(|report| report.state == "stopped" || report.pack.is_none()),
        };
        if settled || all.is_empty() {
            return Ok(mine);
        }
        if Instant::now() > deadline {
            bail!("citybrain {} has not taken up the change of jobs yet: citybrain job list says how they are", running.pid);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn finish(context: &Invocation, verdict: Option<Report>) -> Result<Ended> {
    match verdict {
        None => println!("{}", t("已交给正在运行的大脑", "handed to the brain that runs")),
        Some(Report { note: Some(note), name, .. }) => bail!("{name}: {note}"),
        Some(report) if context.global.json => println!("{}", serde_json::to_string_pretty(&report)?),
        Some(report) => println!("{}: {} {}", report.name, t("运行中，轮次", "runs, epoch"), report.figures.epoch),
    }
    Ok(Ended::Done)
}

/// Asks on the terminal; without one only `--yes` says yes.
fn agreed(yes: bool, question: &str) -> Result<bool> {
    if yes {
        return Ok(true);
    }
    if !std::io::stdin().is_terminal() {
        bail!("{question} {}", t("（没有终端可询问：加 --yes）", "(nobody to ask: add --yes)"));
    }
    eprint!("{question} [y/N] ");
    std::io::stderr().flush()?;
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    Ok(matches!(line.trim().to_ascii_lowercase().as_str(), "y" | "yes" | "是"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(name: &str, lookup: &str, text: &str) -> Job {
        let sql = format!(
            "CREATE TABLE r (station TEXT, ts TIMESTAMP METADATA FROM 'ce_time', WATERMARK FOR ts AS ts) WITH (connector = 'kafka', topic = 'raw.sensor', 'event.type' = 'a.b');
             CREATE TABLE p (station TEXT, street TEXT) WITH (connector = 'filesystem', path = '{lookup}', format = 'csv');
             CREATE TABLE n WITH (connector = 'delta', path = 'gold.n');
             INSERT INTO n SELECT p.street, w.n FROM (SELECT station, count(*) AS n FROM r GROUP BY tumble(ts, INTERVAL '1 minute'), station) w JOIN p ON w.station = p.station"
        );
        Job::parse(name, &sql, &[(lookup, text)]).unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn lookup_files_come_along_and_take_nothing_from_others() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::open(dir.path()).unwrap();
        let folder = home.dir("jobs.d");
        let one = job("one", "maps/p.csv", "station,street\na,b\n");
        install(&home, &one, false).unwrap();
        std::fs::write(folder.join("one.sql"), one.sql()).unwrap();
        assert_eq!(std::fs::read_to_string(folder.join("maps/p.csv")).unwrap(), "station,street\na,b\n");
        install(&home, &job("two", "maps/p.csv", "station,street\na,b\n"), false).unwrap();
        let message = install(&home, &job("two", "maps/p.csv", "station,street\na,c\n"), false).unwrap_err().to_string();
        assert!(message.contains("job one"), "{message}");
        install(&home, &job("one", "maps/p.csv", "station,street\na,c\n"), true).unwrap();
        let outside = install(&home, &job("three", "../p.csv", "station,street\n"), false).unwrap_err().to_string();
        assert!(outside.contains("../p.csv"), "{outside}");
    }

    #[test]
    fn a_name_that_is_no_job_is_answered_with_those_there_are() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::open(dir.path()).unwrap();
        assert_eq!(find(&home, Path::new("alarms")).unwrap().name(), "alarms");
        let message = find(&home, Path::new("alarm")).unwrap_err().to_string();
        assert!(message.contains("alarms"), "{message}");
    }
}
