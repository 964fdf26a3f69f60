//! A source of choices: splitmix64, the same on every machine.

/// Choices that follow from a seed.
pub(super) struct Choice(u64);

impl Choice {
    pub(super) fn new(seed: u64) -> Choice {
        Choice(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`.
    pub(super) fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    /// True once in `times`.
    pub(super) fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    /// One of these.
    pub(super) fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }

    /// One of these texts.
    pub(super) fn of_texts(&mut self, all: &[String]) -> String {
        all[self.below(all.len())].clone()
    }

    /// Some of these joined by `|`, at most `most`; `0` for none.
    pub(super) fn some(&mut self, all: &[String], most: usize) -> String {
        let mut parts: Vec<String> = Vec::new();
        for _ in 0..=self.below(most) {
            let part = self.of_texts(all);
            if !parts.contains(&part) {
                parts.push(part);
            }
        }
        parts.join("|")
    }
}
