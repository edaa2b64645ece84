//! Who is closest, against a full sort, and what it may cost.

use super::*;

#[test]
fn closest_returns_what_a_full_sort_would() {
    for seed in 0..200 {
        let mut rng = rng(seed);
        let shape = SHAPES[pick(&mut rng, SHAPES.len())];
        let centre = rng.id();
        let draws = [0, 5, 60, 300, 3_000][pick(&mut rng, 5)];
        let mut wide = filled(&mut rng, shape, &centre, draws);
        let all: Vec<Id> = wide.iter().map(|entry| entry.contact.id).collect();
        // None fail, a tenth, or all of a region.
        let fails = rng.below(3);
        let region = u8::try_from(rng.below(14)).unwrap();
        for id in &all {
            let is_near = id.shared_prefix(&centre) >= region;
            if fails == 1 && rng.below(10) == 0 || fails == 2 && is_near && rng.below(60) > 0 {
                assert_eq!(fail(&mut wide, id, at(1)), Change::Removed(*id));
            }
        }
        // Those of another region go for good, and some of them come back.
        if rng.below(2) == 0 {
            let (around, bits) = (shape.id(&mut rng, &centre), u8::try_from(rng.below(9)).unwrap());
            for id in all.iter().filter(|id| id.shared_prefix(&around) >= bits) {
                fail(&mut wide, id, at(1));
                if wide.get(id).is_some() {
                    fail(&mut wide, id, at(10));
                }
                if rng.below(20) == 0 {
                    wide.answered(id, &place(&mut rng), at(11));
                }
            }
        }
        check(&wide, &format!("seed {seed}"));
        let good: Vec<Id> =
            wide.iter().filter(|e| e.is_good()).map(|entry| entry.contact.id).collect();
        for _ in 0..12 {
            let target = match rng.below(3) {
                0 if !all.is_empty() => all[pick(&mut rng, all.len())],
                1 => shape.id(&mut rng, &centre),
                _ => rng.id(),
            };
            let k = [8, 20, 1 + pick(&mut rng, 20), 100][pick(&mut rng, 4)];
            let nearest = sorted(good.iter(), &target, 1, &Id::ZERO);
            let asker = nearest.first().filter(|_| rng.below(2) == 0).copied().unwrap_or_default();
            let expected = sorted(good.iter(), &target, k.min(20), &asker);
            // Asking memory for what is there, in whatever table, changes nothing.
            for before in 1..=3 {
                planes::run(Fetch { wide: &wide, target: &target, k, before });
            }
            let answer = wide.closest(&target, k, &asker).sorted(&target);
            assert_eq!(ids(&answer), expected, "seed {seed}, {shape:?}, k {k}, target {target}");
            for contact in answer.as_slice() {
                assert_eq!(wide.get(&contact.id).map(|entry| entry.contact), Some(*contact));
            }
        }
    }
}

#[test]
fn closest_is_exact_and_reads_little_in_a_table_of_100_000() {
    for (shape, mean_max, most_max) in [
        (Shape::Uniform, 40, 200),
        (Shape::Crowd(12), 60, 200),
        (Shape::Crowd(140), 60, 200),
        (Shape::Crowd(150), 60, 200),
        (Shape::All(12), 80, 200),
        (Shape::All(64), 80, 200),
        (Shape::Comb, 60, 200),
    ] {
        let mut rng = rng(20);
        let centre = rng.id();
        let wide = filled(&mut rng, shape, &centre, 100_000);
        let all: Vec<Id> = wide.iter().map(|entry| entry.contact.id).collect();
        let (mut sum, mut most) = (0, 0);
        for round in 0..1_000 {
            let target = if round % 2 == 0 { rng.id() } else { shape.id(&mut rng, &centre) };
            let asker = all[pick(&mut rng, all.len())];
            let search = wide.search(&target, 20, &asker);
            // Two ways to the same answer.
            let closest = ids(&wide.closest(&target, 20, &asker).sorted(&target));
            assert_eq!(closest, ids(&search.out), "{shape:?}");
            if round < 6 {
                let expected = sorted(all.iter(), &target, 20, &asker);
                assert_eq!(closest, expected, "{shape:?}");
                let closest = wide.closest(&target, 8, &asker).sorted(&target);
                assert_eq!(ids(&closest), expected[..8], "{shape:?}");
            }
            sum += search.looked_at;
            most = most.max(search.looked_at);
        }
        let mean = sum / 1_000;
        println!("{shape:?}: {mean} contacts read a request, at most {most}");
        assert!(mean <= mean_max && most <= most_max, "{shape:?}: mean {mean}, most {most}");
    }
}

