//! What is to be done about the jobs: from what the files say and what runs, to actions. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

/// A job as the files say it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Digest of its version; nothing when its file is wrong.
    pub version: Option<String>,
    /// Counts the changes of its files.
    pub edition: u64,
    /// It is to stand still.
    pub off: bool,
    /// Its state is to be dropped.
    pub reset: bool,
    /// The version that may drop the windows of the one before.
    pub may_drop: Option<String>,
}

/// What became of a job so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// How it is.
    pub state: State,
    /// The edition that could not take over, and whether that was for want of leave to drop windows.
    pub refused: Option<(u64, bool)>,
}

/// How a job is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// It never ran in this process.
    #[default]
    New,
    /// It runs in this version.
    Running {
        /// Its digest.
        version: String,
    },
    /// It ran, and was stopped.
    Stopped,
    /// It failed in this edition.
    Failed {
        /// Of its files.
        edition: u64,
        /// When it is worth another try; never, when it would fail again.
        retry: Option<Instant>,
    },
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Start it as its file says.
    Start,
    /// Start the version that ran last: the file is wrong.
    StartLast,
    /// Let the version of its file take over.
    Upgrade {
        /// Whether windows may be dropped for that.
        may_drop: bool,
    },
    /// Stop it and keep its state.
    Stop,
    /// Stop it and drop its state.
    Reset,
}

/// What to do now about each job.
pub fn decide(wanted: &BTreeMap<String, Wanted>, held: &BTreeMap<String, Held>, now: Instant) -> Vec<(String, Action)> {
    let names: BTreeSet<&String> = wanted.keys().chain(held.keys()).collect();
    let none = Held::default();
    let one = |name: &String| Some((name.clone(), about(wanted.get(name), held.get(name).unwrap_or(&none), now)?));
    names.into_iter().filter_map(one).collect()
}

