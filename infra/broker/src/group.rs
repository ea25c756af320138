//! One consumer group: who is in it, which generation it is in, who waits for whom.
//!
//! Kafka's classic protocol as a state machine. It knows no clock and no socket: the time comes in with each call, and
//! an answer that has to wait is known by its ticket and comes out later as an [`Out`].
//!
//! ```text
//! Empty -> Preparing (members join) -> Completing (the leader assigns) -> Stable -> Preparing ...
//! ```

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::limits::GROUP_MEMBERS_MAX;

/// Names an answer that is owed.
pub type Ticket = u64;

/// Why a member is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Not a member, or not any more: join again.
    UnknownMember,
    /// Of another generation.
    IllegalGeneration,
    /// A new generation is being made: join again.
    Rebalancing,
    /// No protocol that all members know.
    Inconsistent,
    /// Another process has taken over the static member.
    Fenced,
    /// Join again with this name.
    NameNeeded,
    /// Too many members.
    Full,
}

/// How far the group is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Nobody is in it.
    Empty,
    /// Waiting for its members to join again.
    Preparing,
    /// Waiting for the leader's assignment.
    Completing,
    /// Everybody has an assignment.
    Stable,
}

impl Phase {
    /// Its name in Kafka.
    pub fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::Preparing => "PreparingRebalance",
            Self::Completing => "CompletingRebalance",
            Self::Stable => "Stable",
        }
    }
}

/// Somebody wants in.
#[derive(Debug, Clone)]
pub struct Join {
    /// Empty the first time.
    pub member: String,
    /// Of a static member.
    pub instance: Option<String>,
    /// A name nobody else has, should one be needed.
    pub new_name: String,
    /// Whether a first join is answered with the name only, so that a join that is repeated leaves no dead member.
    pub name_first: bool,
    /// Whether a static leader may be told to leave the assignment as it is.
    pub can_skip_assignment: bool,
    /// After so many ms without a sign it is out.
    pub session_ms: i64,
    /// How long it may take to join again.
    pub rebalance_ms: i64,
    /// Kind of group, `consumer` for consumers.
    pub protocol_type: String,
    /// Ways to assign that it knows, best first, with what the leader needs to know for each.
    pub protocols: Vec<(String, Bytes)>,
    /// Name of the program.
    pub client_id: String,
    /// Where it runs.
    pub client_host: String,
}

/// A new generation, as each member hears of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joined {
    /// Its number.
    pub generation: i32,
    /// Kind of group.
    pub protocol_type: Option<String>,
    /// How to assign.
    pub protocol: Option<String>,
    /// Who assigns.
    pub leader: String,
    /// Who hears.
    pub member: String,
    /// For the leader: everybody, with instance and what the protocol tells.
    pub members: Vec<(String, Option<String>, Bytes)>,
    /// The leader is not to assign again.
    pub skip_assignment: bool,
}

/// An assignment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Synced {
    /// Kind of group.
    pub protocol_type: Option<String>,
    /// How it was assigned.
    pub protocol: Option<String>,
    /// The leader's words.
    pub assignment: Bytes,
}

/// An answer that is due now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Out {
    /// To a join.
    Join(Ticket, Result<Joined, (Refusal, String)>),
    /// To a sync.
    Sync(Ticket, Result<Synced, Refusal>),
}

/// A member.
#[derive(Debug, Clone)]
pub struct Member {
    /// Of a static member.
    pub instance: Option<String>,
    /// Name of the program.
    pub client_id: String,
    /// Where it runs.
    pub client_host: String,
    /// What it was assigned.
    pub assignment: Bytes,
    protocols: Vec<(String, Bytes)>,
    session_ms: i64,
    rebalance_ms: i64,
    /// Out when nothing was heard until then.
    deadline: i64,
    joining: Option<Ticket>,
    syncing: Option<Ticket>,
}

impl Member {
    /// What it told for a protocol.
    pub fn metadata(&self, protocol: &str) -> Bytes {
        self.protocols.iter().find(|(name, _)| name == protocol).map(|(_, told)| told.clone()).unwrap_or_default()
    }
}

