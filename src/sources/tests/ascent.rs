use super::*;

const SIZES: Sizes = Sizes {
    per_page: 3,
    max_per_page: 3,
    overlap: Duration::from_secs(60),
    seen_max: 20,
};

fn row(id: u32, seconds: i64) -> Stamp {
    Stamp {
        id: id.to_string(),
        at: Micros(seconds * 1_000_000),
        hash: 1,
        coarse: false,
    }
}

/// A shop of rows sorted by time and id.
fn page(rows: &[Stamp], ask: Ask) -> (Vec<Stamp>, bool) {
    let mut from: Vec<Stamp> = rows
        .iter()
        .filter(|row| row.at >= ask.since)
        .cloned()
        .collect();
    from.sort_by_key(|row| (row.at, row.id.parse::<u32>().unwrap()));
    let skip = (ask.page as usize - 1) * ask.per_page as usize;
    let is_last = from.len() <= skip + ask.per_page as usize;
    (
        from.into_iter()
            .skip(skip)
            .take(ask.per_page as usize)
            .collect(),
        is_last,
    )
}

fn poll(ascent: &mut Ascent, rows: &[Stamp]) -> (Vec<String>, usize) {
    let (mut seen, mut requests) = (Vec::new(), 0);
    loop {
        let ask = ascent.ask(&SIZES);
        requests += 1;
        let (page, is_last) = page(rows, ask);
        let (fresh, step) = ascent.absorb(&page, is_last, None, &SIZES).unwrap();
        seen.extend(fresh.into_iter().map(|place| page[place].id.clone()));
        if step == Step::CaughtUp {
            return (seen, requests);
        }
        assert!(requests < 2000, "no end");
    }
}

#[test]
fn ids_of_one_time_that_do_not_fit_on_a_page_are_read_forwards_and_back() {
    let rows: Vec<Stamp> = (0..10)
        .map(|id| row(id, 100))
        .chain([row(10, 101)])
        .collect();
    let mut ascent = Ascent::starting(Micros(0));
    let (mut seen, _) = poll(&mut ascent, &rows);
    seen.sort_by_key(|id| id.parse::<u32>().unwrap());
    assert_eq!(seen.len(), 11);
    assert_eq!(poll(&mut ascent, &rows).0, [""; 0], "and once only");
}

#[test]
fn a_row_that_leaves_a_group_of_ties_hides_no_other() {
    // Whenever the reader goes on to the next page, one row it has read moves to the end.
    let mut rows: Vec<Stamp> = (0..12).map(|id| row(id, 100)).collect();
    let mut ascent = Ascent::starting(Micros(0));
    let mut seen = std::collections::BTreeSet::new();
    let mut moved = 0;
    for _ in 0..200 {
        let ask = ascent.ask(&SIZES);
        let (page, is_last) = page(&rows, ask);
        let (fresh, step) = ascent.absorb(&page, is_last, None, &SIZES).unwrap();
        seen.extend(fresh.into_iter().map(|place| page[place].id.clone()));
        if step == Step::CaughtUp {
            break;
        }
        if moved < 4 {
            rows[moved].at = Micros(200_000_000 + moved as i64 * 1_000_000);
            rows[moved].hash += 1;
            moved += 1;
        }
    }
    assert_eq!(seen.len(), 12);
}

#[test]
fn memory_is_bounded_and_what_is_forgotten_is_not_read_again_for_ever() {
    let rows: Vec<Stamp> = (0..500)
        .map(|id| row(id, 100 + i64::from(id) / 20))
        .collect();
    let mut ascent = Ascent::starting(Micros(0));
    let (seen, _) = poll(&mut ascent, &rows);
    assert_eq!(seen.len(), 500);
    assert!(
        ascent.seen.len() <= 2 * SIZES.seen_max,
        "{}",
        ascent.seen.len()
    );
    let (again, requests) = poll(&mut ascent, &rows);
    assert_eq!(again, [""; 0]);
    assert!(requests < 40, "{requests}");
}

#[test]
fn a_shop_that_does_as_it_likes_is_noticed() {
    let mut ascent = Ascent::starting(Micros(100_000_000));
    ascent.ask(&SIZES);
    assert_eq!(
        ascent.clone().absorb(&[row(1, 10)], false, None, &SIZES),
        Err(Disorder::FilterIgnored)
    );
    let unsorted = [row(1, 130), row(2, 120)];
    assert_eq!(
        ascent.clone().absorb(&unsorted, false, None, &SIZES),
        Err(Disorder::SortIgnored)
    );
    let same = [row(1, 100), row(2, 100), row(3, 100)];
    assert_eq!(
        ascent.absorb(&same, false, None, &SIZES).unwrap().1,
        Step::More
    );
    assert_eq!(ascent.ask(&SIZES).page, 2);
    assert_eq!(
        ascent.absorb(&same, false, None, &SIZES),
        Err(Disorder::PageIgnored)
    );
}

#[test]
fn a_row_of_the_current_second_is_looked_at_once_more() {
    let coarse = || Stamp {
        coarse: true,
        ..row(1, 100)
    };
    let mut ascent = Ascent::starting(Micros(0));
    let mut at = |seconds: i64| {
        ascent.ask(&SIZES);
        let now = Some(Micros(seconds * 1_000_000));
        ascent
            .absorb(&[coarse()], true, now, &SIZES)
            .unwrap()
            .0
            .len()
    };
    assert_eq!([at(100), at(100), at(101), at(102)], [1, 0, 1, 0]);
}

#[test]
fn an_ascent_survives_being_stored_in_the_middle() {
    let rows: Vec<Stamp> = (0..30).map(|id| row(id, 100 + i64::from(id) / 4)).collect();
    let mut ascent = Ascent::starting(Micros(0));
    let mut seen = Vec::new();
    loop {
        let ask = ascent.ask(&SIZES);
        let (page, is_last) = page(&rows, ask);
        let (fresh, step) = ascent.absorb(&page, is_last, None, &SIZES).unwrap();
        seen.extend(fresh.into_iter().map(|place| page[place].id.clone()));
        let text = serde_json::to_string(&ascent).unwrap();
        ascent = serde_json::from_str(&text).unwrap();
        if step == Step::CaughtUp {
            break;
        }
    }
    seen.sort_by_key(|id| id.parse::<u32>().unwrap());
    assert_eq!(seen.len(), 30);
    seen.dedup();
    assert_eq!(seen.len(), 30);
}
