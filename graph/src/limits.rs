//! How much is too much, and why.

/// Nodes of one file: a city has some thousand units and a few hundred event types; a million would be a mistake.
pub(crate) const NODES_MAX: usize = 200_000;

/// Steps of a chain of events: after four the product of the probabilities says nothing any more.
pub(crate) const CHAIN_STEPS_MAX: usize = 4;

/// Steps up to superiors: three levels exist; sixteen also stops on a circle that a check overlooked.
pub(crate) const SUPERIORS_MAX: usize = 16;

/// Chains that one question may look at, so that a dense graph answers too.
pub(crate) const CHAINS_LOOKED_AT_MAX: usize = 10_000;

/// Bytes of a text in which words are looked for: what matters is said at its beginning.
pub(crate) const TEXT_BYTES_MAX: usize = 4096;
