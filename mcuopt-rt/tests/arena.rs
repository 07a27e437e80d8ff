//! Views of an arena: what they give, and what they refuse.

use mcuopt_rt::arena::{Arena, Slot};
use mcuopt_rt::weights::{f32s, i8s, i16s, i64s, u16s, u32s};

const A: Slot<i8, 8> = Slot::at(0);
const B: Slot<i32, 2> = Slot::at(8);
const C: Slot<f32, 4> = Slot::at(16);
const OVER_B: Slot<u8, 5> = Slot::at(15);

#[test]
fn views_are_the_slots() {
    let mut arena = Arena::<32>::new();
    arena.write(A).copy_from_slice(&[1, 2, 3, 4, 5, 6, 7, -8]);
    let (a, b, c) = arena.views((A.read(), B.write(), C.write()));
    b[1] = a.iter().map(|&a| i32::from(a)).sum();
    c[3] = 0.5;
    assert_eq!(arena.read(B), &[0, 20]);
    assert_eq!(arena.read(C), &[0.0, 0.0, 0.0, 0.5]);
    // Little-endian hosts see the same bytes.
    assert_eq!(arena.read(Slot::<u8, 16>::at(8))[4..8], 20u32.to_ne_bytes());
}

#[test]
fn reads_may_overlap_and_slots_may_touch() {
    let mut arena = Arena::<32>::new();
    let (a, again, part, empty) =
        arena.views((A.read(), A.read(), Slot::<u16, 2>::at(2).read(), Slot::<i8, 0>::at(8).write()));
    assert_eq!((a, a.as_ptr(), part.len(), empty.len()), (again, again.as_ptr(), 2, 0));
}

#[test]
fn many_views() {
    let mut arena = Arena::<32>::new();
    let slot = |i: usize| Slot::<u32, 1>::at(4 * i);
    let views = (
        slot(0).write(),
        slot(1).write(),
        slot(2).write(),
        slot(3).write(),
        slot(4).write(),
        slot(5).write(),
        slot(6).write(),
        slot(7).write(),
    );
    let (a, b, c, d, e, f, g, h) = arena.views(views);
    for (i, view) in [a, b, c, d, e, f, g, h].into_iter().enumerate() {
        view[0] = i as u32;
    }
    assert_eq!(arena.read(Slot::<u32, 8>::at(0)), &[0, 1, 2, 3, 4, 5, 6, 7]);
}

#[test]
fn concat_and_split_views() {
    let mut arena = Arena::<32>::new();
    let parts = [Slot::<i8, 3>::at(0).erase(), Slot::<i8, 1>::at(4).erase()];
    let (_, split) = arena.one_to_many(C.read(), parts);
    split[0].fill(1);
    split[1].fill(2);
    let (joined, y) = arena.many_to_one(parts, B.write());
    assert_eq!(joined, [&[1, 1, 1][..], &[2]]);
    y[0] = 9;
    assert_eq!(arena.read(B), &[9, 0]);
}

#[test]
#[should_panic(expected = "overlaps")]
fn a_write_over_a_read() {
    Arena::<32>::new().views((OVER_B.write(), B.read()));
}

#[test]
#[should_panic(expected = "overlaps")]
fn a_read_of_what_is_written() {
    Arena::<32>::new().views((A.read(), B.write(), OVER_B.read()));
}

#[test]
#[should_panic(expected = "overlaps")]
fn two_writes() {
    Arena::<32>::new().views((C.write(), C.write()));
}

#[test]
#[should_panic(expected = "overlaps")]
fn concat_into_its_own_input() {
    Arena::<32>::new().many_to_one([A.erase(), A.erase()], Slot::<i8, 4>::at(7).write());
}

#[test]
#[should_panic(expected = "overlaps")]
fn split_into_one_place_twice() {
    Arena::<32>::new().one_to_many(C.read(), [A.erase(), A.erase()]);
}

#[test]
#[should_panic(expected = "outside")]
fn beyond_the_end() {
    Arena::<24>::new().read(C);
}

#[test]
#[should_panic(expected = "outside")]
fn begins_beyond_the_end() {
    Arena::<24>::new().write(Slot::<i8, 0>::at(25));
}

#[test]
#[should_panic(expected = "misaligned")]
fn misaligned() {
    Slot::<i32, 1>::at(2);
}

#[test]
fn constants_are_little_endian() {
    assert_eq!(*i8s(b"\x01\xff\x80"), [1, -1, -128]);
    assert_eq!(*i16s(b"\x01\x00\xff\xff"), [1, -1]);
    assert_eq!(*u16s(b"\x34\x12"), [0x1234]);
    assert_eq!(*u32s(b"\x78\x56\x34\x12"), [0x1234_5678]);
    assert_eq!(*i64s(b"\xfe\xff\xff\xff\xff\xff\xff\xff"), [-2]);
    assert_eq!(*f32s(b"\x00\x00\x80\x3f\x00\x00\x00\xbf"), [1.0, -0.5]);
    assert_eq!(align_of_val(&i8s(b"\x01")), 16);
}

#[test]
#[should_panic(expected = "N elements")]
fn constants_have_whole_elements() {
    let _: [i16; 2] = *i16s(b"\x01\x00\xff");
}

#[test]
fn observers() {
    use mcuopt_rt::{Observer, Tensor};
    let mut seen = Vec::new();
    let mut observer = |index, output: Tensor<'_>| seen.push((index, format!("{output:?}")));
    observer.layer(3, Tensor::from(&[1i8, 2]));
    ().layer(4, Tensor::from(&[0.5f32][..]));
    assert_eq!(seen, [(3, "I8([1, 2])".to_string())]);
}
