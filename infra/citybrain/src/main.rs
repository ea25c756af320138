//! `citybrain`: the one program. It starts the parts, wires them together and gives people their commands.
//!
//! The way of one event through this crate: [`service`] starts the bus, the tap and the readers; [`landing`] writes every
//! topic to the lake; [`jobs`] runs the streaming SQL; [`sequencer`] numbers what the brain decides on, appends it to
//! `city.journal` and only then lets the effects out; [`replay`] recomputes the same decisions from the lake alone and
//! compares digests; [`why`] walks from a decision to the log positions it came from; [`audit`] keeps who did what.
//!
//! Data goes to stdout, everything else to stderr. Exit status: 0 done, 1 failed, 2 wrong usage, 3 done but something was
//! refused.

mod agents;
mod audit;
mod bench;
mod city;
mod city_files;
mod city_graph;
mod cli;
mod config;
mod decide;
mod demo;
mod device;
mod dlq;
mod doctor;
mod eval;
mod follow;
mod graph_change;
mod graph_command;
mod graph_door;
mod heap;
mod home;
mod import;
mod intake;
mod items;
mod jobs;
mod labels;
mod lake;
mod landing;
mod lang;
mod notify;
mod packs;
mod parts;
mod people;
mod ports;
mod progress;
mod refused;
mod replay;
mod requests;
mod rows;
mod run;
mod scan;
mod sequencer;
mod service;
mod small;
mod sql;
mod status;
mod things;
mod topics;
mod types_dir;
mod understanding;
mod view;
mod why;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    // A worker of user-defined functions knows no options.
    if std::env::args_os().nth(1).is_some_and(|command| command == jobs::WORKER) {
        return udf_host::worker::main();
    }
    let options = cli::Cli::parse();
    // A process that cannot even start a thread says so when it needs one.
    let _ = heap::keep_small();
    cli::run(options)
}
