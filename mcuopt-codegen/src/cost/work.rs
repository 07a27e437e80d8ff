//! What a kernel has to do for a layer, counted: how often each of its loops runs, and how often what surrounds them.
//!
//! The counts follow the kernels of mcuopt-rt loop by loop; what each costs on a core, [`coefficients`] says.
//!
//! [`coefficients`]: super::coefficients

use std::collections::BTreeSet;

use mcuopt_rt::v0 as rt;
use mcuopt_rt::v0::{Arch, Prefer};

use crate::graph::{Graph, Node};
use crate::ops::{Kernel, Layer, conv, dense};

/// The work of one layer.
#[derive(Clone, Debug, PartialEq)]
pub struct Work {
    /// The kernel: its function in mcuopt-rt, with the function of the elements behind a colon where it takes one, and
    /// with `shared::` in front of the copy that all layers use of a function that is inlined elsewhere, or `crowded::`
    /// of one that is inlined among so many others that the compiler makes less of it.
    pub kernel: String,
    /// What it does, and how often.
    pub terms: Vec<(&'static str, f64)>,
    /// The forms of the kernel's loops that it needs, as far as each has machine code of its own.
    pub forms: Vec<&'static str>,
    /// What its own machine code consists of, and how often.
    pub code: Vec<(&'static str, f64)>,
}

impl Work {
    /// The work of each layer with the kernel that is chosen for an instruction set.
    pub fn all(lowered: &Graph<Layer>, arch: Arch) -> Vec<Self> {
        let mut works: Vec<(Work, bool)> = lowered.nodes.iter().map(|node| Work::of(lowered, node, arch)).collect();
        let is_large = |(node, (_, inlined)): &(&Node<Layer>, &(Work, bool))| *inlined && node.op.kernel.macs() > 0;
        if lowered.nodes.iter().zip(&works).filter(is_large).count() > CROWD {
            for (work, _) in works.iter_mut().filter(|(_, inlined)| *inlined) {
                work.kernel.insert_str(0, CROWDED);
                // There, no rows are unrolled.
                work.terms.retain(|(term, _)| *term != LOOPED);
            }
        }
        works.into_iter().map(|(work, _)| work).collect()
    }

    /// The work of a layer, and whether its code is part of the network's own function.
    fn of(lowered: &Graph<Layer>, node: &Node<Layer>, arch: Arch) -> (Self, bool) {
        let mut work = Counts::default();
        work.add("call", 1);
        let chosen = node.op.choice(arch);
        let name = chosen.map_or_else(|| function(lowered, node), |choice| choice.name);
        match &node.op.kernel {
            Kernel::ConvS8(layer) => {
                let p = &layer.geometry;
                match conv_s8(layer, node.op.prefer, arch).tiling() {
                    Some(tiling) if name == "conv2d_s8_winograd" => winograd(&mut work, p, tiling.general),
                    Some(tiling) => tiles(&mut work, &tiling),
                    None => portable_conv(&mut work, p, layer.pad_value != 0),
                }
            }
            Kernel::DenseS8(layer) => match dense_s8(layer, node.op.prefer, arch).tiling() {
                Some(tiling) => tiles(&mut work, &tiling),
                None => portable_dense(&mut work, &layer.geometry),
            },
            Kernel::DepthwiseS8(layer) => match depthwise_s8(layer, node.op.prefer, arch).planes() {
                Some(layout) => planes(&mut work, &layer.geometry, &layout),
                None => depthwise(&mut work, &layer.geometry, layer.pad_value != 0),
            },
            Kernel::ConvS16(layer) => {
                let (p, padded) = (&layer.geometry, layer.pad_value != 0);
                let chosen = layer.linear.with_bytes(|linear| layer.chosen(linear, node.op.prefer, arch));
                match (chosen.tiling(), chosen.planes()) {
                    (Some(tiling), _) => tiles(&mut work, &tiling),
                    (None, Some(layout)) => planes(&mut work, p, &layout),
                    _ if layer.depthwise => depthwise(&mut work, p, padded),
                    _ => portable_conv(&mut work, p, padded),
                }
            }
            Kernel::DenseS16(layer) => {
                match layer.linear.with_bytes(|linear| layer.chosen(linear, node.op.prefer, arch)).tiling() {
                    Some(tiling) => tiles(&mut work, &tiling),
                    None => portable_dense(&mut work, &layer.geometry),
                }
            }
            Kernel::ConvF32W8(layer) if layer.depthwise => depthwise(&mut work, &layer.geometry, false),
            Kernel::ConvF32W8(layer) => portable_conv(&mut work, &layer.geometry, false),
            Kernel::DenseF32W8(layer) => portable_dense(&mut work, &layer.geometry),
            Kernel::ConvF32(layer) => portable_conv(&mut work, &layer.geometry, false),
            Kernel::DepthwiseF32(layer) => depthwise(&mut work, &layer.geometry, false),
            Kernel::DenseF32(layer) => portable_dense(&mut work, &layer.geometry),
            Kernel::MaxPool(layer) => pool(&mut work, &layer.geometry),
            Kernel::AveragePoolS8(layer) => pool(&mut work, &layer.geometry),
            Kernel::AveragePoolS16(layer) => pool(&mut work, &layer.geometry),
            Kernel::AveragePoolF32(layer) => pool(&mut work, &layer.geometry),
            kernel => match (reduction(kernel), movement(&mut work, lowered, node)) {
                (Some(geometry), _) => reduce(&mut work, geometry),
                (None, true) => {}
                (None, false) => elements(&mut work, lowered, node),
            },
        }
        let fast = name.ends_with("_dsp") || name.ends_with("_winograd");
        let inlined = !fast && (chosen.is_some() || is_inlined(lowered, node));
        let shared = if node.op.prefer == Prefer::Size && inlined { "shared::" } else { "" };
        let element = match &node.op.kernel {
            Kernel::UnaryLoop(layer) => format!(":{}", layer.function.rust_name()),
            Kernel::BinaryLoop(layer) => format!(":{:?}", layer.kind),
            _ => String::new(),
        };
        let forms = FORMS.iter().filter(|(term, _)| work.has(term)).map(|(_, form)| *form);
        let forms: BTreeSet<&str> = forms.collect();
        let kernel = format!("{shared}{name}{element}");
        let code = if shared.is_empty() { own_code(&node.op.kernel, chosen.is_some()) } else { Vec::new() };
        let code = [vec![("layer", 1.0)], code].concat();
        let work = Work { kernel, terms: work.0, forms: forms.into_iter().collect(), code };
        (work, inlined && shared.is_empty())
    }
}

/// How many layers with sums of products can be inlined into a network's function before the compiler makes less of each.
const CROWD: usize = 4;

/// The term of products in short kernel rows that are too many to be unrolled.
const LOOPED: &str = "looped products";

/// What stands in front of such a kernel's name.
pub(super) const CROWDED: &str = "crowded::";

/// What loops over a layer's constants are unrolled to, where they are part of the network's own function.
fn own_code(kernel: &Kernel, has_choice: bool) -> Vec<(&'static str, f64)> {
    let mut code = Counts::default();
    let unrolled = |len: usize| if len <= UNROLLED { len } else { PARTLY_UNROLLED };
    match kernel {
        Kernel::ConvF32(layer) => {
            let p = &layer.geometry;
            let filters = p.output[2] / p.groups;
            let row = p.kernel[1] * p.input[2] / p.groups;
            let rows = if p.kernel[0] * row <= UNROLLED { p.kernel[0] } else { 1 };
            code.add("quads", usize::from(filters >= 4));
            code.add("products", if filters >= 4 { rows * unrolled(row) } else { 0 });
            code.add("singles", filters % 4);
            code.add("single products", filters % 4 * rows * unrolled(row));
            code.add("borders", usize::from(p.pad != [0, 0]) * (usize::from(filters >= 4) + filters % 4));
        }
        Kernel::DenseF32(layer) => {
            let p = &layer.geometry;
            code.add("quads", usize::from(p.outputs >= 4));
            code.add("products", if p.outputs >= 4 { unrolled(p.inputs) } else { 0 });
            code.add("singles", p.outputs % 4);
            code.add("single products", p.outputs % 4 * unrolled(p.inputs));
        }
        _ => {}
    }
    if has_choice { Vec::new() } else { code.0 }
}

/// LLVM unrolls loops of so many float products.
const UNROLLED: usize = 24;

/// Of longer ones so many at a time.
const PARTLY_UNROLLED: usize = 8;

/// The function's name, of a kernel that is the same for all targets.
pub(super) fn function(lowered: &Graph<Layer>, node: &Node<Layer>) -> &'static str {
    node.op.kernel.call(lowered.value(node.outputs[0]).ty.dtype).function
}

fn is_inlined(lowered: &Graph<Layer>, node: &Node<Layer>) -> bool {
    node.op.kernel.call(lowered.value(node.outputs[0]).ty.dtype).inlined
}

/// Terms that say that a form of a kernel's loops is needed.
const FORMS: [(&str, &str); 12] = [
    ("pairs", "tiles"),
    ("quad products", "rows"),
    ("whole products", "whole"),
    ("whole quad products", "whole"),
    ("general pairs", "general"),
    ("general quads", "general"),
    ("general tiles", "general"),
    ("border runs", "border"),
    ("looped tiles", "looped"),
    ("tiles", "tiles"),
    ("strided tiles", "strided"),
    ("wide tiles", "wide"),
];

/// Terms that occur, each once.
#[derive(Default)]
struct Counts(Vec<(&'static str, f64)>);

impl Counts {
    fn has(&self, term: &str) -> bool {
        self.0.iter().any(|(other, _)| *other == term)
    }

    fn add(&mut self, term: &'static str, count: usize) {
        match self.0.iter_mut().find(|(other, _)| *other == term) {
            _ if count == 0 => {}
            Some((_, sum)) => *sum += count as f64,
            None => self.0.push((term, count as f64)),
        }
    }
}

fn conv_s8(layer: &conv::ConvS8, prefer: Prefer, arch: Arch) -> rt::ConvS8 {
    let choose = if layer.linear.four_bits { rt::ConvS8::choose_w4 } else { rt::ConvS8::choose };
    layer.linear.with_bytes(|linear| choose(&layer.geometry, layer.pad_value, linear, prefer, arch))
}

fn dense_s8(layer: &dense::DenseS8, prefer: Prefer, arch: Arch) -> rt::ConvS8 {
    let choose = if layer.linear.four_bits { rt::ConvS8::choose_dense_w4 } else { rt::ConvS8::choose_dense };
    layer.linear.with_bytes(|linear| choose(&layer.geometry, linear, prefer, arch))
}

fn depthwise_s8(layer: &conv::DepthwiseS8, prefer: Prefer, arch: Arch) -> rt::DepthwiseS8 {
    let choose = if layer.linear.four_bits { rt::DepthwiseS8::choose_w4 } else { rt::DepthwiseS8::choose };
    layer.linear.with_bytes(|linear| choose(&layer.geometry, layer.pad_value, linear, prefer, arch))
}

/// Pixels of a tile: `arch::dsp::convolution`.
const TILE: usize = 4;

/// `arch::dsp::convolution`: tiles of four pixels, then pixels one by one.
fn tiles(work: &mut Counts, tiling: &rt::Tiling) {
    let p = &tiling.geometry;
    let (pixels, filters) = (p.output[0] * p.output[1], p.output[2] / p.groups);
    let [[top, bottom], [left, right]] = tiling.inside;
    let (words, rows) = (tiling.row_bytes / 4, p.kernel[0]);
    let pointwise = p.kernel == [1, 1] && p.pad == [0, 0] && p.groups == 1 && p.input[2].is_multiple_of(4);
    let (mut y, mut x, mut rest) = (0, 0, pixels);
    let (mut all_tiles, mut singles) = (0, 0);
    let next = |y: &mut usize, x: &mut usize, count: usize| {
        *x += count;
        if *x >= p.output[1] {
            (*y, *x) = (*y + 1, 0);
        }
    };
    while rest > 0 {
        let in_rows = top <= y && y < bottom;
        let run = if in_rows && left <= x && x + TILE <= right { ((right - x) / TILE).min(rest / TILE) } else { 0 };
        if run > 0 {
            work.add("run", p.batch);
            work.add("tile rows", p.batch * run * rows);
            work.add("tile words", p.batch * run * rows * words);
            all_tiles += run;
            next(&mut y, &mut x, run * TILE);
            rest -= run * TILE;
            continue;
        }
        let together = if rest >= TILE { TILE } else { 1 };
        for _ in 0..together {
            let inside = in_rows && left <= x && x < right;
            if together == 1 {
                singles += 1;
                if !pointwise {
                    gather(work, tiling, y, x);
                }
            } else if inside && top <= y && y < bottom {
                work.add("widen", p.batch);
                work.add("widen rows", p.batch * rows);
                work.add("widen words", p.batch * rows * words);
            } else {
                gather(work, tiling, y, x);
                work.add("widen", p.batch);
                work.add("widen rows", p.batch);
                work.add("widen words", p.batch * p.groups * tiling.taps / 4);
            }
            next(&mut y, &mut x, 1);
        }
        if together == TILE {
            all_tiles += 1;
        }
        rest -= together;
    }
    let (tiles, singles) = (p.batch * all_tiles * p.groups, p.batch * singles * p.groups);
    let pairs = tiles * filters.div_ceil(2);
    work.add("tiles", tiles);
    work.add("pairs", pairs);
    work.add("products", pairs * tiling.taps);
    work.add("whole products", if tiling.split { 0 } else { pairs * tiling.taps });
    work.add("odd filters", tiles * (filters % 2));
    let quads = singles * filters.div_ceil(4);
    work.add("singles", singles);
    work.add("quads", quads);
    work.add("quad products", quads * tiling.taps);
    work.add("whole quad products", if tiling.split { 0 } else { quads * tiling.taps });
    work.add("rest quads", if filters.is_multiple_of(4) { 0 } else { singles });
    if tiling.general {
        work.add("general pairs", pairs);
        work.add("general quads", quads);
    }
}

/// Copying the taps of a pixel together.
fn gather(work: &mut Counts, tiling: &rt::Tiling, y: usize, x: usize) {
    let p = &tiling.geometry;
    work.add("gathers", p.batch);
    work.add("fill words", p.batch * p.groups * tiling.taps / 4);
    let rows = inside(p, 0, y);
    let neighbours = p.groups == 1 && p.dilation[1] == 1;
    let depth = p.input[2] / p.groups;
    let (copies, length) = match neighbours {
        true => (1, inside(p, 1, x) * depth),
        false => (inside(p, 1, x) * p.groups, depth),
    };
    if length == 0 {
        return;
    }
    work.add("copies", p.batch * copies);
    work.add("copied rows", p.batch * copies * rows);
    if length >= 4 {
        work.add("copied words", p.batch * copies * rows * length.div_ceil(4));
    } else {
        work.add("copied bytes", p.batch * copies * rows * length);
    }
}

/// How many taps of a window along an axis are inside the image.
fn inside(p: &rt::Conv2d, axis: usize, out: usize) -> usize {
    taps_inside(out, p.stride[axis], p.pad[axis], p.dilation[axis], p.kernel[axis], p.input[axis])
}

fn taps_inside(out: usize, stride: usize, pad: usize, dilation: usize, kernel: usize, size: usize) -> usize {
    (0..kernel).filter(|tap| (pad..pad + size).contains(&(out * stride + tap * dilation))).count()
}

/// `arch::dsp::winograd`.
fn winograd(work: &mut Counts, p: &rt::Conv2d, general: bool) {
    let tiles = p.batch * p.output[0].div_ceil(2) * p.output[1].div_ceil(2);
    let (blocks, channels) = (tiles.div_ceil(TILE), p.input[2].next_multiple_of(4) / 2);
    let pairs = blocks * p.output[2].div_ceil(2);
    work.add("blocks", blocks);
    work.add("transforms", blocks * TILE);
    work.add("transformed channels", blocks * TILE * channels);
    work.add("pairs", pairs);
    work.add("products", pairs * channels);
    work.add("general pairs", if general { pairs } else { 0 });
}

/// `arch::dsp::depthwise`: planes.
fn planes(work: &mut Counts, p: &rt::Conv2d, planes: &rt::Planes) {
    let (inputs, outputs) = (p.batch * p.input[2], p.batch * p.output[2]);
    let [length, lines] = planes.inside;
    work.add("fill words", planes.words);
    work.add("channels", inputs);
    work.add("copied lines", inputs * lines);
    work.add("copied elements", inputs * lines * length);
    // What is left of eights.
    work.add("copied rests", inputs * lines * usize::from(!length.is_multiple_of(8)));
    work.add("odd lines", inputs * lines * usize::from(!p.pad[planes.along].is_multiple_of(2)));
    work.add("filters", outputs);
    work.add("filter words", outputs * planes.taps * planes.pairs);
    let (along, across) = (p.output[planes.along], p.output[1 - planes.along]);
    let tile = if planes.wide { 6 } else { 4 };
    let tiles = outputs * across * along.div_ceil(tile);
    work.add("lines", outputs * across);
    work.add("last tiles", outputs * across * usize::from(!along.is_multiple_of(tile)));
    let looped = !planes.unrolled;
    let [per_tile, per_line, per_pair] = match (planes.stride, planes.wide) {
        (_, true) => ["wide tiles", "wide tile lines", "wide tile pairs"],
        (1, _) => ["tiles", "tile lines", "tile pairs"],
        _ => ["strided tiles", "strided tile lines", "strided tile pairs"],
    };
    work.add(per_tile, tiles);
    if !planes.wide {
        work.add(per_line, tiles * planes.taps);
        work.add(per_pair, tiles * planes.taps * planes.pairs);
    }
    if looped {
        work.add("looped tiles", tiles);
        work.add("looped lines", tiles * planes.taps);
    }
    work.add("general tiles", if planes.general { tiles } else { 0 });
}

/// Portable convolution: four outputs at a time, at pixels whose window is inside the image and at others.
fn portable_conv(work: &mut Counts, p: &rt::Conv2d, padded: bool) {
    let (filters, depth) = (p.output[2] / p.groups, p.input[2] / p.groups);
    let (quads, singles) = (filters / 4 * p.groups, filters % 4 * p.groups);
    let neighbours = p.groups == 1 && p.dilation[1] == 1;
    let row = p.kernel[1] * depth;
    let short = row < 16;
    let columns: Vec<usize> = (0..p.output[1]).map(|x| inside(p, 1, x)).collect();
    work.add("pixels", p.batch * p.output[0] * p.output[1]);
    for y in 0..p.output[0] {
        let rows = inside(p, 0, y);
        for &columns in &columns {
            let whole = rows == p.kernel[0] && columns == p.kernel[1];
            let runs = p.batch * rows * if neighbours { 1 } else { columns };
            let macs = p.batch * rows * columns * depth;
            let padding = if padded { p.batch * (p.kernel[0] * p.kernel[1] - rows * columns) * depth } else { 0 };
            let [per_quad, per_run, per_mac, per_single] = match (whole, short) {
                (true, true) => ["short quads", "short runs", "short products", "short single products"],
                (true, false) => ["quads", "runs", "products", "single products"],
                (false, true) => {
                    ["short border quads", "short border runs", "short border products", "short border singles"]
                }
                (false, false) => ["border quads", "border runs", "border products", "border singles"],
            };
            work.add(per_quad, p.batch * quads);
            work.add(per_run, runs * (quads + singles));
            // Few short rows are unrolled.
            work.add(LOOPED, if short && p.kernel[0] > 6 { macs * quads } else { 0 });
            work.add(per_mac, macs * quads);
            work.add("singles", p.batch * singles);
            work.add(per_single, macs * singles);
            work.add("padding", padding * (quads + singles));
        }
    }
}

/// Portable depthwise convolution: sixteen, four or one channel at a time.
fn depthwise(work: &mut Counts, p: &rt::Conv2d, padded: bool) {
    let (outputs, multiplier) = (p.output[2], p.output[2] / p.input[2].max(1));
    let blocks =
        |size: usize, left: usize| if multiplier == 1 || multiplier.is_multiple_of(size) { left / size } else { 0 };
    let sixteens = blocks(16, outputs);
    let fours = blocks(4, outputs - 16 * sixteens);
    let ones = outputs - 16 * sixteens - 4 * fours;
    let columns: Vec<usize> = (0..p.output[1]).map(|x| inside(p, 1, x)).collect();
    for y in 0..p.output[0] {
        let rows = inside(p, 0, y);
        for &columns in &columns {
            let taps = p.batch * rows * columns;
            let padding = if padded { p.batch * p.kernel[0] * p.kernel[1] - taps } else { 0 };
            work.add("pixels", p.batch);
            for (count, [per_block, per_row, per_tap, per_padding]) in [
                (sixteens, ["sixteens", "rows of sixteens", "taps of sixteens", "padding of sixteens"]),
                (fours, ["fours", "rows of fours", "taps of fours", "padding of fours"]),
                (ones, ["ones", "rows of ones", "taps of ones", "padding of ones"]),
            ] {
                work.add(per_block, p.batch * count);
                work.add(per_row, p.batch * rows * count);
                work.add(per_tap, taps * count);
                work.add(per_padding, padding * count);
            }
        }
    }
}

/// Portable dense layer: four outputs at a time.
fn portable_dense(work: &mut Counts, p: &rt::Dense) {
    let (quads, singles) = (p.rows * (p.outputs / 4), p.rows * (p.outputs % 4));
    // A loop over two quads is unrolled, and then the weights are part of the instructions.
    let [per_quad, per_single] = match (p.inputs < 16, p.outputs / 4 <= 2) {
        (true, true) => ["short products", "short single products"],
        (true, false) => ["looped short products", "short single products"],
        (false, _) => ["products", "single products"],
    };
    work.add("rows", p.rows);
    work.add("quads", quads);
    work.add(per_quad, quads * p.inputs);
    work.add("singles", singles);
    work.add(per_single, singles * p.inputs);
}

/// Pools: four channels at a time.
fn pool(work: &mut Counts, p: &rt::Pool2d) {
    let (quads, singles) = (p.output[2] / 4, p.output[2] % 4);
    let count = |axis: usize, out| {
        taps_inside(out, p.stride[axis], p.pad[axis], p.dilation[axis], p.kernel[axis], p.input[axis])
    };
    let columns: Vec<usize> = (0..p.output[1]).map(|x| count(1, x)).collect();
    work.add("pixels", p.batch * p.output[0] * p.output[1]);
    for y in 0..p.output[0] {
        let rows = count(0, y);
        for &columns in &columns {
            work.add("quads", p.batch * quads);
            work.add("quad rows", p.batch * quads * rows);
            work.add("quad cells", p.batch * quads * rows * columns);
            work.add("singles", p.batch * singles);
            work.add("single cells", p.batch * singles * rows * columns);
        }
    }
}

/// Kernels that are known by what goes in and comes out.
fn elements(work: &mut Counts, lowered: &Graph<Layer>, node: &Node<Layer>) {
    let outputs: usize = node.outputs.iter().map(|id| lowered.value(*id).ty.len()).sum();
    let inputs: usize = node.inputs.iter().map(|id| lowered.value(*id).ty.len()).sum();
    work.add("outputs", outputs);
    work.add("inputs", inputs);
    work.add("products", node.op.kernel.macs() as usize);
    match &node.op.kernel {
        Kernel::SoftmaxF32(layer) => work.add("rows", layer.rows.outer * layer.rows.inner),
        Kernel::SoftmaxS8(layer) => work.add("rows", layer.rows.outer * layer.rows.inner),
        Kernel::LogSoftmaxS8(layer) => work.add("rows", layer.rows.outer * layer.rows.inner),
        Kernel::BinaryF32(layer) => broadcast(work, &layer.geometry),
        Kernel::BinaryLoop(layer) => broadcast(work, &layer.geometry),
        Kernel::AddS8(layer) => broadcast(work, &layer.geometry),
        Kernel::AddS16(layer) => broadcast(work, &layer.geometry),
        Kernel::MulS8(layer) => broadcast(work, &layer.geometry),
        Kernel::MulS16(layer) => broadcast(work, &layer.geometry),
        Kernel::SoftmaxS16(layer) => work.add("rows", layer.rows.outer * layer.rows.inner),
        Kernel::ConcatBlocks(layer) => {
            work.add("parts", layer.lens.len());
            work.add("copies", layer.outer * layer.lens.len());
        }
        _ => {}
    }
}

/// Kernels that move elements, row by row.
fn movement(work: &mut Counts, lowered: &Graph<Layer>, node: &Node<Layer>) -> bool {
    let output = &lowered.value(node.outputs[0]).ty;
    let size = output.bytes() / output.len().max(1);
    match &node.op.kernel {
        Kernel::TransposeCopy(layer) => {
            let [outer @ .., len] = layer.geometry.shape;
            let [.., stride] = layer.geometry.strides;
            rows(work, outer.iter().product(), len, size, stride == 1);
        }
        Kernel::SliceCopy(layer) => {
            let [outer @ .., len] = layer.geometry.output;
            let [.., step] = layer.geometry.step;
            rows(work, outer.iter().product(), len, size, step == 1);
        }
        Kernel::PadConstant(layer) => {
            let p = &layer.geometry;
            let [outer @ .., len] = p.output;
            let [inner @ .., x_len] = p.input;
            let (all, inside) = (outer.iter().product::<usize>(), inner.iter().product::<usize>());
            work.add("filled rows", all - inside.min(all));
            work.add("filled bytes", (all * len).saturating_sub(inside * x_len) * size);
            rows(work, inside, x_len, size, true);
        }
        _ => return false,
    }
    true
}

/// Rows of elements that are side by side in the operand, or apart.
fn rows(work: &mut Counts, rows: usize, len: usize, size: usize, together: bool) {
    let [per_row, per_element] = match (together, len) {
        (true, _) => ["copied rows", "copied bytes"],
        (false, 1) => ["single rows", "single elements"],
        (false, 2..=4) => ["short rows", "short elements"],
        (false, _) => ["rows", "elements"],
    };
    work.add(per_row, rows);
    work.add(per_element, rows * len * if together { size } else { 1 });
}

/// The geometry of a reduction.
fn reduction(kernel: &Kernel) -> Option<&rt::Reduce> {
    Some(match kernel {
        Kernel::ReduceMeanF32(layer) => &layer.geometry,
        Kernel::ReduceMeanS8(layer) => &layer.geometry,
        Kernel::ReduceMeanS16(layer) => &layer.geometry,
        Kernel::ReduceSum(layer) => &layer.geometry,
        Kernel::ReduceProduct(layer) => &layer.geometry,
        Kernel::ReduceMax(layer) => &layer.geometry,
        Kernel::ReduceMin(layer) => &layer.geometry,
        Kernel::ReduceL1(layer) => &layer.geometry,
        Kernel::ReduceSumSquare(layer) => &layer.geometry,
        Kernel::ReduceL2(layer) => &layer.geometry,
        _ => return None,
    })
}

/// Reductions, four results at a time.
fn reduce(work: &mut Counts, p: &rt::Reduce) {
    let (quads, singles) = (p.outer * (p.inner / 4), p.outer * (p.inner % 4));
    work.add("rows", p.outer);
    work.add("quads", quads);
    work.add("quad elements", quads * p.len);
    work.add("singles", singles);
    work.add("single elements", singles * p.len);
}

/// The rows of an operation on two tensors, and the elements of those in which one operand stays the same.
fn broadcast(work: &mut Counts, p: &rt::Broadcast) {
    let rows = p.shape[..3].iter().product::<usize>();
    work.add("rows", rows);
    let repeated = p.a_strides[3] == 0 || p.b_strides[3] == 0;
    work.add("repeated", if repeated { rows * p.shape[3] } else { 0 });
}
