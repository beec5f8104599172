//! Taking turns: one item of each queue, round after round.

/// At most `limit` items, one of each queue in each round, a queue's own in order.
pub(super) fn stores_in_turn<T>(queues: Vec<(i64, Vec<T>)>, limit: usize) -> Vec<(i64, T)> {
    let mut queues: Vec<(i64, std::vec::IntoIter<T>)> = queues
        .into_iter()
        .map(|(store, queue)| (store, queue.into_iter()))
        .collect();
    let mut chosen = Vec::with_capacity(limit.min(1024));
    while !queues.is_empty() {
        let mut left = Vec::with_capacity(queues.len());
        for (store, mut queue) in queues {
            if chosen.len() == limit {
                return chosen;
            }
            if let Some(item) = queue.next() {
                chosen.push((store, item));
                left.push((store, queue));
            }
        }
        queues = left;
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_queue_does_not_push_a_short_one_out() {
        let chosen = stores_in_turn(vec![(1, vec![10, 11, 12, 13]), (2, vec![20])], 4);
        assert_eq!(chosen, [(1, 10), (2, 20), (1, 11), (1, 12)]);
        assert_eq!(stores_in_turn(vec![(1, vec![10, 11])], 1), [(1, 10)]);
        assert_eq!(stores_in_turn::<i64>(Vec::new(), 5), []);
    }
}