/// A consumer group.
#[derive(Debug, Clone)]
pub struct Group {
    phase: Phase,
    generation: i32,
    protocol_type: Option<String>,
    protocol: Option<String>,
    leader: Option<String>,
    members: BTreeMap<String, Member>,
    /// Static members: instance to member.
    instances: BTreeMap<String, String>,
    /// Names given to members that have not joined with them yet, and until when they are kept.
    named: BTreeMap<String, i64>,
    /// When Preparing ends whoever is missing.
    deadline: i64,
    /// Before the first generation: wait for more until the deadline even if everybody known is there.
    gathering: bool,
}

impl Default for Group {
    fn default() -> Self {
        Self {
            phase: Phase::Empty,
            generation: 0,
            protocol_type: None,
            protocol: None,
            leader: None,
            members: BTreeMap::new(),
            instances: BTreeMap::new(),
            named: BTreeMap::new(),
            deadline: 0,
            gathering: false,
        }
    }
}

impl Group {
    /// How far it is.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// The current generation.
    pub fn generation(&self) -> i32 {
        self.generation
    }

    /// Kind of group.
    pub fn protocol_type(&self) -> Option<&str> {
        self.protocol_type.as_deref()
    }

    /// How it assigns.
    pub fn protocol(&self) -> Option<&str> {
        self.protocol.as_deref()
    }

    /// Who is in it.
    pub fn members(&self) -> &BTreeMap<String, Member> {
        &self.members
    }

    /// Nobody is in it or about to be.
    pub fn is_idle(&self) -> bool {
        self.members.is_empty() && self.named.is_empty()
    }

    /// Somebody joins, for the first time or again.
    pub fn join(&mut self, now: i64, join: Join, ticket: Ticket, gather_ms: i64, out: &mut Vec<Out>) {
        let refuse = |why, name: &str, out: &mut Vec<Out>| out.push(Out::Join(ticket, Err((why, name.to_owned()))));
        if !self.accepts(&join) {
            return refuse(Refusal::Inconsistent, &join.member, out);
        }
        let known = !join.member.is_empty();
        if let Some(owner) = join.instance.as_ref().and_then(|i| self.instances.get(i)).cloned() {
            if known && owner != join.member {
                return refuse(Refusal::Fenced, &join.member, out);
            }
            if !known {
                return self.replace_static(now, &owner, join, ticket, gather_ms, out);
            }
        }
        if !known || self.named.contains_key(&join.member) {
            if self.members.len() + self.named.len() > GROUP_MEMBERS_MAX {
                return refuse(Refusal::Full, &join.member, out);
            }
            if !known && join.name_first && join.instance.is_none() {
                self.named.insert(join.new_name.clone(), now + join.session_ms);
                return refuse(Refusal::NameNeeded, &join.new_name, out);
            }
            let name = if known { join.member.clone() } else { join.new_name.clone() };
            self.named.remove(&name);
            return self.add(now, name, join, ticket, gather_ms, out);
        }
        let Some(member) = self.members.get_mut(&join.member) else {
            return refuse(Refusal::UnknownMember, &join.member, out);
        };
        let unchanged = member.protocols == join.protocols;
        member.deadline = now + join.session_ms;
        let leads = self.leader.as_deref() == Some(join.member.as_str());
        match self.phase {
            Phase::Empty => refuse(Refusal::UnknownMember, &join.member, out),
            Phase::Preparing => {
                self.update(now, join, ticket, out);
                self.complete_if_all_joined(now, out);
            }
            // The answer to an earlier join was lost.
            Phase::Completing if unchanged => out.push(Out::Join(ticket, Ok(self.joined(&join.member, false)))),
            Phase::Stable if unchanged && !leads => out.push(Out::Join(ticket, Ok(self.joined(&join.member, false)))),
            Phase::Completing | Phase::Stable => {
                self.update(now, join, ticket, out);
                self.prepare(now, gather_ms, out);
            }
        }
    }

    fn accepts(&self, join: &Join) -> bool {
        if join.protocols.is_empty() || join.protocol_type.is_empty() {
            return false;
        }
        let others: Vec<_> = self.members.iter().filter(|(name, _)| **name != join.member).map(|(_, m)| m).collect();
        if others.is_empty() {
            return true;
        }
        let same_type = self.protocol_type.as_deref() == Some(join.protocol_type.as_str());
        let common = |name: &String| others.iter().all(|m| m.protocols.iter().any(|(n, _)| n == name));
        same_type && join.protocols.iter().any(|(name, _)| common(name))
    }