fn about(wanted: Option<&Wanted>, held: &Held, now: Instant) -> Option<Action> {
    let runs = matches!(held.state, State::Running { .. });
    let Some(wanted) = wanted else { return runs.then_some(Action::Stop) };
    if wanted.reset {
        return Some(Action::Reset);
    }
    if wanted.off {
        return runs.then_some(Action::Stop);
    }
    match (&held.state, &wanted.version) {
        (State::New, Some(_)) | (State::Stopped, Some(_)) => Some(Action::Start),
        (State::New, None) => Some(Action::StartLast),
        (State::Running { version }, Some(new)) if version != new => {
            let may_drop = wanted.may_drop.as_ref() == Some(new);
            let again = match held.refused {
                Some((edition, for_leave)) if edition == wanted.edition => for_leave && may_drop,
                Some(_) | None => true,
            };
            again.then_some(Action::Upgrade { may_drop })
        }
        (State::Failed { edition, retry }, Some(_)) => {
            let due = retry.is_some_and(|at| now >= at);
            (*edition != wanted.edition || due).then_some(Action::Start)
        }
        // A wrong file never disturbs what runs, and wakes nothing that does not.
        (State::Running { .. }, Some(_)) | (State::Running { .. } | State::Stopped | State::Failed { .. }, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn file(version: &str, edition: u64) -> Wanted {
        Wanted { version: Some(version.into()), edition, ..Wanted::default() }
    }

    fn running(version: &str) -> Held {
        Held { state: State::Running { version: version.into() }, refused: None }
    }

    fn check(wanted: Option<Wanted>, held: Option<Held>, expected: Option<Action>) {
        let of = |name: &str| name.to_owned();
        let actions = decide(&wanted.map(|wanted| (of("job"), wanted)).into_iter().collect(), &held.map(|held| (of("job"), held)).into_iter().collect(), Instant::now());
        assert_eq!(actions.into_iter().map(|(_, action)| action).next(), expected);
    }

    #[test]
    fn files_come_change_and_go() {
        check(Some(file("a", 1)), None, Some(Action::Start));
        check(Some(file("a", 1)), Some(running("a")), None);
        check(Some(file("b", 2)), Some(running("a")), Some(Action::Upgrade { may_drop: false }));
        check(None, Some(running("a")), Some(Action::Stop));
        check(None, Some(Held { state: State::Stopped, refused: None }), None);
        check(Some(file("a", 1)), Some(Held { state: State::Stopped, refused: None }), Some(Action::Start));
    }

    #[test]
    fn a_wrong_file_disturbs_nothing() {
        let wrong = Wanted { edition: 2, ..Wanted::default() };
        check(Some(wrong.clone()), Some(running("a")), None);
        check(Some(wrong.clone()), Some(Held { state: State::Failed { edition: 1, retry: None }, refused: None }), None);
        check(Some(wrong), None, Some(Action::StartLast));
    }

    #[test]
    fn a_version_that_was_refused_waits_for_leave_or_another_edition() {
        let refused = |for_leave| Held { refused: Some((2, for_leave)), ..running("a") };
        let leave = Wanted { may_drop: Some("b".into()), ..file("b", 2) };
        check(Some(file("b", 2)), Some(refused(true)), None);
        check(Some(leave.clone()), Some(refused(true)), Some(Action::Upgrade { may_drop: true }));
        check(Some(leave.clone()), Some(refused(false)), None);
        check(Some(Wanted { may_drop: Some("c".into()), ..file("b", 2) }), Some(refused(true)), None);
        check(Some(file("b", 3)), Some(refused(true)), Some(Action::Upgrade { may_drop: false }));
    }

    #[test]
    fn what_failed_is_tried_again_only_when_that_makes_sense() {
        let failed = |retry| Some(Held { state: State::Failed { edition: 1, retry }, refused: None });
        let past = Instant::now();
        check(Some(file("a", 1)), failed(None), None);
        check(Some(file("a", 1)), failed(Some(past + Duration::from_secs(3600))), None);
        check(Some(file("a", 1)), failed(Some(past)), Some(Action::Start));
        check(Some(file("b", 2)), failed(None), Some(Action::Start));
    }

    #[test]
    fn a_reset_goes_before_everything_and_a_stop_before_the_rest() {
        let wish = Wanted { reset: true, off: true, ..file("a", 1) };
        check(Some(wish.clone()), Some(running("a")), Some(Action::Reset));
        check(Some(wish), None, Some(Action::Reset));
        let off = Wanted { off: true, ..file("b", 2) };
        check(Some(off.clone()), Some(running("a")), Some(Action::Stop));
        check(Some(off), None, None);
    }

    fn any_wanted() -> impl Strategy<Value = Wanted> {
        let version = || proptest::option::of("[ab]");
        (version(), 0..3_u64, any::<bool>(), version()).prop_map(|(version, edition, off, may_drop)| Wanted { version, edition, off, reset: false, may_drop })
    }

    fn any_held() -> impl Strategy<Value = Held> {
        let state = prop_oneof![
            Just(State::New),
            Just(State::Stopped),
            "[ab]".prop_map(|version| State::Running { version }),
            (0..3_u64).prop_map(|edition| State::Failed { edition, retry: None }),
        ];
        (state, proptest::option::of((0..3_u64, any::<bool>()))).prop_map(|(state, refused)| Held { state, refused })
    }

    proptest! {
        /// Whatever is asked for, once done there is nothing more to do: the manager comes to rest.
        #[test]
        fn decisions_come_to_rest(wanted in any_wanted(), held in any_held()) {
            let wanted = BTreeMap::from([("job".to_owned(), wanted)]);
            let mut held = BTreeMap::from([("job".to_owned(), held)]);
            let now = Instant::now();
            for (name, action) in decide(&wanted, &held, now) {
                let (version, edition) = (wanted[&name].version.clone(), wanted[&name].edition);
                let state = match action {
                    Action::Start | Action::Upgrade { .. } => State::Running { version: version.unwrap() },
                    Action::StartLast => State::Failed { edition, retry: None },
                    Action::Stop | Action::Reset => State::Stopped,
                };
                held.insert(name, Held { state, refused: None });
            }
            prop_assert_eq!(decide(&wanted, &held, now), []);
        }
    }
}
