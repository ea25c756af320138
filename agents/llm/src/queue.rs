//! The waiting line: the most urgent first, first come first served among equals, and bounded.

use std::collections::BTreeMap;

use crate::backend::Priority;

/// Where something stands in the line; it keeps its place when it has to be done again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// How urgent.
    pub priority: Priority,
    number: u64,
}

/// What happened to something that wanted to wait.
#[derive(Debug, PartialEq, Eq)]
pub enum Push<T> {
    /// It waits.
    Waits(Place),
    /// It waits, in place of something less urgent, which does not any more.
    Displaced(Place, T),
    /// The line is full of what is at least as urgent.
    Full(T),
}

/// The line.
#[derive(Debug)]
pub struct Queue<T> {
    max: usize,
    next: u64,
    waiting: BTreeMap<Place, T>,
}

impl<T> Queue<T> {
    /// A line for at most `max`.
    pub fn new(max: usize) -> Self {
        Self { max, next: 0, waiting: BTreeMap::new() }
    }

    /// Puts something at the end of its priority.
    pub fn push(&mut self, priority: Priority, item: T) -> Push<T> {
        let place = Place { priority, number: self.next };
        self.next += 1;
        if self.waiting.len() < self.max {
            self.waiting.insert(place, item);
            return Push::Waits(place);
        }
        match self.waiting.last_entry() {
            // The youngest of the least urgent has lost the least.
            Some(last) if last.key().priority > priority => {
                let displaced = last.remove();
                self.waiting.insert(place, item);
                Push::Displaced(place, displaced)
            }
            _ => Push::Full(item),
        }
    }

    /// Puts something back where it was, full or not: it had been let in already.
    pub fn put_back(&mut self, place: Place, item: T) {
        self.waiting.insert(place, item);
    }

    /// Takes the first. With `urgent_only`, only if it is urgent.
    pub fn pop(&mut self, urgent_only: bool) -> Option<(Place, T)> {
        let first = self.waiting.first_entry()?;
        let may_go = !urgent_only || first.key().priority.is_urgent();
        may_go.then(|| first.remove_entry())
    }

    /// Takes out all that a question is answered with yes for.
    pub fn take_if(&mut self, mut question: impl FnMut(&T) -> bool) -> Vec<T> {
        let (out, rest): (Vec<_>, Vec<_>) = std::mem::take(&mut self.waiting).into_iter().partition(|(_, item)| question(item));
        self.waiting = rest.into_iter().collect();
        out.into_iter().map(|(_, item)| item).collect()
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// How many wait, by priority.
    pub fn lengths(&self) -> [u64; 4] {
        let mut lengths = [0; 4];
        self.waiting.keys().for_each(|it| lengths[it.priority as usize] += 1);
        lengths
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Priority::{Four, One, Three, Two};

    #[test]
    fn the_urgent_go_first_and_equals_in_order() {
        let mut queue = Queue::new(9);
        for (priority, name) in [(Four, "a"), (One, "b"), (Four, "c"), (Two, "d"), (One, "e")] {
            assert!(matches!(queue.push(priority, name), Push::Waits(_)));
        }
        assert_eq!(queue.lengths(), [2, 1, 0, 2]);
        let order: Vec<_> = std::iter::from_fn(|| queue.pop(false)).map(|(_, it)| it).collect();
        assert_eq!(order, ["b", "e", "d", "a", "c"]);
    }

    #[test]
    fn a_full_line_refuses_all_but_the_more_urgent() {
        let mut queue = Queue::new(2);
        queue.push(Three, "a");
        queue.push(Three, "b");
        assert_eq!(queue.push(Three, "c"), Push::Full("c"));
        assert!(matches!(queue.push(One, "d"), Push::Displaced(_, "b")));
        assert_eq!(queue.len(), 2);
    }

    #[test]
    fn what_is_put_back_keeps_its_place() {
        let mut queue = Queue::new(2);
        queue.push(Three, "a");
        let (place, item) = queue.pop(false).unwrap();
        queue.push(Three, "b");
        queue.push(Three, "c");
        queue.put_back(place, item);
        assert_eq!(queue.len(), 3);
        assert_eq!(queue.pop(false).unwrap().1, "a");
    }

    #[test]
    fn the_last_place_is_for_the_urgent() {
        let mut queue = Queue::new(4);
        queue.push(Three, "a");
        assert!(queue.pop(true).is_none());
        queue.push(Two, "b");
        assert_eq!(queue.pop(true).unwrap().1, "b");
        assert_eq!(queue.take_if(|it| *it == "a"), ["a"]);
        assert!(queue.is_empty());
    }
}
