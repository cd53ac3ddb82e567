//! An amount of something scarce, divided so that none of several users can take all of it.

/// Which part of the whole is kept apart, in equal parts for each user: one half. More of it would leave a busy user
/// with little while the others are quiet, and less would be soon used up by those who come to a full server.
const KEPT_PART: usize = 2;

/// An amount of something that several users take from. Each has a part that nobody else can take; the rest is for
/// whoever comes first. Users are numbered from 0.
#[derive(Debug)]
pub struct Capacity {
    total: usize,
    /// What each user has alone.
    own: usize,
    /// What is taken of the part that is for whoever comes first.
    common_taken: usize,
    taken: Vec<usize>,
}

impl Capacity {
    /// Divides `total` among so many users.
    pub fn new(total: usize, users: usize) -> Self {
        Self { total, own: own_part(total, users), common_taken: 0, taken: vec![0; users] }
    }

    /// Makes room for so many users, if there are fewer. What is kept for each becomes smaller: who has more than that may
    /// go on, and new users get theirs as soon as something is given back.
    pub fn grow_to(&mut self, users: usize) {
        if users <= self.taken.len() {
            return;
        }
        self.taken.resize(users, 0);
        self.own = own_part(self.total, users);
        self.common_taken = self.taken.iter().map(|taken| self.beyond_own(*taken)).sum();
    }

    /// Takes an amount for a user. Returns false, and takes nothing, if there is not as much left for this user.
    pub fn take(&mut self, user: usize, amount: usize) -> bool {
        let before = self.beyond_own(self.taken[user]);
        let more = self.beyond_own(self.taken[user] + amount) - before;
        if more > self.common_left() {
            return false;
        }
        self.common_taken += more;
        self.taken[user] += amount;
        true
    }

    /// Gives back a part of what a user has taken.
    pub fn give_back(&mut self, user: usize, amount: usize) {
        let before = self.beyond_own(self.taken[user]);
        self.taken[user] -= amount;
        self.common_taken -= before - self.beyond_own(self.taken[user]);
    }

    /// How many users there are.
    pub fn users(&self) -> usize {
        self.taken.len()
    }

    /// What a user has taken.
    pub fn taken(&self, user: usize) -> usize {
        self.taken[user]
    }

    /// Whether a user has more than what is kept for it alone, so that others gain if it gives something back.
    pub fn is_beyond_own(&self, user: usize) -> bool {
        self.taken[user] > self.own
    }

    fn beyond_own(&self, taken: usize) -> usize {
        taken.saturating_sub(self.own)
    }

    /// What is left of the part that is for whoever comes first.
    fn common_left(&self) -> usize {
        (self.total - self.own * self.users()).saturating_sub(self.common_taken)
    }
}

fn own_part(total: usize, users: usize) -> usize {
    total / KEPT_PART / users.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_user_leaves_the_others_what_is_theirs() {
        let mut capacity = Capacity::new(12, 3);
        assert!(capacity.take(0, 8) && !capacity.take(0, 1), "two are kept for each of the others");
        assert!(capacity.take(1, 2) && !capacity.take(1, 1));
        assert!(capacity.take(2, 1));
        capacity.give_back(0, 3);
        assert!(capacity.take(1, 3) && !capacity.take(1, 1) && !capacity.take(0, 1));
        capacity.give_back(2, 1);
        assert!(!capacity.take(1, 1), "what is another's comes back to that one only");
        assert!(capacity.take(2, 2));
        assert_eq!([0, 1, 2].map(|user| capacity.taken(user)), [5, 5, 2]);
        assert_eq!([0, 1, 2].map(|user| capacity.is_beyond_own(user)), [true, true, false]);
    }

    #[test]
    fn a_user_who_comes_later_gets_a_part_as_well() {
        let mut capacity = Capacity::new(12, 1);
        assert!(capacity.take(0, 12));
        capacity.grow_to(2);
        assert!(capacity.take(1, 3) && !capacity.take(1, 1), "three are kept for each");
        assert!(!capacity.take(0, 1));
        capacity.give_back(0, 12);
        assert!(capacity.take(0, 9) && !capacity.take(0, 1) && !capacity.take(1, 1));
        capacity.give_back(0, 9);
        capacity.give_back(1, 3);
        assert!(capacity.take(0, 9) && capacity.take(1, 3), "all is there again");
    }

    #[test]
    fn a_single_user_can_take_everything() {
        let mut capacity = Capacity::new(5, 1);
        assert!(capacity.take(0, 5) && !capacity.take(0, 1));
        capacity.give_back(0, 5);
        assert!(capacity.take(0, 5));
    }
}
