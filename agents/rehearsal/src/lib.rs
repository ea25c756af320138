//! Rehearsals: scripted incidents, played to the brain in many variations, and judged by what the script says is true.
//!
//! A [`Script`] says where sensors stand, what happens when, how it shows, and what belongs together. It is varied by
//! chance ([`vary`]), played as readings, calls and work orders among usual life ([`play`]), and what came in goes to a
//! brain of its own ([`drive`]). What the brain made of it is then held against the script's truth, with a baseline beside
//! each figure ([`judge`]).
//!
//! It knows nothing of files, clocks, threads or streaming jobs: the shell turns readings into signals between
//! [`play`] and [`drive`]. The same seed gives the same city on every machine.

mod dice;
mod drive;
mod judge;
mod limits;
mod ordinary;
mod play;
mod script;
mod vary;

pub use dice::Dice;
pub use drive::{AlertSeen, Found, Item, Outcome, drive};
pub use judge::{Aim, Figure, Note, Share, Tally, figures, judge};
pub use play::{Reading, Recording, Report, district_name, play};
pub use script::{Curve, Event, Fault, FaultKind, Incident, Place, Precursor, Script, ScriptError, Sensor, Told, Truth};
pub use vary::{Variation, vary};

/// Scripts that belong to no pack: (file, text).
const SCRIPTS: [(&str, &str); 3] = [
    ("scripts/noise.yaml", include_str!("../scripts/noise.yaml")),
    ("scripts/two_at_once.yaml", include_str!("../scripts/two_at_once.yaml")),
    ("scripts/two_districts.yaml", include_str!("../scripts/two_districts.yaml")),
];

/// The scripts that ship, as (file, text): those of the packs, and those of what no pack has.
pub fn shipped() -> impl Iterator<Item = (&'static str, &'static str)> {
    let of_packs = graph::BUILTIN_PACKS.into_iter().filter_map(|pack| Some((pack.script_file, pack.script?)));
    of_packs.chain(SCRIPTS)
}
