//! Functions of ours that DataFusion does not have, as user-defined functions for Arroyo.

/// The Rust source of a function of ours, as Arroyo takes it; nothing for one that Arroyo has, or cannot have.
pub fn arroyo_function(name: &str) -> Option<&'static str> {
    match name {
        "milli" => Some(include_str!("functions/milli.rs")),
        _ => None,
    }
}
