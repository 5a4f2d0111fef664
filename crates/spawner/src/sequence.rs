//! Programs that run one after another. The tester asks for the next one while one runs, so that it starts the moment that
//! one has ended, whatever the tester is doing then.

use std::collections::{HashMap, VecDeque};

use crate::program::Prepared;

/// All sequences that have a program which runs, or isn't over.
#[derive(Default)]
pub struct Sequences(HashMap<u32, Sequence>);

struct Sequence {
    /// The program that runs, or that has ended, and the tester isn't through with it.
    current: u32,
    waiting: VecDeque<Prepared>,
}

impl Sequences {
    /// Returns the program if it may start now.
    pub fn admit(&mut self, program: Prepared) -> Option<Prepared> {
        if program.sequence == 0 {
            return Some(program);
        }
        match self.0.get_mut(&program.sequence) {
            Some(sequence) => {
                sequence.waiting.push_back(program);
                None
            }
            None => {
                self.0.insert(program.sequence, Sequence { current: program.id, waiting: VecDeque::new() });
                Some(program)
            }
        }
    }

    /// A program is over, or couldn't start. Returns the one that may start now.
    pub fn next_after(&mut self, id: u32) -> Option<Prepared> {
        let number = *self.0.iter().find(|(_, sequence)| sequence.current == id)?.0;
        let sequence = self.0.get_mut(&number)?;
        let next = sequence.waiting.pop_front();
        match &next {
            Some(program) => sequence.current = program.id,
            None => drop(self.0.remove(&number)),
        }
        next
    }

    /// Returns the numbers of the programs that waited, and won't start.
    pub fn cancel(&mut self, number: u32) -> Vec<u32> {
        let waiting = self.0.get_mut(&number).map(|sequence| std::mem::take(&mut sequence.waiting));
        waiting.unwrap_or_default().iter().map(|program| program.id).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::Sequences;
    use crate::program::{Prepared, prepare};
    use crate::protocol::Start;

    #[allow(clippy::unwrap_used)]
    fn program(id: u32, sequence: u32) -> Prepared {
        let (cwd, socket) = Default::default();
        let words = vec!["true".into()];
        prepare(&Start { id, sequence, streams: 0, cwd, socket, words, env: Vec::new() }).unwrap()
    }

    #[test]
    fn starts_one_after_another() {
        let mut sequences = Sequences::default();
        let ids = |program: Option<Prepared>| program.map(|program| program.id);
        for id in [1, 2] {
            assert_eq!(ids(sequences.admit(program(id, 0))), Some(id), "no sequence");
        }
        assert_eq!(ids(sequences.admit(program(3, 1))), Some(3));
        assert_eq!(ids(sequences.admit(program(4, 2))), Some(4), "another sequence");
        for id in [5, 6, 7] {
            assert_eq!(ids(sequences.admit(program(id, 1))), None);
        }
        assert_eq!(ids(sequences.next_after(3)), Some(5));
        assert_eq!(ids(sequences.next_after(3)), None, "over before");
        assert_eq!(sequences.cancel(1), [6, 7]);
        assert_eq!(ids(sequences.admit(program(8, 1))), None, "5 runs");
        assert_eq!(ids(sequences.next_after(5)), Some(8));
        assert_eq!(ids(sequences.next_after(8)), None);
        assert_eq!(ids(sequences.admit(program(9, 1))), Some(9));
        assert_eq!(sequences.cancel(3), []);
    }
}
