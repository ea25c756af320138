//! `citybrain run`: the whole brain as a service, until it is asked to stop.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Result;
use tracing::{error, info};

use crate::cli::{Invocation, Ended, Part, RunArgs};
use crate::lang::t;
use crate::parts::Parts;
use crate::service::{Options, Service};

/// Time between a failure and the next start.
const RESTART_AFTER: Duration = Duration::from_secs(2);

/// The command.
pub async fn run(context: &Invocation, args: RunArgs) -> Result<Ended> {
    let home = context.home()?;
    let parts: BTreeSet<Part> =
        if args.only.is_empty() { BTreeSet::from([Part::Doors, Part::Jobs, Part::Brain, Part::Agents, Part::Lake]) } else { args.only.into_iter().collect() };
    let doors = parts.contains(&Part::Doors);
    let mqtt_listen = Some(context.config.mqtt_listen.clone()).filter(|listen| doors && !listen.is_empty());
    let http_listen = doors.then_some(context.config.http_listen);
    let options = Options { parts, kafka_listen: context.config.kafka_listen, http_listen, mqtt_listen, notify: doors };
    let health = Parts::new();
    let mut started_before = false;
    loop {
        let service = match Service::start(context, &home, &options, health.clone()).await {
            Ok(service) => service,
            // The first start fails at once: something is wrong with the settings. Later ones wait for a repair.
            Err(reason) if !started_before => return Err(reason),
            Err(reason) => {
                error!(reason = format!("{reason:#}"), "could not start again; trying once more");
                tokio::select! {
                    _ = asked_to_stop() => return Ok(Ended::Done),
                    () = tokio::time::sleep(RESTART_AFTER) => continue,
                }
            }
        };
        started_before = true;
        greet(context, &service);
        let reason = tokio::select! {
            asked = asked_to_stop() => {
                asked?;
                info!("stopping");
                service.stop().await?;
                return Ok(Ended::Done);
            }
            reason = service.failure() => reason,
        };
        error!(reason, "a part failed; starting again from the log");
        health.restarted();
        // What failed has been told.
        let _ = service.stop().await;
        tokio::time::sleep(RESTART_AFTER).await;
    }
}

fn greet(context: &Invocation, service: &Service) {
    if context.global.quiet {
        return;
    }
    let http = service.http.map(|addr| format!("http://{addr}")).unwrap_or_default();
    let mqtt = service.mqtt.map(|addr| format!("  MQTT {addr}")).unwrap_or_default();
    eprintln!("{}  Kafka {}  HTTP {http}{mqtt}", t("citybrain 正在运行，Ctrl-C 停止", "citybrain runs; Ctrl-C stops it"), service.kafka);
}

/// Comes back when the process is asked to stop, by Ctrl-C or by SIGTERM.
pub async fn asked_to_stop() -> std::io::Result<()> {
    #[cfg(unix)]
    {
        let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        tokio::select! {
            interrupted = tokio::signal::ctrl_c() => interrupted,
            _ = terminate.recv() => Ok(()),
        }
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await
}