#[test]
fn of_ids_as_hashes_have_them_the_chunk_of_a_target_mostly_holds_its_closest_20() {
    let mut rng = rng(34);
    for contacts in [1_000, 2_000, 3_000, 20_000] {
        let mut wide = filled(&mut rng, Shape::Uniform, &Id::ZERO, contacts);
        // All are replaced twice, each time in another order.
        for _ in 0..2 * contacts {
            let place = pick(&mut rng, wide.len());
            let gone = wide.iter().nth(place).unwrap().contact.id;
            fail(&mut wide, &gone, at(10));
            fail(&mut wide, &gone, at(20));
            wide.answered(&rng.id(), &Endpoint::NONE, at(20));
        }
        let chunks: Vec<&Chunk> =
            wide.directory.pages.parts.iter().flat_map(|page| &page.parts).collect();
        let answers = (0..1_000).filter(|_| {
            let target = rng.id();
            let at = chunks.partition_point(|chunk| chunk.start <= target) - 1;
            chunks[at].depth.is_some() && chunks[at].len() >= 20
        });
        let answers = answers.count();
        println!("{contacts} contacts: {answers} of 1,000 answers lie in one chunk");
        assert!(answers >= 950, "{contacts} contacts: {answers} of 1,000");
    }
}

#[test]
fn ids_that_branch_at_every_second_bit_cost_a_bounded_search_each() {
    let mut rng = rng(33);
    let centre = rng.id();
    // The crowd that is in the way at every level, and a contact beside it at each.
    let mut wide = Wide::new(rng.id(), usize::MAX);
    let mut all: Vec<Id> = (0..2_000).map(|_| with_prefix(&mut rng, &centre, 140)).collect();
    for bit in (0..140).step_by(2) {
        all.push(with_prefix(&mut rng, &centre, bit).with_bit(bit, !centre.bit(bit)));
    }
    for id in &all {
        wide.answered(id, &place(&mut rng), at(0));
    }
    let flipped = |id: Id, bit: u8| id.with_bit(bit, !id.bit(bit));
    let target = (1..140).step_by(2).fold(centre, flipped);
    let search = wide.search(&target, 20, &Id::ZERO);
    let held: Vec<Id> = wide.iter().map(|entry| entry.contact.id).collect();
    assert_eq!(ids(&search.out), sorted(held.iter(), &target, 20, &Id::ZERO));
    println!("{} contacts read", search.looked_at);
    // 70 searches, so the worst case is met; each reads one contact more than it sorts.
    assert!((70 * 65..81 * 65 + 200).contains(&search.looked_at), "{}", search.looked_at);
}

#[test]
fn chunks_of_failed_contacts_are_not_read() {
    let mut rng = rng(21);
    let centre = rng.id();
    let mut wide = filled(&mut rng, Shape::Uniform, &centre, 50_000);
    let failing: Vec<Id> = wide.range(centre, 1).map(|entry| entry.contact.id).collect();
    assert!(failing.len() > 20_000);
    for id in &failing {
        fail(&mut wide, id, at(1));
    }
    for _ in 0..100 {
        let target = with_prefix(&mut rng, &centre, 1);
        let search = wide.search(&target, 20, &Id::ZERO);
        let good = wide.iter().filter(|e| e.is_good()).map(|entry| entry.contact.id);
        let good: Vec<Id> = good.collect();
        assert_eq!(
            ids(&search.out),
            sorted(good.iter(), &target, 20, &Id::ZERO),
            "target {target}"
        );
        // The chunk at the target's place, those at either end, and one for each page.
        assert!(search.looked_at < 2_000, "{} contacts read", search.looked_at);
    }
}

#[test]
fn a_range_is_what_shares_the_prefix() {
    for seed in 0..100 {
        let mut rng = rng(seed);
        let shape = SHAPES[pick(&mut rng, SHAPES.len())];
        let centre = rng.id();
        let wide = filled(&mut rng, shape, &centre, 2_000);
        for bits in [0, 1, 7, 8, 12, 63, 64, 65, 140, 149, 159, 160, 200] {
            let prefix = shape.id(&mut rng, &centre);
            let within = |entry: &Entry| entry.contact.id.shared_prefix(&prefix) >= bits.min(160);
            let expected: Vec<Id> =
                wide.iter().filter(within).map(|entry| entry.contact.id).collect();
            let range: Vec<Id> = wide.range(prefix, bits).map(|entry| entry.contact.id).collect();
            assert_eq!(range, expected, "seed {seed}, {shape:?}, {bits} bits");
            let max = pick(&mut rng, 100);
            assert_eq!(wide.count_in(prefix, bits, max), expected.len().min(max), "seed {seed}");
        }
    }
}
