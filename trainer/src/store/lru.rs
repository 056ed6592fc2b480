//! A map that forgets what was not used for longest, within a budget.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

/// Values with a cost each; the sum of the costs stays within the budget.
#[derive(Debug)]
pub(crate) struct Lru<K, V> {
    values: HashMap<K, (V, usize, u64)>,
    order: BTreeMap<u64, K>,
    now: u64,
    cost: usize,
    budget: usize,
}

impl<K: Hash + Eq + Clone, V: Clone> Lru<K, V> {
    pub(crate) fn new(budget: usize) -> Self {
        Self {
            values: HashMap::new(),
            order: BTreeMap::new(),
            now: 0,
            cost: 0,
            budget,
        }
    }

    /// The value, now the most recently used.
    pub(crate) fn get(&mut self, key: &K) -> Option<V> {
        let (value, _, used) = self.values.get_mut(key)?;
        self.order.remove(used);
        self.now += 1;
        *used = self.now;
        self.order.insert(self.now, key.clone());
        Some(value.clone())
    }

    /// Keeps a value, unless it alone is beyond the budget.
    pub(crate) fn put(&mut self, key: K, value: V, cost: usize) {
        if cost > self.budget {
            return;
        }
        if let Some((_, old, used)) = self.values.remove(&key) {
            self.order.remove(&used);
            self.cost -= old;
        }
        while self.cost + cost > self.budget {
            let Some((_, oldest)) = self.order.pop_first() else {
                break;
            };
            if let Some((_, old, _)) = self.values.remove(&oldest) {
                self.cost -= old;
            }
        }
        self.now += 1;
        self.order.insert(self.now, key.clone());
        self.values.insert(key, (value, cost, self.now));
        self.cost += cost;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_recently_used_goes_first() {
        let mut lru = Lru::new(10);
        lru.put("a", 1, 4);
        lru.put("b", 2, 4);
        assert_eq!(lru.get(&"a"), Some(1));
        lru.put("c", 3, 4);
        let found = ["a", "b", "c"].map(|k| lru.get(&k));
        assert_eq!(found, [Some(1), None, Some(3)]);
        lru.put("d", 4, 11);
        assert_eq!(lru.get(&"d"), None);
        lru.put("a", 5, 10);
        assert_eq!([lru.get(&"a"), lru.get(&"c")], [Some(5), None]);
    }
}