    fn add(&mut self, now: i64, name: String, join: Join, ticket: Ticket, gather_ms: i64, out: &mut Vec<Out>) {
        if self.members.is_empty() {
            self.protocol_type = Some(join.protocol_type);
        }
        if let Some(instance) = &join.instance {
            self.instances.insert(instance.clone(), name.clone());
        }
        let member = Member {
            instance: join.instance,
            client_id: join.client_id,
            client_host: join.client_host,
            assignment: Bytes::new(),
            protocols: join.protocols,
            session_ms: join.session_ms,
            rebalance_ms: join.rebalance_ms,
            deadline: now + join.session_ms,
            joining: Some(ticket),
            syncing: None,
        };
        self.leader.get_or_insert_with(|| name.clone());
        self.members.insert(name, member);
        if self.phase == Phase::Preparing {
            if self.gathering {
                // More may come; but nobody waits longer than a member allows.
                let longest = self.members.values().map(|m| m.rebalance_ms).max().unwrap_or(0);
                self.deadline = (now + gather_ms).min(self.deadline.max(now + longest));
            }
            self.complete_if_all_joined(now, out);
        } else {
            self.prepare(now, gather_ms, out);
        }
    }

    fn update(&mut self, now: i64, join: Join, ticket: Ticket, out: &mut Vec<Out>) {
        let Some(member) = self.members.get_mut(&join.member) else { return };
        member.protocols = join.protocols;
        member.session_ms = join.session_ms;
        member.rebalance_ms = join.rebalance_ms;
        member.deadline = now + join.session_ms;
        if let Some(earlier) = member.joining.replace(ticket) {
            out.push(Out::Join(earlier, Err((Refusal::UnknownMember, join.member))));
        }
    }

    /// A static member came back under a new name: a restart, most likely.
    fn replace_static(&mut self, now: i64, old: &str, join: Join, ticket: Ticket, gather_ms: i64, out: &mut Vec<Out>) {
        let Some(mut member) = self.members.remove(old) else { return };
        let name = join.new_name.clone();
        if let Some(earlier) = member.joining.take() {
            out.push(Out::Join(earlier, Err((Refusal::Fenced, old.to_owned()))));
        }
        if let Some(earlier) = member.syncing.take() {
            out.push(Out::Sync(earlier, Err(Refusal::Fenced)));
        }
        let protocol = self.protocol.clone().unwrap_or_default();
        let told_the_same = member.metadata(&protocol)
            == join.protocols.iter().find(|(n, _)| *n == protocol).map(|(_, m)| m.clone()).unwrap_or_default();
        member.client_id = join.client_id.clone();
        member.client_host = join.client_host.clone();
        member.protocols = join.protocols.clone();
        member.session_ms = join.session_ms;
        member.rebalance_ms = join.rebalance_ms;
        member.deadline = now + join.session_ms;
        if let Some(instance) = &join.instance {
            self.instances.insert(instance.clone(), name.clone());
        }
        self.members.insert(name.clone(), member);
        if self.leader.as_deref() == Some(old) {
            self.leader = Some(name.clone());
        }
        let leads = self.leader.as_deref() == Some(name.as_str());
        if self.phase == Phase::Stable && told_the_same && (!leads || join.can_skip_assignment) {
            out.push(Out::Join(ticket, Ok(self.joined(&name, leads))));
            return;
        }
        if let Some(member) = self.members.get_mut(&name) {
            member.joining = Some(ticket);
        }
        if self.phase == Phase::Preparing {
            self.complete_if_all_joined(now, out);
        } else {
            self.prepare(now, gather_ms, out);
        }
    }

    /// A new generation is needed: everybody is to join again.
    fn prepare(&mut self, now: i64, gather_ms: i64, out: &mut Vec<Out>) {
        for member in self.members.values_mut() {
            if let Some(ticket) = member.syncing.take() {
                out.push(Out::Sync(ticket, Err(Refusal::Rebalancing)));
            }
        }
        self.gathering = self.phase == Phase::Empty && gather_ms > 0;
        self.phase = Phase::Preparing;
        let longest = self.members.values().map(|m| m.rebalance_ms).max().unwrap_or(0);
        self.deadline = now + if self.gathering { gather_ms } else { longest };
        self.complete_if_all_joined(now, out);
    }

