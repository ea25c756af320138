//! How much is too much, and why.

/// Elements of a graph: ten times the largest that the benchmark builds. Beyond, something is wrong with the data.
pub(crate) const ELEMENTS_MAX: usize = 10_000_000;

/// Characters of an id: it stands in keys of topics and in paths.
pub(crate) const ID_BYTES_MAX: usize = 128;

/// Steps of a chain of events: after four the product of the probabilities says nothing any more.
pub(crate) const CHAIN_STEPS_MAX: usize = 4;

/// Chains that one question may look at, so that a dense graph answers too. The likeliest come first, so what is cut off
/// is the unlikely end.
pub(crate) const CHAINS_LOOKED_AT_MAX: usize = 4096;

/// Steps up to superiors or out to larger places: three levels exist; sixteen also bounds a question about a deep tree.
pub(crate) const LEVELS_MAX: usize = 16;

/// Assets that one question about what lies downstream visits.
pub(crate) const DOWNSTREAM_MAX: usize = 10_000;

/// Steps of a path between two elements.
pub(crate) const PATH_VISITS_MAX: usize = 200_000;

/// Index cells of one place, about a square kilometre each: a district of 100 km by 100 km is as large as they come.
pub(crate) const PLACE_CELLS_MAX: u64 = 20_000;

/// How far away resources are looked for, in kilometres.
pub(crate) const RESOURCE_KM_MAX: u32 = 64;

/// Bytes of a text in which words are looked for: what matters is said at its beginning.
pub(crate) const TEXT_BYTES_MAX: usize = 4096;

/// Elements that a refusal names as examples.
pub(crate) const EXAMPLES_MAX: usize = 3;
