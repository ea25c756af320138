//! People: who they are, in which roles, and what that lets them do where.
//!
//! A *role* is a list of [`Permission`]s. A person is *granted* roles, each for some domains (scenarios and categories of
//! the graph) and some areas (districts), or for all. What a request needs is said in one table, [`crate::http::table`];
//! whether somebody has it is said here, against the [`Subject`] of the request as the city knows it and never as the
//! request tells it.

mod file;
mod registry;
mod rights;

pub use file::{GrantEntry, NameEntry, PersonEntry, RoleEntry, Staff};
pub use registry::{ChangeError, Changed, People, PeopleAction, PeopleChange};
pub use rights::{Actor, Permission, Rights, Scope, Subject};