    fn complete_if_all_joined(&mut self, now: i64, out: &mut Vec<Out>) {
        let all = self.members.values().all(|m| m.joining.is_some()) && self.named.is_empty();
        if self.phase == Phase::Preparing && all && !self.gathering {
            self.complete(now, out);
        }
    }

    /// Ends Preparing: who has not joined is out, unless it is a static member.
    fn complete(&mut self, now: i64, out: &mut Vec<Out>) {
        let missing: Vec<String> =
            self.members.iter().filter(|(_, m)| m.joining.is_none() && m.instance.is_none()).map(|(n, _)| n.clone()).collect();
        for name in missing {
            self.forget(&name, out);
        }
        self.gathering = false;
        if !self.members.is_empty() && self.members.values().all(|m| m.joining.is_none()) {
            // Only static members that are away: go on waiting for one of them.
            let longest = self.members.values().map(|m| m.rebalance_ms).max().unwrap_or(0);
            self.deadline = now + longest.max(1);
            return;
        }
        self.generation = self.generation.checked_add(1).unwrap_or(1);
        if self.members.is_empty() {
            self.phase = Phase::Empty;
            self.protocol = None;
            self.leader = None;
            return;
        }
        let leader_here = self.leader.as_ref().and_then(|l| self.members.get(l)).is_some_and(|m| m.joining.is_some());
        if !leader_here {
            self.leader = self.members.iter().find(|(_, m)| m.joining.is_some()).map(|(n, _)| n.clone());
        }
        self.protocol = self.vote();
        self.phase = Phase::Completing;
        let names: Vec<String> = self.members.keys().cloned().collect();
        for name in names {
            let told = self.joined(&name, false);
            let Some(member) = self.members.get_mut(&name) else { continue };
            member.assignment = Bytes::new();
            member.deadline = now + member.session_ms;
            if let Some(ticket) = member.joining.take() {
                out.push(Out::Join(ticket, Ok(told)));
            }
        }
    }

    /// The protocol that most members like best, of those all know.
    fn vote(&self) -> Option<String> {
        let mut votes: BTreeMap<&str, usize> = BTreeMap::new();
        let known_to_all = |name: &str| self.members.values().all(|m| m.protocols.iter().any(|(n, _)| n == name));
        for member in self.members.values() {
            if let Some((best, _)) = member.protocols.iter().find(|(name, _)| known_to_all(name)) {
                *votes.entry(best).or_default() += 1;
            }
        }
        votes.into_iter().max_by_key(|(name, n)| (*n, std::cmp::Reverse(*name))).map(|(name, _)| name.to_owned())
    }

    fn joined(&self, name: &str, skip_assignment: bool) -> Joined {
        let protocol = self.protocol.clone().unwrap_or_default();
        let leads = self.leader.as_deref() == Some(name);
        let told = |(n, m): (&String, &Member)| (n.clone(), m.instance.clone(), m.metadata(&protocol));
        Joined {
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            leader: self.leader.clone().unwrap_or_default(),
            member: name.to_owned(),
            members: if leads { self.members.iter().map(told).collect() } else { Vec::new() },
            skip_assignment,
        }
    }

    fn check(&self, member: &str, instance: Option<&str>, generation: i32) -> Result<(), Refusal> {
        if let Some(owner) = instance.and_then(|i| self.instances.get(i)) {
            if owner != member {
                return Err(Refusal::Fenced);
            }
        }
        if !self.members.contains_key(member) {
            return Err(Refusal::UnknownMember);
        }
        if generation != self.generation {
            return Err(Refusal::IllegalGeneration);
        }
        Ok(())
    }

