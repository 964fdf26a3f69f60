//! Small numbers given out lowest first: of mounts and of peer groups, as `mountinfo` shows them.

use alloc::collections::BTreeSet;

/// Numbers from 1; the lowest free one is given out first.
#[derive(Default)]
pub(super) struct Numbers {
    used_below: u32,
    freed: BTreeSet<u32>,
}

impl Numbers {
    pub(super) fn take(&mut self) -> u32 {
        self.freed.pop_first().unwrap_or_else(|| {
            self.used_below += 1;
            self.used_below
        })
    }

    pub(super) fn free(&mut self, number: u32) {
        if number == self.used_below {
            self.used_below -= 1;
            while self.freed.remove(&self.used_below) {
                self.used_below -= 1;
            }
        } else {
            self.freed.insert(number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Numbers;

    #[test]
    fn the_lowest_free_number_comes_first() {
        let mut numbers = Numbers::default();
        assert_eq!([numbers.take(), numbers.take(), numbers.take()], [1, 2, 3]);
        numbers.free(2);
        numbers.free(1);
        assert_eq!([numbers.take(), numbers.take(), numbers.take()], [1, 2, 4]);
        numbers.free(3);
        numbers.free(4);
        assert_eq!(numbers.take(), 3);
    }
}
