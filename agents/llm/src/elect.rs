//! A choice among any number of options, by a model that is asked of a few at once.
//!
//! Groups are asked first, and who comes first or second in a group goes on, until few enough are left for one question. Each
//! question is asked in both orders: a model likes some letters better than others, whatever stands behind them. One of ours knows no letters, and is asked once.

use std::time::Duration;

use tokio::time::Instant;

use crate::answer::Answer;
use crate::backend::{AskError, Backend, Priority, Reply, Request};
use crate::limits::OPTIONS_MAX;
use crate::task::{Dialect, Task};

/// Of each group so many go on.
const WINNERS: usize = 2;

/// Who asks, how urgently, and until when.
pub struct Asker<'a> {
    backend: &'a dyn Backend,
    priority: Priority,
    until: Instant,
    /// What was answered so far.
    pub replies: Vec<Reply>,
}

impl<'a> Asker<'a> {
    /// One who wants everything within a time.
    pub fn new(backend: &'a dyn Backend, priority: Priority, within: Duration) -> Asker<'a> {
        Asker { backend, priority, until: Instant::now() + within, replies: Vec::new() }
    }

    /// How the one who is asked wants to be asked, as far as is known yet.
    pub fn dialect(&self) -> Option<Dialect> {
        self.backend.card().map(|card| card.dialect)
    }

    /// Tokens that were read and written so far.
    pub fn tokens(&self) -> u32 {
        self.replies.iter().fold(0, |sum, reply| sum.saturating_add(reply.raw.tokens_in).saturating_add(reply.raw.tokens_out))
    }

    /// Asks one task.
    ///
    /// # Errors
    /// As [`Backend::ask`].
    pub async fn ask(&mut self, task: Task) -> Result<Answer, AskError> {
        let within = self.until.saturating_duration_since(Instant::now());
        let reply = self.backend.ask(Request::new(task, self.priority).within(within)).await?;
        let answer = reply.answer.clone();
        self.replies.push(reply);
        Ok(answer)
    }

    /// The options that fit a raw message, the likeliest first, with their shares in thousandths of those that came into the last
    /// question; who did not is not there. Nothing for no options.
    ///
    /// # Errors
    /// As [`Backend::ask`]; [`AskError::Refused`] for an option or a message without text.
    pub async fn elect(&mut self, raw: &str, options: &[&str]) -> Result<Vec<(usize, u32)>, AskError> {
        let mut left: Vec<usize> = (0..options.len()).collect();
        while left.len() > OPTIONS_MAX {
            let groups = left.len().div_ceil(OPTIONS_MAX);
            let mut winners = Vec::new();
            for group in left.chunks(left.len().div_ceil(groups)) {
                winners.extend(self.ranked(raw, options, group).await?.into_iter().take(WINNERS).map(|(option, _)| option));
            }
            winners.sort_unstable();
            left = winners;
        }
        self.ranked(raw, options, &left).await
    }

    async fn ranked(&mut self, raw: &str, options: &[&str], asked: &[usize]) -> Result<Vec<(usize, u32)>, AskError> {
        if asked.len() < 2 {
            return Ok(asked.iter().map(|only| (*only, 1_000)).collect());
        }
        let mut sums = vec![0u64; asked.len()];
        let mut times = 0;
        for backwards in [false, true] {
            let mut order: Vec<usize> = (0..asked.len()).collect();
            if backwards {
                order.reverse();
            }
            let texts: Vec<&str> = order.iter().map(|place| options[asked[*place]]).collect();
            let task = Task::choose(raw, &texts).map_err(|error| AskError::Refused(error.to_string()))?;
            let Answer::Choose(choice) = self.ask(task).await? else { return Err(AskError::Refused("it answered something else".to_owned())) };
            for (place, share) in order.iter().zip(&choice.shares_ppm) {
                sums[*place] += u64::from(*share);
            }
            times += 1;
            if self.replies.last().is_some_and(|reply| reply.card.dialect == Dialect::Native) {
                break;
            }
        }
        let mut ranked: Vec<(usize, u32)> = asked.iter().zip(sums).map(|(option, ppm)| (*option, (ppm / (1_000 * times)).min(1_000) as u32)).collect();
        ranked.sort_by_key(|(option, permille)| (std::cmp::Reverse(*permille), *option));
        Ok(ranked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::Choice;
    use crate::backend::Card;
    use crate::metrics::Metrics;
    use crate::wire::{End, Raw};

    /// Likes one option best, and letter A a little.
    struct Likes(String);

    #[async_trait::async_trait]
    impl Backend for Likes {
        async fn ask(&self, request: Request) -> Result<Reply, AskError> {
            let Task::Choose { options, .. } = &request.task else { return Err(AskError::Absent("only choices".to_owned())) };
            assert!((2..=OPTIONS_MAX).contains(&options.len()));
            let weight = |(at, option): (usize, &String)| if *option == self.0 { 800 } else if at == 0 { 100 } else { 20 };
            let weights: Vec<u32> = options.iter().enumerate().map(weight).collect();
            let all: u32 = weights.iter().sum();
            let answer = Answer::Choose(Choice { index: 0, shares_ppm: weights.iter().map(|weight| weight * 1_000_000 / all).collect(), mass_ppm: 1_000_000 });
            let raw = Raw { text: String::new(), marks: Vec::new(), letters_micro: Vec::new(), vector: Vec::new(), end: End::Complete, tokens_in: 10, tokens_reused: 0, tokens_out: 1, first_us: 1, total_us: 1 };
            let card = Card { model: "fake".to_owned(), digest: "0f".to_owned(), dialect: Dialect::Chat, sampler: "greedy".to_owned(), build: "test".to_owned() };
            Ok(Reply { answer, raw, card, prompt_digest: "p".to_owned(), tries: 1, waited_us: 0, total_us: 1 })
        }

        fn card(&self) -> Option<Card> {
            None
        }

        fn metrics(&self) -> Metrics {
            Metrics::default()
        }
    }

    #[tokio::test]
    async fn the_best_of_any_number_wins_wherever_it_stands() {
        for count in [1, 2, 8, 9, 20, 24, 100] {
            let options: Vec<String> = (0..count).map(|at| format!("option no {at}")).collect();
            let texts: Vec<&str> = options.iter().map(String::as_str).collect();
            for wanted in [0, count / 2, count - 1] {
                let likes = Likes(options[wanted].clone());
                let ranked = Asker::new(&likes, Priority::Three, Duration::from_secs(5)).elect("a message", &texts).await.expect("an answer");
                assert_eq!(ranked[0].0, wanted, "{count}");
                assert!(ranked[0].1 >= 700 && ranked.len() <= OPTIONS_MAX);
            }
        }
        let nobody = Likes(String::new());
        let ranked = Asker::new(&nobody, Priority::Three, Duration::from_secs(5)).elect("a message", &["a", "b", "c"]).await.expect("an answer");
        assert!(ranked[0].1 < 500, "letter A is no reason: {ranked:?}");
        assert!(Asker::new(&nobody, Priority::Three, Duration::from_secs(5)).elect("a message", &[]).await.expect("nothing").is_empty());
        assert!(matches!(Asker::new(&nobody, Priority::Three, Duration::from_secs(5)).elect("a message", &["a", " "]).await, Err(AskError::Refused(_))));
    }
}