    /// A member asks for its assignment; the leader brings all of them.
    #[allow(clippy::too_many_arguments)]
    pub fn sync(
        &mut self,
        now: i64,
        member: &str,
        instance: Option<&str>,
        generation: i32,
        protocol: (Option<&str>, Option<&str>),
        assignments: Vec<(String, Bytes)>,
        ticket: Ticket,
        out: &mut Vec<Out>,
    ) {
        let refuse = |why, out: &mut Vec<Out>| out.push(Out::Sync(ticket, Err(why)));
        if let Err(why) = self.check(member, instance, generation) {
            return refuse(why, out);
        }
        let other = |told: Option<&str>, ours: &Option<String>| told.is_some_and(|t| ours.as_deref() != Some(t));
        if other(protocol.0, &self.protocol_type) || other(protocol.1, &self.protocol) {
            return refuse(Refusal::Inconsistent, out);
        }
        let leads = self.leader.as_deref() == Some(member);
        let Some(this) = self.members.get_mut(member) else { return refuse(Refusal::UnknownMember, out) };
        this.deadline = now + this.session_ms;
        match self.phase {
            Phase::Empty => refuse(Refusal::UnknownMember, out),
            Phase::Preparing => refuse(Refusal::Rebalancing, out),
            Phase::Stable => {
                let assignment = this.assignment.clone();
                out.push(Out::Sync(ticket, Ok(self.synced(assignment))));
            }
            Phase::Completing => {
                if let Some(earlier) = this.syncing.replace(ticket) {
                    out.push(Out::Sync(earlier, Err(Refusal::Rebalancing)));
                }
                if leads {
                    self.assign(now, assignments, out);
                }
            }
        }
    }

    fn assign(&mut self, now: i64, assignments: Vec<(String, Bytes)>, out: &mut Vec<Out>) {
        for (name, assignment) in assignments {
            if let Some(member) = self.members.get_mut(&name) {
                member.assignment = assignment;
            }
        }
        self.phase = Phase::Stable;
        let mut waiting = Vec::new();
        for member in self.members.values_mut() {
            if let Some(ticket) = member.syncing.take() {
                member.deadline = now + member.session_ms;
                waiting.push((ticket, member.assignment.clone()));
            }
        }
        for (ticket, assignment) in waiting {
            out.push(Out::Sync(ticket, Ok(self.synced(assignment))));
        }
    }

    fn synced(&self, assignment: Bytes) -> Synced {
        Synced { protocol_type: self.protocol_type.clone(), protocol: self.protocol.clone(), assignment }
    }

    /// A sign of life.
    pub fn heartbeat(&mut self, now: i64, member: &str, instance: Option<&str>, generation: i32) -> Result<(), Refusal> {
        self.check(member, instance, generation)?;
        if let Some(m) = self.members.get_mut(member) {
            m.deadline = now + m.session_ms;
        }
        match self.phase {
            Phase::Empty => Err(Refusal::UnknownMember),
            Phase::Preparing => Err(Refusal::Rebalancing),
            Phase::Completing | Phase::Stable => Ok(()),
        }
    }

    /// Whether somebody may commit offsets.
    pub fn may_commit(&mut self, now: i64, member: &str, instance: Option<&str>, generation: i32) -> Result<(), Refusal> {
        // Consumers that assign themselves are in no generation.
        if generation < 0 && self.members.is_empty() {
            return Ok(());
        }
        if generation < 0 && member.is_empty() && instance.is_none() {
            return Err(Refusal::UnknownMember);
        }
        self.check(member, instance, generation)?;
        if let Some(m) = self.members.get_mut(member) {
            m.deadline = now + m.session_ms;
        }
        match self.phase {
            Phase::Empty => Err(Refusal::UnknownMember),
            // What was read before the rebalance may still be committed.
            Phase::Preparing | Phase::Stable => Ok(()),
            Phase::Completing => Err(Refusal::Rebalancing),
        }
    }

    /// A member leaves, named by itself or by its instance.
    pub fn leave(&mut self, now: i64, member: &str, instance: Option<&str>, out: &mut Vec<Out>) -> Result<(), Refusal> {
        let name = match instance {
            Some(instance) => {
                let owner = self.instances.get(instance).cloned().ok_or(Refusal::UnknownMember)?;
                if !member.is_empty() && owner != member {
                    return Err(Refusal::Fenced);
                }
                owner
            }
            None => member.to_owned(),
        };
        if self.named.remove(&name).is_some() {
            self.complete_if_all_joined(now, out);
            return Ok(());
        }
        if !self.members.contains_key(&name) {
            return Err(Refusal::UnknownMember);
        }
        self.forget(&name, out);
        self.after_loss(now, out);
        Ok(())
    }

