//! A broker on its own, to point clients at and to kill: `cargo run -p broker --example broker -- --dir D --listen A`.

use broker::{Broker, BrokerConfig, Sasl};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let mut args = std::env::args().skip(1);
    let mut config = BrokerConfig::new("broker-data");
    while let Some(name) = args.next() {
        let value = args.next().ok_or_else(|| format!("{name} wants a value"))?;
        match name.as_str() {
            "--dir" => config.dir = value.into(),
            "--listen" => config.listen = value.parse()?,
            "--advertised-host" => config.advertised_host = Some(value),
            "--partitions" => config.default_partitions = value.parse()?,
            "--fsync" => config.fsync = value.parse()?,
            "--user" => {
                let (user, password) = value.split_once(':').ok_or("--user wants name:password")?;
                config.sasl.get_or_insert_with(Sasl::default).users.insert(user.into(), password.into());
            }
            other => return Err(format!("{other} is not one of --dir --listen --advertised-host --partitions --fsync --user").into()),
        }
    }
    let broker = Broker::start(config).await?;
    println!("{}", broker.addr());
    tokio::signal::ctrl_c().await?;
    broker.shutdown().await;
    Ok(())
}
