//! `citybrain sql`: the lakehouse on the terminal, as CSV, JSON or Parquet, and as of a time.

use std::io::{IsTerminal, Read, Write};
use std::path::Path;

use anyhow::{Context, Result, bail};
use lakehouse::{AsOf, Lake};

use crate::cli::{Invocation, Ended, Format, SqlArgs};
use crate::lake;
use crate::lang::t;

/// The command.
pub async fn run(context: &Invocation, args: SqlArgs) -> Result<Ended> {
    let home = context.home()?;
    let lake = lake::open(&home).await?;
    let as_of = args.as_of.as_deref().map(|text| text.parse::<AsOf>()).transpose().context("--as-of wants a time (RFC 3339) or a version")?;
    let format = args.format.unwrap_or(if context.global.json { Format::Json } else { Format::Table });
    let query = match args.query.as_deref() {
        Some("-") => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).context("could not read the query from standard input")?;
            text
        }
        Some(text) if is_file(text) => std::fs::read_to_string(text).with_context(|| format!("could not read {text}"))?,
        Some(text) => text.to_string(),
        None if std::io::stdin().is_terminal() => return prompt(&lake, &home.dir("sql_history"), as_of, format).await,
        None => bail!("give a query, a file, or - for standard input"),
    };
    match args.out {
        Some(path) => {
            let mut file = std::fs::File::create(&path).with_context(|| format!("could not write {}", path.display()))?;
            print(&lake, &query, as_of, format, &mut file).await?;
        }
        None if format == Format::Parquet => bail!("Parquet wants --out FILE"),
        None => print(&lake, &query, as_of, format, &mut std::io::BufWriter::new(std::io::stdout())).await?,
    }
    Ok(Ended::Done)
}

fn is_file(text: &str) -> bool {
    text.len() < 4096 && !text.contains(char::is_whitespace) && Path::new(text).is_file()
}

async fn print(lake: &Lake, query: &str, as_of: Option<AsOf>, format: Format, out: &mut (dyn Write + Send)) -> Result<()> {
    let format = match format {
        Format::Table => lakehouse::Format::Table,
        Format::Csv => lakehouse::Format::Csv,
        Format::Json => lakehouse::Format::Json,
        Format::Parquet => lakehouse::Format::Parquet,
    };
    let stream = lake.sql(query, as_of).await?;
    match lakehouse::write_stream(stream, format, out).await {
        // A reader such as `head` that has enough is no failure.
        Err(error) if is_broken_pipe(&error) => Ok(()),
        result => Ok(result?),
    }
}

fn is_broken_pipe(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.downcast_ref::<std::io::Error>().is_some_and(|io| io.kind() == std::io::ErrorKind::BrokenPipe) {
            return true;
        }
        cause = error.source();
    }
    false
}

async fn prompt(lake: &Lake, history: &Path, as_of: Option<AsOf>, format: Format) -> Result<Ended> {
    let mut editor = rustyline::DefaultEditor::new().context("the prompt needs a terminal")?;
    let _ = editor.load_history(history);
    eprintln!("{}", t("输入 SQL，以分号结束；Ctrl-D 退出", "SQL, ended by a semicolon; Ctrl-D leaves"));
    let mut query = String::new();
    loop {
        match editor.readline(if query.is_empty() { "citybrain> " } else { "       ... " }) {
            Ok(line) => {
                query.push_str(&line);
                query.push('\n');
                if !line.trim_end().ends_with(';') {
                    continue;
                }
                let _ = editor.add_history_entry(query.trim_end());
                if let Err(error) = print(lake, query.trim_end().trim_end_matches(';'), as_of.clone(), format, &mut std::io::BufWriter::new(std::io::stdout())).await {
                    eprintln!("{error:#}");
                }
                query.clear();
            }
            Err(rustyline::error::ReadlineError::Interrupted) => query.clear(),
            Err(rustyline::error::ReadlineError::Eof) => break,
            Err(error) => return Err(error).context("the prompt failed"),
        }
    }
    let _ = editor.save_history(history);
    Ok(Ended::Done)
}