    fn forget(&mut self, name: &str, out: &mut Vec<Out>) {
        let Some(member) = self.members.remove(name) else { return };
        if let Some(instance) = &member.instance {
            self.instances.remove(instance);
        }
        if let Some(ticket) = member.joining {
            out.push(Out::Join(ticket, Err((Refusal::UnknownMember, name.to_owned()))));
        }
        if let Some(ticket) = member.syncing {
            out.push(Out::Sync(ticket, Err(Refusal::UnknownMember)));
        }
        if self.leader.as_deref() == Some(name) {
            self.leader = self.members.keys().next().cloned();
        }
    }

    fn after_loss(&mut self, now: i64, out: &mut Vec<Out>) {
        match self.phase {
            Phase::Empty => {}
            Phase::Preparing if self.members.is_empty() => self.complete(now, out),
            Phase::Preparing => self.complete_if_all_joined(now, out),
            Phase::Completing | Phase::Stable => self.prepare(now, 0, out),
        }
    }

    /// Time has passed: who was silent too long is out.
    pub fn tick(&mut self, now: i64, out: &mut Vec<Out>) {
        let named = self.named.len();
        self.named.retain(|_, until| now < *until);
        let waits = |m: &Member| m.joining.is_some() || m.syncing.is_some();
        let silent: Vec<String> = self.members.iter().filter(|(_, m)| !waits(m) && now >= m.deadline).map(|(n, _)| n.clone()).collect();
        for name in &silent {
            tracing::info!(member = %name, "a member of a consumer group was silent too long");
            self.forget(name, out);
        }
        if !silent.is_empty() {
            self.after_loss(now, out);
        } else if self.named.len() < named {
            self.complete_if_all_joined(now, out);
        }
        if self.phase == Phase::Preparing && now >= self.deadline {
            self.complete(now, out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn join(member: &str, new_name: &str) -> Join {
        Join {
            member: member.into(),
            instance: None,
            new_name: new_name.into(),
            name_first: false,
            can_skip_assignment: false,
            session_ms: 1_000,
            rebalance_ms: 5_000,
            protocol_type: "consumer".into(),
            protocols: vec![("range".into(), Bytes::from_static(b"m"))],
            client_id: "c".into(),
            client_host: "h".into(),
        }
    }

    fn generation(out: &Out) -> i32 {
        match out {
            Out::Join(_, Ok(joined)) => joined.generation,
            other => panic!("not joined: {other:?}"),
        }
    }

    /// One member in a stable group of its own.
    fn alone() -> Group {
        let mut g = Group::default();
        let mut out = Vec::new();
        g.join(0, join("", "a"), 1, 0, &mut out);
        assert_eq!(generation(&out[0]), 1);
        out.clear();
        g.sync(0, "a", None, 1, (None, None), vec![("a".into(), Bytes::from_static(b"all"))], 2, &mut out);
        assert!(matches!(&out[0], Out::Sync(2, Ok(s)) if &s.assignment[..] == b"all"));
        assert_eq!(g.phase(), Phase::Stable);
        g
    }

    #[test]
    fn a_second_member_makes_the_first_join_again() {
        let mut g = alone();
        let mut out = Vec::new();
        g.join(10, join("", "b"), 3, 0, &mut out);
        assert!(out.is_empty());
        assert_eq!(g.heartbeat(20, "a", None, 1), Err(Refusal::Rebalancing));
        g.join(30, join("a", "x"), 4, 0, &mut out);
        assert_eq!(out.len(), 2);
        assert!(out.iter().all(|o| generation(o) == 2));
        out.clear();
        g.sync(40, "b", None, 2, (None, None), vec![], 5, &mut out);
        assert!(out.is_empty());
        let both = vec![("a".into(), Bytes::from_static(b"1")), ("b".into(), Bytes::from_static(b"2"))];
        g.sync(50, "a", None, 2, (Some("consumer"), Some("range")), both, 6, &mut out);
        assert_eq!(out.len(), 2);
        assert_eq!(g.heartbeat(60, "b", None, 2), Ok(()));
        assert_eq!(g.heartbeat(60, "b", None, 1), Err(Refusal::IllegalGeneration));
        assert_eq!(g.may_commit(60, "a", None, 2), Ok(()));
        assert_eq!(g.may_commit(60, "", None, -1), Err(Refusal::UnknownMember));
    }

    #[test]
    fn a_silent_member_is_out_and_the_rest_rebalance() {
        let mut g = alone();
        let mut out = Vec::new();
        g.join(10, join("", "b"), 3, 0, &mut out);
        g.tick(1_100, &mut out);
        assert_eq!(out.len(), 1, "a was silent, b goes on alone: {out:?}");
        assert_eq!(generation(&out[0]), 2);
        assert_eq!(g.members().keys().collect::<Vec<_>>(), ["b"]);
    }

    #[test]
    fn a_member_that_does_not_rejoin_in_time_is_out() {
        let mut g = alone();
        let mut out = Vec::new();
        g.join(10, Join { rebalance_ms: 500, ..join("", "b") }, 3, 0, &mut out);
        for t in [300, 900, 1_500, 4_900] {
            assert_eq!(g.heartbeat(t, "a", None, 1), Err(Refusal::Rebalancing));
            g.tick(t, &mut out);
            assert!(out.is_empty(), "a heartbeats: {out:?}");
        }
        g.tick(5_100, &mut out);
        assert_eq!(generation(&out[0]), 2);
        assert_eq!(g.members().len(), 1);
    }

    #[test]
    fn a_name_is_given_first() {
        let mut g = Group::default();
        let mut out = Vec::new();
        g.join(0, Join { name_first: true, ..join("", "a") }, 1, 0, &mut out);
        assert_eq!(out, [Out::Join(1, Err((Refusal::NameNeeded, "a".into())))]);
        out.clear();
        g.join(0, Join { name_first: true, ..join("a", "x") }, 2, 0, &mut out);
        assert_eq!(generation(&out[0]), 1);
    }

    #[test]
    fn a_static_member_returns_without_a_rebalance() {
        let mut g = Group::default();
        let mut out = Vec::new();
        let fixed = |new: &str| Join { instance: Some("i".into()), can_skip_assignment: true, ..join("", new) };
        g.join(0, fixed("a"), 1, 0, &mut out);
        g.sync(0, "a", Some("i"), 1, (None, None), vec![("a".into(), Bytes::from_static(b"all"))], 2, &mut out);
        out.clear();
        g.join(10, fixed("a2"), 3, 0, &mut out);
        assert_eq!(generation(&out[0]), 1);
        assert_eq!(g.heartbeat(20, "a", Some("i"), 1), Err(Refusal::Fenced));
        out.clear();
        g.sync(30, "a2", Some("i"), 1, (None, None), vec![], 4, &mut out);
        assert!(matches!(&out[0], Out::Sync(4, Ok(s)) if &s.assignment[..] == b"all"));
    }

    #[test]
    fn the_last_to_leave_empties_the_group() {
        let mut g = alone();
        let mut out = Vec::new();
        assert_eq!(g.leave(10, "nobody", None, &mut out), Err(Refusal::UnknownMember));
        assert_eq!(g.leave(10, "a", None, &mut out), Ok(()));
        assert_eq!(g.phase(), Phase::Empty);
        assert!(g.is_idle());
        assert_eq!(g.may_commit(20, "", None, -1), Ok(()));
    }

    #[test]
    fn strangers_are_refused() {
        let mut g = alone();
        let mut out = Vec::new();
        g.join(10, Join { protocols: vec![("sticky".into(), Bytes::new())], ..join("", "b") }, 3, 0, &mut out);
        g.join(10, Join { protocol_type: "connect".into(), ..join("", "b") }, 4, 0, &mut out);
        g.join(10, join("zombie", "b"), 5, 0, &mut out);
        let refused: Vec<_> = out.iter().map(|o| matches!(o, Out::Join(_, Err(_)))).collect();
        assert_eq!(refused, [true, true, true]);
        assert_eq!(g.phase(), Phase::Stable);
    }

    #[test]
    fn the_first_generation_waits_for_more_members() {
        let mut g = Group::default();
        let mut out = Vec::new();
        g.join(0, join("", "a"), 1, 300, &mut out);
        g.join(100, join("", "b"), 2, 300, &mut out);
        g.tick(350, &mut out);
        assert!(out.is_empty());
        g.tick(400, &mut out);
        assert_eq!(out.len(), 2);
    }
}
