//! `citybrain device`: the registry of devices and their keys, through the brain that runs on this home, or through the log.

use anyhow::{Context, Result, bail};
use chrono::Utc;
use gateway::devices::{Action, Change, Changed, Device};
use serde_json::Value;

use crate::cli::{DeviceAction, Ended, Invocation};
use crate::home::Home;
use crate::lang::t;
use crate::parts::Parts;
use crate::ports::BusLog;
use crate::service::{Options, Service};
use crate::people::with_doors;
use crate::{audit, status, things};

/// The command.
pub async fn run(context: &Invocation, action: DeviceAction) -> Result<Ended> {
    let home = context.home()?;
    let change = |action: Action, device: String, name: Option<String>, reason: Option<String>| {
        let actor = std::env::var("USER").ok().filter(|user| !user.is_empty());
        Change { action, device, name, reason, actor }
    };
    let change = match action {
        DeviceAction::List => return list(context, &home).await,
        DeviceAction::Add { device, name } => change(Action::Add, device, name, None),
        DeviceAction::Rotate { device, reason } => change(Action::Rotate, device, None, reason),
        DeviceAction::Revoke { device, reason } => change(Action::Revoke, device, None, reason),
    };
    let changed = make(context, &home, &change).await?;
    if context.global.json {
        println!("{}", serde_json::to_string_pretty(&changed)?);
        return Ok(Ended::Done);
    }
    match changed.key {
        Some(key) => {
            println!("{key}");
            eprintln!("{}", t("这是设备的密钥，只显示这一次", "this is the device's key; it is shown this once"));
        }
        None => eprintln!("{} {}", t("已吊销", "revoked"), changed.device),
    }
    Ok(Ended::Done)
}

async fn make(context: &Invocation, home: &Home, change: &Change) -> Result<Changed> {
    if let Some(running) = context.running(home) {
        let (code, answer) = status::ask(&with_doors(&running)?, "POST", "/v1/devices", &serde_json::to_string(change)?).await?;
        if code != 201 {
            bail!("{}", t(answer["detail_zh"].as_str().unwrap_or_default(), answer["detail"].as_str().unwrap_or_default()));
        }
        return serde_json::from_value(answer).context("the answer is of another form");
    }
    let service = Service::start(context, home, &Options::quiet(), Parts::new()).await?;
    let mut note = audit::by_hand(format!("device.{}", change.action.name()));
    note.subject = Some(change.device.clone());
    note.reason = change.reason.clone();
    let made = audit::around(&service.audit, note, async {
        let devices = things::devices(&service.bus, context.config.devices).await?;
        Ok(devices.change(&BusLog(service.bus.producer()?), Utc::now(), change).await?)
    });
    let made: Result<Changed> = made.await;
    let settled = service.settle().await;
    let stopped = service.stop().await;
    let changed = made?;
    settled?;
    stopped?;
    Ok(changed)
}

async fn list(context: &Invocation, home: &Home) -> Result<Ended> {
    let items: Vec<Value> = match context.running(home) {
        Some(running) => {
            let answer = status::get(&with_doors(&running)?, "/v1/devices").await?;
            answer["items"].as_array().cloned().unwrap_or_default()
        }
        None => {
            let service = Service::start(context, home, &Options::quiet(), Parts::new()).await?;
            let devices = things::devices(&service.bus, context.config.devices).await;
            service.stop().await?;
            let devices: Vec<Device> = devices?.list();
            devices.iter().map(serde_json::to_value).collect::<Result<_, _>>()?
        }
    };
    if context.global.json {
        println!("{}", serde_json::to_string_pretty(&items)?);
    } else if items.is_empty() {
        println!("{}", t("没有登记设备", "no device is registered"));
    } else {
        let rows: Vec<_> = items.into_iter().filter_map(|item| item.as_object().cloned()).collect();
        crate::items::print_table(&["device", "active", "changed", "name", "reason"], &rows);
    }
    Ok(Ended::Done)
}
