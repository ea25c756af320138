//! The two acts: imports that are killed, and a service that is killed.

use std::time::{Duration, Instant};

use super::brain::Started;
use super::input::{self, Dice, OrderFile};
use super::{Brain, Outcome, Plan, http};

/// Share of the kills that strike imports, per mille.
const IMPORT_SHARE: u64 = 600;
/// Files that the rows are spread over at first.
const FILES: u64 = 8;
/// Messages of one request.
const BATCH: u64 = 40;
/// Longest wait for the service to be ready.
const READY_WITHIN: Duration = Duration::from_secs(120);
/// Attempts for each kill of the plan: an import may get through before its kill comes.
const ATTEMPTS_PER_KILL: u64 = 6;

/// Imports until all rows are in and the kills are used up. Gives the files.
pub fn imports(plan: &Plan, brain: &Brain, outcome: &mut Outcome, say: &mut dyn FnMut(&str)) -> Result<Vec<OrderFile>, String> {
    let kills = (plan.kills * IMPORT_SHARE).div_ceil(1000);
    let mut dice = Dice::new(plan.seed);
    let per_file = (plan.rows / FILES).max(1);
    let mut files = Vec::new();
    // The first import is left alone: it says how long an import takes.
    let mut calm = Duration::ZERO;
    while outcome.rows < plan.rows || outcome.import_kills < kills {
        if files.len() as u64 > FILES + kills * ATTEMPTS_PER_KILL {
            return Err(format!("only {} of {kills} kills struck an import: use more rows (--rows)", outcome.import_kills));
        }
        let file = input::write_orders(&plan.dir, plan.seed, outcome.rows, per_file)?;
        let began = Instant::now();
        if files.is_empty() {
            brain.import(&file)?;
            calm = began.elapsed();
            say(&format!("an import of {per_file} rows takes {} ms", calm.as_millis()));
        } else {
            let struck = import_through_kills(brain, &file, calm, kills - outcome.import_kills, &mut dice)?;
            outcome.import_kills += struck;
            say(&format!("{} got through after {struck} kills ({} of {kills})", name(&file), outcome.import_kills));
        }
        outcome.imports += 1;
        outcome.rows += file.rows;
        files.push(file);
    }
    Ok(files)
}

fn name(file: &OrderFile) -> String {
    file.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Repeats an import until it gets through; at most `kills` times it is killed on the way. Gives how often it was.
fn import_through_kills(brain: &Brain, file: &OrderFile, calm: Duration, kills: u64, dice: &mut Dice) -> Result<u64, String> {
    let mut struck = 0;
    while struck < kills {
        let mut import = brain.start_import(file)?;
        // Up to somewhat beyond its usual end, so that the last steps are struck as well, and it does get through.
        let after = calm * dice.below(1_250) as u32 / 1_000;
        if ends_within(&mut import, after)? {
            import.finish()?;
            return Ok(struck);
        }
        if import.kill()? {
            struck += 1;
        }
    }
    brain.import(file)?;
    Ok(struck)
}

fn ends_within(started: &mut Started, time: Duration) -> Result<bool, String> {
    let until = Instant::now() + time;
    loop {
        if started.ended()? {
            return Ok(true);
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(false);
        }
        std::thread::sleep(left.min(Duration::from_millis(2)));
    }
}

/// Sends messages to a service that is killed. Gives the ids of all messages; each was acknowledged in the end.
pub fn service(
    plan: &Plan, brain: &Brain, files: &[OrderFile], outcome: &mut Outcome, say: &mut dyn FnMut(&str),
) -> Result<Vec<String>, String> {
    let kills = plan.kills.saturating_sub(outcome.import_kills);
    let mut dice = Dice::new(plan.seed ^ 0x5e4c);
    let mut sender = Sender::default();
    while outcome.service_kills < kills {
        let mut service = brain.start_service()?;
        if dice.below(5) == 0 {
            // While it starts: recovery is struck as well.
            if ends_within(&mut service, Duration::from_millis(dice.below(1_500)))? {
                service.finish()?;
                return Err("the service ended by itself while it started".to_owned());
            }
        } else {
            wait_until_ready(brain, &mut service)?;
            let strike_in = Duration::from_millis(20 + dice.below(1_200));
            let to = brain.http;
            std::thread::scope(|scope| -> Result<(), String> {
                let sending = scope.spawn(|| sender.send_until_gone(to));
                std::thread::sleep(strike_in);
                let alive = service.kill()?;
                sending.join().map_err(|_| "the sender failed".to_owned())??;
                if !alive {
                    return Err("the service ended by itself".to_owned());
                }
                Ok(())
            })?;
        }
        service.kill()?;
        outcome.service_kills += 1;
        if outcome.service_kills.is_multiple_of(10) || outcome.service_kills == kills {
            say(&format!("the service was killed {} of {kills} times; {} messages acknowledged", outcome.service_kills, sender.acknowledged));
        }
    }
    // What was not acknowledged is sent again, and this time nobody is killed.
    let mut service = brain.start_service()?;
    wait_until_ready(brain, &mut service)?;
    sender.send_one(brain.http)?;
    let sent = sender.acknowledged;
    let settled = wait_for(Duration::from_secs(60), || {
        Ok(brain.count("SELECT count(*) AS n FROM bronze.raw_hotline")? >= sent as i64)
    });
    service.kill()?;
    settled?;
    outcome.service_kills += 1;
    // After that last kill an import of what is known already lets everything that waits be decided and land.
    brain.import(&files[0])?;
    Ok((0..sent).map(|number| input::message(number).0).collect())
}

fn wait_until_ready(brain: &Brain, service: &mut Started) -> Result<(), String> {
    let until = Instant::now() + READY_WITHIN;
    while http::get(brain.http, "/health/ready").is_none_or(|answer| answer.status != 200) {
        if service.ended()? {
            service.finish()?;
            return Err("the service ended by itself before it was ready".to_owned());
        }
        if Instant::now() > until {
            return Err(format!("the service was not ready within {} s", READY_WITHIN.as_secs()));
        }
        std::thread::sleep(Duration::from_millis(30));
    }
    Ok(())
}

fn wait_for(time: Duration, mut done: impl FnMut() -> Result<bool, String>) -> Result<(), String> {
    let until = Instant::now() + time;
    while !done()? && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(200));
    }
    Ok(())
}

/// Sends message after message, and repeats a batch until it is acknowledged.
#[derive(Default)]
struct Sender {
    /// Messages from 0 up to this one were acknowledged.
    acknowledged: u64,
}

impl Sender {
    fn send_until_gone(&mut self, to: std::net::SocketAddr) -> Result<(), String> {
        while self.try_send(to)? {}
        Ok(())
    }

    fn send_one(&mut self, to: std::net::SocketAddr) -> Result<(), String> {
        match self.try_send(to)? {
            true => Ok(()),
            false => Err("the service did not answer, though nobody killed it".to_owned()),
        }
    }

    /// Sends the next batch. False when nobody answered.
    fn try_send(&mut self, to: std::net::SocketAddr) -> Result<bool, String> {
        let lines: Vec<String> = (self.acknowledged..self.acknowledged + BATCH).map(|number| input::message(number).1).collect();
        let Some(answer) = http::post(to, "/v1/events", "application/x-ndjson", &(lines.join("\n") + "\n")) else {
            return Ok(false);
        };
        match answer.status {
            202 => self.acknowledged += BATCH,
            503 => std::thread::sleep(Duration::from_millis(100)),
            status => return Err(format!("the service answered {status}: {}", answer.body)),
        }
        Ok(true)
    }
}
