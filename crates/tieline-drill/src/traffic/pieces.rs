//! A list that grows by pieces: what is there is never copied to make room for more, so that ten million calls never have
//! twice their room.

/// Room of a piece in calls of 64 B: 4 MiB.
const PIECE: usize = 1 << 16;

#[derive(Clone, Debug)]
pub(crate) struct Pieces<T> {
    /// What came before `last`; each has [`PIECE`] items.
    full: Vec<Vec<T>>,
    last: Vec<T>,
}

impl<T> Pieces<T> {
    pub(crate) const fn new() -> Self {
        Self {
            full: Vec::new(),
            last: Vec::new(),
        }
    }

    pub(crate) const fn len(&self) -> usize {
        self.full.len() * PIECE + self.last.len()
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Put an item behind the others.
    pub(crate) fn push(&mut self, item: T) {
        if self.last.len() >= PIECE {
            let full = std::mem::replace(&mut self.last, Vec::with_capacity(PIECE));
            self.full.push(full);
        }
        self.last.push(item);
    }

    /// All of them in order. Their room is taken from the system at once and used piece by piece, while that of the pieces
    /// is given back.
    pub(crate) fn into_vec(self) -> Vec<T> {
        let Self { full, mut last } = self;
        let mut all = Vec::with_capacity(full.len() * PIECE + last.len());
        for mut piece in full {
            all.append(&mut piece);
        }
        all.append(&mut last);
        all
    }
}

impl<T> IntoIterator for Pieces<T> {
    type Item = T;
    type IntoIter = std::iter::Flatten<std::iter::Chain<std::vec::IntoIter<Vec<T>>, std::iter::Once<Vec<T>>>>;

    /// Gives each piece back once its items are taken.
    fn into_iter(self) -> Self::IntoIter {
        let last = std::iter::once(self.last);
        self.full.into_iter().chain(last).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_come_whole_and_in_order_from_their_pieces() {
        for items in [0, 1, PIECE, PIECE + 1, 2 * PIECE, 2 * PIECE + 7] {
            let mut pieces = Pieces::new();
            for ix in 0..items {
                assert_eq!(pieces.len(), ix);
                assert_eq!(pieces.is_empty(), ix == 0);
                pieces.push(ix);
            }
            let all: Vec<_> = (0..items).collect();
            assert!(
                pieces.clone().into_iter().eq(all.iter().copied()),
                "{items} items, one by one"
            );
            assert!(pieces.into_vec() == all, "{items} items at once");
        }
    }
}
